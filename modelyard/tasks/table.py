"""The tasks by name. Adding one: a new file and a line here (docs/adding-a-task.md)."""

from __future__ import annotations

from modelyard.core.registry import Table

TASKS = Table(
    "task",
    {
        "classification": "modelyard.tasks.classification:Classification",
        "multilabel": "modelyard.tasks.multilabel:Multilabel",
        "regression": "modelyard.tasks.regression:Regression",
        "autoencoding": "modelyard.tasks.autoencoding:Autoencoding",
        "masked_values": "modelyard.tasks.masked_values:MaskedValues",
        "masked_patches": "modelyard.tasks.masked_patches:MaskedPatches",
        "contrastive": "modelyard.tasks.contrastive:Contrastive",
    },
)
