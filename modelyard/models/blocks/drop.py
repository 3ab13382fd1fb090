"""Dropping more than single numbers while training: whole tokens, whole residual branches.

Legend: B batch, T time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["DropPath", "TokenDropout", "rising"]


def rising(last: float, count: int) -> list[float]:
    """Return `count` probabilities in equal steps from 0 to `last`, one a layer (Huang et al. 2016); one is `last`."""
    return [last * index / (count - 1) for index in range(count)] if count > 1 else [last] * count


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016): in training, drop a row's residual branch with `probability`.

    What is kept is scaled by 1 / (1 − probability), so that evaluation needs no change.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, branch: Tensor) -> Tensor:
        """Map float (B, …) to the same shape."""
        if not self.training or self.probability == 0.0:
            return branch
        kept = branch.new_empty((branch.shape[0],) + (1,) * (branch.dim() - 1)).bernoulli_(1.0 - self.probability)
        return branch * (kept / (1.0 - self.probability))

    def extra_repr(self) -> str:
        """Show the probability in the module's printed form."""
        return f"{self.probability:g}"


class TokenDropout(nn.Module):
    """Word dropout (Iyyer et al. 2015): in training, each real token is left out with `probability`.

    A row that would lose all its tokens keeps its first.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, real_BT: Tensor) -> Tensor:
        """Map bool (B, T), True for tokens that count, to the same with some set to False."""
        if not self.training or self.probability == 0.0:
            return real_BT
        kept_BT = real_BT & (torch.rand(real_BT.shape, device=real_BT.device) >= self.probability)
        first_T = torch.arange(real_BT.shape[1], device=real_BT.device) == 0
        return kept_BT | (first_T & ~kept_BT.any(1, keepdim=True))

    def extra_repr(self) -> str:
        """Show the probability in the module's printed form."""
        return f"{self.probability:g}"
