"""Divides the real steps of the real loop into parts, by standing between the loop and what it calls.

The loop is given a loader, a task, an optimizer and an average that pass everything on and look at the clock. Nothing
of the step is written a second time here, so what is measured is what trains.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, cast

import torch
from torch import Tensor

from modelyard.core.limits import synchronise
from modelyard.data.batch import Batch
from modelyard.data.loader import Loader

__all__ = ["PARTS", "Between", "Called", "Clock", "Sections", "StepTimes"]

PARTS = ("data", "transfer", "forward", "loss", "backward", "optimizer", "other")
"""The parts of a step. `loss`: the task without the model. `optimizer`: clipping and the moving average included.
`other`: the rate, the seeds of dropout and what the loop notes down."""

_TOGETHER = 8
"""Steps of an accelerator that are timed together."""


@dataclass
class StepTimes:
    """A step that was taken."""

    rows: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))

    @property
    def whole(self) -> float:
        """Seconds from end to end: the sum of the parts."""
        return sum(self.seconds.values())


class Sections:
    """A stop watch whose every moment belongs to a part.

    Args:
        device: Waited for at the border of every part.
    """

    def __init__(self, device: torch.device) -> None:
        self.steps: list[StepTimes] = []
        """The steps that were taken, in their order."""
        self._device = device
        self._thread = threading.get_ident()
        self._step = StepTimes()
        self._last = time.perf_counter()

    def begin(self) -> None:
        """Start the clock: what was before belongs to no step."""
        synchronise(self._device)
        self._step = StepTimes()
        self._last = time.perf_counter()

    def mark(self, part: str) -> bool:
        """Count the time since the last mark to a part. False in other threads: they work ahead and are not counted."""
        if threading.get_ident() != self._thread:
            return False
        synchronise(self._device)
        now = time.perf_counter()
        self._step.seconds[part] += now - self._last
        self._last = now
        return True

    def end(self, event: dict[str, Any]) -> None:
        """Close a step at the loop's event `progress`: an observer of the loop."""
        if event["event"] == "progress":
            self.mark("other")
            self.steps.append(self._step)
            self._step = StepTimes()

    def finish(self) -> None:
        """Take note that an epoch's steps are all taken."""

    def rows(self, count: int) -> None:
        """Take note of a step's rows."""
        self._step.rows = count

    # -- what stands between the loop and what it calls ---------------------------------------------------------------

    def loader(self, loader: Loader) -> Loader:
        """Return a loader of the same batches."""
        return _Loader(loader, self)

    def task(self, task: Any) -> Any:
        """Return a task of the same answers."""
        return _Task(task, self)

    def semi_supervised(self, method: Any) -> Any:
        """Return a way to learn from rows without a target that learns the same; None stays None. Its losses count to
        `backward`, and its rows to `data`."""

        def backward(model: Any, *args: Any, **kwargs: Any) -> Any:
            self.mark("other")
            return method.backward(Called(model, self._run(model, "backward")), *args, **kwargs)

        return method and Between(method, {"batch": self._after(method.batch, "data"),
                                           "backward": self._after(backward, "backward")})  # fmt: skip

    def _run(self, model: Any, before: str) -> Callable[..., Any]:
        """Return a call of a model that counts to `forward`, and what was before it to another part."""

        def run(*args: Any, **kwargs: Any) -> Any:
            self.mark(before)
            output = model(*args, **kwargs)
            self.mark("forward")
            return output

        return run

    def optimizer(self, optimizer: Any) -> Any:
        """Return an optimizer of the same steps."""
        return Between(optimizer, {"step": self._after(optimizer.step, "optimizer"),
                                    "zero_grad": self._after(optimizer.zero_grad, "optimizer")})  # fmt: skip

    def average(self, average: Any) -> Any:
        """Return a moving average of the same weights; None stays None."""
        return average and Between(average, {"update": self._after(average.update, "optimizer")})

    def _after(self, call: Callable[..., Any], part: str) -> Callable[..., Any]:
        """Return `call` with a mark behind it."""

        def marked(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            self.mark(part)
            return result

        return marked


class Clock(Sections):
    """Takes the time of whole steps as they come in training. Nobody waits there for an accelerator at every step:
    several of its steps are timed together, and each has their mean."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._waiting: list[StepTimes] = []

    def begin(self) -> None:
        super().begin()
        self._waiting = []

    def mark(self, part: str) -> bool:
        return threading.get_ident() == self._thread

    def end(self, event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            self._waiting.append(self._step)
            self._step = StepTimes()
            if self._device.type == "cpu" or len(self._waiting) == _TOGETHER:
                self.finish()

    def finish(self) -> None:
        if self._waiting and threading.get_ident() == self._thread:
            synchronise(self._device)
            now = time.perf_counter()
            for step in self._waiting:
                step.seconds["other"] = (now - self._last) / len(self._waiting)
            self.steps.extend(self._waiting)
            self._waiting, self._last = [], now


class Between:
    """Stands for another object; some of its methods are replaced."""

    def __init__(self, behind: Any, replaced: dict[str, Callable[..., Any]]) -> None:
        self._behind = behind
        self._replaced = replaced

    def __getattr__(self, name: str) -> Any:
        found = self._replaced.get(name)
        return getattr(self._behind, name) if found is None else found


class _Loader(Loader):
    """A loader whose batches say when they are asked for, there, and moved to the device."""

    def __init__(self, loader: Loader, sections: Sections) -> None:
        self.__dict__.update(vars(loader))
        self._behind = loader
        self._sections = sections

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        self._sections.begin()
        return self._watched(epoch, start)

    def _watched(self, epoch: int, start: int) -> Iterator[Batch]:
        try:
            for batch in self._behind.epoch(epoch, start):
                yield _Batch(batch, self._sections, "other" if self._sections.mark("data") else "data")
        finally:
            self._sections.finish()


class _Batch(Batch):
    """A batch that says when it is moved."""

    def __init__(self, batch: Batch, sections: Sections, before: str) -> None:
        for item in fields(Batch):
            object.__setattr__(self, item.name, getattr(batch, item.name))
        object.__setattr__(self, "_behind", batch)
        object.__setattr__(self, "_sections", sections)
        object.__setattr__(self, "_before", before)  # the part that ends when the batch is moved

    def to(self, device: torch.device) -> Batch:
        sections: Sections = self.__dict__["_sections"]
        sections.rows(len(self))
        sections.mark(self.__dict__["_before"])
        moved = cast(Batch, self.__dict__["_behind"]).to(device)
        sections.mark("transfer")
        return moved


class _Task(Between):
    """A task that says when the model runs, when the loss is there, and when all gradients are."""

    def __init__(self, task: Any, sections: Sections) -> None:
        super().__init__(task, {})
        self._sections = sections

    def forward(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        sections = self._sections
        sections.mark("other")

        out: dict[str, Tensor] = self._behind.forward(Called(model, sections._run(model, "loss")), batch)
        sections.mark("loss")
        loss = out["loss"]
        if loss.requires_grad:
            hook = lambda _: _when_backward_ends(lambda: sections.mark("backward"))  # noqa: E731
            loss.register_hook(hook)  # type: ignore[no-untyped-call]
        return out


class Called(Between):
    """A model that is called by way of `run`."""

    def __init__(self, model: Any, run: Callable[..., Any]) -> None:
        super().__init__(model, {})
        self._run = run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(*args, **kwargs)


def _when_backward_ends(call: Callable[[], object]) -> None:
    """Have the autograd engine call something at the end of the backward pass that is running."""
    engine: Any = torch.autograd.Variable._execution_engine
    engine.queue_callback(call)
