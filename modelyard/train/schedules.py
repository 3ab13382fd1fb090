"""How the learning rate moves: each schedule is a factor of the peak rate, a function of the step alone.

Only `plateau` has a history, the validation losses, which it gives and takes as a state.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from modelyard.spec.settings import Settings

__all__ = ["Constant", "Cosine", "Linear", "OneCycle", "Plateau", "Schedule", "Step"]

Factor = Annotated[float, Field(ge=0, le=1)]


class Schedule(ABC):
    """A schedule of the table.

    Args:
        settings: Its settings.
        steps: Steps of the whole training.
        steps_per_epoch: Steps of one epoch.
        warmup: Steps of linear warm-up at the start; the schedule proper runs over the rest.
    """

    Settings: ClassVar[type[Settings]]

    def __init__(self, settings: Any, steps: int, steps_per_epoch: int, warmup: int = 0) -> None:
        self.settings = settings
        self.steps = max(1, steps)
        self.steps_per_epoch = max(1, steps_per_epoch)
        self.warmup = min(warmup, self.steps)

    def __call__(self, step: int) -> float:
        """Return the factor for step `step` (from 0)."""
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        return self.factor((step - self.warmup) / max(1, self.steps - self.warmup), step)

    @abstractmethod
    def factor(self, progress: float, step: int) -> float:
        """Return the factor at `progress`, in [0, 1), through the time after the warm-up."""

    def observe(self, loss: float) -> None:
        """Take note of an epoch's validation loss."""

    def state(self) -> Mapping[str, Any]:
        """Return what `observe` led to, as a JSON value."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state that `state` returned."""


class Constant(Schedule):
    """The peak rate throughout."""

    class Settings(Settings):
        pass

    def factor(self, progress: float, step: int) -> float:
        return 1.0


class Linear(Schedule):
    """A straight line from the peak to `final`."""

    class Settings(Settings):
        final: Factor = 0.0
        """Share of the peak rate that is left at the end."""

    def factor(self, progress: float, step: int) -> float:
        return 1 - (1 - float(self.settings.final)) * progress


class Cosine(Schedule):
    """Half a cosine from the peak to `final` (Loshchilov and Hutter 2017, without restarts)."""

    class Settings(Settings):
        final: Factor = 0.0
        """Share of the peak rate that is left at the end."""

    def factor(self, progress: float, step: int) -> float:
        final = float(self.settings.final)
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


class Step(Schedule):
    """Multiplied by `gamma` after every `every` epochs."""

    class Settings(Settings):
        every: Annotated[int, Field(ge=1)] = 10
        """Epochs between two reductions."""
        gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
        """Factor of each reduction."""

    def factor(self, progress: float, step: int) -> float:
        return float(self.settings.gamma ** (step // self.steps_per_epoch // self.settings.every))


class OneCycle(Schedule):
    """Up and down once, both along half a cosine (Smith and Topin 2018)."""

    class Settings(Settings):
        rise: Annotated[float, Field(gt=0, lt=1)] = 0.3
        """Share of the steps in which the rate rises."""
        start: Factor = 0.04
        """Share of the peak rate at the beginning."""
        final: Factor = 0.0
        """Share of the peak rate at the end."""

    def factor(self, progress: float, step: int) -> float:
        settings = self.settings
        if progress < settings.rise:
            low, position = settings.start, progress / settings.rise
            return float(low + (1 - low) * 0.5 * (1 - math.cos(math.pi * position)))
        position = (progress - settings.rise) / (1 - settings.rise)
        return float(settings.final + (1 - settings.final) * 0.5 * (1 + math.cos(math.pi * position)))


class Plateau(Schedule):
    """Multiplied by `gamma` whenever the validation loss has not improved for `patience` epochs."""

    class Settings(Settings):
        patience: Annotated[int, Field(ge=0)] = 2
        """Epochs without improvement that are borne."""
        gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
        """Factor of each reduction."""
        min_delta: Annotated[float, Field(ge=0)] = 1e-4
        """Smallest relative change that counts as an improvement."""

    def __init__(self, settings: Any, steps: int, steps_per_epoch: int, warmup: int = 0) -> None:
        super().__init__(settings, steps, steps_per_epoch, warmup)
        self._current, self._best, self._waited = 1.0, math.inf, 0

    def factor(self, progress: float, step: int) -> float:
        return self._current

    def observe(self, loss: float) -> None:
        if loss < self._best * (1 - self.settings.min_delta):
            self._best, self._waited = loss, 0
            return
        self._waited += 1
        if self._waited > self.settings.patience:
            self._current, self._waited = self._current * self.settings.gamma, 0

    def state(self) -> Mapping[str, Any]:
        best = None if math.isinf(self._best) else self._best
        return {"current": self._current, "best": best, "waited": self._waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._current, self._waited = float(state["current"]), int(state["waited"])
        self._best = math.inf if state["best"] is None else float(state["best"])
