"""Linear and logistic regression: every input value has one weight an output. Convex, and readable afterwards.

Legend: B batch, O outputs, K categorical columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from modelyard.data.kinds import Bag, Categories, Image, Input, Numbers
from modelyard.models.base import Family
from modelyard.models.blocks.initialise import zero
from modelyard.models.blocks.inputs import first_ids
from modelyard.spec.settings import Settings

__all__ = ["Linear"]


class Linear(Family):
    """The sum over all inputs of weight times value, plus a bias.

    A category has one weight for each of its ids and output; so has an n-gram of a bag. Everything starts at zero:
    the problem is convex, so the start does not decide the end.
    """

    class Settings(Settings):
        """There is nothing to choose: the inputs and outputs give every dimension."""

    name = "linear"
    accepts = ("bag", "numbers", "categories", "image")
    learning_rate = 0.01
    several = True
    has_features = False

    def __init__(self, settings: Settings, inputs: Sequence[Input], output_size: int) -> None:
        super().__init__(settings, inputs, output_size)
        self.terms = nn.ModuleList(_term(one, output_size) for one in inputs)
        self.bias = nn.Parameter(torch.zeros(output_size))

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map the inputs' tensors to float (B, O)."""
        output_BO = self.bias
        for one, term in zip(self.inputs, self.terms, strict=True):
            output_BO = output_BO + term(*(inputs[tensor] for tensor in one.tensors))
        return output_BO

    def blocks(self) -> list[tuple[str, list[nn.Module]]]:
        """Return all of it as the head: there is nothing before it."""
        return [("output", [self])]


class _Values(nn.Module):
    """Weights for numbers, or for the pixels of a picture in the order channel, row, column."""

    def __init__(self, width: int, output_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, output_size, bias=False)
        zero(self.linear)

    def forward(self, values: Tensor) -> Tensor:
        return self.linear(values.flatten(1))  # type: ignore[no-any-return]


class _Ids(nn.Module):
    """Weights for all category columns in one table: column k's ids start at `starts[k]`."""

    starts: Tensor

    def __init__(self, sizes: Sequence[int], output_size: int) -> None:
        super().__init__()
        self.table = nn.Embedding(sum(sizes), output_size)
        zero(self.table)
        self.register_buffer("starts", torch.tensor(first_ids(sizes)), persistent=False)

    def forward(self, ids_BK: Tensor) -> Tensor:
        # A lookup and a sum: an embedding bag wakes all threads even for a handful of ids.
        return self.table(ids_BK + self.starts).sum(1)  # type: ignore[no-any-return]


class _Bag(nn.Module):
    """Weights for n-grams; only those that occur are touched."""

    def __init__(self, vocabulary_size: int, output_size: int) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(vocabulary_size, output_size, mode="sum")
        zero(self.table)

    def forward(self, ids_N: Tensor, offsets_B: Tensor, weights_N: Tensor) -> Tensor:
        return self.table(ids_N, offsets_B, weights_N.to(self.table.weight.dtype))  # type: ignore[no-any-return]


def _term(one: Input, output_size: int) -> nn.Module:
    match one:
        case Numbers(width=width):
            return _Values(width, output_size)
        case Image(channels=channels, height=height, width=width):
            return _Values(channels * height * width, output_size)
        case Categories(sizes=sizes):
            return _Ids(sizes, output_size)
        case Bag(vocabulary_size=vocabulary_size):
            return _Bag(vocabulary_size, output_size)
    raise TypeError(f"a linear model has no term for {one.kind}")
