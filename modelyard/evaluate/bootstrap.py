"""How far a metric could have come out otherwise on another sample of rows of the same size.

Method: the non-parametric bootstrap with percentile intervals (Efron and Tibshirani 1993, chapter 13). Rows are drawn
with replacement; a resample is a list of row weights (how often each row was drawn), so that a metric answers for a
block of resamples at once. For classification rows are drawn label by label, so that a rare label never vanishes.

When all resamples give the same value (no mistake at all, or nothing but mistakes) the percentiles say nothing. A
metric that is a share of rows then gets the score interval of a proportion (Wilson 1927) instead.

A sum of distances grows by every resample's own noise. The percentiles of such a metric are moved back by that bias,
the resamples' mean less the value (Efron and Tibshirani 1993, chapter 10), or the interval would lie above the value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.core.errors import UsageError
from modelyard.core.randomness import stream
from modelyard.evaluate.metrics import Metric, form_of
from modelyard.evaluate.order import rising, runs
from modelyard.evaluate.weighted import Floats
from modelyard.tasks.base import Outcome

__all__ = ["intervals", "resample_counts", "wilson"]

_BLOCK = 1 << 19
"""Weights held at once, in numbers: few enough to stay in the processor's cache."""


def intervals(
    metrics: Sequence[Metric], outcome: Outcome, *, seed: int, resamples: int = 1000, confidence: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Return (low, high) for each metric by name.

    Resamples in which a metric is not defined are left out of its percentiles; both ends are NaN when it is defined
    in none, or when `resamples` is 0.

    Raises:
        UsageError: `resamples` is negative, `confidence` is not between 0 and 1, or a metric does not fit the outcome.
    """
    if resamples < 0 or not 0 < confidence < 1:
        raise UsageError(
            f"intervals need 0 or more resamples and a confidence in (0, 1), got {resamples}, {confidence}"
        )
    rows = len(outcome)
    if rows == 0 or resamples == 0:
        return {metric.name: (math.nan, math.nan) for metric in metrics}
    strata = outcome.target if form_of(outcome) == "classification" else np.zeros(rows, dtype=np.int64)
    prepared = [metric.prepared(outcome) for metric in metrics]
    values = np.empty((len(metrics), resamples))
    block = max(1, _BLOCK // rows)
    for start in range(0, resamples, block):
        stop = min(start + block, resamples)
        weights = resample_counts(strata, seed, range(start, stop))
        for index, statistic in enumerate(prepared):
            values[index, start:stop] = statistic(weights)
    return {
        metric.name: _ends(metric, outcome, drawn, confidence) for metric, drawn in zip(metrics, values, strict=True)
    }


def _ends(metric: Metric, outcome: Outcome, drawn: Floats, confidence: float) -> tuple[float, float]:
    drawn = drawn[~np.isnan(drawn)]
    if drawn.size == 0:
        return math.nan, math.nan
    if metric.proportion and drawn.min() == drawn.max():
        return wilson(float(drawn[0]), len(outcome), confidence)
    if metric.distances:
        drawn = np.maximum(drawn - (drawn.mean() - metric(outcome)), 0.0)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def wilson(share: float, rows: int, confidence: float) -> tuple[float, float]:
    """Return the score interval of a share that was seen in `rows` rows (Wilson 1927); never outside 0 … 1."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre, spread = share + z * z / (2 * rows), z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    scale = 1 + z * z / rows
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def resample_counts(strata: npt.NDArray[Any], seed: int, resamples: range) -> Floats:
    """Return how often each row is drawn in each resample, float64 (R, n); each stratum keeps its size.

    Args:
        strata: Integer (n,): rows are exchanged only for rows of the same number.
        seed: The run's seed.
        resamples: Numbers of the resamples; a resample depends on its number alone, not on its block.
    """
    order = rising(strata)
    bounds = runs(strata[order])
    sizes = np.diff(bounds)
    start, size = np.repeat(bounds[:-1], sizes), np.repeat(sizes, sizes)
    counts = np.empty((len(resamples), len(strata)))
    for row, number in zip(counts, resamples, strict=True):
        places = stream(seed, "bootstrap", number).random(len(strata))
        drawn = start + (places * size).astype(np.int64)
        row[order] = np.bincount(drawn, minlength=len(strata))
    return counts
