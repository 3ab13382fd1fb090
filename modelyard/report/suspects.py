"""Section: rows whose label is likely wrong, by models that had not seen them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.cards import Budget, cards_of
from modelyard.report.evaluations import Evidence, in_order, rows_of
from modelyard.report.formatting import count, label, number, percent, short_paths
from modelyard.report.tables import sort_key

__all__ = ["view"]

_PICTURES = 900_000
"""Most characters of base64 that all pictures together may take."""
_NAMED = 200
_SHOWN = 12
"""Rows shown at once; the others are folded away."""


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when no model was asked about labels, or none was doubted."""
    crossed = evidence.get("cross_validation") or {}
    evaluations = [*in_order(evidence), *([crossed["evaluation"]] if crossed.get("evaluation") else [])]
    budget = Budget(_PICTURES)
    parts = []
    for evaluation in evaluations:
        many = int(evaluation.get("suspect_rows") or 0)
        if many:
            named = (crossed.get("suspects") or []) if evaluation is crossed.get("evaluation") else []
            parts.append(_part(evaluation, many, named, budget))
    if parts:
        return {"parts": parts}
    # nothing doubted in a cross-validation is a finding; nothing doubted on a few held-out rows hardly is
    return {"parts": []} if crossed else None


def _part(
    evaluation: Mapping[str, Any], many: int, named: Sequence[Mapping[str, Any]], budget: Budget
) -> dict[str, Any]:
    shown = cards_of(evaluation.get("suspects") or [], budget)
    names = short_paths(list(dict.fromkeys(str(row.get("file")) for row in named)))
    return {
        "name": str(evaluation.get("split", "")),
        "rows": rows_of(evaluation),
        "many": count(many, "row"),
        "share": percent(many / evaluation["rows"]) if evaluation.get("rows") else "",
        "cards": shown[:_SHOWN],
        "more_cards": shown[_SHOWN:],
        "named": [
            {
                "file": names[str(row.get("file"))],
                "path": str(row.get("file")),
                "position": number(row.get("position")),
                "sort": sort_key(row.get("position")),
                "target": _label(row.get("target")),
                "answer": _label(row.get("answer")),
                "probability": percent(row.get("probability")),
                "sort_probability": sort_key(row.get("probability")),
            }
            for row in named[:_NAMED]
        ],
        "more": number(many - max(len(shown), min(len(named), _NAMED)))
        if many > max(len(shown), min(len(named), _NAMED))
        else "",
        "left_out": number(budget.left_out) if budget.left_out else "",
    }


def _label(value: Any) -> str:
    return ", ".join(label(part) for part in value) or "none" if isinstance(value, list) else label(value)
