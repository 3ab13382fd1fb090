"""What fewer rows would have given, and so what more rows might: training on nested shares of the training rows."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelyard.core.events import EventLog
from modelyard.core.records import Record
from modelyard.core.registry import table
from modelyard.data.prepare import Prepared
from modelyard.evaluate.bootstrap import intervals
from modelyard.evaluate.records import Evaluation, Measured
from modelyard.spec.spec import Spec
from modelyard.tasks.base import Task
from modelyard.train.portions import choose_shares, find_units
from modelyard.train.start import announcing, train_again

__all__ = ["LearningCurve", "extrapolate", "learning_curve"]

_LEAST_FIT = 0.9
"""R² of the power law, on logarithms, from which on it is believed."""


@dataclass(frozen=True)
class LearningCurve(Record):
    """One metric on the validation rows, by how many rows were trained on."""

    metric: str
    higher_is_better: bool
    split: str
    points: list[dict[str, Any]]
    """Rising; the last is the training itself: share, rows, metric, value, low, high, seconds."""
    exponent: float | None
    """b of the power law error = a · rows^-b; None where it is not believed."""
    doubled: float | None
    """What the power law expects of twice the rows."""
    doubling: str
    """What twice the rows would give, in words; begins with `unclear` where the points do not say."""
    notes: list[str] = field(default_factory=list)


def learning_curve(
    spec: Spec,
    prepared: Prepared,
    task: Task,
    shares: Sequence[float],
    full: Evaluation,
    seconds: float,
    log: EventLog,
) -> LearningCurve:
    """Train on shares of the training rows as the spec says, and measure each on the validation rows.

    A larger share holds all rows of a smaller one; labels keep their proportions, and equal rows (or groups) stay
    together. Every training has the same epochs and early stopping as the one of all rows.

    Args:
        spec: The resolved spec, with a learning rate that is a number.
        prepared: Its data.
        task: The task of the main training; each training prepares one of its own.
        shares: Shares to train on, each in (0, 1).
        full: What the model of all rows reached on the validation rows.
        seconds: How long its training took.
        log: Told `learning_curve` after each one.

    Raises:
        SpecError: There are no validation rows.
        ModelyardError: A training diverged.
    """
    if "validation" not in prepared.splits:
        raise Spec.problem(
            "evaluate.learning_curve", "is measured on validation rows, and there are none; set data.split.validation"
        )
    metric = table("metric").find(task.metrics[0])
    units = find_units(spec, prepared)
    points: list[dict[str, Any]] = []
    for share in sorted(set(shares)):
        started = time.monotonic()
        rows = choose_shares(units, share)
        quiet = announcing(log, f"learning curve, {share:.3g} of the rows", spec.train.step_rows)
        trained = train_again(spec, prepared, rows, quiet, watched=True)
        took = time.monotonic() - started
        outcome = trained.answer(
            prepared.splits["validation"], prepared.fitted, spec.train.evaluation_batch_size
        ).outcome(task)
        asked = spec.evaluate
        ends = intervals([metric], outcome, seed=spec.seed, resamples=asked.resamples, confidence=asked.confidence)
        low, high = ends[metric.name]
        points.append(_point(share, len(rows), metric.name, metric(outcome), low, high, took))
        log("learning_curve", **points[-1])
    whole = next(measured for measured in full.metrics if measured.name == metric.name)
    rows_of_all = len(prepared.splits["train"])
    points.append(_point(1.0, rows_of_all, metric.name, whole.value, whole.low, whole.high, seconds))
    exponent, doubled, words = extrapolate(points, whole)
    notes = [
        "every point trains for the same epochs, so a smaller share takes fewer steps: a part of what more rows give "
        "may be what more steps give",
        "each point is one training; another seed would move it by more than nothing, and the interval is that of the "
        "validation rows alone",
    ]
    return LearningCurve(metric.name, metric.higher_is_better, "validation", points, exponent, doubled, words, notes)


def extrapolate(points: Sequence[dict[str, Any]], whole: Measured) -> tuple[float | None, float | None, str]:
    """Fit error = a · rows^-b to a learning curve (Hestness et al. 2017).

    The error is what lacks to the best value there is: 1 for metrics where higher is better, else 0.

    Args:
        points: As in `LearningCurve.points`, rising.
        whole: The metric with all rows.

    Returns:
        b and the value expected of twice the rows (None where the law is not believed), and both in words.
    """
    best = 1.0 if whole.higher_is_better else 0.0
    sign = 1.0 if whole.higher_is_better else -1.0
    errors = np.array([sign * (best - point["value"]) for point in points])
    rows = np.array([point["rows"] for point in points], dtype=np.float64)
    if len(points) < 3 or len(np.unique(rows)) < 3:
        return None, None, "unclear: a trend takes three points or more; name more shares in evaluate.learning_curve"
    if not np.isfinite(errors).all() or (errors <= 0).any():
        return None, None, "unclear: at some point there is no error left to speak of"
    first, last = points[0], points[-1]
    if not (math.isnan(first["low"]) or math.isnan(first["high"])) and first["low"] <= last["value"] <= first["high"]:
        return (
            None,
            None,
            (
                "unclear: on these validation rows the training on all rows is no better than the one on the smallest "
                "share by more than chance"
            ),
        )
    x, y = np.log(rows), np.log(errors)
    slope, intercept = np.polyfit(x, y, 1)
    residual = float(((y - (slope * x + intercept)) ** 2).sum())
    total = float(((y - y.mean()) ** 2).sum())
    fit = 1 - residual / total if total > 0 else 0.0
    if slope >= 0 or fit < _LEAST_FIT:
        return None, None, f"unclear: the points do not lie on a power law (R² {fit:.2f})"
    factor = 2.0**slope
    doubled = best - sign * errors[-1] * factor
    words = (
        f"twice the rows would take {whole.name} from {whole.value:.4g} to about {doubled:.4g}, if the error goes on "
        f"falling by {1 - factor:.0%} with each doubling, as it did from {int(rows[0]):,} to {int(rows[-1]):,} rows "
        f"(power law, R² {fit:.2f})"
    )
    return float(-slope), float(doubled), words


def _point(
    share: float, rows: int, metric: str, value: float, low: float, high: float, seconds: float
) -> dict[str, Any]:
    return {
        "share": share,
        "rows": rows,
        "metric": metric,
        "value": value,
        "low": low,
        "high": high,
        "seconds": seconds,
    }
