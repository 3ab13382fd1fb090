"""Section: the data. Rows by split, what each column was taken for and what it taught, labels, rows left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.asked import source_words
from modelyard.report.column_statistics import column_statistics, drift
from modelyard.report.evaluations import Evidence
from modelyard.report.formatting import count, duration, finite, label, number, percent, short_paths
from modelyard.report.strips import range_strip, stacked_bar
from modelyard.report.svg import Drawn

__all__ = ["learned", "view"]

_COLUMNS = 12
"""Columns shown at once; the others are folded away."""
_MOST_COLUMNS = 600
_LABELS = 15
_MOST_LABELS = 300
_MOST_ITEMS = 6
"""Entries named of a mapping that was learned, such as the most frequent values."""
_FILES = 20
_ORDER = ("train", "validation", "test")


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when there is no record of the data."""
    data = evidence.get("data")
    if not data:
        return None
    splits = _splits(data.get("rows") or {})
    total = sum(splits.values())
    columns = _columns(spec, data)
    files = [str(file) for file in data.get("files") or []]
    return {
        "source": source_words(data.get("source")),
        "origin": data.get("origin") or None,
        "files": files[:_FILES],
        "more_files": count(len(files) - _FILES, "more file") if len(files) > _FILES else "",
        "fingerprint": data.get("fingerprint") or "",
        "total": count(total, "row"),
        "splits": [
            {"name": name, "rows": number(rows), "share": percent(rows / total) if total else percent(None)}
            for name, rows in splits.items()
        ],
        "bar": _bar(splits, total),
        "method": _method(data.get("split") or {}),
        "columns": columns[:_COLUMNS],
        "more_columns": columns[_COLUMNS:_MOST_COLUMNS],
        "columns_left_out": number(len(columns) - _MOST_COLUMNS) if len(columns) > _MOST_COLUMNS else "",
        "statistics": column_statistics(data, _roles(spec)),
        "drift": drift(data),
        "licence": str(data.get("licence") or ""),
        "quarantine": str(data.get("quarantine") or ""),
        "targets": [_distribution(name, counts, splits) for name, counts in (data.get("labels") or {}).items()],
        **_dropped(data),
        "reused": bool(data.get("reused")),
        "seconds": duration(data.get("seconds")),
    }


def learned(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a modality learned as (name, value) pairs: counts of 0 and negations are left out."""
    found = []
    for name, value in summary.items():
        text = _value(value)
        if text is not None:
            found.append((name.replace("_", " "), text))
    return found


def _value(value: Any) -> str | None:
    """A learned value in words; None for what says nothing, an empty one for what is simply so."""
    if value is None or value is False or value == "" or (isinstance(value, int) and value == 0):
        return None
    if value is True:
        return ""
    if isinstance(value, Mapping):
        shown = [f"{label(name)} {_value(part) or 0}" for name, part in list(value.items())[:_MOST_ITEMS]]
        more = [f"{number(len(value) - _MOST_ITEMS)} more"] if len(value) > _MOST_ITEMS else []
        return ", ".join(shown + more) or None
    if isinstance(value, list | tuple):
        more = [f"{number(len(value) - _MOST_ITEMS)} more"] if len(value) > _MOST_ITEMS else []
        return ", ".join([_value(part) or "0" for part in value[:_MOST_ITEMS]] + more) or None
    return number(value) if isinstance(value, int | float) else str(value)


# -- rows -------------------------------------------------------------------------------------------------------------


def _splits(rows: Mapping[str, int]) -> dict[str, int]:
    names = [*(name for name in _ORDER if name in rows), *(name for name in rows if name not in _ORDER)]
    return {name: int(rows[name]) for name in names}


def _bar(splits: Mapping[str, int], total: int) -> Drawn | None:
    if not total:
        return None
    spoken = ", ".join(f"{name} {percent(rows / total)}" for name, rows in splits.items())
    return stacked_bar([(f"split-{name}", rows / total) for name, rows in splits.items() if rows], spoken)


def _method(split: Mapping[str, Any]) -> str:
    by = split.get("by")
    key = split.get("key")
    of = f"the columns {', '.join(key)}" if key else "each row"
    return {
        "given": "Splits as the data gives them" + (f", in the column {by}." if by else "."),
        "random": f"Assigned by a hash of {of}; equal rows share a split.",
        "stratified": f"Assigned by a hash of {of}, with the same shares within each {by}; equal rows share a split.",
        "group": f"Rows with the same {by} stay together.",
        "time": f"The latest rows by {by} are held out.",
    }.get(str(split.get("method")), "")


def _dropped(data: Mapping[str, Any]) -> dict[str, Any]:
    dropped: Mapping[str, int] = data.get("dropped") or {}
    rows: Sequence[Mapping[str, Any]] = data.get("dropped_rows") or []
    names = short_paths(list(dict.fromkeys(str(row.get("file")) for row in rows)))
    return {
        "dropped_total": count(sum(dropped.values()), "row"),
        "dropped": [
            {"reason": reason, "rows": number(many)}
            for reason, many in sorted(dropped.items(), key=lambda item: -item[1])
        ],
        "dropped_rows": [
            {"file": names[str(row.get("file"))], "position": number(row.get("position")), "reason": row.get("reason")}
            for row in rows[:50]
        ],
        "dropped_more": number(sum(dropped.values()) - 50) if sum(dropped.values()) > 50 else "",
    }


# -- columns ----------------------------------------------------------------------------------------------------------


def _roles(spec: Mapping[str, Any]) -> dict[str, str]:
    """Column → `target` or `input`; a column that is neither is not used."""
    asked = spec.get("data") or {}
    return dict.fromkeys(asked.get("inputs") or {}, "input") | dict.fromkeys(asked.get("targets") or {}, "target")


def _columns(spec: Mapping[str, Any], data: Mapping[str, Any]) -> list[dict[str, Any]]:
    roles = _roles(spec)
    summaries = data.get("summaries") or {}
    shown = []
    for guess in data.get("columns") or []:
        column = guess["column"]
        role = roles.get(column, "not used")
        summary = summaries.get(column) or {}
        shown.append(
            {
                "name": column,
                "role": role,
                "modality": guess.get("modality") or "",
                "why": guess.get("reason") or "",
                "learned": learned(summary),
                "strip": None if data.get("statistics") else _range(column, summary),
            }
        )
    order = {"target": 0, "input": 1, "not used": 2}
    return sorted(shown, key=lambda column: order[column["role"]])


def _range(column: str, summary: Mapping[str, Any]) -> Drawn | None:
    """A picture of where the values lie, for a column that learned its range and its mean."""
    low, high, mean, deviation = (finite(summary.get(key)) for key in ("minimum", "maximum", "mean", "deviation"))
    if low is None or high is None or mean is None or deviation is None:
        return None
    spoken = f"{column}: from {number(low)} to {number(high)}, mean {number(mean)}"
    return range_strip(low, high, mean, deviation, finite(summary.get("median")), spoken)


# -- labels -----------------------------------------------------------------------------------------------------------


def _distribution(target: str, counts: Mapping[str, Mapping[str, int]], splits: Mapping[str, int]) -> dict[str, Any]:
    """How often each label occurs in each split, the most frequent in training first."""
    present = [split for split in splits if split in counts]
    first = counts[present[0]] if present else {}
    names = list(dict.fromkeys(name for split in present for name in counts[split]))
    names.sort(key=lambda name: -first.get(name, 0))
    totals = {split: sum(counts[split].values()) for split in present}
    shares = [many / totals[split] for split in present if totals[split] for many in counts[split].values()]
    widest = max(shares, default=0.0) or 1.0
    lines = [
        {
            "name": label(name),
            "cells": [_share(split, counts[split].get(name, 0), totals[split], widest) for split in present],
        }
        for name in names[:_MOST_LABELS]
    ]
    return {
        "target": target,
        "splits": present,
        "labels": count(len(names), "label"),
        "lines": lines[:_LABELS],
        "more": lines[_LABELS:],
        "left_out": number(len(names) - _MOST_LABELS) if len(names) > _MOST_LABELS else "",
    }


def _share(split: str, many: int, total: int, widest: float) -> dict[str, Any]:
    share = many / total if total else 0.0
    return {
        "split": split,
        "rows": number(many),
        "share": percent(share),
        "share_of_bar": f"{share / widest:.3f}",
        "none": not many,
    }
