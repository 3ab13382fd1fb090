"""Section: what the data gate found. Each finding with what it is, why it matters, its rows and the setting for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.data import learned
from modelyard.report.evaluations import Evidence
from modelyard.report.formatting import count, label, number

__all__ = ["view"]

_SEVERITIES = ("refuse", "warn", "note")
_NAMES = {"refuse": "refusal", "warn": "warning", "note": "note"}
_DONE = {
    "error": "stops the training",
    "drop": "its rows were left out",
    "keep": "its rows were kept",
}
_MOST = 100
_ROWS = 20
_COLUMNS = 12
_DETAILS = 20
_LONGEST = 400


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when the data was not examined, as in a bundle of an earlier version."""
    findings: Sequence[Mapping[str, Any]] | None = (evidence.get("data") or {}).get("findings")
    if findings is None:
        return None
    order = {severity: place for place, severity in enumerate(_SEVERITIES)}
    ranked = sorted(findings, key=lambda one: order.get(str(one.get("severity")), len(order)))
    shown = [_finding(one) for one in ranked[:_MOST]]
    return {
        "counts": [
            count(many, _NAMES[severity])
            for severity in _SEVERITIES
            if (many := sum(one.get("severity") == severity for one in findings))
        ],
        "accepted": sum(one.get("severity") == "refuse" and one.get("policy") != "error" for one in findings),
        "urgent": [one for one in shown if one["severity"] != "note"],
        "notes": [one for one in shown if one["severity"] == "note"],
        "left_out": number(len(findings) - _MOST) if len(findings) > _MOST else "",
    }


def _finding(one: Mapping[str, Any]) -> dict[str, Any]:
    rows = int(one.get("rows") or 0)
    columns = [str(column) for column in one.get("columns") or []]
    examples: Sequence[Mapping[str, Any]] = one.get("examples") or []
    done = _DONE.get(str(one.get("policy")), "") if rows else ""
    details = learned(one.get("details") or {})
    return {
        "severity": str(one.get("severity") or "note"),
        "name": _NAMES.get(str(one.get("severity")), "note"),
        "check": str(one.get("check") or ""),
        "title": str(one.get("title") or ""),
        "why": str(one.get("why") or ""),
        "rows": count(rows, "row") if rows else "",
        "done": done,
        "setting": str(one.get("setting") or ""),
        "columns": [label(column) for column in columns[:_COLUMNS]],
        "more_columns": number(len(columns) - _COLUMNS) if len(columns) > _COLUMNS else "",
        "examples": [
            {
                "place": str(row.get("place") or f"{row.get('file')}, record {number(row.get('position'))}"),
                "what": _cut(str(row.get("what") or "")),
            }
            for row in examples[:_ROWS]
        ],
        "more_rows": number(rows - min(len(examples), _ROWS)) if rows > min(len(examples), _ROWS) else "",
        "details": [(name, _cut(value)) for name, value in details[:_DETAILS]],
    }


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
