"""Convolutional networks, layer by layer as the user writes them, for small pictures.

Legend: B batch, C channels, H height, W width, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from modelyard.core.errors import Problem, SpecError
from modelyard.data.kinds import Image, Input
from modelyard.models.base import Family
from modelyard.models.blocks.convolution import ConvLayer, size_after
from modelyard.models.blocks.dense import DenseLayer, output_layer
from modelyard.models.blocks.dropout import Dropout as DropoutLayer
from modelyard.models.blocks.picture_layers import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAverage,
    Layer,
    Layers,
    Pool,
    sides,
)
from modelyard.spec.settings import SizedSettings

__all__ = ["Cnn"]

_SMALL = ["conv 32 same batch", "pool 2", "conv 64 same batch", "pool 2", "conv 128 same batch", "global_average"]
_MEDIUM = [
    *("conv 32 same batch", "conv 32 same batch", "pool 2"),
    *("conv 64 same batch", "conv 64 same batch", "pool 2"),
    *("conv 128 same batch", "conv 128 same batch", "global_average", "dropout 0.2"),
]
_LARGE = [
    *("conv 64 same batch", "conv 64 same batch", "pool 2"),
    *("conv 128 same batch", "conv 128 same batch", "pool 2"),
    *("conv 256 same batch", "conv 256 same batch", "conv 256 same batch", "global_average", "dropout 0.3"),
]


class Cnn(Family):
    """The layers in order, then a linear layer to the outputs.

    Layers before an activation start by He et al. 2015 (Glorot and Bengio 2010 before tanh and sigmoid), the output
    layer by Glorot and Bengio 2010; biases are zero.
    """

    class Settings(SizedSettings):
        """The layers. Named sizes take any picture from 4 × 4 pixels on; they are meant for 28 to 64 a side."""

        SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
            "small": {"layers": _SMALL},
            "medium": {"layers": _MEDIUM},
            "large": {"layers": _LARGE},
        }

        layers: Layers = Field(_SMALL, validate_default=True)
        """What a picture passes, from first to last, each as a text (`conv 32 3x3`, `pool 2`, `flatten`,
        `global_average`, `dense 128`, `dropout 0.5`) or as a mapping (`{conv: 32, kernel: 3, padding: same}`)."""

        @field_validator("layers")
        @classmethod
        def _check_order(cls, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
            ended_by: int | None = None
            for index, layer in enumerate(layers):
                if ended_by is not None and not isinstance(layer, Dense | Dropout):
                    raise ValueError(
                        f"layer {index} ({layer.keyword}) needs maps, but layer {ended_by} "
                        f"({layers[ended_by].keyword}) has made one vector of them; after it, only dense and dropout "
                        "can follow"
                    )
                if ended_by is None and not isinstance(layer, Conv | Pool | Dropout):
                    ended_by = index
            return layers

    name = "cnn"
    accepts = ("image",)
    learning_rate = 0.002
    gains_by_bfloat16 = True

    def __init__(self, settings: Settings, inputs: Sequence[Input], output_size: int) -> None:
        super().__init__(settings, inputs, output_size)
        (picture,) = inputs
        assert isinstance(picture, Image)
        self.layers = nn.Sequential()
        self._mapping = 0
        """Layers, from the first on, that make maps."""
        shape: _Maps | int = _Maps(picture.channels, picture.height, picture.width)
        waiting: nn.Module | None = None
        """An activation that comes after the pool: the largest of a window is the same, and there is less to do."""
        for index, layer in enumerate(settings.layers):
            if isinstance(layer, Dense) and isinstance(shape, _Maps):
                self.layers.append(nn.Flatten())
                shape = shape.values
            module, shape = _module(layer, shape, index)
            following = settings.layers[index + 1] if index + 1 < len(settings.layers) else None
            if isinstance(module, ConvLayer) and isinstance(following, Pool) and following.pool == "max":
                module, waiting = module.split()
            elif waiting is not None:
                module, waiting = nn.Sequential(module, waiting), None
            self.layers.append(module)
            self._mapping += isinstance(shape, _Maps)
        if isinstance(shape, _Maps):
            self.layers.append(nn.Flatten())
            shape = shape.values
        self.output = output_layer(shape, output_size)
        # Convolutions over channels-last memory are the quicker ones on CPUs and GPUs alike.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map `NAME.pixels` (B, C, H, W) to what the last layer makes of them, float (B, F)."""
        return self.layers(inputs[self.inputs[0].tensors[0]])  # type: ignore[no-any-return]

    def maps(self, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """Return the maps of the last layer that makes some; None when the first layer flattens the picture."""
        x_BCHW = inputs[self.inputs[0].tensors[0]]
        for layer in list(self.layers)[: self._mapping]:
            x_BCHW = layer(x_BCHW)
        return x_BCHW if self._mapping else None


_Pair = tuple[int, int]


@dataclass(frozen=True)
class _Maps:
    channels: int
    height: int
    width: int

    @property
    def values(self) -> int:
        return self.channels * self.height * self.width

    def windowed(self, index: int, channels: int, window: _Pair, stride: _Pair, padding: _Pair) -> _Maps:
        """Return the maps after a window has moved over these; layer `index` is named when no window fits."""
        height = size_after(self.height, window[0], stride[0], padding[0])
        width = size_after(self.width, window[1], stride[1], padding[1])
        if height < 1 or width < 1:
            message = (
                f"layer {index} gets a picture of {self.height} × {self.width} pixels, too small for its window of "
                f"{window[0]} × {window[1]}: nothing would be left. Remove a pool or stride before it, use padding "
                "same, or read the pictures in larger"
            )
            raise SpecError([Problem(f"model.layers.{index}", message)])
        return _Maps(channels, height, width)


class _GlobalMax(nn.Module):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.amax((2, 3))


class _GlobalAverage(nn.Module):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.mean((2, 3))


def _module(layer: Layer, shape: _Maps | int, index: int) -> tuple[nn.Module, _Maps | int]:
    """Return a layer's module and the shape of what it makes out of `shape`."""
    if isinstance(layer, Dropout):
        return DropoutLayer(layer.dropout), shape
    if isinstance(layer, Dense):
        assert isinstance(shape, int)
        return DenseLayer(shape, layer.dense, layer.activation, norm=layer.norm), layer.dense
    assert isinstance(shape, _Maps)
    if isinstance(layer, Conv):
        kernel, stride, margins = sides(layer.kernel), sides(layer.stride), layer.margins
        module = ConvLayer(shape.channels, layer.conv, kernel, stride, margins, layer.norm, layer.activation)
        return module, shape.windowed(index, layer.conv, kernel, stride, margins)
    if isinstance(layer, Pool):
        size, stride = sides(layer.size), sides(layer.stride)
        pool = nn.MaxPool2d(size, stride) if layer.pool == "max" else nn.AvgPool2d(size, stride)
        return pool, shape.windowed(index, shape.channels, size, stride, (0, 0))
    if isinstance(layer, Flatten):
        return nn.Flatten(), shape.values
    return (_GlobalAverage() if isinstance(layer, GlobalAverage) else _GlobalMax()), shape.channels
