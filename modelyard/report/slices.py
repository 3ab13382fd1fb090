"""Section: parts of the rows measured apart, those that the spec names and those found to be worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.evaluations import Evidence, in_order, rows_of, split_class
from modelyard.report.formatting import MISSING, count, finite, number, percent
from modelyard.report.metric_names import difference_of, name_of, value_of
from modelyard.report.scales import Scale
from modelyard.report.strips import Interval, interval_strip
from modelyard.report.tables import scale_of, sort_key
from modelyard.report.weaknesses import slice_name

__all__ = ["view"]

_MOST = 100


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when no slices were looked at."""
    judge = next((one for one in in_order(evidence) if one.get("slices")), None)
    if judge is None:
        first = next(iter(in_order(evidence)), None)
        asked = (spec.get("evaluate") or {}).get("slices")
        if first is None or asked != "auto" or "slices" not in first:
            return None
        return {"rows": rows_of(first), "declared": None, "found": None, "words": "", "metric": ""}
    slices: Sequence[Mapping[str, Any]] = judge["slices"]
    metric = str(slices[0].get("metric"))
    scale = scale_of(
        metric, [finite(one.get(key)) for one in slices for key in ("metric_value", "low", "high", "rest")]
    )
    declared = [one for one in slices if one.get("declared")]
    found = [one for one in slices if not one.get("declared")]
    return {
        "rows": rows_of(judge),
        "metric": name_of(metric).title,
        "declared": _table(declared, judge, scale) if declared else None,
        "found": _table(found, judge, scale) if found else None,
        "words": _words(slices),
    }


def _words(slices: Sequence[Mapping[str, Any]]) -> str:
    worse = [one for one in slices if one.get("worse")]
    if not worse:
        return "None of them is worse than the other rows by more than chance."
    known = [
        one for one in worse if finite(one.get("metric_value")) is not None and finite(one.get("rest")) is not None
    ]
    if not known:
        return f"{count(len(worse), 'slice')} worse than the other rows by more than chance."
    worst = max(known, key=lambda one: abs(one["metric_value"] - one["rest"]))
    metric = str(worst.get("metric"))
    many = "One is" if len(worse) == 1 else f"{number(len(worse))} are"
    here, rest = worst["metric_value"], worst["rest"]
    return (
        f"{many} worse than the other rows by more than chance. The farthest behind: {slice_name(worst)}, "
        f"{name_of(metric).title.lower()} {value_of(metric, here)} on {count(worst.get('rows'), 'row')} against "
        f"{value_of(metric, rest)}, {difference_of(metric, here - rest)} apart."
    )


def _table(slices: Sequence[Mapping[str, Any]], judge: Mapping[str, Any], scale: Scale) -> dict[str, Any]:
    metric = str(slices[0].get("metric"))
    return {
        "lines": [_line(one, judge, scale) for one in slices[:_MOST]],
        "ends": [value_of(metric, end).replace(".0%", "%") for end in (scale.low, scale.high)],
        "left_out": number(len(slices) - _MOST) if len(slices) > _MOST else "",
    }


def _line(one: Mapping[str, Any], judge: Mapping[str, Any], scale: Scale) -> dict[str, Any]:
    metric = str(one.get("metric"))
    value, low, high, rest = (finite(one.get(key)) for key in ("metric_value", "low", "high", "rest"))
    texts = [value_of(metric, part) for part in (value, low, high, rest)]
    name = slice_name(one)
    interval = f"{texts[1]} to {texts[2]}" if MISSING not in texts[1:3] else MISSING
    spoken = f"{name}: {name_of(metric).title} {texts[0]}, interval {interval}; all other rows {texts[3]}"
    chance = finite(one.get("p_value"))
    return {
        "name": name,
        "rows": number(one.get("rows")),
        "value": texts[0],
        "interval": interval,
        "rest": texts[3],
        "chance": "under 0.1%" if chance is not None and chance < 0.001 else percent(chance),
        "worse": bool(one.get("worse")),
        "strip": interval_strip([Interval(split_class(judge, True), value, low, high, rest)], scale, spoken),
        "sort": {"rows": sort_key(one.get("rows")), "value": sort_key(value), "rest": sort_key(rest),
                 "chance": sort_key(chance)},
    }  # fmt: skip
