"""What optimizers of our own share: a step is one of each parameter group."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

__all__ = ["GroupOptimizer", "embedding_ids"]


class GroupOptimizer(torch.optim.Optimizer, ABC):
    """An optimizer that steps its parameter groups one after another."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; `closure`, when given, recomputes the loss with gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self.step_group(group)
        return loss

    @abstractmethod
    def step_group(self, group: dict[str, Any]) -> None:
        """Move the group's parameters by their gradients, in place; those without a gradient stay."""


def embedding_ids(model: nn.Module) -> set[int]:
    """Return the `id` of every parameter of an embedding, which optimizers treat otherwise than matrices."""
    embeddings = (module for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag))
    return {id(parameter) for embedding in embeddings for parameter in embedding.parameters()}
