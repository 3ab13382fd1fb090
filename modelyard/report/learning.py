"""What the epochs tell: too much training, too little, or enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from modelyard.report.formatting import count, finite, number, percent
from modelyard.report.metric_names import name_of, value_of

__all__ = ["on_learning"]

_RISE = 0.05
"""Share by which the validation loss must rise from its lowest point to be called overfitting."""
_FALL = 0.02
"""Share by which it must still fall over the last fifth of the epochs to say that more could help."""

Told = tuple[Literal["good", "neutral", "caution"], str, str]
"""Kind, title and text of a finding."""


def on_learning(training: Mapping[str, Any], metric: str | None) -> Told:
    """Return what the losses of a training record show; `metric` is named beside them when both splits have it."""
    epochs: Sequence[Mapping[str, Any]] = training.get("epochs") or []
    if not epochs:
        return "caution", "Not trained", "No epoch was run: the weights are the initial ones."
    train = [_loss(epoch, "train") for epoch in epochs]
    validation = [_loss(epoch, "validation") for epoch in epochs]
    broken = next((epoch["epoch"] for epoch, loss in zip(epochs, train, strict=True) if loss is None), None)
    if broken is not None:
        return "caution", "Training broke down", f"In epoch {broken} the training loss was not a number."
    known = [(loss, index) for index, loss in enumerate(validation) if loss is not None]
    if not known:
        return "neutral", "Overfitting cannot be seen", "There were no validation rows to watch while training."
    if len(known) < 3:
        return "neutral", "Too short to judge", f"{count(len(epochs), 'epoch')} cannot show whether it overfits."
    return _compare(epochs, [loss for loss in train if loss is not None], known, training.get("kept_epoch"), metric)


def _compare(
    epochs: Sequence[Mapping[str, Any]],
    train: list[float],
    known: list[tuple[float, int]],
    kept: Any,
    metric: str | None,
) -> Told:
    lowest, best = min(known)
    last, end = known[-1]
    scale = abs(lowest) or 1.0
    named = _metrics(epochs, kept, metric)
    if (last - lowest) / scale > _RISE and train[end] < train[best]:
        first = (
            f"After epoch {epochs[best]['epoch']} the validation loss rose again, from {number(lowest)} to "
            f"{number(last)}, while the training loss went on falling."
        )
        held = next((loss for loss, index in known if epochs[index]["epoch"] == kept), last)
        if (held - lowest) / scale <= _RISE:
            return "neutral", "It overfits late", f"{first} The weights kept are those of epoch {kept}, before that."
        advice = f"{first} The weights kept are those of epoch {kept}; train.early_stopping would keep better ones."
        return "caution", "It overfits", f"{advice}{named}"
    back = max(1, len(known) // 5)
    earlier = min(loss for loss, _ in known[:-back])
    if (earlier - lowest) / scale > _FALL:
        text = f"The validation loss was still falling at the end, to {number(lowest)}: more epochs may help.{named}"
        return "neutral", "Still learning", text
    rise = max(0.0, (last - lowest) / scale)
    where = "at its lowest" if rise < 0.0005 else f"{percent(rise)} above its lowest"
    return "good", "No sign of overfitting", f"The validation loss ended {where}, at {number(last)}.{named}"


def _metrics(epochs: Sequence[Mapping[str, Any]], kept: Any, metric: str | None) -> str:
    epoch = next((one for one in epochs if one["epoch"] == kept), None)
    if epoch is None or metric is None:
        return ""
    both = [finite((epoch.get(split) or {}).get(metric)) for split in ("train", "validation")]
    if None in both:
        return ""
    train, validation = (value_of(metric, value) for value in both)
    return f" {name_of(metric).title} in the epoch kept: {train} in training, {validation} in validation."


def _loss(epoch: Mapping[str, Any], split: str) -> float | None:
    return finite((epoch.get(split) or {}).get("loss"))
