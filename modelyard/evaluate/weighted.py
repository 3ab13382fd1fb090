"""Statistics of rows under many row weightings at once, from which every metric and its bootstrap are computed.

Each function looks at the rows once (what is equal, what sorts where) and returns a function of the weights.

Legend: n rows, R weightings (1 for the plain value, one a resample in a bootstrap), L labels, P positive rows.
Weights are float64 (R, n) and hold how often each row counts: whole numbers of 0 or more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from modelyard.evaluate.order import rising, runs

__all__ = [
    "Floats",
    "Ranking",
    "Statistic",
    "correlation",
    "group_sums",
    "largest",
    "mean_where",
    "means",
    "medians",
    "rank_correlation",
    "ratio",
]

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
Sums = tuple[Floats, Floats, Floats]


def means(values: npt.NDArray[Any]) -> Statistic:
    """Return weights (R, n) → the mean of values (n,) as (R,), or of values (n, k) as (R, k), by one matrix product."""
    columns = np.asarray(values, np.float64)

    def statistic(weights: Floats) -> Floats:
        total = weights.sum(axis=1)
        result: Floats = (weights @ columns) / (total if columns.ndim == 1 else total[:, None])
        return result

    return statistic


def medians(values: Floats) -> Statistic:
    """Return weights (R, n) → the median (R,) of values (n,), each repeated as often as its weight says."""
    order = rising(values)
    ordered = values[order]

    def statistic(weights: Floats) -> Floats:
        before = _running_sums(np.take(weights, order, axis=1))[:, 1:]
        half = before[:, -1:] / 2
        lower, upper = (before < half).sum(axis=1), (before <= half).sum(axis=1)
        result: Floats = (ordered[lower] + ordered[upper]) / 2
        return result

    return statistic


def largest(values: Floats) -> Statistic:
    """Return weights (R, n) → the largest (R,) of the values (n,) that have weight."""
    order = rising(-values)
    ordered = values[order]
    return lambda weights: ordered[np.argmax(np.take(weights, order, axis=1) > 0, axis=1)]


def correlation(left: Floats, right: Floats) -> Statistic:
    """Return weights (R, n) → the correlation (R,) of two columns (n,); NaN where either is constant (Pearson 1895)."""
    both = np.stack([left, right])
    return lambda weights: _correlations(weights, both[:, None] - both.mean(axis=1)[:, None, None])


def rank_correlation(left: Floats, right: Floats) -> Statistic:
    """Return weights (R, n) → the correlation (R,) of the ranks of two columns (n,); NaN where either is constant.

    Equal values share their mean rank (Spearman 1904).
    """
    rankings = _ranks(left), _ranks(right)

    def statistic(weights: Floats) -> Floats:
        ranks = np.stack([ranking(weights) for ranking in rankings])
        return _correlations(weights, ranks - (weights.sum(axis=1)[:, None] + 1) / 2)

    return statistic


def _correlations(weights: Floats, both: Floats) -> Floats:
    """Return the correlation (R,) of two columns, (2, R or 1, n), each near its mean."""
    total = weights.sum(axis=1)
    mean = np.einsum("rn,crn->cr", weights, np.broadcast_to(both, (2, *weights.shape))) / total
    centred = both - mean[:, :, None]
    product, square_left, square_right = (
        np.einsum("rn,rn,rn->r", weights, centred[one], centred[other]) for one, other in ((0, 1), (0, 0), (1, 1))
    )
    rounding = (8 * np.finfo(np.float64).eps * np.abs(both).max(axis=(1, 2))) ** 2
    constant = (square_left <= rounding[0] * total) | (square_right <= rounding[1] * total)
    return ratio(np.where(constant, 0.0, product), np.where(constant, 0.0, np.sqrt(square_left * square_right)))


def _ranks(values: Floats) -> Statistic:
    """Return weights (R, n) → the rank (R, n) of each value (n,), the lowest 1, among rows counted by weight."""
    order = rising(values)
    bounds = runs(values[order])
    sizes = np.diff(bounds)
    start, end = np.empty_like(order), np.empty_like(order)
    start[order], end[order] = np.repeat(bounds[:-1], sizes), np.repeat(bounds[1:], sizes)

    def statistic(weights: Floats) -> Floats:
        before = _running_sums(np.take(weights, order, axis=1))
        result: Floats = (np.take(before, start, axis=1) + np.take(before, end, axis=1) + 1) / 2
        return result

    return statistic


def group_sums(ids: npt.NDArray[Any], count: int, rows: npt.NDArray[np.bool_] | None = None) -> Statistic:
    """Return weights (R, n) → the weight of each id, (R, count); ids (n,) in [0, count), only where `rows` holds."""
    order = rising(ids) if rows is None else np.flatnonzero(rows)
    if rows is not None:
        order = order[rising(ids[order])]
    ordered = ids[order]
    starts = runs(ordered)[:-1]
    present = ordered[starts]

    def statistic(weights: Floats) -> Floats:
        sums = np.zeros((len(weights), count))
        if len(present):
            sums[:, present] = np.add.reduceat(np.take(weights, order, axis=1), starts, axis=1)
        return sums

    return statistic


class Ranking:
    """Rows from the highest score down, sorted once for all that follows from their order."""

    def __init__(self, positive: npt.NDArray[np.bool_], score: Floats) -> None:
        """Sort rows by their scores (n,) and find those whose `positive` (n,) holds."""
        self._order = rising(-score)
        places = np.flatnonzero(positive[self._order])
        self._positives = self._order[places]
        bounds = runs(score[self._order])
        # of rows with equal scores only those matter that hold a positive one: where they begin and end, among all rows
        # and among the positive ones, and which of them each positive row is in
        tied = np.searchsorted(bounds, places, side="right") - 1
        hit_bounds = runs(tied)
        held = tied[hit_bounds[:-1]]
        self._start, self._end = bounds[held], bounds[held + 1]
        self._hit_start, self._hit_end = hit_bounds[:-1], hit_bounds[1:]
        self._group = np.repeat(np.arange(len(held)), np.diff(hit_bounds))

    def sums(self, weights: Floats) -> Sums:
        """Return the weights of positive rows (R, P), and from the highest score down the sums of all rows' weights
        (R, n + 1) and of theirs (R, P + 1): what the values below are computed from."""
        own = np.take(weights, self._positives, axis=1)
        return own, _running_sums(np.take(weights, self._order, axis=1)), _running_sums(own)

    def area_under_roc(self, sums: Sums) -> Floats:
        """Return the chance (R,) that a positive row scores above a negative one, a tie counting half.

        The statistic of Mann and Whitney 1947; NaN where one of the two sides has no weight.
        """
        _, above, hits = sums
        positives = hits[:, -1]
        negatives = above[:, -1] - positives
        hits_end, hits_start = np.take(hits, self._hit_end, axis=1), np.take(hits, self._hit_start, axis=1)
        misses = np.take(above, self._end, axis=1) + np.take(above, self._start, axis=1) - (hits_end + hits_start)
        beaten = negatives[:, None] - misses / 2
        return ratio(np.einsum("rg,rg->r", hits_end - hits_start, beaten), positives * negatives)

    def average_precision(self, sums: Sums) -> Floats:
        """Return the mean (R,) over positive rows of the precision among rows scoring as high or higher.

        NaN where no positive row has weight.
        """
        own, above, hits = sums
        precision = np.take(hits, self._hit_end, axis=1)
        precision /= np.maximum(np.take(above, self._end, axis=1), 1)  # below 1 only where the rows themselves count 0
        return ratio(np.einsum("rp,rp->r", own, np.take(precision, self._group, axis=1)), hits[:, -1])


def _running_sums(values: Floats) -> Floats:
    """Return the sums before each place and of all, (R, n + 1). By torch, whose running sum is several times faster."""
    sums = torch.zeros((values.shape[0], values.shape[1] + 1), dtype=torch.float64)
    torch.cumsum(torch.from_numpy(values), dim=1, out=sums[:, 1:])
    result: Floats = sums.numpy()
    return result


def ratio(top: Floats, bottom: Floats, empty: float = np.nan) -> Floats:
    """Return top / bottom, and `empty` where the bottom is 0."""
    result: Floats = np.where(bottom != 0, top / np.where(bottom != 0, bottom, 1.0), empty)
    return result


def mean_where(values: Floats, mask: npt.NDArray[np.bool_]) -> Floats:
    """Return the mean over the second axis of values (R, L) where the mask holds, (R,); NaN where it never does."""
    return ratio(np.where(mask, values, 0.0).sum(axis=1), mask.sum(axis=1).astype(np.float64))
