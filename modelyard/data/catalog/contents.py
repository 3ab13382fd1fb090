"""What a data set's plain files hold: how many rows, and a digest of the content that no compression or library
version changes. This is how an arrival is known to be right wherever it came from."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from modelyard.core.errors import DataError
from modelyard.core.files import digest_file

__all__ = ["companions", "content_digest", "count_rows"]

_CHUNK = 1 << 20
_BATCH_ROWS = 8192


def content_digest(path: Path) -> str:
    """SHA-256 of what a file or folder holds.

    A `.gz` file counts as what it expands to, Parquet as its column names and rows in JSON, `.npz` as its arrays, a
    folder as the names and digests of its files in order, anything else as its bytes.
    """
    if path.is_dir():
        digest = hashlib.sha256()
        for file in sorted(path.rglob("*")):
            if file.is_file():
                digest.update(f"{digest_file(file)}  {file.relative_to(path).as_posix()}\n".encode())
        return digest.hexdigest()
    if path.name.endswith(".gz"):
        with gzip.open(path, "rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    if path.suffix == ".parquet":
        return _parquet_digest(path)
    if path.suffix == ".npz":
        return _npz_digest(path)
    return digest_file(path)


def count_rows(path: Path) -> int:
    """How many rows a file holds: lines of JSON, records of CSV, rows of Parquet, items of IDX or `.npz`; for a folder
    the number of files in it.

    Raises:
        DataError: The file is of none of these kinds.
    """
    if path.is_dir():
        return sum(1 for file in path.rglob("*") if file.is_file())
    if path.suffix == ".jsonl":
        with open(path, "rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK), b""))
    if path.suffix == ".csv":
        with open(path, encoding="utf-8", newline="") as text:
            return sum(1 for _ in csv.reader(text)) - 1
    if path.suffix == ".parquet":
        return int(pq.read_metadata(path).num_rows)
    if path.name.endswith("-ubyte.gz"):
        with gzip.open(path, "rb") as idx:
            return int(struct.unpack(">4xI", idx.read(8))[0])
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as arrays, arrays.open(arrays.namelist()[0]) as array:
            header = io.BytesIO(array.read(_CHUNK))
        np.lib.format.read_magic(header)
        return int(np.lib.format.read_array_header_1_0(header)[0][0])
    raise DataError(f"{path.name} is not a kind of file whose rows can be counted")


def companions(path: Path) -> list[Path]:
    """The files that belong to a split's file: itself, and for IDX images the labels beside it."""
    labels = path.with_name(path.name.replace("-images-idx3-", "-labels-idx1-"))
    return [path] if labels == path else [path, labels]


def _parquet_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with pq.ParquetFile(path) as table:
        digest.update((json.dumps(table.schema_arrow.names) + "\n").encode())
        for batch in table.iter_batches(_BATCH_ROWS):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                digest.update((json.dumps([_exact(value) for value in row], ensure_ascii=False) + "\n").encode())
    return digest.hexdigest()


def _exact(value: Any) -> Any:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list):
        return [_exact(item) for item in value]
    return str(value)


def _npz_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with np.load(path, allow_pickle=False) as arrays:
        for name in sorted(arrays.files):
            array = arrays[name]
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()
