"""Section: how declared groups fare beside each other, with the differences and what chance could make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.evaluations import Evidence, in_order, rows_of, split_class
from modelyard.report.formatting import MISSING, count, finite, label, number, quoted
from modelyard.report.metric_names import difference_of, name_of, value_of
from modelyard.report.scales import linear
from modelyard.report.strips import Interval, interval_strip
from modelyard.report.svg import Drawn
from modelyard.report.tables import scale_of, sort_key

__all__ = ["view"]

_MOST = 60


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when no groups were declared."""
    judge = next((one for one in in_order(evidence) if one.get("fairness")), None)
    if judge is None:
        return None
    return {"rows": rows_of(judge), "columns": [_column(one, split_class(judge, True)) for one in judge["fairness"]]}


def _column(one: Mapping[str, Any], kind: str) -> dict[str, Any]:
    groups: Sequence[Mapping[str, Any]] = one.get("groups") or []
    metrics = list(dict.fromkeys(metric for group in groups for metric in group.get("metrics") or {}))
    differences = [_difference(difference) for difference in one.get("differences") or []]
    return {
        "name": label(one.get("column")),
        "words": _words(one),
        "metrics": [{"title": name_of(metric).title, "meaning": name_of(metric).meaning} for metric in metrics],
        "groups": [_group(group, metrics, groups, kind) for group in groups[:_MOST]],
        "left_out": number(len(groups) - _MOST) if len(groups) > _MOST else "",
        "differences": differences,
        "notes": [str(note) for note in one.get("notes") or []],
    }


def _words(one: Mapping[str, Any]) -> str:
    sure = [d for d in one.get("differences") or [] if (low := finite(d.get("low"))) is not None and low > 0]
    if not one.get("differences"):
        return "The groups could not be compared."
    if not sure:
        return "No difference between these groups is larger than chance could make it on so many rows."
    names = [
        f"{name_of(str(d.get('metric'))).title.lower()} ({difference_of(str(d.get('metric')), d.get('difference'))}, "
        f"higher for {quoted(d.get('highest'), 30)} than for {quoted(d.get('lowest'), 30)})"
        for d in sure
    ]
    what = "A difference is" if len(sure) == 1 else f"{count(len(sure), 'difference')} are"
    return f"{what} larger than chance would make it: {'; '.join(names)}."


def _group(
    group: Mapping[str, Any], metrics: Sequence[str], groups: Sequence[Mapping[str, Any]], kind: str
) -> dict[str, Any]:
    measured = group.get("metrics") or {}
    return {
        "name": label(group.get("group")),
        "rows": number(group.get("rows")),
        "sort_rows": sort_key(group.get("rows")),
        "cells": [_cell(metric, measured.get(metric) or {}, groups, kind, group) for metric in metrics],
    }


def _cell(
    metric: str, one: Mapping[str, Any], groups: Sequence[Mapping[str, Any]], kind: str, group: Mapping[str, Any]
) -> dict[str, Any]:
    value, low, high = (finite(one.get(key)) for key in ("value", "low", "high"))
    texts = [value_of(metric, part) for part in (value, low, high)]
    interval = f"{texts[1]} to {texts[2]}" if MISSING not in texts[1:] else MISSING
    others = [
        finite(((other.get("metrics") or {}).get(metric) or {}).get(key))
        for other in groups
        for key in ("value", "low", "high")
    ]
    scale = scale_of(metric, others)
    spoken = f"{label(group.get('group'))}: {name_of(metric).title} {texts[0]}, interval {interval}"
    strip = None if value is None else interval_strip([Interval(kind, value, low, high, None)], scale, spoken)
    return {"text": texts[0], "interval": interval, "sort": sort_key(value), "strip": strip}


def _difference(one: Mapping[str, Any]) -> dict[str, Any]:
    metric = str(one.get("metric"))
    value, low, high = (finite(one.get(key)) for key in ("difference", "low", "high"))
    known = low is not None and high is not None
    return {
        "title": name_of(metric).title,
        "value": difference_of(metric, value),
        "interval": f"{_signed(metric, low)} to {_signed(metric, high)}" if known else MISSING,
        "highest": label(one.get("highest")),
        "lowest": label(one.get("lowest")),
        "ratio": number(one.get("ratio"), 3),
        "sure": low is not None and low > 0,
        "strip": _strip(metric, value, low, high),
        "sort": {"value": sort_key(value), "ratio": sort_key(one.get("ratio"))},
    }


def _signed(metric: str, value: float | None) -> str:
    text = difference_of(metric, value)
    return f"−{text}" if value is not None and value < 0 else text


def _strip(metric: str, value: float | None, low: float | None, high: float | None) -> Drawn | None:
    if value is None:
        return None
    known = [part for part in (value, low, high) if part is not None]
    spoken = f"difference {difference_of(metric, value)}; the line is no difference"
    return interval_strip([Interval("split-other judged", value, low, high, 0.0)], linear(known, [0.0]), spoken)
