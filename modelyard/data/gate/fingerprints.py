"""Fingerprints of rows, in bounded memory however many rows there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Fingerprints", "places_again"]

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
        limit: How many contents are kept.
        each: How many fingerprints a content has at most, one of a kind.
    """

    def __init__(self, width: int, limit: int, each: int = 1) -> None:
        self.width, self.limit, self.each = width, limit, each
        self.level = 0
        self.spare = max(limit >> 2, 1)
        # Memory that is never touched is never taken.
        size = each * limit + self.spare
        self._entries = _Table(
            [
                np.empty(size, np.uint64),
                np.empty(size, np.uint64),
                np.empty(size, np.uint8),
                np.empty((size, width), np.uint8),
            ],
            limit + self.spare,
        )
        size = 2 * (limit + self.spare)
        self._rows = _Table([np.empty(size, np.uint64), np.empty(size, np.uint64), np.empty(size, np.int64)], size)

    @property
    def contents(self) -> Hashes:
        """Hash of each fingerprint's content."""
        return self._entries.filled(0)

    @property
    def kinds(self) -> npt.NDArray[np.uint8]:
        """Only fingerprints of one kind can be compared with each other."""
        return self._entries.filled(2)

    @property
    def values(self) -> npt.NDArray[np.uint8]:
        """The fingerprints, (contents, width), in the order in which their contents first occurred."""
        return self._entries.filled(3)

    @property
    def row_contents(self) -> Hashes:
        """Hash of each row's content."""
        return self._rows.filled(0)

    @property
    def row_numbers(self) -> Numbers:
        """Each row's number, rising."""
        return self._rows.filled(2)

    def keeps(self, keys: Hashes) -> npt.NDArray[np.bool_]:
        """Return which of the contents with these sampling keys are kept; with the largest there is, none ever."""
        return np.asarray(keys < np.uint64((1 << 64 - self.level) - 1))

    def add(self, contents: Hashes, keys: Hashes, kinds: npt.NDArray[np.uint8], values: npt.NDArray[np.uint8]) -> None:
        """Take in fingerprints; one that is there already does no harm. Those of one content have one key."""
        self._append(self._entries, [contents, keys, kinds, values])

    def add_rows(self, contents: Hashes, keys: Hashes, numbers: Numbers) -> None:
        """Take in rows: the hash of each one's content, its key, and its number."""
        self._append(self._rows, [contents, keys, numbers])

    def _append(self, table: _Table, new: Sequence[npt.NDArray[Any]]) -> None:
        start = 0
        while start < len(new[0]):
            if not table.room:
                self.settle()
                continue
            stop = start + table.room
            parts = [array[start:stop] for array in new]
            if self.level:
                mask = self.keeps(parts[1])
                parts = [array[mask] for array in parts]
            table.append(parts)
            start = stop

    @property
    def room(self) -> int:
        """How many more may be added until there is too much."""
        return self._entries.room

    def settle(self, waiting: Hashes | None = None) -> None:
        """Leave out what is there twice, then as much as the limit asks for.

        Args:
            waiting: Keys of contents that are to count though they have no fingerprint yet.
        """
        again = places_again(self.contents ^ (self.kinds * _KIND) if self.each > 1 else self.contents)
        if len(again):
            mask = np.ones(self._entries.count, bool)
            mask[again] = False
            self._entries.keep(mask)
        different = self._different(waiting)
        while different > self.limit or self._rows.count > 2 * self.limit:
            self.level += 1
            for table in (self._entries, self._rows):
                table.keep(self.keeps(table.filled(1)))
            different = self._different(waiting)
        self._entries.room = self.limit + self.spare - self._different(None)
        self._rows.room = 2 * (self.limit + self.spare) - self._rows.count

    def _different(self, waiting: Hashes | None) -> int:
        """Count the contents."""
        count = 0 if waiting is None else int(np.count_nonzero(self.keeps(waiting)))
        if self.each == 1:
            return count + self._entries.count
        ordered = np.sort(self.contents)
        return count + len(ordered) - int(np.count_nonzero(ordered[1:] == ordered[:-1]))

    def leave_out(self, kind: int) -> None:
        """Leave out the fingerprints of a kind, and the rows that have no other."""
        kept = self.kinds != kind
        if kept.all():
            return
        gone = np.sort(self.contents[~kept])
        at = np.minimum(np.searchsorted(gone, self.row_contents), len(gone) - 1)
        self._rows.keep(gone[at] != self.row_contents)
        self._entries.keep(kept)

    def state(self) -> dict[str, Any]:
        """Return all of it, as plain values and arrays."""
        return {"level": self.level, "entries": self._entries.state(), "rows": self._rows.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self.level = int(state["level"])
        self._entries.restore(state["entries"])
        self._rows.restore(state["rows"])
        self.settle()


class _Table:
    """Columns that are filled from the front."""

    def __init__(self, columns: list[npt.NDArray[Any]], room: int) -> None:
        self._columns = columns
        self.count = 0
        self.room = room
        """How many more may be appended until what is there is to be settled."""

    def filled(self, column: int) -> npt.NDArray[Any]:
        return self._columns[column][: self.count]

    def append(self, parts: Sequence[npt.NDArray[Any]]) -> None:
        for column, part in zip(self._columns, parts, strict=True):
            column[self.count : self.count + len(part)] = part
        self.count += len(parts[0])
        self.room -= len(parts[0])

    def keep(self, mask: npt.NDArray[np.bool_]) -> None:
        """Move the marked rows to the front, a block at a time."""
        at = 0
        for start in range(0, len(mask), _BLOCK):
            chosen = np.flatnonzero(mask[start : start + _BLOCK]) + start
            if chosen.size and at + len(chosen) <= chosen[-1]:
                for column in self._columns:
                    column[at : at + len(chosen)] = column[chosen]
            at += len(chosen)
        self.count = at

    def state(self) -> list[npt.NDArray[Any]]:
        return [self.filled(column).copy() for column in range(len(self._columns))]

    def restore(self, columns: Sequence[npt.NDArray[Any]]) -> None:
        self.count = len(columns[0])
        for kept, array in zip(self._columns, columns, strict=True):
            kept[: self.count] = array


def places_again(hashes: Hashes) -> Numbers:
    """Return the places of hashes that stood before, rising; quick when few do."""
    ordered = np.sort(hashes)
    double = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(double):
        return np.empty(0, np.int64)
    flags = np.zeros(1 << 20, bool)
    flags[(double & np.uint64((1 << 20) - 1)).astype(np.int64)] = True
    maybe = np.flatnonzero(flags[(hashes & np.uint64((1 << 20) - 1)).astype(np.int64)])
    _, first = np.unique(hashes[maybe], return_index=True)
    return np.delete(maybe, first)
