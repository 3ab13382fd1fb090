"""Columns on their way to disk: appended chunk by chunk into shards, and taken up again after an interruption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from modelyard.core.files import storage_errors, synced
from modelyard.data.modalities.base import Column, Ragged
from modelyard.data.store import Layout, Stored

__all__ = ["ColumnWriter", "UnitWriter", "open_unit", "stored_layout"]

_SHARD_BYTES = 1 << 30
"""About how large a shard becomes."""


class ColumnWriter:
    """Appends to one column's shard files.

    Args:
        folder: Where the shards stand; made when it is absent.
        progress: What `flush` returned before an interruption; whatever was written after that is cut off again.
        shard_bytes: About how large a shard becomes.
    """

    def __init__(
        self, folder: Path, progress: Mapping[str, Any] | None = None, shard_bytes: int = _SHARD_BYTES
    ) -> None:
        self.folder = folder
        self.layout: Layout | None = None
        self._shard_bytes = shard_bytes
        self._values: IO[bytes] | None = None
        self._offsets: IO[bytes] | None = None
        self._rows = 0
        self._end = 0
        """Items in the open shard of a ragged column."""
        folder.mkdir(parents=True, exist_ok=True)
        if progress is not None:
            self._take_up(progress)

    def append(self, column: Column) -> None:
        """Add rows."""
        values = column.values if isinstance(column, Ragged) else column
        if self.layout is None:
            self.layout = self._lay_out(column, len(column), values.nbytes)
        start, shard_rows = 0, self.layout.shard_rows
        while start < len(column):
            if self._values is None or self._rows % shard_rows == 0:
                self._open(self._rows // shard_rows, "wb")
            stop = min(len(column), start + shard_rows - self._rows % shard_rows)
            self._write(column, start, stop)
            self._rows += stop - start
            start = stop

    def flush(self) -> dict[str, Any]:
        """Bring everything to the disk and return how far it goes."""
        return {
            "layout": None if self.layout is None else asdict(self.layout),
            "rows": self._rows,
            "end": self._end,
            "bytes": [0 if file is None else synced(file) for file in (self._values, self._offsets)],
        }

    def close(self) -> dict[str, Any]:
        """Bring everything to the disk, close, and return the layout."""
        self.flush()
        self.abandon()
        assert self.layout is not None
        return {**asdict(self.layout), "rows": self._rows}

    def abandon(self) -> None:
        """Close without a word."""
        for file in (self._values, self._offsets):
            if file is not None:
                file.close()

    def _lay_out(self, column: Column, rows: int, size: int) -> Layout:
        values = column.values if isinstance(column, Ragged) else column
        shard_rows = max(1, self._shard_bytes * max(rows, 1) // max(size, 8 * max(rows, 1)))
        dtype = values.dtype.newbyteorder("<").str
        return Layout(0, shard_rows, dtype, tuple(values.shape[1:]), isinstance(column, Ragged))

    def _open(self, shard: int, mode: str) -> None:
        self.flush()
        self.abandon()
        assert self.layout is not None
        self._values = open(self.folder / f"{shard:05d}.values", mode)  # noqa: SIM115
        if self.layout.ragged:
            self._offsets = open(self.folder / f"{shard:05d}.offsets", mode)  # noqa: SIM115
            if mode == "wb":
                self._end = 0
                self._offsets.write(np.zeros(1, "<i8").tobytes())

    def _write(self, column: Column, start: int, stop: int) -> None:
        assert self._values is not None and self.layout is not None
        if isinstance(column, Ragged):
            assert self._offsets is not None
            first, last = column.offsets[start], column.offsets[stop]
            ends = column.offsets[start + 1 : stop + 1] - first + self._end
            self._offsets.write(np.ascontiguousarray(ends, "<i8").data)
            self._end += int(last - first)
            values = column.values[first:last]
        else:
            values = column[start:stop]
        self._values.write(np.ascontiguousarray(values, self.layout.dtype).data)

    def _take_up(self, progress: Mapping[str, Any]) -> None:
        if progress["layout"] is None:
            return
        self.layout = Layout(**{**progress["layout"], "shape": tuple(progress["layout"]["shape"])})
        self._rows, self._end = progress["rows"], progress["end"]
        if self._rows == 0:
            return
        self._open((self._rows - 1) // self.layout.shard_rows, "r+b")
        for file, size in zip((self._values, self._offsets), progress["bytes"], strict=True):
            if file is not None:
                file.truncate(size)
                file.seek(size)


class UnitWriter:
    """Appends encoded chunks of columns that belong together, by name. Each column gets a folder of its own."""

    def __init__(self, folder: Path, progress: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self._writers: dict[str, ColumnWriter] = {}
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for number, (name, about) in enumerate((progress or {}).items()):
                self._writers[name] = ColumnWriter(folder / f"{number:02d}", about)

    def append(self, columns: Mapping[str, Column]) -> None:
        """Add rows of every column."""
        with storage_errors(self.folder):
            for name, column in columns.items():
                if name not in self._writers:
                    self._writers[name] = ColumnWriter(self.folder / f"{len(self._writers):02d}")
                self._writers[name].append(column)

    def flush(self) -> dict[str, Any]:
        """Bring everything to the disk and return how far it goes, for `progress`."""
        with storage_errors(self.folder):
            return {name: writer.flush() for name, writer in self._writers.items()}

    def close(self) -> dict[str, Any]:
        """Bring everything to the disk, close, and return the columns' layouts by name."""
        with storage_errors(self.folder):
            return {name: writer.close() for name, writer in self._writers.items()}

    def abandon(self) -> None:
        """Close without a word."""
        for writer in self._writers.values():
            writer.abandon()


def open_unit(folder: Path, columns: Mapping[str, Any]) -> dict[str, Stored]:
    """Return the columns that `UnitWriter.close` described, memory-mapped.

    Raises:
        DataError: A file is absent or of another size.
    """
    return {
        name: Stored(folder / f"{number:02d}", stored_layout(about))
        for number, (name, about) in enumerate(columns.items())
    }


def stored_layout(about: Mapping[str, Any]) -> Layout:
    """Return a layout from a manifest's JSON."""
    return Layout(**{**about, "shape": tuple(about["shape"])})
