"""Section: the same training on other parts of the rows, and how much its results vary by that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.evaluations import Evidence
from modelyard.report.formatting import count, duration, finite, number
from modelyard.report.metric_names import difference_of, name_of, value_of
from modelyard.report.strips import Interval, interval_strip
from modelyard.report.tables import scale_of, sort_key

__all__ = ["view"]

_FOLDS = 50


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when there was no cross-validation."""
    record = evidence.get("cross_validation")
    if not record or not record.get("folds"):
        return None
    folds: Sequence[Mapping[str, Any]] = record["folds"]
    spread: Sequence[Mapping[str, Any]] = record.get("spread") or []
    metrics = list(dict.fromkeys(name for fold in folds for name in fold.get("metrics") or {}))
    return {
        "folds": count(len(folds), "fold"),
        "epochs": count(record.get("epochs"), "epoch"),
        "seconds": duration(record.get("seconds")),
        "words": _words(spread),
        "spread": [_line(one, folds) for one in spread],
        "columns": [name_of(name).title for name in metrics],
        "lines": [
            {
                "fold": number(fold.get("fold")),
                "trained": number(fold.get("trained")),
                "rows": number(fold.get("rows")),
                "cells": [value_of(name, (fold.get("metrics") or {}).get(name)) for name in metrics],
                "seconds": duration(fold.get("seconds")),
            }
            for fold in folds[:_FOLDS]
        ],
        "left_out": number(len(folds) - _FOLDS) if len(folds) > _FOLDS else "",
        "notes": [str(note) for note in record.get("notes") or []],
    }


def _words(spread: Sequence[Mapping[str, Any]]) -> str:
    if not spread:
        return ""
    one = spread[0]
    metric = str(one.get("metric"))
    return (
        f"{name_of(metric).title} is {value_of(metric, one.get('mean'))} on average and goes from "
        f"{value_of(metric, one.get('lowest'))} to {value_of(metric, one.get('highest'))}: which rows it is trained on "
        f"makes a difference of {difference_of(metric, _gap(one))}."
    )


def _gap(one: Mapping[str, Any]) -> float | None:
    low, high = finite(one.get("lowest")), finite(one.get("highest"))
    return None if low is None or high is None else high - low


def _line(one: Mapping[str, Any], folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    metric = str(one.get("metric"))
    values = [finite((fold.get("metrics") or {}).get(metric)) for fold in folds]
    mean, low, high = (finite(one.get(key)) for key in ("mean", "lowest", "highest"))
    spoken = (
        f"{name_of(metric).title}: mean {value_of(metric, mean)}, from {value_of(metric, low)} to "
        f"{value_of(metric, high)}"
    )
    scale = scale_of(metric, [*values, mean, low, high])
    return {
        "title": name_of(metric).title,
        "meaning": name_of(metric).meaning,
        "mean": value_of(metric, mean),
        "deviation": difference_of(metric, one.get("standard_deviation")),
        "range": f"{value_of(metric, low)} to {value_of(metric, high)}",
        "strip": interval_strip([Interval("split-train judged", mean, low, high, None)], scale, spoken),
        "ends": [value_of(metric, end).replace(".0%", "%") for end in (scale.low, scale.high)],
        "sort": {"mean": sort_key(mean), "deviation": sort_key(one.get("standard_deviation"))},
    }
