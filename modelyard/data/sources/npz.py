"""NumPy archives (.npz): arrays of one length become columns. Nothing is unpickled; arrays are read in pieces."""

from __future__ import annotations

import contextlib
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numpy.lib import format as npy

from modelyard.core.errors import DataError
from modelyard.data.sources.arrays import array_column, array_type
from modelyard.data.sources.base import Rows, Source
from modelyard.data.sources.files import clipped, digest_files, expand, open_seekable, reading
from modelyard.data.sources.rows import check_columns
from modelyard.data.sources.splits import split_and_rest
from modelyard.spec.settings import Settings

__all__ = ["Npz", "NpzSettings"]

_READ_AT_ONCE = 64 << 20
_LARGEST_RECORD = 256 << 20
_LARGEST_WHOLE = 2 << 30


class NpzSettings(Settings):
    """Archives leave nothing to set."""


class Npz(Source):
    """One .npz file. Arrays named like `x_train` and `y_test` make splits (`parts`), with columns `x` and `y`."""

    Settings = NpzSettings
    name = "npz"
    extensions = (".npz",)

    def __init__(self, location: Any, settings: NpzSettings, split: str | None = None) -> None:
        """Store.

        Args:
            location: The file.
            settings: None there are.
            split: Only the arrays of this split; all by default.
        """
        super().__init__(location, settings)
        self.split = split

    def files(self) -> list[str]:
        found = expand(self.location)
        if len(found) > 1:
            raise DataError(f"{len(found)} archives were given ({', '.join(found[:4])}, …); expected one .npz file")
        return found

    def schema(self) -> pa.Schema:
        with self._open() as members:
            return pa.schema([(column, member.type) for column, member in members.items()])

    def read(self, columns: Sequence[str] | None = None, chunk: int = 65536) -> Iterator[Rows]:
        file = self.files()[0]
        with self._open() as members:
            wanted = {name: members[name] for name in check_columns(columns, list(members), file)}
            total = next(iter(members.values())).shape[0]
            chunk = max(1, min(chunk, _READ_AT_ONCE // max((member.record for member in wanted.values()), default=1)))
            for start in range(0, total, chunk):
                count = min(chunk, total - start)
                arrays = [array_column(member.read(start, count), member.what) for member in wanted.values()]
                yield Rows(pa.RecordBatch.from_arrays(arrays, names=list(wanted)), file, start)

    def fingerprint(self) -> str:
        return digest_files(self.files(), (self.split or "").encode())

    def parts(self) -> dict[str, Source]:
        """Return a source for each split, when every array's name holds one (`x_train`, `test_images`)."""
        file = self.files()[0]
        with open_seekable(file) as raw, _zip_errors(file), zipfile.ZipFile(raw) as archive:
            names = [split_and_rest(name.removesuffix(".npy")) for name in archive.namelist()]
        splits = [name[0] for name in names if name is not None]
        if self.split is not None or len(splits) < len(names) or "train" not in splits:
            return {}
        return {split: Npz(self.location, self.settings, split) for split in dict.fromkeys(splits)}

    @contextlib.contextmanager
    def _open(self) -> Iterator[dict[str, _Member]]:
        """Open the archive and give its arrays by column."""
        file = self.files()[0]
        with contextlib.ExitStack() as stack:
            raw = stack.enter_context(open_seekable(file))
            with _zip_errors(file):
                archive = stack.enter_context(zipfile.ZipFile(raw))
            members: dict[str, _Member] = {}
            for info in archive.infolist():
                column = info.filename.removesuffix(".npy")
                if self.split is not None:
                    split, column = split_and_rest(column) or ("", column)
                    if split != self.split:
                        continue
                if column in members:
                    raise DataError(f"{file} holds more than one array for {clipped(column)}; expected different names")
                with _zip_errors(f"{file}, array {clipped(info.filename)}"):
                    members[column] = _header(stack.enter_context(archive.open(info)), info, file)
            _check_lengths(members, file)
            yield members


def _check_lengths(members: dict[str, _Member], file: str) -> None:
    shapes = ", ".join(f"{name} {member.shape}" for name, member in members.items())
    if not members:
        raise DataError(f"{file} holds no array; expected arrays with one row for each sample")
    if (
        any(not member.shape for member in members.values())
        or len({member.shape[0] for member in members.values()}) > 1
    ):
        raise DataError(
            f"the arrays of {file} are not of one length: {shapes}. Expected the same first dimension in all of them, "
            "or names such as x_train, y_train, x_test, y_test"
        )


@dataclass
class _Member:
    file: IO[bytes]
    what: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    column_major: bool
    whole: npt.NDArray[Any] | None = None

    @property
    def type(self) -> pa.DataType:
        return array_type(self.dtype, self.shape[1:], self.what)

    @property
    def record(self) -> int:
        """Bytes a row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def read(self, start: int, count: int) -> npt.NDArray[Any]:
        """Return the next rows; called in order."""
        if self.column_major:
            if self.whole is None:
                self.whole = self._take(self.shape[0]).reshape(self.shape, order="F")
            return self.whole[start : start + count]
        return self._take(count).reshape(count, *self.shape[1:])

    def _take(self, count: int) -> npt.NDArray[Any]:
        size, parts = count * self.record, []
        with _zip_errors(self.what):
            while size > 0 and (part := self.file.read(min(size, 1 << 20))):
                parts.append(part)
                size -= len(part)
        if size:
            raise DataError(
                f"{self.what} ends {size:,} bytes before the {self.shape[0]:,} rows that its header announces"
            )
        return np.frombuffer(b"".join(parts), self.dtype)


def _header(member: IO[bytes], info: zipfile.ZipInfo, file: str) -> _Member:
    """Read an array's header and hold what it announces against the size that the archive states."""
    what = f"{file}, array {clipped(info.filename.removesuffix('.npy'))}"
    version = npy.read_magic(member)
    if version == (1, 0):
        shape, column_major, dtype = npy.read_array_header_1_0(member)
    elif version == (2, 0):
        shape, column_major, dtype = npy.read_array_header_2_0(member)
    else:
        raise DataError(f"{what} is in version {version} of NumPy's format, for named fields; expected a plain array")
    found = _Member(member, what, shape, dtype, column_major and len(shape) > 1)
    array_type(dtype, shape[1:], what)  # raises for what cannot be a column
    announced = math.prod(shape) * dtype.itemsize
    if any(size < 0 for size in shape) or dtype.itemsize == 0 or announced != info.file_size - member.tell():
        raise DataError(
            f"{what} announces shape {shape} of {dtype} ({announced:,} bytes) and holds "
            f"{info.file_size - member.tell():,} bytes; it is damaged"
        )
    if found.record > _LARGEST_RECORD:
        raise DataError(f"{what} has rows of {found.record:,} bytes; expected at most {_LARGEST_RECORD:,}")
    if found.column_major and announced > _LARGEST_WHOLE:
        raise DataError(
            f"{what} is laid out column after column, so that {announced:,} bytes would have to be in memory at once. "
            "Save np.ascontiguousarray of it"
        )
    return found


@contextlib.contextmanager
def _zip_errors(what: str) -> Iterator[None]:
    try:
        with reading(what):
            yield
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        struct.error,
        zlib.error,
        TypeError,
        SyntaxError,
        tokenize.TokenError,
        KeyError,
        IndexError,
        AttributeError,
    ) as error:  # what zipfile and NumPy raise for damaged archives and headers
        raise DataError(f"{what} is damaged, or no .npz archive: {clipped(str(error), 200)}") from error
