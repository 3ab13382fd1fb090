"""torch's optimizers without what surrounds their arithmetic: the compiler, which they bring in on first use (seconds
at the start of every training), a profiler's marks, and in Adam's case most of the Python around its one kernel.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import torch

__all__ = ["eager"]

Kind = TypeVar("Kind", bound=type[torch.optim.Optimizer])


def eager(kind: Kind) -> Kind:
    """Return an optimizer class that takes the same steps, bit for bit, with the same state.

    torch's wrappers keep the compiler from looking into `add_param_group` and `zero_grad`, and end its graph around
    `step`, which they also run without gradients; the methods inside them are used as they are.
    """
    return cast(Kind, _made(kind))  # type: ignore[arg-type]


@cache
def _made(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    methods: dict[str, Any] = {"add_param_group": inspect.unwrap(kind.add_param_group), "zero_grad": _zero_grad}
    inner = inspect.unwrap(kind.step)
    step = _step_of_adam(inner) if kind in (torch.optim.Adam, torch.optim.AdamW) else inner
    methods["step"] = torch.no_grad()(step)
    methods["step"].hooked = True  # or torch would put its profiler's marks around it
    return type(kind.__name__, (kind,), methods)


def _zero_grad(self: torch.optim.Optimizer, set_to_none: bool = True) -> None:
    for group in self.param_groups:
        for parameter in group["params"]:
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad.zero_()


def _step_of_adam(inner: Callable[..., Any]) -> Callable[..., Any]:
    """Return Adam's step: its kernel called directly where it is fused, once a step by torch has made the state."""

    def step(self: torch.optim.Adam, closure: Callable[[], float] | None = None) -> float | None:
        if closure is not None or not all(_is_plain(group, self.state) for group in self.param_groups):
            return cast("float | None", inner(self, closure))
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            states = [self.state[parameter] for parameter in parameters]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            kernel = torch._fused_adamw_ if isinstance(self, torch.optim.AdamW) else torch._fused_adam_
            kernel(
                parameters,
                [cast(torch.Tensor, parameter.grad) for parameter in parameters],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                steps,
                amsgrad=False,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
                grad_scale=None,
                found_inf=None,
            )
        return None

    return step


def _is_plain(group: dict[str, Any], state: dict[Any, Any]) -> bool:
    """Whether one kernel on the CPU steps a group, and every parameter with a gradient has its state already."""
    if not group["fused"] or group["amsgrad"] or isinstance(group["lr"], torch.Tensor):
        return False
    return all(
        parameter.device.type == "cpu" and parameter in state
        for parameter in group["params"]
        if parameter.grad is not None
    )
