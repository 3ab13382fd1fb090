"""Section: the threshold that was chosen, what it gives, and what any other would give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from modelyard.report.curves import UNIT, share_ticks
from modelyard.report.evaluations import Evidence, in_order, rows_of
from modelyard.report.formatting import finite, label, number, percent
from modelyard.report.metric_names import change_of, difference_of, name_of, value_of
from modelyard.report.plots import Line, Mark, Place, figure, plot, thinned
from modelyard.report.scales import Scale
from modelyard.report.weaknesses import price_of

__all__ = ["view"]

_TITLES = {"share": "Share answered with the label", "youden": "Youden’s J", "cost": "Cost"}
_LEAST = 1e-4
"""The scale of thresholds is that of log odds, from this to 1 less this."""
_TICKS = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
_SPOTS = 30


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when no threshold was chosen."""
    parts = [_part(evaluation) for evaluation in in_order(evidence) if evaluation.get("threshold")]
    return {"parts": parts} if parts else None


def _part(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    threshold: Mapping[str, Any] = evaluation["threshold"]
    chosen, usual = ((threshold.get("metrics") or {}).get(name) or {} for name in ("chosen", "default"))
    return {
        "rows": rows_of(evaluation),
        "label": label(threshold.get("label")),
        "value": number(threshold.get("value")),
        "default": number(threshold.get("default")),
        "goal": str(threshold.get("goal") or ""),
        "chosen_on": str(threshold.get("chosen_on") or ""),
        "price": _price(threshold),
        "lines": [
            {
                "name": _TITLES.get(metric) or name_of(metric).title,
                "chosen": _value(metric, chosen.get(metric)),
                "default": _value(metric, usual.get(metric)),
                "change": _change(metric, chosen.get(metric), usual.get(metric)),
            }
            for metric in dict.fromkeys([*chosen, *usual])
        ],
        "chart": _chart(evaluation, threshold),
    }


def _price(threshold: Mapping[str, Any]) -> str:
    """Say what is paid for the goal, where it is much."""
    price = price_of(threshold)
    if price is None:
        return ""
    return (
        f"The goal has its price: accuracy is {difference_of('accuracy', price)} lower on these rows than with the "
        f"usual threshold of {number(threshold.get('default'))}. If that is too much, ask for less in "
        "evaluate.threshold, or choose on more validation rows."
    )


def _value(metric: str, value: Any) -> str:
    return percent(value) if metric == "share" else value_of(metric, value)


def _change(metric: str, ours: Any, theirs: Any) -> str:
    one, other = finite(ours), finite(theirs)
    if one is None or other is None:
        return ""
    return change_of("accuracy" if metric == "share" else metric, one - other)


def _chart(evaluation: Mapping[str, Any], threshold: Mapping[str, Any]) -> dict[str, Any] | None:
    """Precision and recall by threshold; None when the label's curve was not recorded."""
    named = threshold.get("label")
    curve = next((one for one in evaluation.get("curves") or [] if one.get("label") == named), None)
    value = finite(threshold.get("value"))
    if curve is None or value is None:
        return None
    rows = [
        row
        for row in zip(curve["threshold"], curve["precision"], curve["true_positive_rate"], strict=False)
        if all(finite(part) is not None for part in row)
    ]
    if len(rows) < 2:
        return None
    lines = []
    for name, column in (("precision", 1), ("recall", 2)):
        places = [
            Place(_odds(row[0]), row[column], f"threshold {number(row[0])}", percent(row[column]))
            for row in thinned(rows, _SPOTS)
        ]
        lines.append(Line(name, [(_odds(row[0]), row[column]) for row in rows], places))
    at = (threshold.get("metrics") or {}).get("chosen") or {}
    spoken = (
        f"Precision and recall by threshold for {label(named)}. At the chosen one, {number(value)}, precision is "
        f"{percent(at.get('precision'))} and recall {percent(at.get('recall'))}."
    )
    ticks = [(_odds(tick), number(tick)) for tick in _TICKS]
    chart = plot(
        spoken, lines, Scale(_odds(0), _odds(1)), UNIT, ticks, share_ticks(),
        "threshold, on the scale of log odds", "", mark=Mark(_odds(value), f"chosen: {number(value)}"),
    )  # fmt: skip
    table = [[number(row[0]), percent(row[1]), percent(row[2])] for row in thinned(rows, 21)]
    title = "Precision and recall by threshold"
    return figure(title, "", chart, ("Threshold", "Precision", "Recall"), table, ("precision", "recall"))


def _odds(share: float) -> float:
    held = min(1 - _LEAST, max(_LEAST, share))
    return math.log(held / (1 - held))
