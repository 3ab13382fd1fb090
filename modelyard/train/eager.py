"""torch's optimizers without torch's compiler, which they bring in on first use: seconds at the start of every
training, for an optimizer that is not compiled.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import TypeVar, cast

import torch

__all__ = ["eager"]

Kind = TypeVar("Kind", bound=type[torch.optim.Optimizer])


def eager(kind: Kind) -> Kind:
    """Return an optimizer class whose methods are the ones inside torch's wrappers; the arithmetic is the same.

    The wrappers keep the compiler from looking into `add_param_group` and `zero_grad`, and end its graph around `step`,
    which they also run without gradients.
    """
    return cast(Kind, _made(kind))  # type: ignore[arg-type]


@cache
def _made(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    bare = {name: inspect.unwrap(getattr(kind, name)) for name in ("add_param_group", "zero_grad", "step")}
    bare["step"] = torch.no_grad()(bare["step"])
    return type(kind.__name__, (kind,), bare)
