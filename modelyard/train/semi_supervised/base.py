"""What every method of learning from rows without a target does: choose rows, vary them, guess labels, add a loss.

A method keeps nothing from step to step: rows, views and losses follow from (seed, step), so that a training resumes
bit for bit. Labels are guessed anew in each step, from outputs without a gradient, and only confident ones count.

Legend: B labelled rows, U rows without a target, O outputs, L labels.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from modelyard.core.errors import DataError
from modelyard.core.randomness import Permutation, derive
from modelyard.data.batch import Batch
from modelyard.data.fitted import Fitted
from modelyard.data.modalities.base import Column, Draw
from modelyard.data.store import SplitStore
from modelyard.data.views import join_inputs
from modelyard.spec.settings import Settings
from modelyard.spec.spec import Spec
from modelyard.tasks import losses
from modelyard.tasks.base import Task
from modelyard.tasks.classification import Classification
from modelyard.train.semi_supervised.guesses import Learned

__all__ = ["Guessed", "SemiSupervised", "SemiSupervisedSettings", "Unlabelled"]

_MARGINS = ("hinge", "squared_hinge")


class SemiSupervisedSettings(Settings):
    """What every method can be told."""

    threshold: float = Field(0.95, ge=0, lt=1)
    """A guessed label counts from this probability on."""
    weight: float = Field(1.0, ge=0)
    """How much the loss of rows without a target counts beside the loss of those with one."""
    ramp: float = Field(0.0, ge=0, le=1)
    """Share of the steps over which that weight rises from 0."""
    ratio: int = Field(1, ge=1, le=64)
    """Rows without a target for each labelled row of `train.batch_size`, in every step."""


@dataclass(frozen=True)
class Unlabelled:
    """The U rows without a target of one step."""

    views: tuple[Batch, ...]
    """Labels are guessed from the first, and learned on the last; `ids` are positions in the store."""

    def __len__(self) -> int:
        return len(self.views[0])

    def to(self, device: torch.device) -> Unlabelled:
        """Return the rows with their tensors on `device`."""
        return Unlabelled(tuple(view.to(device) for view in self.views))

    def pieces(self, count: int) -> Iterator[Unlabelled]:
        """Cut the rows into `count` nearly equal pieces, in order; fewer when there are fewer rows."""
        for views in zip(*(view.pieces(count) for view in self.views), strict=True):
            yield Unlabelled(views)


@dataclass(frozen=True)
class Guessed:
    """What was guessed of U rows, and what it costs."""

    loss: Tensor
    """float32 (U,), 0 where the guess does not count; with a gradient."""
    labels: Tensor
    """int64 (U,), the likeliest label of each row, in the order of `Classification.labels`."""
    confident: Tensor
    """bool (U,), which guesses count."""


class SemiSupervised(ABC):
    """A method. Subclasses are listed in `semi_supervised/table.py`.

    Args:
        settings: The method's settings.
        task: A classification.
        fitted: The modalities that encoded the rows.
        store: The rows without a target: the split `unlabelled`.
        batch_size: Labelled rows of an optimizer step.
        seed: The spec's seed.
        steps: Optimizer steps of the whole training.

    Raises:
        SpecError: The task has no labels with probabilities to guess.
        DataError: There are no rows without a target.
    """

    Settings: ClassVar[type[SemiSupervisedSettings]]
    name: ClassVar[str]

    def __init__(
        self, settings: Any, task: Task, fitted: Fitted, store: SplitStore, batch_size: int, seed: int, steps: int
    ) -> None:
        if not isinstance(task, Classification):
            raise Spec.problem(
                "train.semi_supervised", f"{self.name} guesses labels, and {task.name} has none; use a classification"
            )
        if task.settings.loss in _MARGINS:
            raise Spec.problem(
                "train.semi_supervised",
                f"{self.name} counts guesses by their probability, and the loss {task.settings.loss} learns none; set "
                "task.loss to cross_entropy or focal",
            )
        if not len(store):
            raise DataError("there are no rows without a target to learn from; name some in data.unlabelled")
        self.settings = settings
        self.task = task
        self.fitted = fitted
        self.described = fitted.describe()
        self.store = store
        self.size = min(settings.ratio * batch_size, len(store))
        """U: rows without a target in every step."""
        self.seed = seed
        self.steps = steps
        self._inputs = [name for name in store.columns if not name.startswith(("target.", "row."))]

    # -- rows -----------------------------------------------------------------------------------------------------

    def rows(self, step: int) -> npt.NDArray[np.int64]:
        """Return the positions in the store of the rows of a step (from 0), int64 (U,).

        The rows are gone through in a shuffled order, and when they end in another one; any step can be asked for.
        """
        count = len(self.store)
        places = np.arange(step * self.size, (step + 1) * self.size, dtype=np.int64)
        passes, within = np.divmod(places, count)
        return np.concatenate(
            [
                Permutation(count, self.seed, "unlabelled", number)(within[passes == number])
                for number in range(int(passes[0]), int(passes[-1]) + 1)
            ]
        )

    def batch(self, step: int) -> Unlabelled:
        """Return the rows of a step, varied. Keeps and changes nothing, so any thread may make it ahead of time."""
        rows = self.rows(step)
        columns = self.store.take(self._inputs, rows)
        draws = (Draw(derive(self.seed, f"{view} view"), step, rows) for view in ("weak", "strong"))
        return Unlabelled(tuple(Batch(view, {}, rows) for view in self.views(columns, *draws)))

    @abstractmethod
    def views(self, columns: Mapping[str, Column], weak: Draw, strong: Draw) -> tuple[dict[str, Tensor], ...]:
        """Return the inputs that labels are guessed from, and those they are learned on where these are others."""

    # -- the step -------------------------------------------------------------------------------------------------

    def guess(self, teacher: Tensor, learner: Tensor) -> Guessed:
        """Guess labels from the outputs of the first view, float32 (U, O), and compare those of the last with them."""
        probability, labels = losses.log_probabilities(teacher.detach()).exp().max(dim=1)
        confident = probability >= self.settings.threshold
        loss = losses.cross_entropy(losses.log_probabilities(learner), labels)
        return Guessed(torch.where(confident, loss, 0.0), labels, confident)

    def weight_at(self, step: int) -> float:
        """Return how much the rows without a target count in a step (from 0)."""
        rising = self.settings.ramp * self.steps
        share = min(1.0, step / rising) if rising else 1.0
        return float(self.settings.weight * share)

    def backward(
        self,
        model: nn.Module,
        batch: Batch,
        unlabelled: Unlabelled,
        step: int,
        arithmetic: Callable[[], AbstractContextManager[object]],
        pieces: int = 1,
    ) -> Learned:
        """Add the gradients of a step to the model's: loss of the labelled rows + weight · mean loss of the others.

        In several pieces the gradients are those of one piece, but for layers that look at the whole batch.

        Args:
            model: In training mode.
            batch: Labelled rows.
            unlabelled: What `batch` returned for this step.
            step: Optimizer steps taken so far.
            arithmetic: Returns the context of the forward pass.
            pieces: Micro-batches to cut the step into.

        Raises:
            NoTargets: No row of `batch` has a target.
        """
        parts = list(batch.pieces(pieces))
        whole: Tensor | None = None
        if len(parts) > 1:  # what a piece's mean counts in the whole is known by the targets alone
            device = next(iter(batch.targets.values())).device
            whole = self.task.loss(torch.zeros(len(batch), self.task.output_size, device=device), batch)[1]
        added = self.weight_at(step)
        supervised, weights, outputs, guessed = [], [], [], []
        for piece, others in itertools.zip_longest(parts, unlabelled.pieces(len(parts))):
            with arithmetic():
                output, taught = self._forward(model, piece, others)
                loss, weight = self.task.loss(output, piece)
            share = loss if whole is None else loss * (weight / whole)
            objective = share
            if taught is not None:
                found = self.guess(taught[0].float(), taught[1].float())
                guessed.append(found)
                objective = share + added * found.loss.sum() / len(unlabelled)
            objective.backward()  # type: ignore[no-untyped-call]
            supervised.append(share.detach())
            weights.append(weight.detach())
            outputs.append(output.detach())
        loss = torch.stack(supervised).sum()
        extra = torch.cat([one.loss.detach() for one in guessed]).sum() / len(unlabelled)
        labels = torch.cat([one.labels for one in guessed])
        confident = torch.cat([one.confident for one in guessed])
        counts = torch.zeros(len(self.task.labels), dtype=torch.int64, device=labels.device)
        counts.scatter_add_(0, labels, confident.long())
        weight = torch.stack(weights).sum()
        return Learned(loss, weight, torch.cat(outputs), extra, loss + added * extra, len(unlabelled), counts)

    def _forward(
        self, model: nn.Module, batch: Batch, others: Unlabelled | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Return the outputs of the labelled rows, and those of the first and the last view of the others.

        Layers that look at the whole batch must see all views together, or they would normalise each differently.
        Without such layers the view that labels are guessed from needs no gradient, which saves its backward pass.
        """
        if others is None:
            return model(batch.inputs), None
        views = [view.inputs for view in others.views]
        apart = len(views) > 1 and not any(isinstance(module, _BatchNorm) for module in model.modules())
        teacher = None
        if apart:
            with torch.no_grad():
                teacher = model(views.pop(0))
        output = model(join_inputs([batch.inputs, *views], self.described))
        labelled, *taught = output.split([len(batch), *[len(others)] * len(views)])
        return labelled, (taught[0] if teacher is None else teacher, taught[-1])
