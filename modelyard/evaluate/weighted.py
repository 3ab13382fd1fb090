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

__all__ = [
    "Floats",
    "Statistic",
    "area_under_roc",
    "average_precision",
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


def means(values: npt.NDArray[Any]) -> Statistic:
    """Return weights (R, n) → the mean of values (n,) as (R,), or of values (n, k) as (R, k), by one matrix product."""
    columns = values.astype(np.float64)

    def statistic(weights: Floats) -> Floats:
        total = weights.sum(axis=1)
        result: Floats = (weights @ columns) / (total if columns.ndim == 1 else total[:, None])
        return result

    return statistic


def medians(values: Floats) -> Statistic:
    """Return weights (R, n) → the median (R,) of values (n,), each repeated as often as its weight says."""
    order = np.argsort(values, kind="stable")
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
    order = np.argsort(-values, kind="stable")
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
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    group = np.searchsorted(changes, np.arange(len(values)), side="right")
    bounds = np.concatenate([[0], changes, [len(values)]])
    back = np.empty(len(values), np.int64)
    back[order] = np.arange(len(values))
    start, end = bounds[group][back], bounds[group + 1][back]

    def statistic(weights: Floats) -> Floats:
        before = _running_sums(np.take(weights, order, axis=1))
        result: Floats = (np.take(before, start, axis=1) + np.take(before, end, axis=1) + 1) / 2
        return result

    return statistic


def group_sums(ids: npt.NDArray[Any], count: int, rows: npt.NDArray[np.bool_] | None = None) -> Statistic:
    """Return weights (R, n) → the weight of each id, (R, count); ids (n,) in [0, count), only where `rows` holds."""
    chosen = np.arange(len(ids)) if rows is None else np.flatnonzero(rows)
    short = ids[chosen].astype(np.min_scalar_type(max(count - 1, 0)))  # one or two bytes are sorted without comparing
    order = chosen[np.argsort(short, kind="stable")]
    present, starts = np.unique(ids[order], return_index=True)

    def statistic(weights: Floats) -> Floats:
        sums = np.zeros((len(weights), count))
        if len(present):
            sums[:, present] = np.add.reduceat(np.take(weights, order, axis=1), starts, axis=1)
        return sums

    return statistic


def area_under_roc(positive: npt.NDArray[np.bool_], score: Floats) -> Statistic:
    """Return weights (R, n) → the chance (R,) that a positive row scores above a negative one, a tie counting half.

    The statistic of Mann and Whitney 1947; NaN where one of the two sides has no weight.
    """
    if 2 * np.count_nonzero(positive) > len(positive):  # the same from the other end, with fewer rows to sum over
        positive, score = ~positive, -score
    ranking = _Ranking(positive, score)

    def statistic(weights: Floats) -> Floats:
        own, above, hits = ranking(weights)
        misses = above - hits
        ends, starts = np.take(misses, ranking.end, axis=1), np.take(misses, ranking.start, axis=1)
        positives, negatives = hits[:, -1], misses[:, -1]
        beaten = negatives[:, None] - (ends + starts) / 2
        return ratio(np.einsum("rp,rp->r", own, beaten), positives * negatives)

    return statistic


def average_precision(positive: npt.NDArray[np.bool_], score: Floats) -> Statistic:
    """Return weights (R, n) → the mean (R,) over positive rows of the precision among rows scoring as high or higher.

    NaN where no positive row has weight.
    """
    ranking = _Ranking(positive, score)

    def statistic(weights: Floats) -> Floats:
        own, above, hits = ranking(weights)
        precision = np.take(hits, ranking.end, axis=1)
        precision /= np.maximum(np.take(above, ranking.end, axis=1), 1)  # below 1 only where the row itself counts 0
        return ratio(np.einsum("rp,rp->r", own, precision), hits[:, -1])

    return statistic


class _Ranking:
    """Rows from the highest score down, cut where the score changes around a positive row; sorted once."""

    def __init__(self, positive: npt.NDArray[np.bool_], score: Floats) -> None:
        self.order = np.argsort(-score, kind="stable")
        ordered, is_positive = score[self.order], positive[self.order]
        changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        group = np.searchsorted(changes, np.flatnonzero(is_positive), side="right")
        # running sums are kept only at the start and the end of every tied group that holds a positive row
        bounds = np.concatenate([[0], changes, [len(score)]])
        self.positives = self.order[is_positive]
        self.cuts, place = np.unique(
            np.concatenate([bounds[group], bounds[group + 1], [len(score)]]), return_inverse=True
        )
        self.start, self.end = place[: len(group)], place[len(group) : -1]
        self.hit_cuts = np.concatenate([[0], np.cumsum(is_positive)])[self.cuts]

    def __call__(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the weights of positive rows (R, P), and at each cut the weight above of all and of positive rows."""
        own = np.take(weights, self.positives, axis=1)
        above = np.take(_running_sums(np.take(weights, self.order, axis=1)), self.cuts, axis=1)
        return own, above, np.take(_running_sums(own), self.hit_cuts, axis=1)


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
