"""What every task does: forward(model, batch) → loss and output; decode(output) → answers in the user's words.

Legend: B batch, O outputs, A numbers of an answer, n rows, L labels, T targets or parts.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from modelyard.core.errors import BundleError, UsageError
from modelyard.data.batch import Batch
from modelyard.data.modalities.base import Modality
from modelyard.models.base import Family
from modelyard.spec.settings import Settings

__all__ = ["Errors", "Outcome", "Task"]


@dataclass(frozen=True)
class Outcome:
    """True targets and predictions of n rows, in the form the metrics take.

    | task | target | score | answer |
    |---|---|---|---|
    | classification | int64 (n,), label ids | float64 (n, L), probabilities of sum 1 | int64 (n,), chosen labels |
    | multilabel | uint8 (n, L) | float64 (n, L), one probability a label | uint8 (n, L) |
    | regression | float64 (n, T), the user's units | float64 (n, T), the user's units | the same as score |
    """

    target: npt.NDArray[Any]
    score: npt.NDArray[np.float64]
    answer: npt.NDArray[Any]
    labels: tuple[str, ...] = ()
    """Label names by id; for regression the target columns."""

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True)
class Errors(Outcome):
    """The outcome of a task that learns from inputs alone: how far off n rows are, in each of T parts.

    `score` and `answer` are the errors, float64 (n, T); `target` is what they should be, 0; `labels` names the parts.
    """

    trivial: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    """Errors of the trivial answer on the same rows, (n, T)."""


class Task(ABC):
    """One kind of learning problem. Subclasses are listed in `tasks/table.py`."""

    Settings: ClassVar[type[Settings]]
    name: ClassVar[str]
    targets_of: ClassVar[tuple[str, ...]]
    """Names of the modalities a target may have; the first is what an unsaid target becomes."""
    metrics: tuple[str, ...]
    """Metrics shown each epoch, names in `evaluate/table.py`; the first is the headline. May depend on the labels."""
    more_metrics: tuple[str, ...] = ()
    """Metrics measured besides when a model is evaluated."""
    about_probabilities: str = ""
    """What a reader of plain probabilities must know; empty: nothing."""
    calibrates: ClassVar[bool] = False
    """Whether outputs are logits: divided by a number, they give the same answers with other probabilities."""
    from_inputs: ClassVar[bool] = False
    """Whether it makes its own targets out of the inputs; `data.targets` is then empty."""
    whole_batches: ClassVar[bool] = False
    """Whether what a row is learned towards depends on the rows it shares a batch with: no batch is cut into pieces."""
    inputs: tuple[Modality, ...] = ()
    """The fitted inputs, for tasks whose answers speak of them."""
    temperature: float | None = None
    """The number that makes logits into calibrated probabilities, chosen after training (Guo et al. 2017); None: it was
    not. Plain outcomes and answers do not use it."""

    def __init__(self, settings: Any, targets: Sequence[Modality]) -> None:
        """Store the settings and the fitted target modalities.

        Raises:
            SpecError: The targets are too many, or of a modality this task cannot learn.
        """
        self.settings = settings
        self.targets = tuple(targets)

    @property
    @abstractmethod
    def output_size(self) -> int:
        """O: how many outputs a row needs from the model."""

    @property
    def answer_size(self) -> int:
        """A: how many numbers `answer` gives a row."""
        return self.output_size

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of what has an error of its own, where the task learns from inputs alone."""
        return ()

    def equip(self, model: Family) -> None:
        """Put a head of the task's own at `model.output`, where a linear layer will not do; weights are drawn from
        torch's global generator as it stands. Called once for every new model, before weights are loaded.

        Raises:
            SpecError: The task cannot learn with this family or these inputs.
        """

    def pose(self, batch: Batch) -> Batch:
        """Hide or vary parts of a whole batch, and make targets of what was there: a function of `batch.draw`.

        Done before a batch is cut into pieces, so that the pieces learn what the whole would have learned.
        """
        return batch

    def answer(self, model: Family, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return what `decode` reads of rows that are to be answered, float (B, A)."""
        return model(inputs)  # type: ignore[no-any-return]

    def prepare(self, targets: Mapping[str, npt.NDArray[Any]]) -> None:
        """Look once at the training split's encoded targets (by column), for class weights and the output's bias."""

    def state(self) -> dict[str, Any]:
        """Return what `prepare` learned and the temperature, if there is one, as a JSON value."""
        return {} if self.temperature is None else {"temperature": self.temperature}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state that `state` returned.

        Raises:
            BundleError: It is not one that this task could have written.
        """
        if not isinstance(state, Mapping):
            raise BundleError(f"the stored state of the task is a {type(state).__name__}, not a mapping; it is altered")
        value = state.get("temperature")
        fits = self.calibrates and isinstance(value, float) and math.isfinite(value) and value > 0
        if "temperature" in state and not fits:
            expected = "a number above 0" if self.calibrates else f"none, for {self.name} has no logits"
            raise BundleError(f"the stored temperature is {value!r}, expected {expected}; the bundle is altered")
        self.temperature = value

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Run the model and its loss on a batch.

        Returns:
            `loss`: scalar, the mean over the batch's targets (float32, whatever the model's precision);
            `weight`: scalar, the denominator of that mean, so that micro-batches can be added up exactly:
            the loss in one piece is Σ loss·weight / Σ weight;
            `output`: (B, O), the model's output.

        Raises:
            NoTargets: No row of the batch has a target.
        """
        output = model(batch.inputs)
        loss, weight = self.loss(output, batch)
        return {"loss": loss, "weight": weight, "output": output}

    @abstractmethod
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (mean loss, its denominator) for outputs (B, O); blends the targets when there is a `batch.mix`."""

    @abstractmethod
    def outcome(self, output: npt.NDArray[np.float32], targets: Mapping[str, npt.NDArray[Any]] | None) -> Outcome:
        """Bring raw outputs (n, O) and encoded targets (by column) to the form the metrics take.

        Without targets, `Outcome.target` has no rows. Rows without a target must have been left out by the caller.
        """

    @abstractmethod
    def decode(self, output: npt.NDArray[np.float32]) -> dict[str, list[Any]]:
        """Turn what `answer` gave, (n, A), into answer columns, each of n plain values.

        Classification of `stars`: `{"stars": […], "probability": […], "probabilities": [{label: p}, …]}`.
        """

    def decode_calibrated(self, output: npt.NDArray[np.float32]) -> dict[str, list[Any]]:
        """Return the answers of `decode`, the same ones, with calibrated probabilities.

        Raises:
            UsageError: There is no temperature.
        """
        raise UsageError(f"{self.name} has no probabilities that could be calibrated")

    def calibrated(
        self, output: npt.NDArray[np.float32], targets: Mapping[str, npt.NDArray[Any]] | None = None
    ) -> Outcome:
        """Return `outcome` with the probabilities of the logits divided by the temperature. Answers stay what they are:
        a threshold is about the plain probabilities.

        Raises:
            UsageError: There is no temperature.
        """
        if self.temperature is None:
            raise UsageError(
                "there is no temperature to calibrate with: none was fitted on a validation split after training "
                "(evaluate.calibrate), or none could be"
            )
        divided = (output.astype(np.float64) / self.temperature).astype(np.float32)
        return replace(self.outcome(output, targets), score=self.outcome(divided, None).score)

    @abstractmethod
    def row_losses(self, outcome: Outcome) -> npt.NDArray[np.float64]:
        """Return how wrong each row is, float64 (n,), to find the worst mistakes: log loss or squared error."""
