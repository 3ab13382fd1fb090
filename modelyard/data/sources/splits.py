"""The names that files, folders and arrays give to the parts of a data set."""

from __future__ import annotations

import re
from typing import Protocol, runtime_checkable

from modelyard.data.sources.base import Source

__all__ = ["SPLITS", "Divided", "split_and_rest", "split_of"]

SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""What people write → the split's name."""

_ANY = "|".join(sorted(SPLITS, key=len, reverse=True))
_FIRST = re.compile(rf"^({_ANY})[_\-.](.+)$", re.IGNORECASE)
_LAST = re.compile(rf"^(.+)[_\-.]({_ANY})$", re.IGNORECASE)


@runtime_checkable
class Divided(Protocol):
    """A source whose location may hold several splits."""

    def parts(self) -> dict[str, Source]:
        """Return a source for each split, by its name; empty when the location is not divided."""


def split_of(name: str) -> str | None:
    """Return the split that a name means: `Val` → `validation`; None when it means none."""
    return SPLITS.get(name.lower())


def split_and_rest(name: str) -> tuple[str, str] | None:
    """Return the split and the rest of a name: `x_train` and `train_x` → (`train`, `x`); None if it names no split."""
    if match := _FIRST.match(name):
        return SPLITS[match[1].lower()], match[2]
    if match := _LAST.match(name):
        return SPLITS[match[2].lower()], match[1]
    return None
