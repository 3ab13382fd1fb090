"""Metrics of numbers, one constant each, with scikit-learn's definitions: of several targets, the mean over them.

What cannot be said (R² of a constant target) is NaN. Legend: n rows, R weightings, T targets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.evaluate import weighted
from modelyard.evaluate.metrics import Form, Metric
from modelyard.evaluate.weighted import Floats, Statistic, means, ratio
from modelyard.tasks.base import Outcome


def _over_targets(values: npt.NDArray[Any], finish: Callable[[Floats], Floats] = lambda mean: mean) -> Statistic:
    mean = means(values)
    return lambda weights: finish(mean(weights)).mean(axis=1)


def _variances(values: npt.NDArray[Any]) -> Statistic:
    """Return weights (R, n) → the variance of each column of values (n, T), (R, T); 0 for one that is constant."""
    centred = values - values.mean(axis=0)  # keeps the digits of values far from 0
    mean, mean_square = means(centred), means(centred**2)
    rounding = (4 * np.finfo(np.float64).eps * np.abs(values).max(axis=0)) ** 2

    def statistic(weights: Floats) -> Floats:
        square = mean_square(weights)
        variance = square - mean(weights) ** 2
        return np.where(variance <= 1e-12 * square + rounding, 0.0, variance)  # constant, but for rounding

    return statistic


def _share_explained(outcome: Outcome, error: Statistic) -> Statistic:
    variance = _variances(outcome.target)
    return lambda weights: np.mean(1 - ratio(error(weights), variance(weights)), axis=1)


def _r2(outcome: Outcome) -> Statistic:
    return _share_explained(outcome, means((outcome.score - outcome.target) ** 2))


def _explained_variance(outcome: Outcome) -> Statistic:
    return _share_explained(outcome, _variances(outcome.score - outcome.target))


def _correlation(outcome: Outcome, function: Callable[[Floats, Floats], Statistic]) -> Statistic:
    columns = [function(target, score) for target, score in zip(outcome.target.T, outcome.score.T, strict=True)]
    return lambda weights: np.mean([column(weights) for column in columns], axis=0)


def _pearson(outcome: Outcome) -> Statistic:
    return _correlation(outcome, weighted.correlation)


def _spearman(outcome: Outcome) -> Statistic:
    return _correlation(outcome, weighted.rank_correlation)


def _max_error(outcome: Outcome) -> Statistic:
    columns = [weighted.largest(error) for error in np.abs(outcome.score - outcome.target).T]
    return lambda weights: np.mean([column(weights) for column in columns], axis=0)


def _rmse(outcome: Outcome) -> Statistic:
    return _over_targets((outcome.score - outcome.target) ** 2, np.sqrt)


def _mae(outcome: Outcome) -> Statistic:
    return _over_targets(np.abs(outcome.score - outcome.target))


def _median_absolute_error(outcome: Outcome) -> Statistic:
    columns = [weighted.medians(error) for error in np.abs(outcome.score - outcome.target).T]
    return lambda weights: np.mean([column(weights) for column in columns], axis=0)


def _mape(outcome: Outcome) -> Statistic:
    if (outcome.target == 0).any():  # a share of 0 does not exist
        return lambda weights: np.full(len(weights), np.nan)
    return _over_targets(np.abs((outcome.score - outcome.target) / outcome.target))


def _smape(outcome: Outcome) -> Statistic:
    size = np.abs(outcome.score) + np.abs(outcome.target)
    return _over_targets(ratio(2 * np.abs(outcome.score - outcome.target), size, empty=0.0))


def _rmsle(outcome: Outcome) -> Statistic:
    if min(outcome.target.min(), outcome.score.min()) <= -1:  # there is no logarithm
        return lambda weights: np.full(len(weights), np.nan)
    return _over_targets((np.log1p(outcome.score) - np.log1p(outcome.target)) ** 2, np.sqrt)


_NUMBERS: tuple[Form, ...] = ("regression",)

R2 = Metric("r2", "R²", True, _NUMBERS, _r2)
"""Share of the target's variance that the answers explain."""
EXPLAINED_VARIANCE = Metric("explained_variance", "Explained variance", True, _NUMBERS, _explained_variance)
"""R² without regard to a constant offset of the answers."""
PEARSON = Metric("pearson", "Pearson correlation", True, _NUMBERS, _pearson)
"""Linear correlation of target and answer, -1 to 1."""
SPEARMAN = Metric("spearman", "Spearman correlation", True, _NUMBERS, _spearman)
"""Correlation of the ranks of target and answer, equal values sharing their mean rank."""
RMSE = Metric("rmse", "Root mean squared error", False, _NUMBERS, _rmse)
"""In the target's units."""
MAE = Metric("mae", "Mean absolute error", False, _NUMBERS, _mae, trivial="median")
"""In the target's units."""
MEDIAN_ABSOLUTE_ERROR = Metric(
    "median_absolute_error", "Median absolute error", False, _NUMBERS, _median_absolute_error, trivial="median"
)
"""In the target's units; half of the rows are nearer."""
MAPE = Metric("mape", "Mean absolute percentage error", False, _NUMBERS, _mape, trivial="median")
"""Mean of |error| / |target|, as a share; NaN when a target is 0."""
SMAPE = Metric("smape", "Symmetric mean absolute percentage error", False, _NUMBERS, _smape, trivial="median")
"""Mean of 2 · |error| / (|target| + |answer|), a share up to 2; 0 where both are 0."""
RMSLE = Metric("rmsle", "Root mean squared logarithmic error", False, _NUMBERS, _rmsle)
"""Root mean square of ln(1 + answer) - ln(1 + target); NaN when either is -1 or less."""
MAX_ERROR = Metric("max_error", "Largest error", False, _NUMBERS, _max_error)
"""In the target's units, of the worst row."""
