"""From one vector a token to one vector a text. Tokens past a row's length never count.

Legend: B batch, T time, D width.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["Pooling", "pool", "real_tokens"]

Pooling = Literal["mean", "max", "first", "last"]


def real_tokens(ids_BT: Tensor, length_B: Tensor) -> Tensor:
    """Return bool (B, T): True where a token is real, False where the row is padded."""
    return torch.arange(ids_BT.shape[1], device=ids_BT.device) < length_B[:, None]


def pool(how: Pooling, x_BTD: Tensor, length_B: Tensor) -> Tensor:
    """Return float (B, D): the mean, maximum, first or last of each row's `length_B[b]` ≥ 1 real vectors."""
    if how == "first":
        return x_BTD[:, 0]
    if how == "last":
        last_B1D = (length_B - 1)[:, None, None].expand(-1, 1, x_BTD.shape[2])
        return x_BTD.gather(1, last_B1D)[:, 0]
    real_BT1 = real_tokens(x_BTD, length_B)[:, :, None]
    if how == "max":
        return x_BTD.masked_fill(~real_BT1, float("-inf")).amax(1)
    # The sum is taken in float32: bfloat16 loses small terms of a long text.
    total_BD = x_BTD.masked_fill(~real_BT1, 0.0).sum(1, dtype=torch.float32)
    return (total_BD / length_B[:, None]).to(x_BTD.dtype)
