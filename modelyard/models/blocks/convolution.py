"""Convolutions over pictures, and the size a picture has after them.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from modelyard.models.blocks.activation import RISING, Activation, activation
from modelyard.models.blocks.checkpointing import Block
from modelyard.models.blocks.initialise import he

__all__ = ["ConvLayer", "size_after"]


def size_after(size: int, kernel: int, stride: int, padding: int) -> int:
    """Return the pixels left along one side after a window of `kernel` pixels moved by `stride`; below 1: none fits."""
    return (size + 2 * padding - kernel) // stride + 1


class ConvLayer(Block):
    """Convolution → norm → activation. Weights start by He et al. 2015; the memory format of the input is kept.

    With a batch norm the convolution has no bias, which the norm would cancel.
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        norm: Literal["none", "batch"] = "none",
        function: Activation | None = "relu",
        fan: Literal["fan_in", "fan_out"] = "fan_in",
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, filters, kernel, stride, padding, bias=norm == "none")
        he(self.convolution, function or "relu", fan)
        self.norm = nn.BatchNorm2d(filters) if norm == "batch" else nn.Identity()
        self.activation = nn.Identity() if function is None else activation(function)

    def split(self) -> tuple[ConvLayer, nn.Module | None]:
        """Take the activation out, where it never falls as its input rises, so that it changes places with the largest
        of a window; returns this layer and that activation, or None."""
        if not isinstance(self.activation, RISING):
            return self, None
        taken, self.activation = self.activation, nn.Identity()
        return self, taken

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Map float (B, C, H, W) to float (B, filters, H', W')."""
        return self.activation(self.norm(self.convolution(x_BCHW)))  # type: ignore[no-any-return]
