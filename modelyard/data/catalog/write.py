"""Writes a data set's plain files while it arrives: JSON Lines, CSV, Parquet, IDX, `.npz`. The same input gives the
same content on every machine. Used only inside the directory that `core.files.atomic_directory` completes."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from modelyard.core.errors import DataError
from modelyard.data.catalog.archives import decompress

__all__ = ["columns_of", "copy_idx", "write_csv", "write_idx", "write_jsonl", "write_npz", "write_parquet"]

_LEVEL = 6
"""Six times as fast as gzip's default of 9, and hardly larger."""


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, in UTF-8."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write comma-separated values with a header line, quoted where needed, in UTF-8."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            if len(row) != len(header):
                raise DataError(f"{path.name}: a row has {len(row)} values for {len(header)} columns")
            writer.writerow(row)


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of plain values to Parquet. None is a null, and so is a NaN: a value that is missing."""
    table = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
    pq.write_table(table, path, compression="zstd")


def columns_of(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> dict[str, list[Any]]:
    """Turn rows into columns by name.

    Raises:
        DataError: A row is longer or shorter than the header.
    """
    columns: dict[str, list[Any]] = {name: [] for name in header}
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise DataError(f"row {number} has {len(row)} values for {len(header)} columns")
        for name, value in zip(header, row, strict=True):
            columns[name].append(value)
    return columns


def write_idx(path: Path, array: npt.NDArray[np.uint8]) -> None:
    """Write unsigned bytes of any shape as gzipped IDX, the format of MNIST."""
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    with gzip.GzipFile(path, "wb", compresslevel=_LEVEL, mtime=0) as file:
        file.write(header + array.tobytes())


def copy_idx(source: Path, target: Path, limit: int) -> None:
    """Copy a gzipped IDX file of unsigned bytes, once its header fits its size.

    Raises:
        DataError: It is not such a file.
    """
    content = decompress(source, limit)
    zeros, kind, axes = struct.unpack(">HBB", content[:4].ljust(4, b"\xff"))
    shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes]) if len(content) >= 4 + 4 * axes else ()
    if (zeros, kind) != (0, 8) or len(content) != 4 + 4 * axes + int(np.prod(shape, dtype=np.int64)):
        raise DataError(f"{source.name} is not an IDX file of unsigned bytes")
    shutil.copyfile(source, target)


def write_npz(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Write named arrays to a compressed `.npz`, readable without unpickling."""
    np.savez_compressed(path, allow_pickle=False, **arrays)
