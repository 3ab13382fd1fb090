"""The metrics by name. Adding one: a constant in a file of metrics (or a new file) and a line here."""

from __future__ import annotations

from modelyard.core.registry import Table


def _in(module: str, *names: str) -> dict[str, str]:
    """Return where metrics are that are named in their module by their names in capitals."""
    return {name: f"modelyard.evaluate.{module}:{name.upper()}" for name in names}


METRICS = Table(
    "metric",
    {
        **_in(
            "metrics",
            "accuracy",
            "balanced_accuracy",
            "f1",
            "macro_f1",
            "precision",
            "recall",
            "log_loss",
            "brier",
            "roc_auc",
            "average_precision",
            "matthews",
            "cohen_kappa",
            "expected_calibration_error",
            "top_5_accuracy",
            "subset_accuracy",
            "hamming_loss",
            "micro_f1",
            "jaccard",
            "micro_jaccard",
            "label_ranking_average_precision",
            "coverage_error",
        ),
        **_in(
            "number_metrics",
            "r2",
            "explained_variance",
            "pearson",
            "spearman",
            "rmse",
            "mae",
            "median_absolute_error",
            "mape",
            "smape",
            "rmsle",
            "max_error",
        ),
        **_in("error_metrics", "skill_score", "reconstruction_error", "contrast_loss", "retrieval_accuracy"),
    },
)
