"""N-grams as 64-bit numbers: small numbers of words or characters side by side, counted and found as whole arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.data.modalities import cutting

__all__ = ["Ints", "KeyIndex", "pack", "parts_of", "rows_with", "unpack", "windows"]

Ints = npt.NDArray[np.int64]

_AT_ONCE = 4_000_000  # bytes


class KeyIndex:
    """Finds the ids of keys: ids count from `first` in the order of the given keys."""

    def __init__(self, keys: Ints, first: int) -> None:
        order = np.argsort(keys)
        self._keys = keys[order]
        self._ids = order + first

    def find(self, rows: Ints, keys: Ints, size: int) -> Ints:
        """Return row · size + id for each known key."""
        if not len(self._keys):
            return np.empty(0, np.int64)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        hit = self._keys[at] == keys
        return np.asarray(rows[hit] * size + self._ids[at[hit]], np.int64)


def parts_of(texts: pa.Array) -> list[pa.Array]:
    """Cut rows into parts of a bounded size."""
    return cutting.parts_of(texts, _AT_ONCE)


def windows(ids: Ints, low: int, high: int, bits: int, space: npt.NDArray[np.bool_] | None = None) -> tuple[Ints, Ints]:
    """Return (row, key) of all runs of `low` to `high` known ids (≥ 1); −1 separates rows, 0 is unknown.

    With `space`, a run may begin and end with a space, but not reach across one or be one.
    """
    row, usable = np.cumsum(ids == -1), ids > 0
    before = None if space is None else np.r_[0, np.cumsum(space)]
    keys, whole = ids, usable
    rows_found, keys_found = [], []
    for size in range(1, min(high, len(ids)) + 1):
        if size > 1:
            keys = (keys[:-1] << bits) | ids[size - 1 :]
            whole = whole[:-1] & usable[size - 1 :]
        if size < low:
            continue
        kept = whole
        if before is not None and space is not None:
            count = len(kept)
            inside = before[size - 1 : size - 1 + count] - before[1 : 1 + count] if size > 1 else space.astype(np.int64)
            kept = kept & (inside == 0)
        rows_found.append(row[: len(kept)][kept])
        keys_found.append(keys[kept])
    empty = np.empty(0, np.int64)
    return np.concatenate([empty, *rows_found]), np.concatenate([empty, *keys_found])


def rows_with(rows: Ints, keys: Ints) -> tuple[Ints, Ints]:
    """Return the different keys and in how many different rows each stands. Rows do not fall among equal keys."""
    if not len(keys):
        return keys, keys
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    first = np.r_[True, keys[1:] != keys[:-1]]
    starts = np.flatnonzero(first)
    return keys[starts], np.add.reduceat((first | np.r_[True, rows[1:] != rows[:-1]]).astype(np.int64), starts)


def pack(ids: Sequence[int], bits: int) -> int:
    """Put small numbers side by side, the first in the highest bits."""
    key = 0
    for number in ids:
        key = (key << bits) | number
    return key


def unpack(key: int, bits: int) -> list[int]:
    """The inverse of `pack` for numbers from 1 on."""
    ids = []
    while key:
        ids.append(key & ((1 << bits) - 1))
        key >>= bits
    return ids[::-1]
