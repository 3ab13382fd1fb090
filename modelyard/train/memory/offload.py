"""The optimizer's state in the computer's memory: gradients go there, the step is taken there, and weights come back.

Source: Ren et al. 2021, ZeRO-Offload: Democratizing Billion-Scale Model Training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["Offload", "offload"]

_CPU = torch.device("cpu")


def offload(optimizer: torch.optim.Optimizer) -> str | None:
    """Let an optimizer keep its state in the computer's memory and step there, where that saves anything.

    Returns:
        What to tell the user when nothing is saved, for the weights are on the CPU already; else None.
    """
    devices = {parameter.device.type for group in optimizer.param_groups for parameter in group["params"]}
    if devices <= {"cpu"}:
        return "train.memory.offload has no effect: the weights are on the CPU already, and so is the optimizer's state"
    Offload(optimizer)
    return None


class Offload:
    """Takes an optimizer's steps on float32 twins of its parameters that stand in the computer's memory.

    Between steps the optimizer's groups and state name the model's own parameters, so that everything else deals with
    it as ever; only the tensors of the state stand elsewhere. A state that was just restored, wherever it stands, and
    weights that were written to between steps are taken over. Twins and gradients are pinned for quick copies.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._twins: dict[Tensor, _Twin] = {}
        self._held: list[list[Any]] = []
        optimizer.register_step_pre_hook(self._before)
        optimizer.register_step_post_hook(self._after)

    @torch.no_grad()
    def _before(self, *_: Any) -> None:
        """Put twins in the places of all parameters that have a gradient."""
        optimizer = self._optimizer
        self._held = [group["params"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["params"] = [one for one in group["params"] if one.grad is not None]
            for parameter in group["params"]:
                if parameter not in self._twins:
                    self._twins[parameter] = _Twin(parameter)
                self._twins[parameter].fetch(parameter)
        for device in {one.device for group in optimizer.param_groups for one in group["params"]}:
            if device.type == "cuda":
                torch.cuda.current_stream(device).synchronize()  # the gradients have arrived
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter in optimizer.state:
                    state = optimizer.state.pop(parameter)
                    optimizer.state[self._twins[parameter].weights] = {
                        key: _here(value) for key, value in state.items()
                    }
            group["params"] = [self._twins[parameter].weights for parameter in group["params"]]

    @torch.no_grad()
    def _after(self, *_: Any) -> None:
        """Bring the moved weights back, and put the parameters in their places again."""
        optimizer = self._optimizer
        for group, parameters in zip(optimizer.param_groups, self._held, strict=True):
            group["params"] = parameters
            for parameter in parameters:
                if parameter.grad is not None:
                    twin = self._twins[parameter]
                    twin.give_back(parameter)
                    if twin.weights in optimizer.state:
                        optimizer.state[parameter] = optimizer.state.pop(twin.weights)


class _Twin:
    """A parameter's float32 weights and gradient in the computer's memory."""

    def __init__(self, parameter: Tensor) -> None:
        pinned = parameter.device.type == "cuda"
        self.weights = torch.empty_like(parameter, dtype=torch.float32, device=_CPU, pin_memory=pinned)
        self._gradient = torch.empty_like(self.weights, pin_memory=pinned)
        self._version = -1

    def fetch(self, parameter: Tensor) -> None:
        """Begin to copy the gradient here, and the weights when someone else has written to them."""
        if parameter._version != self._version:
            self.weights.copy_(parameter, non_blocking=True)
        assert parameter.grad is not None
        self._gradient.copy_(parameter.grad, non_blocking=True)
        self.weights.grad = self._gradient

    def give_back(self, parameter: Tensor) -> None:
        """Begin to copy the weights back, and let go of the parameter's gradient."""
        parameter.copy_(self.weights, non_blocking=True)
        self._version = parameter._version
        self.weights.grad = parameter.grad = None


def _here(value: Any) -> Any:
    return value.to(_CPU) if isinstance(value, Tensor) else value
