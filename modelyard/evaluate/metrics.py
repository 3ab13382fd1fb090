"""Metrics of labels, one constant each, with scikit-learn's definitions; given row weights, for many resamples at once.

What a metric cannot be said of (ROC AUC without a negative row) is NaN, never an error and never an invented 0.
Averages over labels leave out the labels for which the value does not exist.

Legend: n rows, R weightings, L labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from modelyard.core.errors import UsageError
from modelyard.evaluate.found import each_once, is_binary, label_counts, own_score, positive_ranking
from modelyard.evaluate.weighted import Floats, Ranking, Statistic, Sums, mean_where, means, ratio
from modelyard.tasks.base import Errors, Outcome
from modelyard.tasks.probabilities import log_loss_of

__all__ = ["CALIBRATION_BINS", "Form", "Metric", "bin_of", "certainty", "form_of"]

CALIBRATION_BINS = 15
"""Bins of a probability, of equal width (Guo et al. 2017)."""

Form = Literal["classification", "multilabel", "regression", "errors"]


def form_of(outcome: Outcome) -> Form:
    """Say which of the three forms of `Outcome` this is, by its target's type and shape; `Errors` have that of a
    regression whose targets are 0.

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
    distances: bool = False
    """Whether it adds up distances of 0 or more between two averages, which chance alone makes larger."""

    def __call__(self, outcome: Outcome) -> float:
        """Return the value over all rows, each counted once; NaN where it is not defined.

        Raises:
            UsageError: The metric is not defined for this kind of outcome.
        """
        return float(self.prepared(outcome)(each_once(outcome))[0])

    def prepared(self, outcome: Outcome) -> Statistic:
        """Return a function from weights, float64 (R, n), to the values (R,) when row i counts `weights[r, i]` times.

        Raises:
            UsageError: The metric is not defined for this kind of outcome.
        """
        form = form_of(outcome)
        if form not in self.forms and not ("errors" in self.forms and isinstance(outcome, Errors)):
            raise UsageError(f"metric {self.name!r} is defined for {' and '.join(self.forms)}, not for a {form}")
        if len(outcome) == 0:
            return lambda weights: np.full(len(weights), np.nan)
        return self.function(outcome)


# -- shares and means over rows ---------------------------------------------------------------------------------------


def _accuracy(outcome: Outcome) -> Statistic:
    return means(outcome.target == outcome.answer)


def _top_5_accuracy(outcome: Outcome) -> Statistic:
    own = own_score(outcome)[:, None]
    ahead, equal = np.count_nonzero(outcome.score > own, axis=1), outcome.score == own
    tied = np.flatnonzero(np.count_nonzero(equal, axis=1) > 1)
    later = np.arange(outcome.score.shape[1]) > outcome.target[tied, None]
    ahead[tied] += np.count_nonzero(equal[tied] & later, axis=1)  # among equals, scikit-learn puts the last first
    return means(ahead < 5)


def _log_loss(outcome: Outcome) -> Statistic:
    return means(log_loss_of(own_score(outcome)))


def _brier(outcome: Outcome) -> Statistic:
    own = own_score(outcome)
    if outcome.score.shape[1] == 2:
        return means((1 - own) ** 2)
    return means((outcome.score**2).sum(axis=1) - own**2 + (1 - own) ** 2)


def _expected_calibration_error(outcome: Outcome) -> Statistic:
    probability, truth = certainty(outcome)
    rows, count = probability.shape
    excess = np.zeros((rows, CALIBRATION_BINS))
    # what a row adds to each bin: its probabilities there less what was true of them
    np.add.at(excess, (np.arange(rows)[:, None], bin_of(probability)), (probability - truth) / count)
    mean = means(excess)
    return lambda weights: np.abs(mean(weights)).sum(axis=1)


def certainty(outcome: Outcome) -> tuple[Floats, Floats]:
    """Return the probabilities whose calibration is looked at, and 1 where what they are of is true, (n, k) each.

    Of two labels the positive one's; of more the answered one's, the highest (Guo et al. 2017); of several labels a row
    all of them.
    """
    if outcome.target.ndim == 2:
        return outcome.score, outcome.target.astype(np.float64)
    if is_binary(outcome):
        return outcome.score[:, 1:], (outcome.target == 1).astype(np.float64)[:, None]
    highest = np.take_along_axis(outcome.score, outcome.answer[:, None], axis=1)
    return highest, (outcome.answer == outcome.target).astype(np.float64)[:, None]


def bin_of(probability: Floats) -> npt.NDArray[np.int64]:
    """Return which bin of equal width each probability is in; a bin holds its lower edge, the last one 1 too."""
    edges = np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    return np.searchsorted(edges, probability, side="right").astype(np.int64)


def _subset_accuracy(outcome: Outcome) -> Statistic:
    return means((outcome.target == outcome.answer).all(axis=1))


def _jaccard(outcome: Outcome) -> Statistic:
    both = (outcome.target & outcome.answer).sum(axis=1).astype(np.float64)
    either = (outcome.target | outcome.answer).sum(axis=1).astype(np.float64)
    return means(ratio(both, either, empty=1.0))


def _coverage_error(outcome: Outcome) -> Statistic:
    lowest = np.where(outcome.target > 0, outcome.score, np.inf).min(axis=1, keepdims=True)
    return means((outcome.score >= lowest).sum(axis=1))


def _label_ranking_average_precision(outcome: Outcome) -> Statistic:
    order = np.argsort(-outcome.score, axis=1, kind="stable")
    score, true = (np.take_along_axis(array, order, axis=1) for array in (outcome.score, outcome.target))
    place = np.arange(1, score.shape[1] + 1)
    # equal scores share the last place among them
    is_last = np.hstack([score[:, 1:] != score[:, :-1], np.ones((len(score), 1), np.bool_)])
    last = np.minimum.accumulate(np.where(is_last, place, place[-1])[:, ::-1], axis=1)[:, ::-1]
    precision = np.take_along_axis(np.cumsum(true, axis=1, dtype=np.float64), last - 1, axis=1) / last
    count = true.sum(axis=1).astype(np.float64)
    return means(ratio((precision * true).sum(axis=1), count, empty=1.0))


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
        if is_binary(outcome) and not macro:
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


def _cohen_kappa(outcome: Outcome) -> Statistic:
    def function(right: Floats, answered: Floats, true: Floats) -> Floats:
        rows = true.sum(axis=1)
        chance = (answered * true).sum(axis=1)
        return ratio(right.sum(axis=1) * rows - chance, rows**2 - chance)

    return _of_counts(outcome, function)


def _micro_jaccard(outcome: Outcome) -> Statistic:
    return _of_counts(
        outcome, lambda right, answered, true: ratio(right.sum(axis=1), (answered + true - right).sum(axis=1))
    )


# -- from the order of the scores -------------------------------------------------------------------------------------


def _of_ranking(outcome: Outcome, value: Callable[[Ranking, Sums], Floats]) -> Statistic:
    """The positive label's value of two labels, else the mean over labels (each against the rest) that have one."""
    if is_binary(outcome):
        ranking, sums = positive_ranking(outcome)
        return lambda weights: value(ranking, sums(weights))
    target, score = outcome.target, outcome.score
    rankings = [
        Ranking(target[:, label] > 0 if target.ndim == 2 else target == label, score[:, label])
        for label in range(score.shape[1])
    ]

    def statistic(weights: Floats) -> Floats:
        values = np.stack([value(one, one.sums(weights)) for one in rankings], axis=1)
        return mean_where(values, ~np.isnan(values))

    return statistic


def _roc_auc(outcome: Outcome) -> Statistic:
    return _of_ranking(outcome, Ranking.area_under_roc)


def _average_precision(outcome: Outcome) -> Statistic:
    return _of_ranking(outcome, Ranking.average_precision)


_ONE: tuple[Form, ...] = ("classification",)
_MANY: tuple[Form, ...] = ("multilabel",)
_LABELS: tuple[Form, ...] = ("classification", "multilabel")

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
COHEN_KAPPA = Metric("cohen_kappa", "Cohen's kappa", True, _ONE, _cohen_kappa)
"""Agreement beyond what chance would give, 1 at most; 0 is chance (Cohen 1960)."""
EXPECTED_CALIBRATION_ERROR = Metric(
    "expected_calibration_error",
    "Expected calibration error",
    False,
    _LABELS,
    _expected_calibration_error,
    distances=True,
)
"""Mean distance of probability and truth over 15 bins of equal width, weighted by their rows (Naeini et al. 2015): of
the positive one of two labels, of the answered one of more, of all labels where a row has several."""
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
JACCARD = Metric("jaccard", "Jaccard index", True, _MANY, _jaccard)
"""Mean over rows of labels both true and answered / labels either true or answered; 1 where there is neither."""
MICRO_JACCARD = Metric("micro_jaccard", "Micro Jaccard index", True, _MANY, _micro_jaccard)
"""Jaccard index of all yes-or-no questions together."""
LABEL_RANKING_AVERAGE_PRECISION = Metric(
    "label_ranking_average_precision",
    "Label ranking average precision",
    True,
    _MANY,
    _label_ranking_average_precision,
)
"""Mean over a row's labels of the share of true ones among those scoring as high or higher; 1 for a row without any."""
COVERAGE_ERROR = Metric("coverage_error", "Coverage error", False, _MANY, _coverage_error)
"""How many of the highest scored labels it takes to have all the true ones, on average over rows."""
