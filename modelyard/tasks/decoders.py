"""From features back to inputs: the heads of tasks that reconstruct, and what a reconstruction is worth.

Legend: B batch, F features, W numbers, K categorical columns, S ids of all columns, C channels, H height, W width of a
picture, D width of the decoder's maps, h and w the sides of its grid, r pixels a side of a grid's cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from modelyard.data.kinds import Image
from modelyard.models.blocks.dense import output_layer
from modelyard.models.blocks.initialise import he
from modelyard.models.blocks.inputs import first_ids

__all__ = [
    "MapDecoder",
    "PictureDecoder",
    "TableDecoder",
    "category_losses",
    "indicators",
    "likeliest",
    "trivial_category_losses",
]

_GRID = 8
"""Cells of a decoder's grid along a side, at most."""
_CELL = 4
"""Pixels along a side of a cell, where the grid has few enough of them."""
_MAPS = 64


class PictureDecoder(nn.Module):
    """Features → a coarse grid of maps → convolution → the pixels of each cell. Light: nearly all weights are in the
    first layer. Weights start by He et al. 2015, the last layer by Glorot and Bengio 2010."""

    def __init__(self, width: int, picture: Image) -> None:
        super().__init__()
        rows, columns = (min(_GRID, -(-side // _CELL)) for side in (picture.height, picture.width))
        self.grid = (_MAPS, rows, columns)
        self.dense = nn.Linear(width, _MAPS * rows * columns)
        he(self.dense, "relu")
        self.decode = MapDecoder(self.grid, picture)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Map float (B, F) to float (B, C, H, W)."""
        maps = functional.relu(self.dense(features_BF)).view(-1, *self.grid)
        return self.decode(maps)  # type: ignore[no-any-return]


class MapDecoder(nn.Module):
    """Maps → convolution → the pixels that each place of the maps stands for, by one linear layer (as the last layer of
    He et al. 2021); what reaches over the picture is cut off."""

    def __init__(self, maps: tuple[int, int, int], picture: Image) -> None:
        super().__init__()
        channels, height, width = maps
        self.size = (picture.height, picture.width)
        self.cell = max(-(-picture.height // height), -(-picture.width // width))
        self.mix = nn.Conv2d(channels, 2 * _MAPS, 3, padding=1)
        he(self.mix, "relu")
        self.pixels = nn.Conv2d(2 * _MAPS, picture.channels * self.cell**2, 1)
        nn.init.xavier_uniform_(self.pixels.weight)
        nn.init.zeros_(self.pixels.bias)  # type: ignore[arg-type]

    def forward(self, maps_BDhw: Tensor) -> Tensor:
        """Map float (B, D, h, w) to float (B, C, H, W)."""
        cells = self.pixels(functional.relu(self.mix(maps_BDhw)))
        return functional.pixel_shuffle(cells, self.cell)[:, :, : self.size[0], : self.size[1]]


class TableDecoder(nn.Module):
    """Features → numbers and the logits of all categories. Layers start by Glorot and Bengio 2010."""

    def __init__(self, width: int, numbers: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.numbers = output_layer(width, numbers) if numbers else None
        self.categories = output_layer(width, sum(sizes)) if sizes else None

    def forward(self, features_BF: Tensor) -> dict[str, Tensor]:
        """Return `numbers`, float32 (B, W), and `categories`, float32 (B, S), where there are such."""
        layers = {"numbers": self.numbers, "categories": self.categories}
        return {name: layer(features_BF).float() for name, layer in layers.items() if layer is not None}


def category_losses(logits_BS: Tensor, ids_BK: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the cross-entropy of each column's id, float32 (B, K)."""
    columns = zip(torch.split(logits_BS.float(), list(sizes), 1), ids_BK.unbind(1), strict=True)
    return torch.stack([functional.cross_entropy(logits, ids, reduction="none") for logits, ids in columns], 1)


def trivial_category_losses(frequency_S: Tensor, ids_BK: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the cross-entropy of answering each id with its frequency in training, float32 (B, K). An id that never
    occurred counts as one that occurred in a ten-thousandth of the rows."""
    starts = torch.tensor(first_ids(sizes), device=ids_BK.device)
    return -frequency_S[ids_BK + starts].clamp(min=1e-4).log()


def indicators(ids_BK: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return 1 where a column has an id and 0 elsewhere, float32 (B, S)."""
    starts = torch.tensor(first_ids(sizes), device=ids_BK.device)
    return torch.zeros(len(ids_BK), sum(sizes), device=ids_BK.device).scatter(1, ids_BK + starts, 1.0)


def likeliest(logits_BS: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return each column's likeliest id, int64 (B, K)."""
    return torch.stack([logits.argmax(1) for logits in torch.split(logits_BS, list(sizes), 1)], 1)
