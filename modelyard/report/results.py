"""Section: the results. All metrics with their intervals, the confusion table, each label on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.evaluations import Evidence, form_of, frequent_confusions, in_order, rows_of, split_class
from modelyard.report.formatting import MISSING, finite, label, number, percent
from modelyard.report.heatmap import heat_map
from modelyard.report.metric_names import name_of, value_of
from modelyard.report.strips import Interval, interval_strip
from modelyard.report.svg import Drawn
from modelyard.report.tables import scale_of, sort_key
from modelyard.report.words import trivial_answer

__all__ = ["MOST_LABELS", "view"]

MOST_LABELS = 1000
"""Labels named in a table; a bundle's evidence has all of them."""
_CONFUSIONS = 10


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when nothing was measured."""
    evaluations = in_order(evidence)
    if not evaluations:
        return None
    trivial = trivial_answer(evaluations[0], evidence)
    return {
        "splits": [_split(evaluation, not index) for index, evaluation in enumerate(evaluations)],
        "metrics": _metrics(evaluations),
        "confidence": percent(evaluations[0].get("confidence")).replace(".0%", "%"),
        "trivial": trivial[:1].lower() + trivial[1:].rstrip(","),
        "parts": [_part(evaluation) for evaluation in evaluations],
    }


# -- all metrics ------------------------------------------------------------------------------------------------------


def _split(evaluation: Mapping[str, Any], judges: bool) -> dict[str, Any]:
    return {
        "name": str(evaluation.get("split", "")),
        "rows": rows_of(evaluation),
        "kind": split_class(evaluation, judges),
    }


def _metrics(evaluations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One line a metric, with a cell for each evaluation."""
    by_name = [{metric["name"]: metric for metric in evaluation.get("metrics") or []} for evaluation in evaluations]
    kinds = [split_class(evaluation, not index) for index, evaluation in enumerate(evaluations)]
    names = list(dict.fromkeys(name for metrics in by_name for name in metrics))
    return [_metric(name, [metrics.get(name) or {} for metrics in by_name], kinds) for name in names]


def _metric(name: str, measured: Sequence[Mapping[str, Any]], kinds: Sequence[str]) -> dict[str, Any]:
    intervals = [
        Interval(kind, *(finite(one.get(key)) for key in ("value", "low", "high", "baseline")))
        for kind, one in zip(kinds, measured, strict=True)
    ]
    cells = [_cell(name, one) for one in measured]
    scale = scale_of(name, [value for one in intervals for value in (one.value, one.low, one.high, one.baseline)])
    higher = next((one["higher_is_better"] for one in measured if "higher_is_better" in one), True)
    ends = [value_of(name, end).replace(".0%", "%") for end in (scale.low, scale.high)]
    spoken = f"{name_of(name).title}, on a scale from {ends[0]} to {ends[1]}"
    return {
        "title": name_of(name).title,
        "meaning": name_of(name).meaning,
        "better": "higher" if higher else "lower",
        "cells": cells,
        "baseline": cells[0]["baseline"],
        "strip": interval_strip(intervals, scale, spoken),
        "ends": ends,
    }


def _cell(name: str, measured: Mapping[str, Any]) -> dict[str, str]:
    texts = {
        key: value_of(name, measured.get(key), measured.get("rows")) for key in ("value", "low", "high", "baseline")
    }
    known = MISSING not in (texts["low"], texts["high"])
    return {
        "value": texts["value"],
        "interval": f"{texts['low']} to {texts['high']}" if known else MISSING,
        "baseline": texts["baseline"],
    }


# -- by label ---------------------------------------------------------------------------------------------------------


def _part(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    confusion = evaluation.get("confusion")
    map_: Drawn | None = heat_map(confusion["labels"], confusion["counts"]) if confusion else None
    pairs = frequent_confusions(evaluation, _CONFUSIONS)
    return {
        "name": str(evaluation.get("split", "")),
        "rows": rows_of(evaluation),
        "notes": list(evaluation.get("notes") or []),
        "heat_map": map_,
        "confusions": [
            {
                "true": label(pair.true),
                "answered": label(pair.answered),
                "rows": number(pair.rows),
                "of": number(pair.of),
                "share": percent(pair.rows / pair.of),
                "bar": f"{pair.rows / pair.of:.3f}",
            }
            for pair in pairs
        ],
        "per_label": _per_label(evaluation),
    }


def _per_label(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    entries: Sequence[Mapping[str, Any]] = evaluation.get("per_label") or []
    if not entries:
        return None
    columns = [key for key in entries[0] if key not in ("name", "rows")]
    shown = entries[:MOST_LABELS]
    return {
        "what": "Target" if form_of(evaluation) == "regression" else "Label",
        "columns": [{"title": name_of(key).title, "meaning": name_of(key).meaning} for key in columns],
        "entries": [
            {
                "name": label(entry["name"]),
                "rows": number(entry.get("rows")),
                "sort_rows": entry.get("rows") or 0,
                "cells": [_label_cell(key, entry.get(key)) for key in columns],
            }
            for entry in shown
        ],
        "left_out": number(len(entries) - len(shown)) if len(entries) > len(shown) else "",
    }


def _label_cell(key: str, value: Any) -> dict[str, Any]:
    known = finite(value)
    bounded = name_of(key).low == 0 and name_of(key).high == 1
    return {
        "text": value_of(key, value),
        "sort": sort_key(value),
        "bar": f"{known:.3f}" if known is not None and bounded else "",
    }
