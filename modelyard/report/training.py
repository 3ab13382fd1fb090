"""Section: the training. Curves of loss, metrics and learning rate by epoch, and the search for the learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.charts import Curve, Mark, line_chart, thin
from modelyard.report.evaluations import Evidence, headline, in_order
from modelyard.report.formatting import count, duration, finite, number, rate
from modelyard.report.metric_names import name_of, value_of
from modelyard.report.scales import Scale, linear, logarithmic, whole_ticks
from modelyard.report.svg import Drawn

__all__ = ["view"]

_FIRST = 2
"""Metrics drawn at once; the others are folded away."""
_TABLE = 200
"""Epochs the table shows."""
_SPLITS = ("train", "validation")

Epochs = Sequence[Mapping[str, Any]]


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when there is no record of a training."""
    training = evidence.get("training")
    if not training:
        return None
    epochs: Epochs = training.get("epochs") or []
    search = training.get("rate_search")
    kept = training.get("kept_epoch")
    evaluations = in_order(evidence)
    first = headline(evaluations[0]) if evaluations else None
    metrics = _metrics(epochs, first["name"] if first else None)
    charts = [chart for metric in ["loss", *metrics] if (chart := _curves(epochs, metric, kept))]
    return {
        "epochs": count(len(epochs), "epoch"),
        "trained": bool(epochs),
        "kept": kept,
        "stopped_early": training.get("stopped_early") or "",
        "notes": _notes(training, epochs),
        "charts": charts[: 1 + _FIRST],
        "more_charts": charts[1 + _FIRST :],
        "rates": _rates(epochs, kept),
        "search": _search(search) if search else None,
        "table": _table(epochs, kept, metrics[0] if metrics else None),
        "thinned": len(epochs) > _TABLE,
    }


def _notes(training: Mapping[str, Any], epochs: Epochs) -> list[str]:
    """What happened besides: interruptions, batches that were left out, rows without a target."""
    notes = []
    continued, skipped = int(training.get("continued") or 0), training.get("skipped") or []
    if continued:
        times = "once" if continued == 1 else f"{continued} times"
        notes.append(f"It was interrupted and continued {times}, which changes nothing of the result.")
    if skipped:
        steps = ", ".join(f"{step:,}" for step in skipped)
        notes.append(
            f"The batches of {count(len(skipped), 'step')} were left out because the loss left all bounds: {steps}."
        )
    if training.get("without_targets"):
        notes.append(f"No row of {count(int(training['without_targets']), 'batch', 'batches')} had a target.")
    guessed = (epochs[-1].get("unlabelled") or {}) if epochs else {}
    if guessed:
        rows = count(guessed["rows"], "row")
        notes.append(
            f"In the last epoch {guessed['confident']:.0%} of {rows} without a target got a label that was sure enough "
            "to learn from; whether it was right nobody knows."
        )
    return notes


def _metrics(epochs: Epochs, first: str | None) -> list[str]:
    """The metrics of the epochs, the headline first."""
    names = dict.fromkeys(name for epoch in epochs for split in _SPLITS for name in epoch.get(split) or {})
    return sorted((name for name in names if name != "loss"), key=lambda name: name != first)


def _curves(epochs: Epochs, metric: str, kept: Any) -> dict[str, Any] | None:
    curves = []
    for split in _SPLITS:
        values = [(epoch["epoch"], finite((epoch.get(split) or {}).get(metric))) for epoch in epochs]
        points = [(float(at), value) for at, value in values if value is not None]
        if points:
            curves.append(Curve(split, split, points))
    if not curves:
        return None
    title = name_of(metric).title
    values_ = [y for curve in curves for _, y in curve.points]
    positive = min(values_) > 0
    log = metric == "loss" and positive and max(values_) / min(values_) > 30
    hover = [(float(epoch["epoch"]), _told(epoch, metric)) for epoch in _thinned(epochs)]
    chart = line_chart(
        f"{title} by epoch",
        curves,
        _epoch_scale(epochs),
        logarithmic(values_) if log else linear(values_),
        _epoch_ticks(epochs),
        hover,
        _mark(epochs, kept),
        "epoch",
    )
    return {"title": title, "note": "logarithmic" if log else name_of(metric).meaning, "chart": chart}


def _rates(epochs: Epochs, kept: Any) -> Drawn | None:
    points = [(float(epoch["epoch"]), finite(epoch.get("learning_rate"))) for epoch in epochs]
    known = [(x, y) for x, y in points if y is not None]
    if len(known) < 2:
        return None
    scale = linear([y for _, y in known], [0.0])
    hover = [(x, [f"epoch {x:g}", f"learning rate {number(y)}"]) for x, y in thin(known)]
    curve = Curve("", "plain", known)
    return line_chart(
        "Learning rate at the end of each epoch",
        [curve],
        _epoch_scale(epochs),
        scale,
        _epoch_ticks(epochs),
        hover,
        _mark(epochs, kept),
        "epoch",
    )


def _search(search: Mapping[str, Any]) -> dict[str, Any] | None:
    """The loss as the rate grows. The end, where the loss leaps up, is cut off at a little above where it began."""
    pairs = zip(search.get("rates") or [], search.get("losses") or [], strict=False)
    points = [(x, y) for x, y in pairs if finite(x) is not None and finite(y) is not None and x > 0]
    suggestion = finite(search.get("suggestion"))
    if len(points) < 2:
        return None
    losses = [y for _, y in points]
    least = min(losses)
    ceiling = losses[0] + 0.15 * max(losses[0] - least, 1e-12)
    x_scale = logarithmic([x for x, _ in points])
    y_scale = linear([least, min(max(losses), ceiling)])
    hover = [(x, [f"learning rate {number(x, 2)}", f"loss {number(y)}"]) for x, y in thin(points)]
    curve = Curve("", "plain", [(x, y) for x, y in points if y <= y_scale.high])
    mark = None if suggestion is None or suggestion <= 0 else Mark(suggestion, f"chosen: {number(suggestion, 2)}")
    ticks = [(tick, number(tick, 2)) for tick in x_scale.ticks()]
    chart = line_chart(
        "Loss by learning rate", [curve], x_scale, y_scale, ticks, hover, mark, "learning rate, logarithmic"
    )
    return {"chart": chart, "suggestion": number(suggestion, 2)}


def _table(epochs: Epochs, kept: Any, metric: str | None) -> dict[str, Any]:
    names = ["loss", *([metric] if metric else [])]
    columns = [
        {"title": f"{name_of(name).title}, {split}", "metric": name, "split": split}
        for name in names
        for split in _SPLITS
        if any(name in (epoch.get(split) or {}) for epoch in epochs)
    ]
    step = max(1, -(-len(epochs) // _TABLE))
    last = len(epochs) - 1
    chosen = [epoch for i, epoch in enumerate(epochs) if i % step == 0 or i == last or epoch["epoch"] == kept]
    return {
        "columns": [column["title"] for column in columns],
        "rows": [
            {
                "epoch": epoch["epoch"],
                "kept": epoch["epoch"] == kept,
                "cells": [_cell(epoch, column["split"], column["metric"]) for column in columns],
                "rate": number(epoch.get("learning_rate")),
                "seconds": duration(epoch.get("seconds")),
                "speed": rate(epoch.get("rows_per_second")),
            }
            for epoch in chosen
        ],
    }


def _cell(epoch: Mapping[str, Any], split: str, metric: str) -> str:
    return value_of(metric, (epoch.get(split) or {}).get(metric))


def _told(epoch: Mapping[str, Any], metric: str) -> list[str]:
    """What is shown at an epoch."""
    values = {split: epoch[split].get(metric) for split in _SPLITS if epoch.get(split)}
    return [f"epoch {epoch['epoch']}", *(f"{split} {value_of(metric, value)}" for split, value in values.items())]


def _thinned(epochs: Epochs) -> list[Mapping[str, Any]]:
    step = max(1, -(-len(epochs) // 500))
    return list(epochs[::step])


def _epoch_scale(epochs: Epochs) -> Scale:
    first, last = epochs[0]["epoch"], epochs[-1]["epoch"]
    return Scale(first - 0.5, last + 0.5) if first == last else Scale(first, last)


def _epoch_ticks(epochs: Epochs) -> list[tuple[float, str]]:
    return [(float(tick), number(tick)) for tick in whole_ticks(epochs[0]["epoch"], epochs[-1]["epoch"])]


def _mark(epochs: Epochs, kept: Any) -> Mark | None:
    known = any(epoch["epoch"] == kept for epoch in epochs)
    return Mark(float(kept), f"kept: epoch {kept}") if known else None
