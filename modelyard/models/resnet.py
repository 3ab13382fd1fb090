"""Residual networks for pictures (He et al. 2015, "Deep Residual Learning for Image Recognition").

Legend: B batch, C channels, H height, W width, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from modelyard.data.kinds import Image, Input
from modelyard.models.base import Family
from modelyard.models.blocks.checkpointing import Block
from modelyard.models.blocks.convolution import ConvLayer
from modelyard.models.blocks.dense import output_layer
from modelyard.models.blocks.drop import DropPath, rising
from modelyard.spec.settings import SizedSettings

__all__ = ["ResNet"]

LARGEST_FOR_SMALL_STEM = 64
"""Pixels on the longer side up to which a picture keeps its size in the stem."""


class ResNet(Family):
    """Stem → four stages of residual blocks, each half the resolution and twice the width → mean → outputs.

    Convolutions start by He et al. 2015 (fan out); the last norm of each block starts with scale 0, so that every
    block begins as the identity (Goyal et al. 2017); the output layer by Glorot and Bengio 2010.
    """

    class Settings(SizedSettings):
        """Depth and width. Depth 18 and width 64 with three channels is the network of the paper."""

        SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
            "tiny": {"depth": 18, "width": 16},
            "small": {"depth": 18, "width": 32},
            "medium": {"depth": 18, "width": 64},
            "large": {"depth": 50, "width": 64},
        }

        depth: Literal[18, 34, 50] = 18
        """Layers with weights. 18 and 34 have blocks of two 3 × 3 convolutions, 50 has bottlenecks of three."""
        width: PositiveInt = 64
        """Filters of the first stage; the others have two, four and eight times as many."""
        stem: Literal["auto", "imagenet", "small"] = "auto"
        """How a picture enters: `imagenet` reduces it to a quarter (7 × 7 with stride 2, then a pool), `small` keeps
        its size (3 × 3 with stride 1); `auto` is `small` for pictures of at most 64 pixels on their longer side."""
        drop_path: float = Field(0.0, ge=0.0, lt=1.0)
        """Chance that the last block is skipped while training; earlier blocks less, in equal steps from 0
        (stochastic depth, Huang et al. 2016)."""

    name = "resnet"
    accepts = ("image",)
    gains_by_bfloat16 = True

    def __init__(self, settings: Settings, inputs: Sequence[Input], output_size: int) -> None:
        super().__init__(settings, inputs, output_size)
        (picture,) = inputs
        assert isinstance(picture, Image)
        small = self.settle(settings, inputs).stem == "small"
        width = settings.width
        self.stem = nn.Sequential(_convolution(picture.channels, width, 3 if small else 7, 1 if small else 2, "relu"))
        if not small:
            self.stem.append(nn.MaxPool2d(3, 2, 1))

        block, blocks = _STAGES[settings.depth]
        drops = rising(settings.drop_path, sum(blocks))
        self.stages = nn.Sequential()
        channels = width
        for stage, count in enumerate(blocks):
            layers = nn.Sequential()
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                layers.append(block(channels, width << stage, stride, drops.pop(0)))
                channels = (width << stage) * block.expansion
            self.stages.append(layers)
        self.output = output_layer(channels, output_size)
        # Convolutions over channels-last memory are the quicker ones on CPUs and GPUs alike.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def settle(cls, settings: Settings, inputs: Sequence[Input]) -> Settings:
        """Return the settings with the stem decided by the picture's size."""
        (picture,) = inputs
        assert isinstance(picture, Image)
        stem = "small" if max(picture.height, picture.width) <= LARGEST_FOR_SMALL_STEM else "imagenet"
        return settings if settings.stem != "auto" else settings.model_copy(update={"stem": stem})

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map `NAME.pixels` (B, C, H, W) to the mean over the last maps, float (B, F)."""
        return self.maps(inputs).mean((2, 3))

    def maps(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the maps of the last stage."""
        return self.stages(self.stem(inputs[self.inputs[0].tensors[0]]))  # type: ignore[no-any-return]


class _Block(Block):
    """A residual block: x + branch(x), then ReLU. Where the shape changes, x passes a 1 × 1 convolution."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.branch = self._branch(channels, width, stride)
        nn.init.zeros_(self.branch[-1].norm.weight)  # type: ignore[arg-type,union-attr]
        self.drop_path = DropPath(drop_path)
        result = width * self.expansion
        same = stride == 1 and channels == result
        self.shortcut = nn.Identity() if same else _convolution(channels, result, 1, stride, None)
        self.activation = nn.ReLU()

    def _branch(self, channels: int, width: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            _convolution(channels, width, 3, stride, "relu"),
            _convolution(width, width, 3, 1, None),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.activation(self.shortcut(x_BCHW) + self.drop_path(self.branch(x_BCHW)))  # type: ignore[no-any-return]


class _Bottleneck(_Block):
    """1 × 1 to fewer filters, 3 × 3 (which takes the stride), 1 × 1 to four times as many."""

    expansion = 4

    def _branch(self, channels: int, width: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            _convolution(channels, width, 1, 1, "relu"),
            _convolution(width, width, 3, stride, "relu"),
            _convolution(width, width * self.expansion, 1, 1, None),
        )


_STAGES = {18: (_Block, (2, 2, 2, 2)), 34: (_Block, (3, 4, 6, 3)), 50: (_Bottleneck, (3, 4, 6, 3))}


def _convolution(channels: int, filters: int, kernel: int, stride: int, function: Literal["relu"] | None) -> ConvLayer:
    window, strides, margins = (kernel, kernel), (stride, stride), (kernel // 2, kernel // 2)
    return ConvLayer(channels, filters, window, strides, margins, "batch", function, fan="fan_out")
