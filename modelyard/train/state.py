"""The moving parts of a training, gathered: everything that differs from one step to the next, and nothing else."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from modelyard.train.records import EpochRecord
from modelyard.train.schedules import Schedule

__all__ = ["Average", "Best", "State"]


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


@dataclass
class State:
    """Where a training stands. With the spec and the data, this decides every step that follows."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    average: Average | None = None
    best: Best | None = None
    epoch: int = 0
    """Epochs completed."""
    step: int = 0
    """Optimizer steps completed."""
    history: list[EpochRecord] = field(default_factory=list)

    @property
    def kept(self) -> nn.Module:
        """The model that is evaluated and kept: the averaged one when there is one."""
        return self.model if self.average is None else self.average.model
