"""Lion: the sign of an interpolated momentum (Chen et al. 2023, Symbolic Discovery of Optimization Algorithms)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from modelyard.spec.settings import Settings
from modelyard.train.optimizing.base import GroupOptimizer
from modelyard.train.optimizing.eager import eager
from modelyard.train.optimizing.optimizers import OptimizerEntry, Share, parameter_groups

__all__ = ["Lion", "LionOptimizer"]


class LionOptimizer(GroupOptimizer):
    """θ ← θ·(1 − lr·decay) − lr·sign(β₁·m + (1−β₁)·g);  m ← β₂·m + (1−β₂)·g."""

    def __init__(self, groups: Any, betas: tuple[float, float]) -> None:
        super().__init__(groups, {"betas": betas})

    def step_group(self, group: dict[str, Any]) -> None:
        parameters: list[Tensor] = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            return
        beta1, beta2 = group["betas"]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        updates = torch._foreach_lerp(momenta, gradients, 1 - beta1)
        torch._foreach_sign_(updates)
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, updates, alpha=-group["lr"])
        torch._foreach_lerp_(momenta, gradients, 1 - beta2)


class Lion(OptimizerEntry):
    """Lion; its learning rate is usually 3 to 10 times smaller than AdamW's, its decay as much larger."""

    learning_rate = 1e-4
    weight_decay = 0.1

    class Settings(Settings):
        betas: tuple[Share, Share] = (0.9, 0.99)
        """Interpolation of the update, and decay of the momentum."""

    @classmethod
    def make(cls, model: nn.Module, learning_rate: float, weight_decay: float, settings: Any) -> torch.optim.Optimizer:
        groups = parameter_groups(model.named_parameters(), learning_rate, weight_decay)
        return eager(LionOptimizer)(groups, settings.betas)
