"""Prepared columns as training sees them: shards on disk, memory-mapped, gathered as whole arrays.

Columns hold all rows in the order of the source; a split is an index of row numbers over them. Another split, seed or
limit of memory therefore never touches the columns.
"""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.core.errors import DataError
from modelyard.data.modalities.base import Column, Ragged

__all__ = ["Layout", "SplitStore", "Stored", "cut", "map_array", "take"]

_RESIDENT = 128 << 20
"""Bytes of a column's mapped pages that may stay resident; beyond, the pages are given back to the system's cache."""
_PAGE = 4096


def take(column: Column, rows: npt.NDArray[np.int64]) -> Column:
    """Return some rows of a column in memory, in the order asked for, as a copy."""
    if isinstance(column, Ragged):
        starts = column.offsets[rows]
        lengths = column.offsets[rows + 1] - starts
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        items = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Ragged(column.values[items], offsets)
    # `take` copies whole rows, indexing their values one by one; but one that is not contiguous it would copy first.
    return column.take(rows, axis=0) if column.flags.c_contiguous else column[rows]


def cut(column: Column, start: int, stop: int) -> Column:
    """Return rows `start` to `stop - 1` of a column; values are not copied."""
    if isinstance(column, Ragged):
        first, last = int(column.offsets[start]), int(column.offsets[stop])
        return Ragged(column.values[first:last], column.offsets[start : stop + 1] - first)
    return column[start:stop]


@dataclass(frozen=True)
class Layout:
    """How a column lies in its shard files; what a manifest keeps."""

    rows: int
    shard_rows: int
    """Rows in each shard but the last."""
    dtype: str
    """Little-endian, as NumPy writes it: `<f4`."""
    shape: tuple[int, ...]
    """Of one row's value; of a ragged column, of one item."""
    ragged: bool

    @property
    def item_bytes(self) -> int:
        """Bytes of one row's value (ragged: of one item)."""
        return np.dtype(self.dtype).itemsize * int(np.prod(self.shape, dtype=np.int64))


def map_array(path: Path, dtype: str, shape: Sequence[int] = ()) -> tuple[npt.NDArray[Any], mmap.mmap | None]:
    """Map a raw file as an array (rows, *shape), read-only, and return it with its mapping (None for an empty file).

    Raises:
        DataError: The file is absent, or its size is no whole number of rows.
    """
    item = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) if size else None
    except FileNotFoundError as error:
        raise DataError(f"{path.parent} lacks {path.name}; delete that folder and it is made anew") from error
    if item == 0 or size % item:
        raise DataError(f"{path} is damaged ({size} bytes, rows of {item}); delete its folder and it is made anew")
    if mapping is None:
        return np.empty((0, *shape), dtype), None
    return np.frombuffer(mapping, dtype).reshape(-1, *shape), mapping


class Stored:
    """One column on disk, in shards of equally many rows."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.layout = layout
        self._values: list[npt.NDArray[Any]] = []
        self._offsets: list[npt.NDArray[np.int64]] = []
        self._mappings: list[mmap.mmap | None] = []
        """Of the values, by shard; the offsets of ragged rows stay resident."""
        self._touched = 0
        rows = 0
        for shard in range(-(-layout.rows // layout.shard_rows)):
            values, mapping = map_array(folder / f"{shard:05d}.values", layout.dtype, layout.shape)
            if layout.ragged:
                self._offsets.append(map_array(folder / f"{shard:05d}.offsets", "<i8")[0])
            rows += len(self._offsets[-1]) - 1 if layout.ragged else len(values)
            self._values.append(values)
            self._mappings.append(mapping)
        if rows != layout.rows:
            raise DataError(
                f"{folder} is damaged ({rows} rows instead of {layout.rows}); delete it and it is made anew"
            )
        self.bytes = sum(len(mapping) for mapping in self._mappings if mapping is not None)
        """Of all values together."""
        self.is_large = self.bytes > _RESIDENT
        """Whether pages are given back, and read ahead."""
        if self.is_large:
            # Rows are asked for all over the place: without this every page fault would read its neighbourhood as well.
            for mapping in self._mappings:
                if mapping is not None:
                    mapping.madvise(mmap.MADV_RANDOM)
        small = layout.ragged and not self.is_large and len(self._values) == 1
        self._runs = _as_bytes(self._values[0], self._offsets[0], layout.item_bytes) if small else None
        """The rows of a small ragged column. A large one has no second list of offsets in memory."""

    def __len__(self) -> int:
        return self.layout.rows

    def take(self, rows: npt.NDArray[np.int64]) -> Column:
        """Return some rows in memory, in the order asked for, as a copy."""
        self.will_need(rows)
        if self._runs is not None:
            found: Column = self._taken(self._runs, rows)
        else:
            found = take(self._shard(0), rows) if len(self._values) == 1 else self._scattered(rows)
        if self.is_large:
            self._forget(found)
        return found

    def _taken(self, runs: pa.LargeBinaryArray, rows: npt.NDArray[np.int64]) -> Ragged:
        """Take ragged rows as strings of bytes: each is one copy, where indexing would look up item after item."""
        _, offsets, values = runs.take(pa.array(rows)).buffers()
        items = np.frombuffer(values or b"", self.layout.dtype).reshape(-1, *self.layout.shape)
        return Ragged(items, np.frombuffer(offsets, np.int64) // self.layout.item_bytes)

    def will_need(self, rows: npt.NDArray[np.int64]) -> None:
        """Let the system begin to read these rows from the disk, all at once, and return without waiting.

        Only large columns are read ahead; small ones stay in the system's cache.
        """
        if not self.is_large:
            return
        for shard, places in self._by_shard(rows):
            mapping = self._mappings[shard]
            local = rows[places] - shard * self.layout.shard_rows
            starts, stops = (self._offsets[shard][at] if self.layout.ragged else at for at in (local, local + 1))
            if mapping is not None:
                for start, length in _pages(starts * self.layout.item_bytes, stops * self.layout.item_bytes):
                    mapping.madvise(mmap.MADV_WILLNEED, start, length)

    def lengths(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return how many items each of these rows of a ragged column has, int64 (rows,)."""
        result = np.empty(len(rows), np.int64)
        for shard, places in self._by_shard(rows):
            local = rows[places] - shard * self.layout.shard_rows
            result[places] = self._offsets[shard][local + 1] - self._offsets[shard][local]
        return result

    def _shard(self, shard: int) -> Column:
        values = self._values[shard]
        return Ragged(values, self._offsets[shard]) if self.layout.ragged else values

    def _by_shard(self, rows: npt.NDArray[np.int64]) -> list[tuple[int, npt.NDArray[np.int64]]]:
        """Return each shard that holds some of the rows, with their places in `rows`."""
        if len(self._values) <= 1:
            return [(0, np.arange(len(rows)))] if len(rows) else []
        shards = rows // self.layout.shard_rows
        order = np.argsort(shards, kind="stable")
        ordered = shards[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1))
        bounds = [*starts.tolist(), len(rows)]
        return [(int(ordered[start]), order[start:stop]) for start, stop in itertools.pairwise(bounds)]

    def _scattered(self, rows: npt.NDArray[np.int64]) -> Column:
        parts = [
            (places, take(self._shard(shard), rows[places] - shard * self.layout.shard_rows))
            for shard, places in self._by_shard(rows)
        ]
        if not self.layout.ragged:
            result = np.empty((len(rows), *self.layout.shape), self.layout.dtype)
            for places, part in parts:
                result[places] = part
            return result
        # The parts end to end, then their rows brought into the order that was asked for.
        ragged = [part for _, part in parts if isinstance(part, Ragged)]
        ends = np.cumsum([0, *(part.offsets[-1] for part in ragged)])
        offsets = np.concatenate(
            [np.zeros(1, np.int64), *(part.offsets[1:] + end for part, end in zip(ragged, ends, strict=False))]
        )
        empty = np.empty((0, *self.layout.shape), self.layout.dtype)
        joined = Ragged(np.concatenate([part.values for part in ragged] or [empty]), offsets)
        places = np.concatenate([places for places, _ in parts] or [np.empty(0, np.int64)])
        inverse = np.empty(len(rows), np.int64)
        inverse[places] = np.arange(len(rows))
        return take(joined, inverse)

    def _forget(self, found: Column) -> None:
        """Give mapped pages back once many were touched: they stay in the system's cache, not in this process."""
        values = found.values if isinstance(found, Ragged) else found
        self._touched += values.nbytes + _PAGE * len(found)
        if self._touched > _RESIDENT:
            self._touched = 0
            for mapping in self._mappings:
                if mapping is not None:
                    mapping.madvise(mmap.MADV_DONTNEED)


def _as_bytes(values: npt.NDArray[Any], offsets: npt.NDArray[np.int64], item_bytes: int) -> pa.LargeBinaryArray:
    """Return ragged rows as strings of bytes, which share the values' memory."""
    buffers = [None, pa.py_buffer(offsets * item_bytes), pa.py_buffer(values)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def _pages(starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the whole pages that hold the bytes `starts[i]` to `stops[i] - 1`, as (start, length), none twice."""
    some = stops > starts
    if not some.any():
        return []
    first, last = starts[some] // _PAGE, (stops[some] - 1) // _PAGE
    order = np.argsort(first, kind="stable")
    first, reach = first[order], np.maximum.accumulate(last[order])
    begins = np.flatnonzero(np.append(True, first[1:] > reach[:-1] + 1))
    ends = np.append(begins[1:] - 1, len(first) - 1)
    spans = zip((first[begins] * _PAGE).tolist(), ((reach[ends] - first[begins] + 1) * _PAGE).tolist(), strict=True)
    return list(spans)


class SplitStore:
    """The prepared columns of one split, by name: `numbers`, `review.ids`, `target.stars`, `row.hash`, …

    Args:
        columns: Stored columns, or arrays in memory; all of the same length.
        index: Numbers of the split's rows in those columns, int64; None for all of them in order.
        rows: Number of rows, when there is neither an index nor a column.
    """

    def __init__(
        self,
        columns: Mapping[str, Stored | Column],
        index: npt.NDArray[np.int64] | None = None,
        rows: int | None = None,
    ) -> None:
        self.columns = dict(columns)
        self.index = index
        self._large = {
            name: column for name, column in columns.items() if isinstance(column, Stored) and column.is_large
        }
        if index is not None:
            self.rows = len(index)
        else:
            self.rows = rows if rows is not None else len(next(iter(self.columns.values()), ()))

    def __len__(self) -> int:
        return self.rows

    def take(self, names: Sequence[str], rows: npt.NDArray[np.int64]) -> dict[str, Column]:
        """Return these rows (positions in the split) of some columns, in memory."""
        numbers = rows if self.index is None else self.index[rows]
        found: dict[str, Column] = {}
        for name in names:
            column = self.columns[name]
            found[name] = column.take(numbers) if isinstance(column, Stored) else take(column, numbers)
        return found

    def will_need(self, names: Sequence[str], rows: npt.NDArray[np.int64]) -> None:
        """Let the system begin to read these rows (positions in the split) of some columns from the disk."""
        for name in names:
            if name in self._large:
                self._large[name].will_need(rows if self.index is None else self.index[rows])

    def whole(self, name: str) -> Column:
        """Return a whole column of the split in memory: for small ones, such as targets."""
        return self.take([name], np.arange(self.rows))[name]

    def lengths(self, name: str) -> npt.NDArray[np.int64]:
        """Return how many items each of the split's rows has in a ragged column, int64 (rows,)."""
        column = self.columns[name]
        numbers = np.arange(self.rows) if self.index is None else np.asarray(self.index)
        if isinstance(column, Stored):
            return column.lengths(numbers)
        assert isinstance(column, Ragged)
        return np.diff(column.offsets)[numbers]

    def is_ragged(self, name: str) -> bool:
        """Whether rows of a column have different lengths."""
        column = self.columns[name]
        return column.layout.ragged if isinstance(column, Stored) else isinstance(column, Ragged)

    def row_bytes(self, name: str) -> int:
        """Return how many bytes a row of a column takes, of a ragged one on average."""
        column = self.columns[name]
        if isinstance(column, Stored):
            return column.bytes // max(len(column), 1)
        values = column.values if isinstance(column, Ragged) else column
        return int(values.nbytes) // max(len(column), 1)

    def subset(self, rows: npt.NDArray[np.int64]) -> SplitStore:
        """Return a store of some of this split's rows, in the order given; nothing is copied but the index."""
        return SplitStore(self.columns, np.asarray(rows, np.int64) if self.index is None else self.index[rows])
