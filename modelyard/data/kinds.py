"""What a fitted input looks like to a model: its kind, its sizes, and the tensors a batch carries for it.

Legend: B batch, C channels or columns, K categorical columns, T tokens, N all n-grams of a batch, H height, W width.

| kind         | tensors in `batch.inputs`                                                                   |
|--------------|---------------------------------------------------------------------------------------------|
| `numbers`    | `numbers` float32 (B, C): all number columns together                                       |
| `categories` | `categories` int64 (B, K): all category columns together, each in [0, sizes[k])             |
| `tokens`     | `NAME.ids` int64 (B, T), right-padded with `padding_id`; `NAME.length` int64 (B,), each ≥ 1 |
| `bag`        | `NAME.ids` int64 (N,), `NAME.offsets` int64 (B,), `NAME.weights` float32 (N,)               |
| `image`      | `NAME.pixels` float32 (B, C, H, W), channels last in memory                                 |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["Bag", "Categories", "Image", "Input", "Numbers", "Tokens"]


@dataclass(frozen=True)
class Input:
    """One input of a model. `name` is `numbers` or `categories` for the grouped ones, else the column's name."""

    kind: ClassVar[str] = ""
    name: str
    columns: tuple[str, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        """The keys of this input's tensors in `batch.inputs`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Numbers(Input):
    """All number columns: one float32 matrix. `width` counts values, flags of missing values included."""

    kind: ClassVar[str] = "numbers"
    width: int

    @property
    def tensors(self) -> tuple[str, ...]:
        return ("numbers",)


@dataclass(frozen=True)
class Categories(Input):
    """All category columns: one int64 matrix. `sizes[k]` counts column k's ids, unknown and missing included."""

    kind: ClassVar[str] = "categories"
    sizes: tuple[int, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        return ("categories",)


@dataclass(frozen=True)
class Tokens(Input):
    """A text as token ids, right-padded."""

    kind: ClassVar[str] = "tokens"
    vocabulary_size: int
    max_length: int
    padding_id: int = 0

    @property
    def tensors(self) -> tuple[str, ...]:
        return (f"{self.name}.ids", f"{self.name}.length")


@dataclass(frozen=True)
class Bag(Input):
    """A text as weighted n-gram counts, sparse."""

    kind: ClassVar[str] = "bag"
    vocabulary_size: int

    @property
    def tensors(self) -> tuple[str, ...]:
        return (f"{self.name}.ids", f"{self.name}.offsets", f"{self.name}.weights")


@dataclass(frozen=True)
class Image(Input):
    """A picture, normalised."""

    kind: ClassVar[str] = "image"
    channels: int
    height: int
    width: int

    @property
    def tensors(self) -> tuple[str, ...]:
        return (f"{self.name}.pixels",)
