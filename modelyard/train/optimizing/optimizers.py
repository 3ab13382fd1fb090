"""Optimizers: torch's own, behind settings that say what each one has and its usual learning rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from modelyard.spec.settings import Settings
from modelyard.train.optimizing.eager import eager

__all__ = ["Adagrad", "Adam", "AdamW", "OptimizerEntry", "RmsProp", "Sgd", "parameter_groups"]

Share = Annotated[float, Field(ge=0, lt=1)]


class OptimizerEntry(ABC):
    """An optimizer of the table: its settings, its usual rates, and how it is made."""

    Settings: ClassVar[type[Settings]]
    learning_rate: ClassVar[float]
    """The peak learning rate used when the spec says none."""
    weight_decay: ClassVar[float] = 0.0
    """The weight decay used when the spec says none."""

    @classmethod
    @abstractmethod
    def make(cls, model: nn.Module, learning_rate: float, weight_decay: float, settings: Any) -> torch.optim.Optimizer:
        """Return the optimizer over the model's trainable parameters. Each parameter group has `initial_lr`."""


def parameter_groups(
    parameters: Iterable[tuple[str, nn.Parameter]], learning_rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Sort trainable parameters into those that decay (matrices and kernels) and those that do not (biases, norms)."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for _, parameter in parameters:
        if parameter.requires_grad:
            (decayed if parameter.ndim >= 2 else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return [{**group, "lr": learning_rate, "initial_lr": learning_rate} for group in groups if group["params"]]


class Sgd(OptimizerEntry):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013)."""

    learning_rate = 0.01

    class Settings(Settings):
        momentum: Share = 0.9
        """Share of the last step's direction that is kept."""
        nesterov: bool = False
        """Look ahead along the momentum before measuring the gradient."""
        dampening: Share = 0.0
        """How much of the new gradient the momentum leaves out."""

    @classmethod
    def make(cls, model: nn.Module, learning_rate: float, weight_decay: float, settings: Any) -> torch.optim.Optimizer:
        groups = parameter_groups(model.named_parameters(), learning_rate, weight_decay)
        return eager(torch.optim.SGD)(
            groups,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            dampening=settings.dampening,
            fused=_fused(model),
        )


class Adam(OptimizerEntry):
    """Adam (Kingma and Ba 2015); weight decay is added to the gradient."""

    learning_rate = 1e-3
    _kind: ClassVar[type[torch.optim.Adam]] = torch.optim.Adam

    class Settings(Settings):
        betas: tuple[Share, Share] = (0.9, 0.999)
        """Decay of the running mean of the gradient and of its square."""
        eps: Annotated[float, Field(gt=0)] = 1e-8
        """Added to the denominator."""
        amsgrad: bool = False
        """Divide by the largest running square seen (Reddi et al. 2018)."""

    @classmethod
    def make(cls, model: nn.Module, learning_rate: float, weight_decay: float, settings: Any) -> torch.optim.Optimizer:
        groups = parameter_groups(model.named_parameters(), learning_rate, weight_decay)
        return eager(cls._kind)(
            groups, betas=settings.betas, eps=settings.eps, amsgrad=settings.amsgrad, fused=_fused(model)
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    weight_decay = 0.01
    _kind = torch.optim.AdamW


class RmsProp(OptimizerEntry):
    """RMSprop (Hinton 2012)."""

    learning_rate = 1e-3

    class Settings(Settings):
        alpha: Share = 0.99
        """Decay of the running mean of the squared gradient."""
        momentum: Share = 0.0
        """Share of the last step that is kept."""
        eps: Annotated[float, Field(gt=0)] = 1e-8
        """Added to the denominator."""
        centered: bool = False
        """Divide by the variance rather than the mean square."""

    @classmethod
    def make(cls, model: nn.Module, learning_rate: float, weight_decay: float, settings: Any) -> torch.optim.Optimizer:
        groups = parameter_groups(model.named_parameters(), learning_rate, weight_decay)
        return eager(torch.optim.RMSprop)(
            groups, alpha=settings.alpha, momentum=settings.momentum, eps=settings.eps, centered=settings.centered
        )


class Adagrad(OptimizerEntry):
    """Adagrad (Duchi et al. 2011)."""

    learning_rate = 0.01

    class Settings(Settings):
        lr_decay: Annotated[float, Field(ge=0)] = 0.0
        """Decay of the learning rate with the steps."""
        eps: Annotated[float, Field(gt=0)] = 1e-10
        """Added to the denominator."""

    @classmethod
    def make(cls, model: nn.Module, learning_rate: float, weight_decay: float, settings: Any) -> torch.optim.Optimizer:
        groups = parameter_groups(model.named_parameters(), learning_rate, weight_decay)
        return eager(torch.optim.Adagrad)(groups, lr_decay=settings.lr_decay, eps=settings.eps)


def _fused(model: nn.Module) -> bool:
    """One kernel for the whole step, where torch has one: floating-point parameters on a CPU or CUDA device."""
    return all(parameter.device.type in ("cpu", "cuda") for parameter in model.parameters())
