"""Where a model does worse: rows that share something, measured apart from the rest.

The search follows SliceFinder (Chung, Kraska, Polyzotis, Tae and Whang 2019): all columns are cut into slices, pairs of
the strongest are crossed, slices are ranked by effect size, and those worse by more than chance are kept.

A slice is compared with all other rows by Fisher's exact test where a row is right or wrong, by Welch's t-test where it
has an error; a pair also with the rest of either of its two slices, and the least sure of the three counts. The search
corrects p-values for what it looked at: single slices by Holm's method, pairs by Bonferroni's over all pairs that there
are (also those not looked at, as the strongest were picked by looking), each family at half the level, so that all
findings hold together. Declared slices are corrected among themselves by Holm's method.

Legend: n rows, k slices.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.evaluate.bootstrap import intervals
from modelyard.evaluate.cuts import Cut, cut
from modelyard.evaluate.metrics import Metric, form_of
from modelyard.evaluate.records import Slice
from modelyard.evaluate.significance import fisher, holm, welch
from modelyard.evaluate.table import METRICS
from modelyard.tasks.base import Outcome

__all__ = ["declared_slices", "row_metric", "rows_of", "worst_slices"]

_LEVEL = 0.05
_KEPT = 10
_STRONGEST = 24
_ALIKE = 0.8
_FEWEST_DECLARED = 5
_FEWEST_FOUND = 20
_METRICS = {"classification": "accuracy", "multilabel": "hamming_loss", "regression": "mae"}

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def row_metric(outcome: Outcome) -> tuple[Metric, Floats]:
    """Return the metric that slices are measured by, and what each row adds to it as a loss, float64 (n,).

    It is a mean over rows, so that a part of the rows has a value of its own: the share of rows answered rightly, the
    share of a row's labels answered wrongly, or the absolute error.
    """
    form = form_of(outcome)
    metric: Metric = METRICS.find(_METRICS[form])
    if form == "classification":
        return metric, (outcome.target != outcome.answer).astype(np.float64)
    if form == "multilabel":
        return metric, (outcome.target != outcome.answer).mean(axis=1)
    return metric, np.abs(outcome.score - outcome.target).mean(axis=1)


def rows_of(outcome: Outcome, rows: npt.NDArray[np.int64] | Mask) -> Outcome:
    """Return some rows of an outcome, by number or by a mask."""
    return Outcome(outcome.target[rows], outcome.score[rows], outcome.answer[rows], outcome.labels)


def declared_slices(
    outcome: Outcome,
    columns: Mapping[str, pa.Array],
    *,
    seed: int,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> tuple[list[Slice], list[str]]:
    """Measure every value of some columns apart.

    Args:
        outcome: The rows' targets and answers.
        columns: What `cuts.keep_for_cuts` kept of each column, (n,).
        seed: The run's seed, from which the resamples follow.
        resamples: Bootstrap resamples behind the intervals.
        confidence: Level of the intervals.

    Returns:
        The slices in the order of columns and values, and notes on what was left out.
    """
    search = _Search(outcome)
    notes = []
    for column, kept in columns.items():
        cuts = cut(column, kept, _FEWEST_DECLARED)
        if not cuts:
            notes.append(f"slices: column {column!r} holds {kept.type}, which is not cut into slices")
        for way in cuts:
            search.add(way, _FEWEST_DECLARED)
        covered = np.zeros(len(outcome), bool)
        for one in search.slices:
            if one.column == column:
                covered |= one.mask(len(outcome))
        if cuts and not covered.all():
            few = f"share a value with fewer than {_FEWEST_DECLARED} rows, or with all, or one of the rarer values"
            notes.append(f"slices: {int((~covered).sum())} rows of {column!r} {few}: not measured apart")
    for one, p_value in zip(search.slices, holm(search.test(search.slices)), strict=True):
        one.p_value = float(p_value)
    return [search.record(one, True, seed, resamples, confidence) for one in search.slices], notes


def worst_slices(
    outcome: Outcome,
    columns: Mapping[str, pa.Array],
    *,
    seed: int,
    resamples: int = 1000,
    confidence: float = 0.95,
    count: int = _KEPT,
) -> list[Slice]:
    """Return the slices that are worse than the rest by more than chance, the worst first; none when there is none.

    Args:
        outcome: The rows' targets and answers.
        columns: What `cuts.keep_for_cuts` kept of each column, (n,).
        seed: The run's seed, from which the resamples follow.
        resamples: Bootstrap resamples behind the intervals.
        confidence: Level of the intervals.
        count: How many at most. Slices of nearly the same rows count as one.
    """
    search = _Search(outcome)
    fewest = max(_FEWEST_FOUND, len(outcome) // 200)
    if len(outcome) < 2 * fewest or not search.loss.any():
        return []
    for column, kept in columns.items():
        for way in cut(column, kept, fewest):
            search.add(way, fewest)
    singles = search.slices
    for one, p_value in zip(singles, 2 * holm(search.test(singles)), strict=True):
        one.p_value = min(1.0, float(p_value))
    pairs = search.crossed(fewest)
    possible = _pairs_of_columns(singles)
    for (pair, parents), p_value in zip(pairs, search.test([pair for pair, _ in pairs]), strict=True):
        pair.p_value = min(1.0, 2 * possible * max(float(p_value), search.beside(pair, parents)))
    found = [*singles, *(pair for pair, _ in pairs)]
    kept_slices: list[_Slice] = []
    for one in sorted(found, key=lambda one: -one.effect):
        is_worse = one.effect > 0 and one.p_value < _LEVEL and len(kept_slices) < count
        if is_worse and not any(one.overlap(other) > _ALIKE for other in kept_slices):
            kept_slices.append(one)
    return [search.record(one, False, seed, resamples, confidence) for one in kept_slices]


@dataclass(eq=False)
class _Slice:
    column: str
    value: str
    rows: npt.NDArray[np.int64]
    """Numbers of its rows, rising."""
    mean: float = math.nan
    variance: float = math.nan
    rest_mean: float = math.nan
    rest_variance: float = math.nan
    effect: float = math.nan
    p_value: float = 1.0
    condition: list[dict[str, str]] = field(default_factory=list)

    def mask(self, count: int) -> Mask:
        mask = np.zeros(count, bool)
        mask[self.rows] = True
        return mask

    def overlap(self, other: _Slice) -> float:
        shared = len(np.intersect1d(self.rows, other.rows, assume_unique=True))
        return shared / (len(self.rows) + len(other.rows) - shared)


class _Search:
    """Gathers slices and says of each how it stands beside the rest."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.metric, self.loss = row_metric(outcome)
        self.total, self.square = float(self.loss.sum()), float((self.loss**2).sum())
        self.right_or_wrong = bool(np.isin(self.loss, (0.0, 1.0)).all())
        self.slices: list[_Slice] = []

    def add(self, one: Cut, fewest: int) -> None:
        """Take up a cut's sets that have enough rows within and enough without (one row for declared slices)."""
        order = np.argsort(one.codes, kind="stable")
        bounds = np.searchsorted(one.codes[order], np.arange(len(one.values) + 1))
        most = len(self.loss) - (fewest if fewest >= _FEWEST_FOUND else 2)
        for value, start, stop in zip(one.values, bounds[:-1], bounds[1:], strict=True):
            if fewest <= stop - start <= most:
                self.slices.append(self._measured(_Slice(one.column, value, order[start:stop])))

    def crossed(self, fewest: int) -> list[tuple[_Slice, tuple[_Slice, _Slice]]]:
        """Return what the strongest slices share pairwise, where it is worse than either, with the two."""
        strongest = sorted((one for one in self.slices if one.effect > 0), key=lambda one: -one.effect)[:_STRONGEST]
        pairs = []
        for first, second in itertools.combinations(strongest, 2):
            if first.column == second.column:
                continue
            rows = np.intersect1d(first.rows, second.rows, assume_unique=True)
            if len(rows) < fewest:
                continue
            pair = _Slice(f"{first.column}, {second.column}", f"{first.value}, {second.value}", rows)
            pair.condition = [{"column": one.column, "value": one.value} for one in (first, second)]
            if self._measured(pair).mean > max(first.mean, second.mean):
                pairs.append((pair, (first, second)))
        return pairs

    def beside(self, pair: _Slice, parents: tuple[_Slice, _Slice]) -> float:
        """Return the larger p-value of a pair against the rest of either of the two slices, uncorrected."""
        return max(self._test_within(pair, parent) for parent in parents)

    def test(self, slices: Sequence[_Slice]) -> Floats:
        """Return each slice's p-value against all other rows, uncorrected."""
        if not slices:
            return np.empty(0)
        rows = np.array([len(one.rows) for one in slices])
        if self.right_or_wrong:
            hits = np.array([round(one.mean * len(one.rows)) for one in slices])
            return fisher(hits, rows, round(self.total), len(self.loss))
        own = np.array([(len(one.rows), one.mean, one.variance) for one in slices], np.float64).T
        rest = [(len(self.loss) - len(one.rows), one.rest_mean, one.rest_variance) for one in slices]
        n, mean, variance = np.array(rest, np.float64).T
        return welch((own[0], own[1], own[2]), (n, mean, variance))[1]

    def record(self, one: _Slice, declared: bool, seed: int, resamples: int, confidence: float) -> Slice:
        inside = rows_of(self.outcome, one.rows)
        low, high = intervals([self.metric], inside, seed=seed, resamples=resamples, confidence=confidence)[
            self.metric.name
        ]
        return Slice(
            column=one.column,
            value=one.value,
            rows=len(one.rows),
            metric=self.metric.name,
            metric_value=self.metric(inside),
            low=low,
            high=high,
            rest=self.metric(rows_of(self.outcome, ~one.mask(len(self.loss)))),
            p_value=one.p_value,
            worse=one.p_value < _LEVEL and one.effect > 0,
            declared=declared,
            condition=one.condition,
        )

    def _measured(self, one: _Slice) -> _Slice:
        loss = self.loss[one.rows]
        rows, rest = len(loss), len(self.loss) - len(loss)
        total, square = float(loss.sum()), float((loss**2).sum())
        one.mean, one.rest_mean = total / rows, (self.total - total) / rest
        one.variance = _variance(rows, one.mean, square)
        one.rest_variance = _variance(rest, one.rest_mean, self.square - square)
        spread = math.sqrt(one.variance + one.rest_variance)
        gap = one.mean - one.rest_mean
        one.effect = math.sqrt(2) * gap / spread if spread else (math.inf * gap if gap else 0.0)
        return one

    def _test_within(self, pair: _Slice, parent: _Slice) -> float:
        inside, rest = self.loss[pair.rows], self.loss[np.setdiff1d(parent.rows, pair.rows, assume_unique=True)]
        if len(rest) < 2:
            return 1.0
        if self.right_or_wrong:
            hits, rows = np.array([round(inside.sum())]), np.array([len(inside)])
            return float(fisher(hits, rows, round(inside.sum() + rest.sum()), len(parent.rows))[0])
        one, two = (
            (np.array([len(part)], np.float64), np.array([part.mean()]), np.array([part.var(ddof=1)]))
            for part in (inside, rest)
        )
        return float(welch(one, two)[1][0])


def _variance(rows: int, mean: float, square: float) -> float:
    return max(0.0, (square - rows * mean * mean) / (rows - 1))


def _pairs_of_columns(slices: Sequence[_Slice]) -> int:
    """How many pairs of slices of different columns there are."""
    sizes = np.array([sum(1 for _ in group) for _, group in itertools.groupby(slices, key=lambda one: one.column)])
    return int((sizes.sum() ** 2 - (sizes**2).sum()) // 2)
