"""The moving parts of a training, gathered: everything that differs from one step to the next, and nothing else."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from modelyard.data.batch import Batch
from modelyard.evaluate.outputs import Collected
from modelyard.train.memory.fused_backward import FusedBackward
from modelyard.train.records import EpochRecord
from modelyard.train.schedules import Schedule
from modelyard.train.semi_supervised.guesses import Guesses
from modelyard.train.watch import Watch

__all__ = ["Average", "Best", "Mean", "State", "UnderWay", "compiled"]


class Average:
    """An exponential moving average of a model's weights (Polyak and Juditsky 1992), warmed up over its first steps.

    Buffers, such as the running statistics of batch norm, are taken over as they are.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._mine: list[Tensor] = list(self.model.parameters())
        self._theirs = [parameter.detach() for parameter in model.parameters()]
        self._buffers = list(zip(self.model.buffers(), model.buffers(), strict=True))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights after step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._mine, self._theirs, 1 - decay)
        for mine, theirs in self._buffers:
            mine.copy_(theirs)


@dataclass
class Best:
    """The best weights so far, by one validation metric."""

    metric: str
    higher_is_better: bool
    min_delta: float = 0.0
    value: float = math.nan
    epoch: int = 0
    waited: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def consider(self, value: float, epoch: int, model: nn.Module) -> bool:
        """Take note of an epoch's value; keep a copy of the weights when it is an improvement. NaN never is."""
        gain = value - self.value if self.higher_is_better else self.value - value
        better = not math.isnan(value) and (math.isnan(self.value) or gain > self.min_delta)
        if better:
            self.value, self.epoch, self.waited = value, epoch, 0
            self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        else:
            self.waited += 1
        return better


class Mean:
    """A running weighted mean that stays on the device until it is asked for."""

    def __init__(self) -> None:
        self.sum: Tensor | None = None
        self.weight: Tensor | None = None

    def add(self, mean: Tensor, weight: Tensor) -> None:
        """Take a mean (scalar) and the number of things it is over (scalar)."""
        weighted = mean * weight
        self.sum = weighted if self.sum is None else self.sum + weighted
        self.weight = weight if self.weight is None else self.weight + weight

    def value(self) -> float:
        """Return the mean of everything so far; NaN of nothing."""
        if self.sum is None or self.weight is None:
            return math.nan
        return float(self.sum.double() / self.weight.double())


def compiled(model: nn.Module) -> nn.Module:
    """Return a model's compiled form, which shares its weights."""
    return cast(nn.Module, torch.compile(model))


@dataclass
class UnderWay:
    """What an epoch has gathered so far."""

    batch: int = 0
    """Batches taken."""
    rows: int = 0
    seconds: float = 0.0
    loss: Mean = field(default_factory=Mean)
    seen: Collected = field(default_factory=Collected)
    """Outputs that the epoch's training metrics are made of."""
    guesses: Guesses = field(default_factory=Guesses)
    """What was guessed of rows without a target."""


@dataclass
class State:
    """Where a training stands. With the spec and the data, this decides every step that follows."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    watch: Watch
    average: Average | None = None
    best: Best | None = None
    fused: FusedBackward | None = None
    """Steps the optimizer within the backward pass, where that is asked for."""
    notices: Sequence[str] = ()
    """What there is to tell about settings that do nothing here."""
    epoch: int = 0
    """Epochs completed."""
    step: int = 0
    """Optimizer steps completed."""
    runner: nn.Module | None = None
    """What runs the model in a step, when it is not the model itself: its compiled form."""
    history: list[EpochRecord] = field(default_factory=list)
    under_way: UnderWay = field(default_factory=UnderWay)
    skipped: list[int] = field(default_factory=list)
    """Steps whose batches are left out because the loss left all bounds there."""
    without_targets: int = 0
    """Batches so far in which no row had a target."""
    continued: int = 0
    """How often the training was taken up again after an interruption."""
    seconds: float = 0.0
    """Time spent on the training, interruptions left out."""
    samples: str = ""
    """Digest over the ids of all rows trained on, in their order: equal for trainings that saw the same rows alike."""

    def note(self, batch: Batch) -> None:
        """Take a batch's rows into `samples`."""
        self.samples = hashlib.blake2b(self.samples.encode() + batch.ids.tobytes(), digest_size=16).hexdigest()

    @property
    def kept(self) -> nn.Module:
        """The model that is evaluated and kept: the averaged one when there is one."""
        return self.model if self.average is None else self.average.model
