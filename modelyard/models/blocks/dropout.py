"""Dropout (Srivastava et al. 2014) whose random numbers do not cost more than the layer they protect."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Dropout"]

_MANY = 1 << 15
"""Numbers from which on drawing them torch's way, one after the other, is what a CPU spends its time on."""
_STEPS = 1 << 16


class Dropout(nn.Dropout):
    """As `nn.Dropout`. Many numbers on a CPU are dropped by 16 random bits each, an eighth of the time of torch's own
    draw; the probability is then a multiple of 2⁻¹⁶. The bits follow from torch's CPU generator, of which one number is
    taken."""

    def forward(self, x: Tensor) -> Tensor:
        """Map float of any shape to the same shape."""
        quick = self.training and 0 < self.p < 1 and x.device.type == "cpu" and x.numel() >= _MANY
        if not quick or torch.compiler.is_compiling():
            return functional.dropout(x, self.p, self.training)
        return cast(Tensor, _Drop.apply(x, self.p))  # type: ignore[no-untyped-call]


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, probability: float) -> Tensor:
        dropped = max(1, round(probability * _STEPS))
        seed = int(torch.randint(0, 2**62, ()))
        bits = np.frombuffer(np.random.Generator(np.random.SFC64(seed)).bytes(2 * x.numel()), np.uint16)
        kept = torch.from_numpy(bits >= dropped).view(x.shape)
        context.save_for_backward(kept)
        context.scale = _STEPS / (_STEPS - dropped)
        return (x * kept).mul_(context.scale)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (kept,) = context.saved_tensors
        return (gradient * kept).mul_(context.scale), None
