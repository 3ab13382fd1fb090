"""Tests: whether a difference is more than chance. Each gives the p-value of a difference in either direction.

Nothing here knows of models; scipy's functions of the same names are what the tests compare with.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.core.randomness import stream

__all__ = ["fisher", "holm", "mcnemar", "paired_permutation", "student_t", "welch"]

Floats = npt.NDArray[np.float64]
_TERMS = 20_000
"""Terms of a tail that are summed; those after it are too small to count."""


def student_t(t: Floats, degrees: Floats) -> Floats:
    """Return the chance that Student's t of so many degrees of freedom is at least |t| away from 0."""
    t, degrees = np.broadcast_arrays(np.asarray(t, np.float64), np.asarray(degrees, np.float64))
    flat = [_beta_share(d / (d + x * x), d / 2, 0.5) for x, d in zip(t.ravel(), degrees.ravel(), strict=True)]
    return np.array(flat).reshape(t.shape)


def welch(
    first: tuple[Floats, Floats, Floats], second: tuple[Floats, Floats, Floats]
) -> tuple[npt.NDArray[np.float64], Floats]:
    """Compare means of two samples whose variances may differ (Welch 1947).

    Args:
        first: Rows, mean and variance (of the sample, with n - 1) of each first sample, (k,) each.
        second: The same of each second sample.

    Returns:
        t and its p-value, (k,) each. Two samples without any variance: 0 where the means are equal, else infinite.
    """
    (n, mean, variance), (m, other, spread) = first, second
    a, b = variance / n, spread / m
    error = np.sqrt(a + b)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(error > 0, (mean - other) / error, np.where(mean == other, 0.0, np.inf * np.sign(mean - other)))
        degrees = np.where(error > 0, (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1)), n + m - 2)
    return t, np.where(np.isinf(t), 0.0, student_t(np.where(np.isinf(t), 0.0, t), degrees))


def fisher(hits: npt.NDArray[Any], rows: npt.NDArray[Any], all_hits: int, all_rows: int) -> Floats:
    """Compare the share of hits in some of all rows with the share in the others, exactly (Fisher 1935).

    Args:
        hits: Hits within each sample, (k,).
        rows: Rows of each sample, (k,).
        all_hits: Hits among all rows.
        all_rows: All rows.

    Returns:
        Twice the smaller tail of the hypergeometric distribution, at most 1, (k,).
    """
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, all_rows + 1)))])
    whole = factorial[all_rows] - factorial[all_hits] - factorial[all_rows - all_hits]
    values = np.empty(len(hits))
    for index, (k, n) in enumerate(zip(hits.tolist(), rows.tolist(), strict=True)):
        lowest, highest = max(0, n - (all_rows - all_hits)), min(n, all_hits)
        if k * all_rows >= n * all_hits:
            tail = np.arange(k, min(highest, k + _TERMS) + 1)
        else:
            tail = np.arange(max(lowest, k - _TERMS), k + 1)
        chosen = factorial[n] - factorial[tail] - factorial[n - tail]
        others = factorial[all_rows - n] - factorial[all_hits - tail] - factorial[all_rows - n - all_hits + tail]
        values[index] = min(1.0, 2 * np.exp(chosen + others - whole).sum())
    return values


def holm(p: Floats) -> Floats:
    """Correct p-values (k,) for how many there are, so that all hold together (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def mcnemar(only_first: int, only_second: int) -> float:
    """Compare two models by the rows that only one of them gets right, exactly (McNemar 1947, by the binomial).

    Returns:
        Twice the chance of so uneven a share of heads, at most 1; 1 when there is no such row.
    """
    rows, fewer = only_first + only_second, min(only_first, only_second)
    if rows == 0:
        return 1.0
    tail = np.arange(max(0, fewer - _TERMS), fewer + 1)
    logs = [math.lgamma(rows + 1) - math.lgamma(k + 1) - math.lgamma(rows - k + 1) for k in tail.tolist()]
    return min(1.0, 2 * float(np.exp(np.array(logs) - rows * math.log(2)).sum()))


def paired_permutation(differences: Floats, seed: int, draws: int = 2000) -> float:
    """Say how likely so large a mean of paired differences is if each could as well have the other sign.

    The share of random sign changes, the one at hand among them, whose mean is as far from 0 (Phipson and Smyth 2010).
    """
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    observed = abs(differences.sum())
    as_far, block = 1, max(1, (1 << 22) // len(differences))
    for start in range(0, draws, block):
        count = min(block, draws - start)
        signs = stream(seed, "permutation", start).integers(0, 2, (count, len(differences)), dtype=np.int8)
        sums = 2 * (signs @ differences) - differences.sum()
        as_far += int((np.abs(sums) >= observed * (1 - 1e-12)).sum())
    return as_far / (draws + 1)


def _beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz 1976)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_share(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    tiny = 1e-300
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), tiny)
    result = d
    for m in range(1, 500):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + step * d, tiny)
            c = _away(1 + step / c, tiny)
            result *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return math.exp(log_front) * result / a


def _away(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
