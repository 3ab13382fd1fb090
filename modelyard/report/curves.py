"""Section: what each threshold would give. ROC, precision over recall, gain and lift of each label against the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelyard.report.evaluations import Evidence, in_order, rows_of
from modelyard.report.formatting import finite, label, number, percent
from modelyard.report.metric_names import value_of
from modelyard.report.plots import HUES, Line, Place, figure, plot, thinned
from modelyard.report.scales import Scale, linear

__all__ = ["UNIT", "share_ticks", "view"]

UNIT = Scale(0.0, 1.0)
_DRAWN = len(HUES)
"""Labels whose curves are drawn; all are in the table."""
_SPOTS = 40
_TABLE = 21
_AT = 0.1
"""Where the words read a curve."""

Curve = Mapping[str, Any]
Values = list[float]


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when no evaluation has curves."""
    parts = [_part(evaluation) for evaluation in in_order(evidence) if evaluation.get("curves")]
    return {"parts": parts} if parts else None


def share_ticks(scale: Scale = UNIT) -> list[tuple[float, str]]:
    """Return ticks of a scale of shares, as percentages."""
    return [(tick, percent(tick).replace(".0%", "%")) for tick in scale.ticks()]


def _part(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    curves: Sequence[Curve] = evaluation["curves"]
    rows = finite(evaluation.get("rows")) or 0
    drawn = curves[:_DRAWN]
    charts = [_roc(drawn), _precision_recall(drawn), _gain(drawn), _lift(drawn, rows)]
    return {
        "rows": rows_of(evaluation),
        "charts": [chart for chart in charts if chart is not None],
        "not_drawn": number(len(curves) - _DRAWN) if len(curves) > _DRAWN else "",
        "labels": [
            {
                "name": label(curve.get("label")),
                "rows": number(curve.get("rows")),
                "share": percent(_base(curve, rows)),
                "roc_auc": value_of("roc_auc", curve.get("roc_auc")),
                "average_precision": value_of("average_precision", curve.get("average_precision")),
                "sort": {key: _sort(curve.get(key)) for key in ("rows", "roc_auc", "average_precision")},
            }
            for curve in curves
        ],
    }


def _roc(curves: Sequence[Curve]) -> dict[str, Any] | None:
    first = curves[0]
    found = _reached(first["false_positive_rate"], first["true_positive_rate"], _AT)
    spoken = (
        f"ROC curve. For {label(first.get('label'))} the area is {value_of('roc_auc', first.get('roc_auc'))}"
        + (f"; taking {percent(_AT)} of the other rows for it, it finds {percent(found)} of its own" if found else "")
        + ". Chance is the diagonal."
    )
    return _chart(
        "ROC", "share found over share of false alarms; the diagonal is chance", spoken, curves,
        lambda curve: (curve["false_positive_rate"], curve["true_positive_rate"]),
        ("false positive rate", "true positive rate"), diagonal=True,
    )  # fmt: skip


def _precision_recall(curves: Sequence[Curve]) -> dict[str, Any] | None:
    first = curves[0]
    spoken = (
        f"Precision over recall. For {label(first.get('label'))} the average precision is "
        f"{value_of('average_precision', first.get('average_precision'))}."
    )
    return _chart(
        "Precision and recall", "how many answers are right when so many are found", spoken, curves,
        lambda curve: (curve["true_positive_rate"], curve["precision"]), ("recall", "precision"),
    )  # fmt: skip


def _gain(curves: Sequence[Curve]) -> dict[str, Any] | None:
    first = curves[0]
    found = _reached(first["share"], first["true_positive_rate"], _AT)
    told = f" The {percent(_AT)} of rows ranked highest hold {percent(found)} of it." if found is not None else ""
    spoken = f"Gain for {label(first.get('label'))}.{told} Without a model it would be as many."
    return _chart(
        "Gain", "share found among the rows ranked highest; the diagonal is drawing lots", spoken, curves,
        lambda curve: (curve["share"], curve["true_positive_rate"]), ("share of rows taken", "share found"),
        diagonal=True,
    )  # fmt: skip


def _lift(curves: Sequence[Curve], rows: float) -> dict[str, Any] | None:
    if not rows:
        return None

    def lift(curve: Curve) -> tuple[Values, Values]:
        base = _base(curve, rows) or 1.0
        taken = [(x, y / base) for x, y in zip(curve["share"], curve["precision"], strict=False) if x > 0]
        return [x for x, _ in taken], [y for _, y in taken]

    first = lift(curves[0])
    if not first[0]:
        return None
    most = max(max(lift(curve)[1], default=1.0) for curve in curves)
    at = next((y for x, y in zip(*first, strict=True) if x >= _AT), first[1][-1])
    spoken = (
        f"Lift for {label(curves[0].get('label'))}: among the {percent(_AT)} of rows ranked highest it is "
        f"{number(at, 3)} times as frequent as among all."
    )
    scale = linear([most], [0.0])
    ticks = [(tick, number(tick)) for tick in scale.ticks()]
    return _chart(
        "Lift", "how many times as frequent as among all rows", spoken, curves, lift,
        ("share of rows taken", "lift"), y_scale=scale, y_ticks=ticks, level=(1.0, "no model"),
        y_words=lambda value: number(value, 3),
    )  # fmt: skip


def _chart(
    title: str,
    note: str,
    spoken: str,
    curves: Sequence[Curve],
    values: Callable[[Curve], tuple[Values, Values]],
    axes: tuple[str, str],
    diagonal: bool = False,
    y_scale: Scale = UNIT,
    y_ticks: Sequence[tuple[float, str]] | None = None,
    level: tuple[float, str] | None = None,
    y_words: Callable[[float], str] = percent,
) -> dict[str, Any]:
    lines, table = [], []
    names = [label(curve.get("label")) for curve in curves]
    for name, curve in zip(names, curves, strict=True):
        points = [
            (x, y) for x, y in zip(*values(curve), strict=False) if finite(x) is not None and finite(y) is not None
        ]
        spots = [
            Place(x, y, f"{axes[0]} {percent(x)}", f"{axes[1]} {y_words(y)}")
            for x, y in thinned(points, max(8, _SPOTS // len(curves)))
        ]
        lines.append(Line(name if len(curves) > 1 else "", points, spots))
        chosen = thinned(points, max(5, _TABLE // len(curves)))
        table += [[name, percent(x), y_words(y)] for x, y in chosen]
    chart = plot(
        spoken, lines[::-1] if len(lines) == 1 else lines, UNIT, y_scale, share_ticks(),
        share_ticks() if y_ticks is None else y_ticks, axes[0], axes[1], diagonal, level,
    )  # fmt: skip
    return figure(title, note, chart, ("Label", axes[0].capitalize(), axes[1].capitalize()), table, names)


def _reached(xs: Sequence[float], ys: Sequence[float], at: float) -> float | None:
    """The highest y that a rising curve reaches while x stays within `at`."""
    return max((y for x, y in zip(xs, ys, strict=False) if x <= at), default=None)


def _base(curve: Curve, rows: float) -> float | None:
    many = finite(curve.get("rows"))
    return None if many is None or not rows else many / rows


def _sort(value: Any) -> str:
    known = finite(value)
    return "" if known is None else repr(known)
