"""The metrics, one constant each, with scikit-learn's definitions; given row weights, for many resamples at once.

What a metric cannot be said of (ROC AUC without a negative row, R² of a constant target) is NaN, never an error and
never an invented 0. Averages over labels leave out the labels for which the value does not exist.

Legend: n rows, R weightings, L labels, T targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from modelyard.core.errors import UsageError
from modelyard.evaluate import weighted
from modelyard.evaluate.weighted import Floats, Statistic, group_sums, mean_where, means, ratio
from modelyard.tasks.base import Outcome
from modelyard.tasks.probabilities import log_loss_of

__all__ = ["Form", "Metric", "form_of", "label_counts"]

Form = Literal["classification", "multilabel", "regression"]


def form_of(outcome: Outcome) -> Form:
    """Say which of the three forms of `Outcome` this is, by its target's type and shape.

    Raises:
        UsageError: It is none of them.
    """
    target = outcome.target
    if target.ndim == 1 and target.dtype.kind == "i":
        return "classification"
    if target.ndim == 2 and target.dtype.kind == "u":
        return "multilabel"
    if target.ndim == 2 and target.dtype.kind == "f":
        return "regression"
    raise UsageError(
        f"an outcome's target is int64 (rows,), uint8 (rows, labels) or float64 (rows, targets), "
        f"and this one is {target.dtype} {target.shape}"
    )


@dataclass(frozen=True)
class Metric:
    """One way to say how good answers are. Calling it on an `Outcome` gives the value."""

    name: str
    title: str
    """As a heading or an axis shows it."""
    higher_is_better: bool
    forms: tuple[Form, ...]
    """The kinds of outcome it is defined for."""
    function: Callable[[Outcome], Statistic]
    """Looks once at an outcome of n rows and returns: weights (R, n) → values (R,)."""
    proportion: bool = False
    """Whether it is the share of rows for which something holds."""
    trivial: Literal["mean", "median"] = "mean"
    """The constant that answers best by this metric, which the baseline of a regression gives."""

    def __call__(self, outcome: Outcome) -> float:
        """Return the value over all rows, each counted once; NaN where it is not defined.

        Raises:
            UsageError: The metric is not defined for this kind of outcome.
        """
        return float(self.prepared(outcome)(np.ones((1, len(outcome))))[0])

    def prepared(self, outcome: Outcome) -> Statistic:
        """Return a function from weights, float64 (R, n), to the values (R,) when row i counts `weights[r, i]` times.

        Raises:
            UsageError: The metric is not defined for this kind of outcome.
        """
        form = form_of(outcome)
        if form not in self.forms:
            raise UsageError(f"metric {self.name!r} is defined for {' and '.join(self.forms)}, not for a {form}")
        if len(outcome) == 0:
            return lambda weights: np.full(len(weights), np.nan)
        return self.function(outcome)


Counts = Callable[[Floats], tuple[Floats, Floats, Floats]]


def label_counts(outcome: Outcome) -> Counts:
    """Return weights (R, n) → per label the rows answered with it rightly, answered with it, and of it: (R, L) each."""
    target, answer = outcome.target, outcome.answer
    if target.ndim == 2:
        right, answered, true = (array.astype(np.float64) for array in (target & answer, answer, target))
        return lambda weights: (weights @ right, weights @ answered, weights @ true)
    count = len(outcome.labels)
    sums = group_sums(target, count, target == answer), group_sums(answer, count), group_sums(target, count)
    return lambda weights: (sums[0](weights), sums[1](weights), sums[2](weights))


def _is_binary(outcome: Outcome) -> bool:
    return outcome.target.ndim == 1 and outcome.score.shape[1] == 2


# -- shares and means over rows ---------------------------------------------------------------------------------------


def _accuracy(outcome: Outcome) -> Statistic:
    return means(outcome.target == outcome.answer)


def _top_5_accuracy(outcome: Outcome) -> Statistic:
    own = _own_score(outcome)[:, None]
    later = np.arange(outcome.score.shape[1]) > outcome.target[:, None]
    ahead = (outcome.score > own) | ((outcome.score == own) & later)  # among equals, scikit-learn puts the last first
    return means(ahead.sum(axis=1) < 5)


def _log_loss(outcome: Outcome) -> Statistic:
    return means(log_loss_of(_own_score(outcome)))


def _brier(outcome: Outcome) -> Statistic:
    own = _own_score(outcome)
    if outcome.score.shape[1] == 2:
        return means((1 - own) ** 2)
    return means((outcome.score**2).sum(axis=1) - own**2 + (1 - own) ** 2)


def _own_score(outcome: Outcome) -> Floats:
    """The probability that the true label got, (n,)."""
    result: Floats = np.take_along_axis(outcome.score, outcome.target[:, None], axis=1)[:, 0]
    return result


def _subset_accuracy(outcome: Outcome) -> Statistic:
    return means((outcome.target == outcome.answer).all(axis=1))


def _hamming_loss(outcome: Outcome) -> Statistic:
    return means((outcome.target != outcome.answer).mean(axis=1))


# -- from how often each label was right, answered and true -----------------------------------------------------------


def _of_counts(outcome: Outcome, function: Callable[[Floats, Floats, Floats], Floats]) -> Statistic:
    counts = label_counts(outcome)
    return lambda weights: function(*counts(weights))


def _of_labels(
    outcome: Outcome, fraction: Callable[[Floats, Floats, Floats], tuple[Floats, Floats]], macro: bool = False
) -> Statistic:
    """The positive label's fraction of two labels; else (or for `macro`) the mean over the labels that occur."""

    def function(right: Floats, answered: Floats, true: Floats) -> Floats:
        top, bottom = fraction(right, answered, true)
        if _is_binary(outcome) and not macro:
            return ratio(top[:, 1], bottom[:, 1])
        return mean_where(ratio(top, bottom, empty=0.0), answered + true > 0)

    return _of_counts(outcome, function)


def _precision(outcome: Outcome) -> Statistic:
    return _of_labels(outcome, lambda right, answered, true: (right, answered))


def _recall(outcome: Outcome) -> Statistic:
    return _of_labels(outcome, lambda right, answered, true: (right, true))


def _f1(outcome: Outcome, macro: bool = False) -> Statistic:
    return _of_labels(outcome, lambda right, answered, true: (2 * right, answered + true), macro)


def _macro_f1(outcome: Outcome) -> Statistic:
    return _f1(outcome, macro=True)


def _micro_f1(outcome: Outcome) -> Statistic:
    return _of_counts(
        outcome, lambda right, answered, true: ratio(2 * right.sum(axis=1), (answered + true).sum(axis=1))
    )


def _balanced_accuracy(outcome: Outcome) -> Statistic:
    return _of_counts(outcome, lambda right, answered, true: mean_where(ratio(right, true), true > 0))


def _matthews(outcome: Outcome) -> Statistic:
    def function(right: Floats, answered: Floats, true: Floats) -> Floats:
        rows = true.sum(axis=1)
        shared = right.sum(axis=1) * rows - (answered * true).sum(axis=1)
        spread = (rows**2 - (answered**2).sum(axis=1)) * (rows**2 - (true**2).sum(axis=1))
        return ratio(shared, np.sqrt(spread), empty=0.0)

    return _of_counts(outcome, function)


# -- from the order of the scores -------------------------------------------------------------------------------------


def _of_ranking(outcome: Outcome, curve: Callable[[npt.NDArray[np.bool_], Floats], Statistic]) -> Statistic:
    """The positive label's value of two labels, else the mean over labels (each against the rest) that have one."""
    if outcome.target.ndim == 2:
        curves = [curve(outcome.target[:, label] > 0, score) for label, score in enumerate(outcome.score.T)]
    elif _is_binary(outcome):
        curves = [curve(outcome.target == 1, outcome.score[:, 1])]
    else:
        curves = [curve(outcome.target == label, score) for label, score in enumerate(outcome.score.T)]

    def statistic(weights: Floats) -> Floats:
        values = np.stack([one(weights) for one in curves], axis=1)
        return mean_where(values, ~np.isnan(values))

    return statistic


def _roc_auc(outcome: Outcome) -> Statistic:
    return _of_ranking(outcome, weighted.area_under_roc)


def _average_precision(outcome: Outcome) -> Statistic:
    return _of_ranking(outcome, weighted.average_precision)


# -- numbers: the mean over targets -----------------------------------------------------------------------------------


def _over_targets(values: npt.NDArray[Any], finish: Callable[[Floats], Floats] = lambda mean: mean) -> Statistic:
    mean = means(values)
    return lambda weights: finish(mean(weights)).mean(axis=1)


def _r2(outcome: Outcome) -> Statistic:
    centred = outcome.target - outcome.target.mean(axis=0)  # keeps the digits of targets far from 0
    error, mean, mean_square = means((outcome.score - outcome.target) ** 2), means(centred), means(centred**2)
    rounding = (4 * np.finfo(np.float64).eps * np.abs(outcome.target).max(axis=0)) ** 2

    def statistic(weights: Floats) -> Floats:
        square = mean_square(weights)
        spread = square - mean(weights) ** 2
        spread = np.where(spread <= 1e-12 * square + rounding, 0.0, spread)  # a constant target, but for rounding
        result: Floats = (1 - ratio(error(weights), spread)).mean(axis=1)
        return result

    return statistic


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


_ONE: tuple[Form, ...] = ("classification",)
_MANY: tuple[Form, ...] = ("multilabel",)
_LABELS: tuple[Form, ...] = ("classification", "multilabel")
_NUMBERS: tuple[Form, ...] = ("regression",)

ACCURACY = Metric("accuracy", "Accuracy", True, _ONE, _accuracy, proportion=True)
"""Share of rows answered rightly."""
TOP_5_ACCURACY = Metric("top_5_accuracy", "Top-5 accuracy", True, _ONE, _top_5_accuracy, proportion=True)
"""Share of rows whose label is among the five most probable."""
BALANCED_ACCURACY = Metric("balanced_accuracy", "Balanced accuracy", True, _ONE, _balanced_accuracy)
"""Mean over the labels that occur of the share of their rows answered rightly."""
PRECISION = Metric("precision", "Precision", True, _LABELS, _precision)
"""Share of the rows answered with a label that are of it: the positive one of two labels, else the mean over labels."""
RECALL = Metric("recall", "Recall", True, _LABELS, _recall)
"""Share of the rows of a label that are answered with it: the positive one of two labels, else the mean over labels."""
F1 = Metric("f1", "F1", True, _LABELS, _f1)
"""Harmonic mean of precision and recall: of the positive one of two labels, else the mean over labels."""
MACRO_F1 = Metric("macro_f1", "Macro F1", True, _LABELS, _macro_f1)
"""Mean over labels of their F1, both labels of two included."""
MICRO_F1 = Metric("micro_f1", "Micro F1", True, _MANY, _micro_f1)
"""F1 of all yes-or-no questions together."""
MATTHEWS = Metric("matthews", "Matthews correlation", True, _ONE, _matthews)
"""Correlation of truth and answer, -1 to 1; 0 when either is constant (Matthews 1975; beyond two, Gorodkin 2004)."""
LOG_LOSS = Metric("log_loss", "Log loss", False, _ONE, _log_loss)
"""Mean of -ln of the probability that the true label got."""
BRIER = Metric("brier", "Brier score", False, _ONE, _brier)
"""Mean squared error of the probabilities: of the positive one of two labels, else summed over labels (Brier 1950)."""
ROC_AUC = Metric("roc_auc", "ROC AUC", True, _LABELS, _roc_auc)
"""Chance that a row of the label scores above a row of another, ties half: mean over labels beyond two."""
AVERAGE_PRECISION = Metric("average_precision", "Average precision", True, _LABELS, _average_precision)
"""Mean precision over the rows of the label, from the highest score down: mean over labels beyond two."""
SUBSET_ACCURACY = Metric("subset_accuracy", "Subset accuracy", True, _MANY, _subset_accuracy, proportion=True)
"""Share of rows whose labels were all answered rightly."""
HAMMING_LOSS = Metric("hamming_loss", "Hamming loss", False, _MANY, _hamming_loss)
"""Share of yes-or-no questions answered wrongly."""
R2 = Metric("r2", "R²", True, _NUMBERS, _r2)
"""Share of the target's variance that the answers explain."""
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
