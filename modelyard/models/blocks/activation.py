"""Activation functions by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import nn

__all__ = ["ACTIVATIONS", "RISING", "Activation", "activation"]

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]

ACTIVATIONS: tuple[str, ...] = get_args(Activation)

_MODULES: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


RISING = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Tanh, nn.Sigmoid)
"""Those that never fall as their input rises."""


def activation(name: Activation) -> nn.Module:
    """Return a new module for the named function; it has no parameters and keeps the shape."""
    return _MODULES[name]()
