"""The optimizer's step within the backward pass: a parameter moves as soon as its gradient is there, which then goes.

So the gradients of all parameters are never there at once. Source: Lv et al. 2023, Full Parameter Fine-tuning for Large
Language Models with Limited Resources (LOMO); here with any optimizer that looks at one parameter at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from modelyard.core.errors import Problem, SpecError
from modelyard.spec.spec import TrainSpec

__all__ = ["FusedBackward", "check_fused_backward"]

_PLACE = "train.memory.fused_backward"


def check_fused_backward(settings: TrainSpec, accumulate: int) -> None:
    """Refuse what needs all gradients together.

    Args:
        settings: The training's settings.
        accumulate: Pieces a batch is cut into, as resolved.

    Raises:
        SpecError: Gradients are to be clipped by their common norm, or gathered over the pieces of a batch.
    """
    problems = []
    if settings.gradient_clip is not None:
        message = (
            f"each parameter moves before the others' gradients are known, so their common norm cannot be clipped; "
            f"leave out train.gradient_clip ({settings.gradient_clip:g}) or this"
        )
        problems.append(Problem(_PLACE, message))
    if accumulate > 1:
        message = (
            f"each parameter moves after one backward pass, and a batch in {accumulate} pieces has {accumulate}; set "
            "train.accumulate to 1, with a smaller train.batch_size when memory asks for it, or leave this out"
        )
        problems.append(Problem(_PLACE, message))
    if problems:
        raise SpecError(problems)


class FusedBackward:
    """Steps an optimizer from within `loss.backward()`; weights and state are those of an ordinary step, bit for bit.

    After the backward pass no parameter has a gradient, so an ordinary `optimizer.step()` that follows does nothing.
    The optimizer's state stays in its place: what is saved is what an ordinary training would save. A gradient that is
    not finite is in the weights by the time the loss is seen; only an earlier checkpoint leads back.

    Args:
        optimizer: Steps a parameter by its own gradient and state alone, as all of the table do.
        l1: Weight of the sum of absolute weights of matrices and kernels, added to their gradients.
        l2: Weight of half the sum of their squares.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, l1: float = 0.0, l2: float = 0.0) -> None:
        self.optimizer = optimizer
        self._l1 = l1
        self._l2 = l2
        self._handles: dict[int, RemovableHandle] = {}
        self.attach()

    def attach(self) -> None:
        """Take in parameters that require a gradient only now, such as those that were frozen before."""
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.requires_grad and id(parameter) not in self._handles:
                    self._handles[id(parameter)] = parameter.register_post_accumulate_grad_hook(self._step)

    def remove(self) -> None:
        """Leave the parameters alone from now on; the optimizer steps as an ordinary one."""
        for handle in self._handles.values():
            handle.remove()
        self._handles.clear()

    @torch.no_grad()
    def _step(self, parameter: Tensor) -> None:
        assert parameter.grad is not None
        if parameter.ndim >= 2:
            if self._l1:
                parameter.grad.add_(parameter.sign(), alpha=self._l1)
            if self._l2:
                parameter.grad.add_(parameter, alpha=self._l2)
        groups = self.optimizer.param_groups
        whole: list[list[Any]] = [group["params"] for group in groups]
        try:
            for group in groups:
                group["params"] = [parameter] if any(one is parameter for one in group["params"]) else []
            self.optimizer.step()
        finally:
            for group, parameters in zip(groups, whole, strict=True):
                group["params"] = parameters
        parameter.grad = None
