"""Two sets of answers to the same rows: how far their difference could have come out otherwise.

Method: the paired bootstrap. Both are measured on the same resamples of the rows, so that what makes a row hard for
both cancels out (Efron and Tibshirani 1993, chapter 13).

Legend: n rows, R resamples, k statistics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.evaluate.bootstrap import resample_counts
from modelyard.evaluate.metrics import form_of
from modelyard.evaluate.weighted import Floats, Statistic
from modelyard.tasks.base import Outcome

__all__ = ["ends", "resampled", "sign_share", "strata_of"]

_BLOCK = 1 << 19


def strata_of(outcome: Outcome) -> npt.NDArray[np.int64]:
    """Return which rows a bootstrap may exchange, (n,): those of one label in a classification, else all."""
    if form_of(outcome) == "classification":
        return np.asarray(outcome.target, np.int64)
    return np.zeros(len(outcome), np.int64)


def resampled(statistics: Sequence[Statistic], strata: npt.NDArray[Any], *, seed: int, resamples: int) -> list[Floats]:
    """Return each statistic on the same resamples.

    Args:
        statistics: Each takes weights (R, n) and gives (R,) or (R, k).
        strata: Rows are exchanged only for rows of the same number, (n,).
        seed: The run's seed.
        resamples: R.

    Returns:
        (R,) or (R, k) for each statistic.
    """
    block = max(1, _BLOCK // max(1, len(strata)))
    parts: list[list[Floats]] = [[] for _ in statistics]
    for start in range(0, resamples, block):
        weights = resample_counts(strata, seed, range(start, min(start + block, resamples)))
        for values, statistic in zip(parts, statistics, strict=True):
            values.append(statistic(weights))
    return [np.concatenate(values) if values else np.empty(0) for values in parts]


def ends(drawn: Floats, confidence: float) -> tuple[float, float]:
    """Return the percentile interval of resampled values (R,), those that are not defined left out; NaN without any."""
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size:
        return math.nan, math.nan
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def sign_share(drawn: Floats) -> float:
    """Return a bootstrap p-value of differences (R,): twice the smaller share of resamples on one side of 0, at most 1.

    NaN without any resample.
    """
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size:
        return math.nan
    below, above = int((drawn <= 0).sum()), int((drawn >= 0).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (drawn.size + 1))
