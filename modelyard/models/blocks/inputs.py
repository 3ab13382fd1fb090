"""Fixed-size inputs (numbers, categories, images) side by side in one vector a row.

Legend: B batch, K categorical columns, D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from modelyard.data.kinds import Categories, Image, Input, Numbers
from modelyard.models.blocks.initialise import normal

__all__ = ["CategoryEmbedding", "CategoryVectors", "Vector", "embedding_width"]

CategoryEmbedding = Literal["auto", "one_hot"] | PositiveInt


def embedding_width(size: int) -> int:
    """Return the width for a category of `size` ids: min(50, 1.6 · size^0.56), a rule of thumb from fastai."""
    return max(1, min(50, round(1.6 * math.pow(size, 0.56))))


def first_ids(sizes: Sequence[int]) -> list[int]:
    """Return where each column's ids start when all columns share one numbering."""
    return [0, *accumulate(sizes)][:-1]


class CategoryVectors(nn.Module):
    """All category columns as one vector: an embedding a column, or one-hot. `width` is the vector's length.

    Embeddings start from N(0, 1/width), so that a vector's length is about 1.
    """

    starts: Tensor

    def __init__(self, sizes: Sequence[int], embedding: CategoryEmbedding) -> None:
        super().__init__()
        self.embeddings: nn.ModuleList | None = None
        if embedding == "one_hot":
            self.width = sum(sizes)
            self.register_buffer("starts", torch.tensor(first_ids(sizes)), persistent=False)
            return
        widths = [embedding_width(size) if embedding == "auto" else int(embedding) for size in sizes]
        self.width = sum(widths)
        tables = [nn.Embedding(size, width) for size, width in zip(sizes, widths, strict=True)]
        for table in tables:
            normal(table, table.embedding_dim**-0.5)
        self.embeddings = nn.ModuleList(tables)

    def forward(self, ids_BK: Tensor) -> Tensor:
        """Map int64 (B, K) to float (B, width)."""
        if self.embeddings is None:
            empty_BD = torch.zeros(ids_BK.shape[0], self.width, device=ids_BK.device)
            return empty_BD.scatter(1, ids_BK + self.starts, 1.0)
        return torch.cat([table(ids_BK[:, k]) for k, table in enumerate(self.embeddings)], 1)


class Vector(nn.Module):
    """Numbers as they are, categories embedded, images flattened (channel, row, column), in the order of `inputs`.

    `width` is the vector's length D.
    """

    def __init__(self, inputs: Sequence[Input], category_embedding: CategoryEmbedding) -> None:
        super().__init__()
        self.inputs = tuple(inputs)
        self.categories: CategoryVectors | None = None
        self.width = 0
        for one in self.inputs:
            if isinstance(one, Numbers):
                self.width += one.width
            elif isinstance(one, Categories):
                self.categories = CategoryVectors(one.sizes, category_embedding)
                self.width += self.categories.width
            elif isinstance(one, Image):
                self.width += one.channels * one.height * one.width

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return float (B, D)."""
        parts = []
        for one in self.inputs:
            value = inputs[one.tensors[0]]
            if one.kind == Categories.kind:
                assert self.categories is not None
                value = self.categories(value)
            parts.append(value.flatten(1))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
