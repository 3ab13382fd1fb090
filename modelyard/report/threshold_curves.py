"""Section: what each threshold would give. ROC, precision and recall, lift; and the threshold that was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.charts import Curve, as_table, line_chart, share_ticks
from modelyard.report.evaluations import Evidence, in_order, rows_of
from modelyard.report.formatting import count, finite, label, number, percent
from modelyard.report.metric_names import change_of, name_of, value_of
from modelyard.report.scales import Scale, linear
from modelyard.report.svg import Drawn, element

__all__ = ["view"]

_SHARES = Scale(0.0, 1.0)
_TABLE = 11
"""Points of a curve that its table names."""
_SPARK = 30

Points = list[tuple[float, float]]


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when there are neither curves nor a chosen threshold."""
    evaluations = in_order(evidence)
    judge = evaluations[0] if evaluations else {}
    curves: Sequence[Mapping[str, Any]] = judge.get("curves") or []
    threshold = judge.get("threshold")
    if not curves and not threshold:
        return None
    used = _used(spec, threshold)
    one = curves[0] if len(curves) == 1 else None
    rows = int(judge.get("rows") or 0)
    worst = min(curves, key=lambda curve: finite(curve.get("roc_auc")) or 0.0) if curves else None
    return {
        "rows": rows_of(judge),
        "label": label(one["label"]) if one else "",
        "worst": label(worst["label"]) if worst and not one else "",
        "charts": _single(one, rows, used) if one else _several(curves, worst) if worst else [],
        "table": _points_table(one) if one else None,
        "labels": [_line(curve, curve is worst) for curve in curves] if not one else [],
        "left_out": _left_out(judge, curves),
        "threshold": _threshold(threshold, evaluations) if threshold else None,
    }


def _used(spec: Mapping[str, Any], threshold: Mapping[str, Any] | None) -> float | None:
    """The threshold in use, where the evidence or the spec tells it."""
    if threshold:
        return finite(threshold.get("value"))
    task = spec.get("task")
    return finite(task.get("threshold")) if isinstance(task, Mapping) else None


# -- one label against the other --------------------------------------------------------------------------------------


def _single(curve: Mapping[str, Any], rows: int, used: float | None) -> list[dict[str, Any]]:
    roc = _pairs(curve, "false_positive_rate", "true_positive_rate")
    trade = _pairs(curve, "true_positive_rate", "precision")
    base = int(curve.get("rows") or 0) / rows if rows else 0.0
    charts = [
        {
            "title": "ROC",
            "note": f"area {number(curve.get('roc_auc'), trim=False)}; the dashed line is chance",
            "chart": _square("ROC curve", "share of the others taken for it", curve, roc, [(0, 0), (1, 1)], used),
        },
        {
            "title": "Precision and recall",
            "note": f"average precision {number(curve.get('average_precision'), trim=False)}; the dashed line is chance",
            "chart": _square("Precision by recall", "recall", curve, trade, [(0, base), (1, base)], used),
        },
    ]
    lift = [(x, y / base) for x, y in _pairs(curve, "share", "precision") if base and x > 0]
    if len(lift) > 1:
        hover = [(x, _told(curve, at)) for at, x in _stops(curve, "share")]
        reference = Curve("", "reference", [(0, 1), (1, 1)])
        chart = line_chart(
            "Lift by the share of rows that are answered with the label",
            [reference, Curve("", "test", lift)],
            _SHARES,
            linear([y for _, y in lift], [0.0]),
            share_ticks(_SHARES),
            hover,
            x_title="share of rows answered so",
            y_text=lambda y: f"{y:g}×",
            tall=True,
        )
        charts.append({"title": "Lift", "note": "times as many found as by chance", "chart": chart})
    return charts


def _square(
    title: str, x_title: str, curve: Mapping[str, Any], points: Points, chance: Points, used: float | None
) -> Drawn:
    curves = [Curve("", "reference", chance), Curve("", "test", points)]
    at = _nearest(curve, used)
    if at is not None:
        curves.append(Curve("", "here reference", [points[at]], dots=True, line=False))
    key = "false_positive_rate" if title.startswith("ROC") else "true_positive_rate"
    hover = [(x, _told(curve, index)) for index, x in _stops(curve, key)]
    return line_chart(
        f"{title} of {label(curve['label'])}",
        curves,
        _SHARES,
        _SHARES,
        share_ticks(_SHARES),
        hover,
        x_title=x_title,
        y_text=lambda y: f"{100 * y:g}%",
        tall=True,
    )


def _nearest(curve: Mapping[str, Any], used: float | None) -> int | None:
    thresholds = [finite(value) for value in curve.get("threshold") or []]
    if used is None or not thresholds:
        return None
    # what is answered from a threshold on is told by the last point that lies at or above it
    above = [at for at, value in enumerate(thresholds) if value is not None and value >= used]
    return above[-1] if above else None


def _pairs(curve: Mapping[str, Any], x: str, y: str) -> Points:
    pairs = zip(curve.get(x) or [], curve.get(y) or [], strict=True)
    return [(float(a), float(b)) for a, b in pairs if finite(a) is not None and finite(b) is not None]


def _stops(curve: Mapping[str, Any], key: str) -> list[tuple[int, float]]:
    return [(at, float(x)) for at, x in enumerate(curve.get(key) or []) if finite(x) is not None]


def _told(curve: Mapping[str, Any], at: int) -> list[str]:
    threshold = finite(curve["threshold"][at])
    return [
        "nothing answered so" if threshold is not None and threshold > 1 else f"threshold {number(threshold)}",
        f"found (recall) {percent(curve['true_positive_rate'][at])}",
        f"others taken for it {percent(curve['false_positive_rate'][at])}",
        f"precision {percent(curve['precision'][at])}",
        f"rows answered so {percent(curve['share'][at])}",
    ]


def _points_table(curve: Mapping[str, Any]) -> Drawn:
    many = len(curve.get("threshold") or [])
    chosen = sorted({round(step * (many - 1) / (_TABLE - 1)) for step in range(_TABLE)}) if many else []
    rows = [
        [
            "above 1" if float(curve["threshold"][at]) > 1 else number(curve["threshold"][at]),
            *(percent(curve[key][at]) for key in ("true_positive_rate", "false_positive_rate", "precision", "share")),
        ]
        for at in chosen
    ]
    headings = ["Threshold", "Recall", "Others taken for it", "Precision", "Rows answered so"]
    return as_table(f"What thresholds would give for {label(curve['label'])}", headings, rows)


# -- many labels ------------------------------------------------------------------------------------------------------


def _several(curves: Sequence[Mapping[str, Any]], worst: Mapping[str, Any]) -> list[dict[str, Any]]:
    def chart(title: str, x: str, y: str, x_title: str) -> Drawn:
        order = [curve for curve in curves if curve is not worst] + [worst]
        drawn = [Curve("", "worst" if curve is worst else "quiet", _pairs(curve, x, y)) for curve in order]
        hover = [(at, _told(worst, index)) for index, at in _stops(worst, x)]
        return line_chart(
            f"{title} of each label against the rest, {label(worst['label'])} pointed out",
            drawn,
            _SHARES,
            _SHARES,
            share_ticks(_SHARES),
            hover,
            x_title=x_title,
            y_text=lambda value: f"{100 * value:g}%",
            tall=True,
        )

    return [
        {"title": "ROC", "note": "", "chart": chart("ROC curve", "false_positive_rate", "true_positive_rate",
                                                    "share of the others taken for it")},
        {"title": "Precision and recall", "note": "", "chart": chart("Precision by recall", "true_positive_rate",
                                                                     "precision", "recall")},
    ]  # fmt: skip


def _line(curve: Mapping[str, Any], worst: bool) -> dict[str, Any]:
    cells = [
        {"text": number(curve.get(key), trim=False), "sort": repr(finite(curve.get(key)) or 0.0)}
        for key in ("roc_auc", "average_precision")
    ]
    return {
        "name": label(curve["label"]),
        "rows": number(curve.get("rows")),
        "sort_rows": int(curve.get("rows") or 0),
        "cells": cells,
        "spark": _spark(_pairs(curve, "true_positive_rate", "precision"), worst),
    }


def _spark(points: Points, worst: bool) -> Drawn:
    step = max(1, len(points) // _SPARK)
    kept = [*points[::step], points[-1]] if points else []
    path = "".join(f"{'L' if at else 'M'}{60 * x:.1f} {20 - 18 * y:.1f}" for at, (x, y) in enumerate(kept))
    line = element("path", {"class": "curve worst" if worst else "curve test", "d": path})
    return element("svg", {"width": 60, "height": 22, "viewBox": "0 0 60 22", "aria-hidden": "true"}, line)


def _left_out(judge: Mapping[str, Any], curves: Sequence[Mapping[str, Any]]) -> str:
    labels = len(judge.get("per_label") or [])
    return count(labels - len(curves), "label") if 2 < len(curves) < labels else ""


# -- the threshold ----------------------------------------------------------------------------------------------------


def _threshold(threshold: Mapping[str, Any], evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    splits = []
    for evaluation in evaluations:
        metrics = (evaluation.get("threshold") or {}).get("metrics") or {}
        chosen, default = metrics.get("chosen") or {}, metrics.get("default") or {}
        lines = [
            {
                "title": name_of(name).title,
                "default": value_of(name, default.get(name)),
                "chosen": value_of(name, value),
                "change": _change(name, default.get(name), value),
            }
            for name, value in chosen.items()
        ]
        if lines:
            splits.append({"rows": rows_of(evaluation), "lines": lines})
    return {
        "label": label(threshold.get("label")),
        "goal": str(threshold.get("goal") or ""),
        "value": number(threshold.get("value")),
        "default": number(threshold.get("default")),
        "chosen_on": str(threshold.get("chosen_on") or ""),
        "splits": splits,
    }


def _change(name: str, before: Any, after: Any) -> str:
    first, second = finite(before), finite(after)
    return "" if first is None or second is None else change_of(name, second - first)
