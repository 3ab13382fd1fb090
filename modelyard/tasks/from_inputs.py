"""What the tasks that learn from inputs alone share: targets made out of the inputs, errors, and the trivial answer.

Legend: B batch, T parts, F features, W numbers, K categorical columns, S ids of all columns, C channels, H height, W
width of a picture, n rows.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from modelyard.core.errors import DataError, Problem, SpecError
from modelyard.data.batch import Batch
from modelyard.data.kinds import Image, Input
from modelyard.data.modalities.base import Draw, Modality
from modelyard.models.base import Family
from modelyard.tasks.base import Errors, Task

__all__ = ["FromInputs", "Running", "draw_of", "feature_size", "only_picture"]


class FromInputs(Task):
    """A task without targets. Its output on rows that are measured is their errors and those of the trivial answer."""

    targets_of = ()
    from_inputs = True
    metrics = ("skill_score", "reconstruction_error")

    def __init__(self, settings: Any, targets: Sequence[Modality]) -> None:
        """Store the settings; see `Task`.

        Raises:
            SpecError: The spec names a target.
        """
        super().__init__(settings, targets)
        if targets:
            names = ", ".join(target.column for target in targets)
            message = (
                f"{self.name} learns from the inputs alone, and the spec names {names}; write `targets: {{}}`, and put "
                "columns that are no inputs either under data.ignore"
            )
            raise SpecError([Problem("data.targets", message)])
        self.features = 0
        """F, once a model is equipped."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of what has an error of its own, T of them."""
        return ("values",)

    @property
    def learned(self) -> int:
        """Parts whose errors are learned from, the first ones; those that follow are only measured."""
        return len(self.parts)

    @property
    def output_size(self) -> int:
        """1: the layer that is put in by the family is replaced."""
        return 1

    @abstractmethod
    def errors(self, model: Family, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the errors of a posed batch and those of the trivial answer, float32 (B, T) each."""

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Run the model on a batch, posed or not; see `Task`. `output` is (B, 2 T): errors, then the trivial ones."""
        posed = batch if batch.targets else self.pose(batch)
        output = torch.cat(self.errors(cast(Family, model), posed), dim=1)
        loss, weight = self.loss(output, posed)
        return {"loss": loss, "weight": weight, "output": output}

    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (mean over rows and learned parts of the errors, rows): each part counts alike."""
        weight = torch.full((), float(len(output)), device=output.device)
        return output[:, : self.learned].mean(), weight

    def outcome(self, output: npt.NDArray[np.float32], targets: Mapping[str, npt.NDArray[Any]] | None) -> Errors:
        """Return the errors of measured rows.

        Raises:
            DataError: The output is of another shape or not finite.
        """
        count = len(self.parts)
        if output.ndim != 2 or output.shape[1] != 2 * count:
            raise DataError(
                f"{self.name} is measured by errors of shape (rows, {2 * count}), got {output.shape}: answers alone do "
                "not tell how far off they are"
            )
        if not np.isfinite(output).all():
            rows = int((~np.isfinite(output).all(axis=1)).sum())
            raise DataError(
                f"the errors of {rows} of {len(output)} rows are not finite; their inputs or the weights are not"
            )
        values = output.astype(np.float64)
        errors, trivial = values[:, :count], values[:, count:]
        return Errors(np.zeros_like(errors), errors, errors, self.parts, trivial)

    def row_losses(self, outcome: Any) -> npt.NDArray[np.float64]:
        """Return each row's mean error over the learned parts, float64 (n,)."""
        result: npt.NDArray[np.float64] = outcome.score[:, : self.learned].mean(axis=1)
        return result

    def answer(self, model: Family, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the features, float (B, F)."""
        return model.features(inputs).float()

    @property
    def answer_size(self) -> int:
        """F."""
        return self.features

    def decode(self, output: npt.NDArray[np.float32]) -> dict[str, list[Any]]:
        """Return `embedding`: the features of each row, a list of numbers."""
        return {"embedding": output.tolist()}


class Running(nn.Module):
    """The mean over all rows that training has shown, float32 (N,): what the trivial answer answers. Saved with the
    weights; after an epoch it is the mean of the training split."""

    mean: Tensor
    rows: Tensor

    def __init__(self, size: int, start: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((size,), start))
        self.register_buffer("rows", torch.zeros(()))

    @torch.no_grad()
    def forward(self, values_BN: Tensor) -> Tensor:
        """Return the mean (N,), in training after taking in the batch."""
        if self.training and len(values_BN):
            self.rows += len(values_BN)
            self.mean += (values_BN.float().mean(0) - self.mean) * (len(values_BN) / self.rows)
        return self.mean


def draw_of(batch: Batch) -> Draw:
    """Return where a batch stands; outside training the same for every pass, so that they can be compared."""
    return batch.draw or Draw(0, 0, batch.ids)


def feature_size(task: str, model: Family) -> int:
    """Return F, the features a family gives its head.

    Raises:
        SpecError: It has none, or does not end in a linear layer `output` over them.
    """
    head = getattr(model, "output", None)
    if not model.has_features or not isinstance(head, nn.Linear):
        message = f"{task} learns features, and {model.name} has none; choose a family with hidden layers"
        raise SpecError([Problem("model.family", message)])
    return head.in_features


def only_picture(task: str, inputs: Sequence[Input]) -> Image:
    """Return the one input, which is a picture.

    Raises:
        SpecError: There are others, or it is none.
    """
    first = inputs[0]
    if len(inputs) == 1 and isinstance(first, Image):
        return first
    received = ", ".join(f"{one.name} ({one.kind})" for one in inputs)
    message = f"{task} learns from exactly one picture column, got {received}; name it alone"
    raise SpecError([Problem("data.inputs", message)])
