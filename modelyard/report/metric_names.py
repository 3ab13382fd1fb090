"""What a metric is called, what it says and how its numbers are written. Metrics not named here are shown plainly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard.report.formatting import MISSING, count, finite, number, percent

__all__ = ["MetricName", "change_of", "difference_of", "name_of", "value_of"]


@dataclass(frozen=True)
class MetricName:
    """How a metric is written."""

    title: str
    meaning: str = ""
    """What it says, in a few plain words."""
    share: bool = False
    """Whether it is written as a percentage."""
    low: float | None = None
    """The least it can be; None when there is no bound."""
    high: float | None = None
    """The greatest it can be."""


_NAMES = {
    "loss": MetricName("Loss", "what training makes small", low=0),
    "accuracy": MetricName("Accuracy", "share of rows answered rightly", True, 0, 1),
    "balanced_accuracy": MetricName("Balanced accuracy", "mean of the labels’ recalls", True, 0, 1),
    "top_5_accuracy": MetricName("Top-5 accuracy", "true label among the five most probable", True, 0, 1),
    "subset_accuracy": MetricName("Subset accuracy", "share of rows with all labels right", True, 0, 1),
    "precision": MetricName("Precision", "share of a label’s answers that are right", True, 0, 1),
    "recall": MetricName("Recall", "share of a label’s rows that are found", True, 0, 1),
    "f1": MetricName("F1", "harmonic mean of precision and recall", False, 0, 1),
    "macro_f1": MetricName("Macro F1", "F1, each label counting the same", False, 0, 1),
    "micro_f1": MetricName("Micro F1", "F1 of all yes-or-no questions together", False, 0, 1),
    "matthews": MetricName("Matthews correlation", "of truth and answer; 0 is chance", False, -1, 1),
    "roc_auc": MetricName("ROC AUC", "chance that a row of the label ranks above another", False, 0, 1),
    "average_precision": MetricName("Average precision", "precision averaged down the ranking", False, 0, 1),
    "log_loss": MetricName("Log loss", "surprise at the true label", False, 0),
    "brier": MetricName("Brier score", "squared error of the probabilities", False, 0),
    "hamming_loss": MetricName("Hamming loss", "share of yes-or-no questions answered wrongly", True, 0, 1),
    "r2": MetricName("R²", "share of the target’s variance explained", False, None, 1),
    "cohen_kappa": MetricName("Cohen’s kappa", "agreement beyond chance", False, -1, 1),
    "expected_calibration_error": MetricName("Calibration error", "distance of probability and truth", True, 0, 1),
    "jaccard": MetricName("Jaccard", "shared labels over all labels of a row", False, 0, 1),
    "micro_jaccard": MetricName("Micro Jaccard", "of all yes-or-no questions together", False, 0, 1),
    "label_ranking_average_precision": MetricName("Label ranking", "true labels above others", False, 0, 1),
    "coverage_error": MetricName("Coverage error", "labels to go down the ranking to find all true ones", False, 0),
    "explained_variance": MetricName("Explained variance", "R² without the mean error", False, None, 1),
    "pearson": MetricName("Pearson correlation", "of truth and answer", False, -1, 1),
    "spearman": MetricName("Spearman correlation", "of their ranks", False, -1, 1),
    "smape": MetricName("Symmetric percentage error", "error as a share of truth and answer", True, 0),
    "rmsle": MetricName("Logarithmic error", "root mean squared, of 1 + value", False, 0),
    "max_error": MetricName("Largest error", "of any row", False, 0),
    "rmse": MetricName("Root mean squared error", "in the target’s units", False, 0),
    "mae": MetricName("Mean absolute error", "in the target’s units", False, 0),
    "median_absolute_error": MetricName("Median absolute error", "half of the rows are nearer", False, 0),
    "mean_error": MetricName("Mean error", "answer less truth: above 0 is too high"),
    "selection_rate": MetricName("Selection rate", "share answered with the positive label", True, 0, 1),
    "true_positive_rate": MetricName("True positive rate", "share of positive rows that are found", True, 0, 1),
    "false_positive_rate": MetricName("False positive rate", "share of negative rows taken for positive", True, 0, 1),
    "ece": MetricName("Calibration error", "mean distance of probability and truth", True, 0, 1),
    "mape": MetricName("Mean absolute percentage error", "as a share of the target", True, 0),
}


def name_of(metric: str) -> MetricName:
    """Return how a metric is written."""
    return _NAMES.get(metric) or MetricName(metric.replace("_", " ").strip().capitalize() or metric)


def value_of(metric: str, value: Any, rows: int | None = None) -> str:
    """Return a metric's value as text; `rows` is how many stand behind it."""
    return percent(value, rows) if name_of(metric).share else number(value, 4, trim=False)


def difference_of(metric: str, difference: Any) -> str:
    """Return a difference of two values of a metric, without its sign: in points where they are percentages."""
    value = finite(difference)
    if value is None:
        return MISSING
    if not name_of(metric).share:
        return number(abs(value))
    return count(round(100 * abs(value), 1), "point")


def change_of(metric: str, change: Any) -> str:
    """Return a change of a metric with its sign."""
    value = finite(change)
    if value is None or value == 0:
        return difference_of(metric, value)
    return f"{'+' if value > 0 else '−'}{difference_of(metric, value)}"
