"""What the values of each column are like in each split, and which columns are distributed otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.formatting import MISSING, count, finite, label, listed, number, percent
from modelyard.report.scales import Scale
from modelyard.report.strips import Quantiles, frequency_bars, quantile_strip
from modelyard.report.svg import Drawn
from modelyard.report.tables import sort_key

__all__ = ["column_statistics", "drift"]

_PICTURED = 60
"""Columns shown at once, with a picture; the others are folded away, in words."""
_MOST = 600
_BARS = 4
_DRIFTED = 30
_MEASURES = {
    "kolmogorov_smirnov": "largest distance of the cumulative distributions",
    "total_variation": "share of rows that would have to change",
    "missing_share": "difference of the shares of missing values",
}
_QUANTILES = ("5", "25", "50", "75", "95")

Statistics = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Split → column → values."""


def column_statistics(data: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what the template shows of every column; None when there are no statistics, as in earlier bundles.

    Args:
        data: The record of the data.
        roles: Column → `target` or `input`; targets come first, what is neither last.
    """
    statistics: Statistics = data.get("statistics") or {}
    splits = [split for split in ("train", "validation", "test") if split in statistics]
    splits += [split for split in statistics if split not in splits]
    if not splits:
        return None
    columns = list(dict.fromkeys(column for split in splits for column in statistics[split]))
    columns.sort(key=lambda column: {"target": 0, "input": 1}.get(roles.get(column, ""), 2))
    drifted = _worst(data.get("drift") or [])
    schema = data.get("schema") or {}
    lines = [
        _line(
            column,
            {split: statistics[split][column] for split in splits if column in statistics[split]},
            roles.get(column, "not used"),
            str(schema.get(column) or ""),
            drifted.get(column),
            place < _PICTURED,
        )
        for place, column in enumerate(columns[:_MOST])
    ]
    return {
        "splits": splits,
        "lines": lines[:_PICTURED],
        "more": lines[_PICTURED:],
        "left_out": number(len(columns) - _MOST) if len(columns) > _MOST else "",
    }


def drift(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the template shows of drift; None when it was not measured."""
    measured: Sequence[Mapping[str, Any]] = data.get("drift") or []
    if not measured:
        return None
    found = [one for one in measured if one.get("drifted")]
    found.sort(key=lambda one: -(finite(one.get("value")) or 0.0))
    columns = list(dict.fromkeys(str(one.get("column")) for one in found))
    every = len({str(one.get("column")) for one in measured})
    splits = listed(list(dict.fromkeys(str(one.get("split")) for one in measured)))
    if not found:
        words = f"None of {count(every, 'column')} is distributed otherwise in {splits} than in training, chance aside."
    else:
        words = (
            f"{number(len(columns))} of {count(every, 'column')} {'is' if len(columns) == 1 else 'are'} distributed "
            f"otherwise than in training: {listed([label(column) for column in columns], 6)}."
        )
    return {
        "words": words,
        "lines": [
            {
                "column": label(one.get("column")),
                "split": str(one.get("split")),
                "measure": _MEASURES.get(str(one.get("measure")), str(one.get("measure"))),
                "value": number(one.get("value"), 3),
                "threshold": number(one.get("threshold"), 3),
                "bar": f"{min(1.0, max(0.0, finite(one.get('value')) or 0.0)):.3f}",
                "sort": {key: sort_key(one.get(key)) for key in ("value", "threshold")},
            }
            for one in found[:_DRIFTED]
        ],
        "left_out": number(len(found) - _DRIFTED) if len(found) > _DRIFTED else "",
    }


# -- one column -------------------------------------------------------------------------------------------------------


def _worst(measured: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Column → its largest drift, those beyond chance first."""
    worst: dict[str, Mapping[str, Any]] = {}
    for one in measured:
        column = str(one.get("column"))
        if column not in worst or _weight(one) > _weight(worst[column]):
            worst[column] = one
    return worst


def _weight(one: Mapping[str, Any]) -> tuple[bool, float]:
    return bool(one.get("drifted")), finite(one.get("value")) or 0.0


def _line(
    column: str,
    by_split: Mapping[str, Mapping[str, Any]],
    role: str,
    stored: str,
    drifted: Mapping[str, Any] | None,
    pictured: bool,
) -> dict[str, Any]:
    first = next(iter(by_split.values()))
    most = max((finite(one.get("missing")) or 0.0) / (finite(one.get("rows")) or 1.0) for one in by_split.values())
    return {
        "name": label(column),
        "role": "" if role == "input" else role,
        "kind": str(first.get("kind") or ""),
        "stored": stored,
        "picture": _picture(column, by_split) if pictured else None,
        "words": _words(first),
        "missing": [_missing(one) for one in by_split.values()],
        "none_missing": not most,
        "sort_missing": repr(most),
        "drift": "" if drifted is None else number(drifted.get("value"), 2),
        "drifted": bool(drifted and drifted.get("drifted")),
        "sort_drift": "" if drifted is None else sort_key(drifted.get("value")),
    }


def _missing(one: Mapping[str, Any]) -> str:
    many, rows = finite(one.get("missing")), finite(one.get("rows"))
    return percent(many / rows) if many is not None and rows else MISSING


def _numbers(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is numeric about a column: its values, the characters of its texts, the items of its lists."""
    part = one.get("characters") or one.get("items") or one
    return part if isinstance(part, Mapping) else {}


def _words(one: Mapping[str, Any]) -> str:
    """A split's values on one line."""
    if "distinct" in one:
        about = "about " if one.get("about") else ""
        return f"{about}{count(one.get('distinct'), 'different value')}"
    found = _numbers(one)
    mean = finite(found.get("mean"))
    if mean is None:
        return ""
    unit = " characters" if "characters" in one else " items" if "items" in one else ""
    middle = (found.get("quantiles") or {}).get("50")
    said = f"{number(found.get('minimum'))} to {number(found.get('maximum'))}{unit}, mean {number(mean)}"
    return said if finite(middle) is None else f"{said}, median {number(middle)}"


def _picture(column: str, by_split: Mapping[str, Mapping[str, Any]]) -> Drawn | None:
    if any("most_frequent" in one for one in by_split.values()):
        return _bars(column, by_split)
    rows = []
    for split, one in by_split.items():
        quantiles = _numbers(one).get("quantiles") or {}
        five = [value for key in _QUANTILES if (value := finite(quantiles.get(key))) is not None]
        if len(five) == len(_QUANTILES):
            rows.append((split, Quantiles(f"split-{split}", *five)))
    if not rows:
        return None
    low, high = min(one.low for _, one in rows), max(one.high for _, one in rows)
    space = 0.06 * (high - low) or abs(low) / 2 or 0.5
    titles = [
        f"{split}: nine tenths of the values from {number(one.low)} to {number(one.high)}, half of them from "
        f"{number(one.lower)} to {number(one.upper)}, median {number(one.middle)}"
        for split, one in rows
    ]
    spoken = f"{label(column)}. {'; '.join(titles)}"
    return quantile_strip([one for _, one in rows], Scale(low - space, high + space), titles, spoken)


def _bars(column: str, by_split: Mapping[str, Mapping[str, Any]]) -> Drawn | None:
    """The most frequent values of the first split, with their shares in the others as ticks."""
    shares: dict[str, dict[str, float]] = {}
    for split, one in by_split.items():
        known = (finite(one.get("rows")) or 0.0) - (finite(one.get("missing")) or 0.0)
        if known > 0:
            counts = one.get("most_frequent") or {}
            shares[split] = {str(name): (finite(many) or 0.0) / known for name, many in counts.items()}
    first = next(iter(shares.values()), {})
    names = list(first)[:_BARS]
    if not names:
        return None
    bars = [
        (label(name), [(f"split-{split}", part.get(name, 0.0)) for split, part in shares.items()]) for name in names
    ]
    titles = [
        f"{label(name)}: {', '.join(f'{split} {percent(part.get(name, 0.0))}' for split, part in shares.items())}"
        for name in names
    ]
    return frequency_bars(bars, titles, f"{label(column)}, most frequent values. {'; '.join(titles)}")
