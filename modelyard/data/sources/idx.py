"""IDX, the files of MNIST and its followers: an images file, and a labels file beside it.

Format: http://yann.lecun.com/exdb/mnist (two zero bytes, a type, the number of dimensions, their sizes, the values).
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from modelyard.core.errors import DataError
from modelyard.data.sources.arrays import array_column, array_type
from modelyard.data.sources.base import Rows, Source
from modelyard.data.sources.files import Stream, digest_files, expand, is_url, open_stream, with_compressions
from modelyard.data.sources.rows import check_columns
from modelyard.spec.settings import Settings

__all__ = ["Idx", "IdxSettings", "labels_beside"]

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_LARGEST_RECORD = 256 << 20
_READ_AT_ONCE = 64 << 20


class IdxSettings(Settings):
    """IDX files leave nothing to set."""


class Idx(Source):
    """One IDX file of images (column `image`) with its labels (column `label`, int64), or either alone."""

    Settings = IdxSettings
    name = "idx"
    extensions = with_compressions("-ubyte", ".idx", ".idx1", ".idx3")

    def __init__(self, location: Any, settings: IdxSettings) -> None:
        super().__init__(location, settings)
        self._files: list[str] | None = None

    def files(self) -> list[str]:
        if self._files is None:
            found = expand(self.location)
            if len(found) == 1:
                found += filter(None, [labels_beside(found[0])])
            if len(found) > 2:
                raise DataError(
                    f"{len(found)} IDX files were given ({', '.join(found[:4])}, …); expected images and their labels"
                )
            self._files = found
        return self._files

    def schema(self) -> pa.Schema:
        with self._open() as parts:
            return pa.schema([(part.column, part.type) for part in parts])

    def read(self, columns: Sequence[str] | None = None, chunk: int = 65536) -> Iterator[Rows]:
        with self._open() as parts:
            wanted = check_columns(columns, [part.column for part in parts], self.files()[0])
            chunk = max(1, min(chunk, _READ_AT_ONCE // max(part.record for part in parts)))
            total = parts[0].count
            for start in range(0, total, chunk):
                count = min(chunk, total - start)
                arrays = {part.column: part.read(count, start) for part in parts}
                table = pa.RecordBatch.from_arrays([arrays[name] for name in wanted], names=wanted)
                yield Rows(table, parts[0].stream.name, start)
            for part in parts:
                part.check_end()

    def fingerprint(self) -> str:
        return digest_files(self.files())

    @contextlib.contextmanager
    def _open(self) -> Iterator[list[_Part]]:
        with contextlib.ExitStack() as stack:
            parts = [_header(stack.enter_context(open_stream(file))) for file in self.files()]
            if len(parts) == 2:
                parts.sort(key=lambda part: part.column)  # image, label
                images, labels = parts
                if (images.column, labels.column) != ("image", "label"):
                    raise DataError(
                        f"{images.stream.name} and {labels.stream.name} both hold {images.column}s; expected images "
                        "(two or more dimensions) and labels (one)"
                    )
                if images.count != labels.count:
                    raise DataError(
                        f"{images.stream.name} holds {images.count:,} images and {labels.stream.name} {labels.count:,} "
                        "labels; expected as many of each. Do the files belong together?"
                    )
            yield parts


def labels_beside(images: str) -> str | None:
    """Return the labels file that stands beside an images file, if both are named as those of MNIST."""
    head, tail = os.path.split(images)
    if "images" not in tail:
        return None
    named = re.sub(r"idx\d", "idx1", tail.replace("images", "labels"))
    plain = re.sub(r"\.(gz|bz2|zst)$", "", named)
    for name in dict.fromkeys([named, plain, plain + ".gz"]):
        beside = os.path.join(head, name)
        if is_url(beside):
            with contextlib.suppress(DataError):
                return expand(beside)[0]
        elif os.path.isfile(beside):
            return beside
    return None


@dataclass
class _Part:
    stream: Stream
    dtype: np.dtype[Any]
    count: int
    shape: tuple[int, ...]

    @property
    def column(self) -> str:
        return "image" if self.shape else "label"

    @property
    def type(self) -> pa.DataType:
        if self.column == "label":
            return pa.int64() if self.dtype.kind in "iu" else pa.from_numpy_dtype(self.dtype.newbyteorder("="))
        return array_type(self.dtype, self.shape, self.stream.name)

    @property
    def record(self) -> int:
        """Bytes a row."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, count: int, start: int) -> pa.Array:
        data = self.stream.read(count * self.record)
        if len(data) < count * self.record:
            raise DataError(
                f"{self.stream.name} ends after {start + len(data) // self.record:,} of the {self.count:,} records "
                "that its header announces; it is cut short. Fetch it again"
            )
        values = np.frombuffer(data, self.dtype).reshape(count, *self.shape)
        array = array_column(values, self.stream.name)
        return array.cast(self.type) if self.column == "label" else array

    def check_end(self) -> None:
        if self.stream.read(1):
            raise DataError(
                f"{self.stream.name} goes on behind the {self.count:,} records that its header announces; it is "
                "damaged, or no IDX file"
            )


def _header(stream: Stream) -> _Part:
    name, magic = stream.name, stream.read(4)
    if len(magic) < 4:
        raise DataError(f"{name} is empty or shorter than a header; expected an IDX file")
    if magic[:2] != b"\0\0" or magic[2] not in _DTYPES or magic[3] == 0:
        raise DataError(
            f"{name} starts with the bytes {magic.hex(' ')}; expected an IDX file: 00 00, a type (08 to 0e), and the "
            "number of dimensions. Is it compressed without saying so in its name?"
        )
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"{name} ends within its header; it is cut short. Fetch it again")
    count, *shape = struct.unpack(f">{magic[3]}I", sizes)
    part = _Part(stream, np.dtype(_DTYPES[magic[2]]), count, tuple(shape))
    if 0 in shape or part.record > _LARGEST_RECORD:
        raise DataError(
            f"{name} announces records of shape {tuple(shape)}, {part.record:,} bytes each; expected 1 to "
            f"{_LARGEST_RECORD:,} bytes. Its header is damaged"
        )
    return part
