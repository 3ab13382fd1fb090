"""Muon for hidden matrices and kernels, AdamW for the rest, stepped as one optimizer.

Source: Jordan et al. 2024 (Muon: an optimizer for hidden layers); the step's scale follows Liu et al. 2025, so that one
learning rate serves both parts. A kernel is orthogonalised as a matrix (filters, inputs × area).
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from modelyard.spec.settings import Settings
from modelyard.train.optimizing.base import GroupOptimizer, embedding_ids
from modelyard.train.optimizing.eager import eager
from modelyard.train.optimizing.optimizers import OptimizerEntry, Share

__all__ = ["Muon", "MuonOptimizer", "orthogonalise"]

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic Newton–Schulz iteration, chosen by Jordan et al. for steepness at zero."""


def orthogonalise(matrix: Tensor, steps: int) -> Tensor:
    """Return U·Vᵀ of `matrix` = U·S·Vᵀ, approximately: singular values end up near 1 (within about 0.7 to 1.2).

    Args:
        matrix: (rows, columns), any float dtype.
        steps: Newton–Schulz iterations; 5 is usual.
    """
    a, b, c = _COEFFICIENTS
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class MuonOptimizer(GroupOptimizer):
    """Groups with `muon` true hold matrices and kernels; the others are stepped by AdamW."""

    def __init__(self, groups: Any, settings: Any) -> None:
        super().__init__(groups, {"muon": True})
        self._settings = settings

    def step_group(self, group: dict[str, Any]) -> None:
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            (self._muon if group["muon"] else self._adam)(parameter, group["lr"])

    def _muon(self, parameter: Tensor, learning_rate: float) -> None:
        settings, state, gradient = self._settings, self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - settings.momentum)
        direction = gradient.lerp(state["momentum"], settings.momentum) if settings.nesterov else state["momentum"]
        matrix = orthogonalise(direction.flatten(1), settings.iterations)
        scale = 0.2 * max(matrix.shape) ** 0.5
        parameter.add_(matrix.view_as(parameter), alpha=-learning_rate * scale)

    def _adam(self, parameter: Tensor, learning_rate: float) -> None:
        state, gradient = self.state[parameter], parameter.grad
        beta1, beta2 = self._settings.betas
        assert gradient is not None
        if not state:
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        state["step"] += 1
        state["mean"].lerp_(gradient, 1 - beta1)
        state["square"].lerp_(gradient.square(), 1 - beta2)
        step = float(state["step"])
        denominator = (state["square"] / (1 - beta2**step)).sqrt_().add_(1e-8)
        parameter.addcdiv_(state["mean"], denominator, value=-learning_rate / (1 - beta1**step))


class Muon(OptimizerEntry):
    """Muon for all matrices and kernels but the first and the last; AdamW for those, embeddings, biases and norms."""

    learning_rate = 1e-3
    weight_decay = 0.01

    class Settings(Settings):
        momentum: Share = 0.95
        """Share of the last direction that is kept, in the Muon part."""
        nesterov: bool = True
        """Look ahead along the momentum."""
        iterations: Annotated[int, Field(ge=1, le=20)] = 5
        """Newton–Schulz iterations."""
        betas: tuple[Share, Share] = (0.9, 0.99)
        """Of the AdamW part."""

    @classmethod
    def make(cls, model: nn.Module, learning_rate: float, weight_decay: float, settings: Any) -> torch.optim.Optimizer:
        embeddings = embedding_ids(model)
        matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2 and id(p) not in embeddings]
        hidden = matrices[1:-1]
        chosen = {id(parameter) for parameter in hidden}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
        base = {"lr": learning_rate, "initial_lr": learning_rate}
        groups = [
            {"params": hidden, "muon": True, "weight_decay": weight_decay},
            {"params": [p for p in rest if p.ndim >= 2], "muon": False, "weight_decay": weight_decay},
            {"params": [p for p in rest if p.ndim < 2], "muon": False, "weight_decay": 0.0},
        ]
        return eager(MuonOptimizer)([{**group, **base} for group in groups if group["params"]], settings)
