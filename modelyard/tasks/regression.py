"""One or several numbers for each row, learned in standardised units and answered in the user's.

Legend: B batch, n rows, T targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from torch import Tensor

from modelyard.core.errors import DataError
from modelyard.data.batch import Batch
from modelyard.data.modalities.base import Modality
from modelyard.spec.settings import Settings
from modelyard.tasks import losses
from modelyard.tasks.base import Outcome, Task
from modelyard.tasks.probabilities import check_output
from modelyard.tasks.targets import check_targets, shares, weighted_mean

__all__ = ["Regression", "RegressionSettings"]


class RegressionSettings(Settings):
    """What can be said about a regression."""

    loss: Literal["mse", "mae", "huber"] = "mse"
    """`mse`, squared error, learns means; `mae`, absolute error, learns medians and bears outliers; `huber` stands
    in between."""
    huber_delta: float = Field(default=1.0, gt=0)
    """Error, in standard deviations of the target, from which on `huber` grows linearly."""

    @model_validator(mode="after")
    def _fit_together(self) -> RegressionSettings:
        if self.loss != "huber" and self.huber_delta != 1.0:
            raise ValueError(f"huber_delta is given, and the loss is {self.loss!r}; set loss: huber, or leave it out")
        return self


class Regression(Task):
    """Learn one or more number targets."""

    Settings = RegressionSettings
    name = "regression"
    targets_of = ("number",)
    metrics = ("r2", "rmse", "mae", "median_absolute_error")
    more_metrics = ("explained_variance", "pearson", "spearman")
    settings: RegressionSettings

    def __init__(self, settings: RegressionSettings, targets: Sequence[Modality]) -> None:
        """Store settings and targets; see `Task`.

        Raises:
            SpecError: There is no target, or one is not a number.
        """
        super().__init__(settings, targets)
        check_targets(self.name, targets, self.targets_of, several=True)
        self.columns = tuple(target.column for target in targets)

    @property
    def output_size(self) -> int:
        """T: one output a target."""
        return len(self.columns)

    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (mean loss, its count) over all target values that are not missing, in standardised units."""
        output = output.float()
        terms = []
        for targets, share in shares(batch):
            target = torch.stack([targets[column].float() for column in self.columns], dim=1)
            present = ~target.isnan()
            # a NaN must not meet the output: it would come back through the gradient even with weight 0
            known = torch.where(present, target, torch.zeros((), device=target.device))
            terms.append((self._value_losses(output, known), share[:, None] * present))
        return weighted_mean(terms)

    def _value_losses(self, output: Tensor, target: Tensor) -> Tensor:
        match self.settings.loss:
            case "mae":
                return losses.absolute_error(output, target)
            case "huber":
                return losses.huber(output, target, self.settings.huber_delta)
            case _:
                return losses.squared_error(output, target)

    def outcome(self, output: npt.NDArray[np.float32], targets: Mapping[str, npt.NDArray[Any]] | None) -> Outcome:
        """Return targets and answers in the user's units; `Outcome.labels` holds the target columns.

        Raises:
            DataError: The output is not finite or of another shape, or a row lacks one of the targets.
        """
        check_output(output, self.output_size)
        score = self._decoded([output[:, index] for index in range(self.output_size)])
        target = np.empty((0, self.output_size))
        if targets is not None:
            target = self._decoded([targets[column] for column in self.columns])
        missing = int(np.isnan(target).any(axis=1).sum())
        if missing:
            raise DataError(f"{missing} rows lack a target among {', '.join(self.columns)}; leave them out first")
        return Outcome(target, score, score, self.columns)

    def decode(self, output: npt.NDArray[np.float32]) -> dict[str, list[Any]]:
        """Return one column of numbers a target, in the user's units."""
        score = self.outcome(output, None).score
        return {column: score[:, index].tolist() for index, column in enumerate(self.columns)}

    def row_losses(self, outcome: Outcome) -> npt.NDArray[np.float64]:
        """Return the squared error, float64 (n,); of several targets the mean, each in units of its own variance."""
        squared = (outcome.score - outcome.target) ** 2
        if squared.shape[1] > 1 and len(squared):
            variance = outcome.target.var(axis=0)
            squared = squared / np.where(variance > 0, variance, 1.0)
        result: npt.NDArray[np.float64] = squared.mean(axis=1)
        return result

    def _decoded(self, encoded: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
        columns = [
            np.asarray(target.decode_target(values).to_numpy(zero_copy_only=False), dtype=np.float64)
            for target, values in zip(self.targets, encoded, strict=True)
        ]
        return np.stack(columns, axis=1)
