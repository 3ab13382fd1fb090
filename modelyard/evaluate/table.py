"""The metrics by name. Adding one: a function in `metrics.py` (or a new file) and a line here."""

from __future__ import annotations

from modelyard.core.registry import Table

METRICS = Table(
    "metric",
    {
        name: f"modelyard.evaluate.metrics:{name.upper()}"
        for name in (
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
            "top_5_accuracy",
            "subset_accuracy",
            "hamming_loss",
            "micro_f1",
            "r2",
            "rmse",
            "mae",
            "median_absolute_error",
            "mape",
        )
    },
)
