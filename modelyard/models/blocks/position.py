"""Where a token stands: added to its vector, or turned into its queries and keys.

Legend: B batch, H heads, T time, D width, K head width.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["AddedPositions", "Position", "Rotary", "sinusoids"]

Position = Literal["learned", "sinusoidal", "rotary"]


def sinusoids(length: int, width: int) -> Tensor:
    """Return the fixed position vectors of Vaswani et al. 2017, float32 (length, width), width even.

    Even columns hold sin(t / 10000^(column / width)), the odd ones after them the cosine of the same angle.
    """
    angle_TK = torch.outer(torch.arange(length, dtype=torch.float64), _frequencies(width, 10_000.0))
    return torch.stack([angle_TK.sin(), angle_TK.cos()], 2).flatten(1).float()


def _frequencies(width: int, base: float) -> Tensor:
    return base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)


class AddedPositions(nn.Module):
    """A vector for each position, added to the token's: learned, from N(0, 0.02²), or sinusoidal."""

    table: Tensor

    def __init__(self, kind: Literal["learned", "sinusoidal"], max_length: int, width: int) -> None:
        super().__init__()
        if kind == "learned":
            self.table = nn.Parameter(torch.empty(max_length, width).normal_(std=0.02))
        else:
            self.register_buffer("table", sinusoids(max_length, width), persistent=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Add positions 0 to T − 1 (at most the maximum length) to float (B, T, D)."""
        return x_BTD + self.table[: x_BTD.shape[1]]


class Rotary(nn.Module):
    """Rotary positions (Su et al. 2021): a dot product of query and key depends on their distance alone.

    Component i turns together with component i + K / 2, by position · base^(−2 i / K).
    """

    cosine: Tensor
    sine: Tensor

    def __init__(self, max_length: int, head_width: int, base: float = 10_000.0) -> None:
        super().__init__()
        angle_TK = torch.outer(torch.arange(max_length, dtype=torch.float64), _frequencies(head_width, base))
        self.register_buffer("cosine", angle_TK.cos().float(), persistent=False)
        self.register_buffer("sine", angle_TK.sin().float(), persistent=False)

    def forward(self, x_BHTK: Tensor) -> Tensor:
        """Turn queries or keys, float (B, H, T, K) at positions 0 to T − 1; shape and dtype stay."""
        length = x_BHTK.shape[2]
        cosine, sine = self.cosine[:length].to(x_BHTK.dtype), self.sine[:length].to(x_BHTK.dtype)
        first, second = x_BHTK.chunk(2, 3)
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], 3)
