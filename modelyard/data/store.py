"""Fitted columns on disk, memory-mapped: written once as a stream, gathered as whole arrays ever after.

A store is a directory: `manifest.json`, and for each split a folder with one raw little-endian file a column
(two for a ragged one). It is written under a temporary name and appears when it is complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from modelyard.core.errors import DataError
from modelyard.core.files import read_json, storage_errors, write_json
from modelyard.data.modalities.base import Column, Ragged

__all__ = ["FORMAT", "SplitStore", "StoreWriter", "gather", "open_store", "take"]

FORMAT = 1


def take(column: Column, rows: npt.NDArray[np.int64]) -> Column:
    """Return some rows of a column, in the order asked for, as a copy in memory."""
    if isinstance(column, Ragged):
        starts, ends = column.offsets[rows], column.offsets[rows + 1]
        lengths = ends - starts
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        index = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Ragged(column.values[index], offsets)
    return column[rows]


class SplitStore:
    """The stored columns of one split, by name: `numbers`, `review.ids`, `target.stars`, `row.hash`, …"""

    def __init__(self, rows: int, columns: Mapping[str, Column]) -> None:
        self.rows = rows
        self.columns = dict(columns)

    def __len__(self) -> int:
        return self.rows


def gather(store: SplitStore, rows: npt.NDArray[np.int64], prefix: str = "") -> dict[str, Column]:
    """Return the asked rows of every column whose name starts with `prefix`."""
    return {name: take(column, rows) for name, column in store.columns.items() if name.startswith(prefix)}


class StoreWriter:
    """Appends encoded chunks to the columns of the splits. Use inside `atomic_directory`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[tuple[str, str], _ColumnFile] = {}

    def append(self, split: str, columns: Mapping[str, Column]) -> None:
        """Add rows to a split; `columns` may hold a part of the columns, the others follow in later calls."""
        with storage_errors(self.folder):
            for name, column in columns.items():
                file = self._files.get((split, name))
                if file is None:
                    (self.folder / split).mkdir(exist_ok=True)
                    file = self._files[split, name] = _ColumnFile(self.folder / split, len(self._files), column)
                file.append(column)

    def finish(self, **about: Any) -> None:
        """Close the files and write the manifest, with `about` beside the columns' shapes.

        Raises:
            DataError: Columns of one split ended up with different numbers of rows (a defect, never expected).
        """
        splits: dict[str, Any] = {}
        with storage_errors(self.folder):
            for (split, name), file in self._files.items():
                splits.setdefault(split, {"rows": file.rows, "columns": {}})
                if splits[split]["rows"] != file.rows:
                    raise DataError(f"column {name} of {split} has {file.rows} rows, others {splits[split]['rows']}")
                splits[split]["columns"][name] = file.close()
            write_json(self.folder / "manifest.json", {"format": FORMAT, "splits": splits, **about})

    def abandon(self) -> None:
        """Close the files without a manifest."""
        for file in self._files.values():
            file.abandon()


class _ColumnFile:
    def __init__(self, folder: Path, number: int, first: Column) -> None:
        self.ragged = isinstance(first, Ragged)
        sample = first.values if isinstance(first, Ragged) else first
        self.dtype = sample.dtype.newbyteorder("<")
        self.shape = sample.shape[1:]
        self.stem = f"{number:03d}"
        self.rows = 0
        self._end = 0
        self._values: IO[bytes] = open(folder / f"{self.stem}.values", "wb")  # noqa: SIM115
        self._offsets: IO[bytes] | None = None
        if self.ragged:
            self._offsets = open(folder / f"{self.stem}.offsets", "wb")  # noqa: SIM115
            self._offsets.write(np.zeros(1, "<i8").tobytes())

    def append(self, column: Column) -> None:
        self.rows += len(column)
        if isinstance(column, Ragged):
            assert self._offsets is not None
            values = column.values[column.offsets[0] : column.offsets[-1]]
            self._offsets.write((column.offsets[1:] - column.offsets[0] + self._end).astype("<i8").tobytes())
            self._end += len(values)
        else:
            values = column
        self._values.write(np.ascontiguousarray(values, self.dtype).data)

    def close(self) -> dict[str, Any]:
        self.abandon()
        return {"file": self.stem, "dtype": self.dtype.str, "shape": list(self.shape), "ragged": self.ragged}

    def abandon(self) -> None:
        self._values.close()
        if self._offsets is not None:
            self._offsets.close()


def open_store(folder: Path) -> tuple[dict[str, SplitStore], dict[str, Any]]:
    """Memory-map a store.

    Returns:
        Its splits by name, and its manifest.

    Raises:
        DataError: The store is incomplete or of another format.
    """
    manifest = read_json(folder / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise DataError(f"{folder} was written by another release of modelyard; delete it and it is made anew")
    splits = {}
    for split, about in manifest["splits"].items():
        columns: dict[str, Column] = {}
        for name, shape in about["columns"].items():
            stem = folder / split / shape["file"]
            values = _map(stem.with_suffix(".values"), shape["dtype"], shape["shape"])
            if shape["ragged"]:
                columns[name] = Ragged(values, _map(stem.with_suffix(".offsets"), "<i8", []))
            else:
                columns[name] = values
            if len(columns[name]) != about["rows"]:
                raise DataError(f"{folder} is damaged ({split}/{name}); delete it and it is made anew")
        splits[split] = SplitStore(about["rows"], columns)
    return splits, manifest


def _map(path: Path, dtype: str, shape: list[int]) -> npt.NDArray[Any]:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise DataError(f"{path.parent.parent} lacks {path.name}; delete the folder and it is made anew") from error
    item = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
    if size == 0:
        return np.empty((0, *shape), dtype)
    # A plain array over the mapping: np.memmap's subclass costs microseconds at every slice.
    mapped = np.memmap(path, np.uint8, "r", shape=(size - size % item,))
    return np.asarray(mapped).view(dtype).reshape(-1, *shape)
