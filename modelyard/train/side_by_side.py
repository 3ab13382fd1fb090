"""One step on several threads, each with a part of the batch: forward and backward side by side, gradients added up.

Threads within one product wait for each other at the end of each, which in a recurrent network costs more than it
brings; threads with a part of the batch each wait once a step. The sum is taken in the order of the parts, so that a
training is the same every time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from modelyard.core.errors import NoTargets
from modelyard.data.batch import Batch
from modelyard.spec.spec import TrainSpec
from modelyard.tasks.base import Task

__all__ = ["SideBySide", "can_be_divided", "sharing", "team"]

Part = tuple[Tensor, Tensor, Tensor, Sequence[Tensor | None]]
"""Loss times weight, weight, output, gradients."""


class SideBySide:
    """Threads that take parts of a batch.

    Args:
        threads: How many.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None

    def backward(
        self, task: Task, model: nn.Module, batch: Batch, arithmetic: Callable[[], AbstractContextManager[object]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Set the gradients of a batch's mean loss; returns the loss, its denominator and the outputs (B, O).

        Raises:
            NoTargets: No row has a target.
        """
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                self.threads, "step", initializer=_begin, initargs=(torch.get_num_threads(),)
            )
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

        def run(piece: Batch) -> Part | Tensor:
            with arithmetic():
                try:
                    out = task.forward(model, piece)
                except NoTargets:  # of these rows; the others of the batch may have some
                    return cast(Tensor, model(piece.inputs).detach())
            total = out["loss"] * out["weight"]
            gradients = torch.autograd.grad(total, parameters, allow_unused=True)
            return total.detach(), out["weight"], out["output"].detach(), gradients

        found = list(self._pool.map(run, batch.pieces(self.threads)))
        parts = [part for part in found if not isinstance(part, Tensor)]
        if not parts:
            raise NoTargets(f"no targets: all {len(batch)} rows of this batch lack theirs, in each of its parts")
        weight = torch.stack([part[1] for part in parts]).sum()
        for parameter, *gradients in zip(parameters, *(part[3] for part in parts), strict=True):
            given = [gradient for gradient in gradients if gradient is not None]
            parameter.grad = sum(given[1:], given[0]) if given else None
        torch._foreach_div_([parameter.grad for parameter in parameters if parameter.grad is not None], weight)
        loss = torch.stack([part[0] for part in parts]).sum() / weight
        return loss, weight, torch.cat([part if isinstance(part, Tensor) else part[2] for part in found])


def _begin(threads: int) -> None:
    torch.set_num_threads(threads)  # torch keeps this number for each thread
    torch.set_flush_denormal(True)


def can_be_divided(task: Task, model: nn.Module, batch: Batch) -> bool:
    """Whether a step on parts of a batch is the step on the whole: no layer looks at the whole batch, and none draws
    random numbers, which threads would draw in no certain order."""
    if task.whole_batches or any(isinstance(module, _BatchNorm) for module in model.modules()):
        return False
    before = torch.random.get_rng_state()
    with torch.no_grad():
        model(batch.rows(0, 1).inputs)
    return torch.equal(before, torch.random.get_rng_state())


@cache
def team(threads: int) -> SideBySide:
    """Return the threads that take parts of a batch; they are begun once."""
    return SideBySide(threads)


@contextlib.contextmanager
def sharing(settings: TrainSpec) -> Iterator[None]:
    """Give each part of a batch its share of the threads while steps are taken, and put their number back."""
    parts, before = settings.side_by_side, torch.get_num_threads()
    if not isinstance(parts, int) or parts == 1:
        yield
        return
    torch.set_num_threads(max(1, before // parts))
    try:
        yield
    finally:
        torch.set_num_threads(before)
