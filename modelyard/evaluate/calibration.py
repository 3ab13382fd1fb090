"""Whether probabilities mean what they say, and the one number that makes them mean more of it.

Dividing logits by a temperature changes how sure a model is and never what it answers (Guo et al. 2017). After a loss
that learns margins (hinge) the plain probabilities are no probabilities at all, and only the temperature makes them so.

Legend: n rows, O outputs, L labels, m yes-or-no questions or rows, k alternatives of each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.evaluate.bootstrap import intervals, wilson
from modelyard.evaluate.metrics import CALIBRATION_BINS, EXPECTED_CALIBRATION_ERROR, bin_of, certainty, form_of
from modelyard.evaluate.records import Calibration
from modelyard.evaluate.weighted import Floats
from modelyard.tasks.base import Outcome, Task

__all__ = ["assess_calibration", "fit_temperature"]

_LARGEST = 1000.0
_STEPS = 200


def fit_temperature(
    task: Task, output: npt.NDArray[np.float32], targets: Mapping[str, npt.NDArray[Any]]
) -> float | None:
    """Return the temperature under which rows that the model did not train on have the least log loss.

    The log loss is convex in 1 / temperature; its only minimum is found by Newton's method, kept inside a bracket.
    One temperature is shared by all labels.

    Args:
        task: Says what outputs mean; of a task without logits there is no temperature.
        output: Raw outputs on the validation split, (n, O).
        targets: Encoded targets of the same rows, by column; rows that lack one were left out.

    Returns:
        The temperature, 0.001 … 1000; or None where there is no minimum in that range: no rows, no row that is answered
        wrongly (a lower temperature would always look better), or outputs that tell no more than chance.

    Raises:
        DataError: A row lacks its target, or the output does not fit.
    """
    if not task.calibrates:
        return None
    gaps = _gaps(task, output, targets)
    if not len(gaps):
        return None
    low, high = 1 / _LARGEST, _LARGEST  # of the inverse temperature
    if _slope(gaps, low)[0] >= 0 or _slope(gaps, high)[0] <= 0:
        return None
    inverse = 1.0
    for _ in range(_STEPS):
        slope, curvature = _slope(gaps, inverse)
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / curvature if curvature > 0 else math.nan
        following = step if low < step < high else math.sqrt(low * high)
        if math.isclose(following, inverse, rel_tol=1e-14):
            break
        inverse = following
    return 1 / inverse


def _gaps(task: Task, output: npt.NDArray[np.float32], targets: Mapping[str, npt.NDArray[Any]]) -> Floats:
    """Return how far each alternative's logit lies above that of the true one, (m, k), 0 at the true one."""
    outcome = task.outcome(output, targets)
    logits = output.astype(np.float64)
    if form_of(outcome) == "classification" and logits.shape[1] > 1:
        gaps: Floats = logits - np.take_along_axis(logits, outcome.target[:, None], axis=1)
        return gaps
    wrong = np.where(outcome.target.reshape(logits.shape) > 0, -logits, logits).ravel()
    return np.stack([np.zeros_like(wrong), wrong], axis=1)


def _slope(gaps: Floats, inverse: float) -> tuple[float, float]:
    """Return the first and second derivative of the log loss, the mean of ln Σ exp(inverse · gap)."""
    powers = np.exp(inverse * (gaps - gaps.max(axis=1, keepdims=True)))
    share = powers / powers.sum(axis=1, keepdims=True)
    mean = (share * gaps).sum(axis=1)
    variance = (share * (gaps - mean[:, None]) ** 2).sum(axis=1)
    return float(mean.mean()), float(variance.mean())


def assess_calibration(
    task: Task,
    output: npt.NDArray[np.float32],
    targets: Mapping[str, npt.NDArray[Any]],
    *,
    seed: int,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Calibration | None:
    """Measure the calibration of plain probabilities, and after `task.temperature` where there is one.

    Of two labels the positive one's probability is looked at, of more the answered one's, of several labels a row all
    of them together. The error's interval comes from the bootstrap (`bootstrap.intervals`); each bin's share of true
    ones has the score interval of a proportion (Wilson 1927).

    Returns:
        None for a task without probabilities, or without rows.

    Raises:
        DataError: A row lacks its target, or the output does not fit.
        UsageError: The number of resamples or the confidence makes no sense.
    """
    outcome = task.outcome(output, targets)
    if form_of(outcome) == "regression" or not len(outcome):
        return None
    metric = EXPECTED_CALIBRATION_ERROR
    low, high = intervals([metric], outcome, seed=seed, resamples=resamples, confidence=confidence)[metric.name]
    bins = _bins(outcome, confidence)
    is_binary = form_of(outcome) == "classification" and len(outcome.labels) == 2
    plain = Calibration(
        label=outcome.labels[1] if is_binary else None,
        ece=metric(outcome),
        low=low,
        high=high,
        largest=max(abs(one["probability"] - one["share"]) for one in bins),
        bins=bins,
        log_loss=float(task.row_losses(outcome).mean()),
    )
    if task.temperature is None:
        return plain
    calibrated = task.calibrated(output, targets)
    return replace(
        plain,
        temperature=task.temperature,
        ece_calibrated=metric(calibrated),
        log_loss_calibrated=float(task.row_losses(calibrated).mean()),
    )


def _bins(outcome: Outcome, confidence: float) -> list[dict[str, float]]:
    probability, truth = (values.ravel() for values in certainty(outcome))
    places = bin_of(probability)
    bins = []
    for place in np.unique(places).tolist():
        inside = places == place
        rows, share = int(inside.sum()), float(truth[inside].mean())
        share_low, share_high = wilson(share, rows, confidence)
        bins.append(
            {
                "low": place / CALIBRATION_BINS,
                "high": (place + 1) / CALIBRATION_BINS,
                "rows": rows,
                "probability": float(probability[inside].mean()),
                "share": share,
                "share_low": share_low,
                "share_high": share_high,
            }
        )
    return bins
