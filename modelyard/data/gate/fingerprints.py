"""Fingerprints of rows, in bounded memory however many rows there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Fingerprints"]

Numbers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

_KIND = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 1 << 16


class Fingerprints:
    """The fingerprints of different contents, and which rows have which content.

    When there are more than `limit` contents (or twice as many rows), only those whose sampling key is in the lower
    half are kept, then the lower quarter, and so on. Contents that are nearly the same mostly share their key, so a
    pair is kept or left out as one. What is kept depends on all rows, not on how they were cut into chunks.

    Args:
        width: Bytes of a fingerprint.
        limit: How many fingerprints are kept.
    """

    def __init__(self, width: int, limit: int) -> None:
        self.width, self.limit = width, limit
        self.level = 0
        self.seen = 0
        """Rows that could be compared, kept or not."""
        spare = max(limit >> 2, 1)
        self._spare = spare
        # Memory that is never touched is never taken.
        self._entries: list[npt.NDArray[Any]] = [
            np.empty(limit + spare, np.uint64),
            np.empty(limit + spare, np.uint64),
            np.empty(limit + spare, np.uint8),
            np.empty((limit + spare, width), np.uint8),
        ]
        self._rows: list[npt.NDArray[Any]] = [
            np.empty(2 * (limit + spare), np.uint64),
            np.empty(2 * (limit + spare), np.uint64),
            np.empty(2 * (limit + spare), np.int64),
        ]
        self._entry_count = self._row_count = 0

    @property
    def contents(self) -> Hashes:
        """Hash of each fingerprint's content."""
        return self._entries[0][: self._entry_count]

    @property
    def kinds(self) -> npt.NDArray[np.uint8]:
        """Only fingerprints of one kind can be compared with each other."""
        return self._entries[2][: self._entry_count]

    @property
    def values(self) -> npt.NDArray[np.uint8]:
        """The fingerprints, (contents, width), in the order in which their contents first occurred."""
        return self._entries[3][: self._entry_count]

    @property
    def row_contents(self) -> Hashes:
        """Hash of each row's content."""
        return self._rows[0][: self._row_count]

    @property
    def row_numbers(self) -> Numbers:
        """Each row's number, rising."""
        return self._rows[2][: self._row_count]

    def add(self, contents: Hashes, keys: Hashes, kinds: npt.NDArray[np.uint8], values: npt.NDArray[np.uint8]) -> None:
        """Take in fingerprints; one that is there already does no harm."""
        self._append(self._entries, [contents, keys, kinds, values], "_entry_count", 1)

    def add_rows(self, contents: Hashes, keys: Hashes, numbers: Numbers) -> None:
        """Take in rows: the hash of each one's content, the lowest key among its fingerprints, and its number."""
        self.seen += len(contents)
        self._append(self._rows, [contents, keys, numbers], "_row_count", 2)

    def _append(self, store: list[npt.NDArray[Any]], new: Sequence[npt.NDArray[Any]], counter: str, scale: int) -> None:
        start = 0
        while start < len(new[0]):
            room = len(store[0]) - getattr(self, counter)
            if not room:
                self.settle()
                continue
            stop = min(start + room, len(new[0]))
            parts = [array[start:stop] for array in new]
            if self.level:
                mask = parts[1] < self._bound
                parts = [array[mask] for array in parts]
            at = getattr(self, counter)
            for kept, part in zip(store, parts, strict=True):
                kept[at : at + len(part)] = part
            setattr(self, counter, at + len(parts[0]))
            start = stop

    @property
    def _bound(self) -> np.uint64:
        return np.uint64((1 << 64 - self.level) - 1)

    def settle(self) -> None:
        """Leave out what is there twice, then as much as the limit asks for."""
        again = _again(self.contents ^ (self.kinds * _KIND))
        if len(again):
            mask = np.ones(self._entry_count, bool)
            mask[again] = False
            self._entry_count = _keep(self._entries, mask)
        while (self._entry_count > self.limit or self._row_count > 2 * self.limit) and self.level < 63:
            self.level += 1
            self._entry_count = _keep(self._entries, self._entries[1][: self._entry_count] < self._bound)
            self._row_count = _keep(self._rows, self._rows[1][: self._row_count] < self._bound)

    def state(self) -> dict[str, Any]:
        """Return all of it, as plain values and arrays."""
        entries = [array[: self._entry_count].copy() for array in self._entries]
        rows = [array[: self._row_count].copy() for array in self._rows]
        return {"level": self.level, "seen": self.seen, "entries": entries, "rows": rows}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self.level, self.seen = int(state["level"]), int(state["seen"])
        for store, given in ((self._entries, state["entries"]), (self._rows, state["rows"])):
            for kept, array in zip(store, given, strict=True):
                kept[: len(array)] = array
        self._entry_count, self._row_count = len(state["entries"][0]), len(state["rows"][0])


def _again(hashes: Hashes) -> Numbers:
    """Return where a hash stands that stood before; quick when few do."""
    ordered = np.sort(hashes)
    double = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(double):
        return np.empty(0, np.int64)
    flags = np.zeros(1 << 20, bool)
    flags[(double & np.uint64((1 << 20) - 1)).astype(np.int64)] = True
    maybe = np.flatnonzero(flags[(hashes & np.uint64((1 << 20) - 1)).astype(np.int64)])
    _, first = np.unique(hashes[maybe], return_index=True)
    return np.delete(maybe, first)


def _keep(arrays: Sequence[npt.NDArray[Any]], mask: npt.NDArray[np.bool_]) -> int:
    """Move the marked rows of each array to its front, a block at a time, and return how many there are."""
    at = 0
    for start in range(0, len(mask), _BLOCK):
        chosen = np.flatnonzero(mask[start : start + _BLOCK]) + start
        for array in arrays:
            array[at : at + len(chosen)] = array[chosen]
        at += len(chosen)
    return at
