"""Parquet, and Arrow's own files (.arrow, .feather, .ipc): typed columns, read by record batches."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from modelyard.core.errors import DataError
from modelyard.data.sources.base import Rows, Source
from modelyard.data.sources.files import (
    clipped,
    digest_files,
    expand,
    is_url,
    listed,
    open_seekable,
    other_columns,
    reading,
)
from modelyard.data.sources.rows import check_columns, in_chunks
from modelyard.spec.settings import Settings

__all__ = ["Parquet", "ParquetSettings"]


class ParquetSettings(Settings):
    """Parquet and Arrow files leave nothing to set."""


class Parquet(Source):
    """One or more Parquet or Arrow files with the same columns. Types stay as the file states them."""

    Settings = ParquetSettings
    name = "parquet"
    extensions = (".parquet", ".pq", ".arrow", ".feather", ".ipc")

    def __init__(self, location: Any, settings: ParquetSettings) -> None:
        super().__init__(location, settings)
        self._files: list[str] | None = None
        self._schema: pa.Schema | None = None

    def files(self) -> list[str]:
        if self._files is None:
            self._files = expand(self.location)
        return self._files

    def schema(self) -> pa.Schema:
        if self._schema is None:
            files = self.files()
            schema = _schema_of(files[0])
            for file in files[1:]:
                _check_same(file, _schema_of(file), files[0], schema)
            self._schema = schema
        return self._schema

    def read(self, columns: Sequence[str] | None = None, chunk: int = 65536) -> Iterator[Rows]:
        schema = self.schema()
        wanted = check_columns(columns, schema.names, self.files()[0])
        expected = pa.schema([schema.field(name) for name in wanted])
        for file in self.files():
            position = 0
            with _opened(file) as reader:
                batches = reader.batches(wanted, chunk)
                while True:
                    with reading(f"{file} behind row {position}"):
                        batch = next(batches, None)
                        if batch is None:
                            break
                        # What a file states about itself may be false; afterwards everybody takes it for true.
                        batch.validate(full=True)
                        table = _conform(batch, expected)
                    yield from in_chunks(table, file, position, chunk)
                    position += table.num_rows

    def fingerprint(self) -> str:
        return digest_files(self.files())


def _conform(batch: pa.RecordBatch, expected: pa.Schema) -> pa.RecordBatch:
    """Return the batch with the columns in order and typed as in the first file (one without values may differ)."""
    arrays = [batch.column(name) for name in expected.names]
    arrays = [
        array if array.type == field.type else array.cast(field.type)
        for array, field in zip(arrays, expected, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=expected)


def _schema_of(file: str) -> pa.Schema:
    with _opened(file) as reader:
        names = reader.schema.names
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(f"{file} has more than one column called {listed(twice)}; expected different names")
    if not names:
        raise DataError(f"{file} has no columns")
    return reader.schema.remove_metadata()


def _check_same(file: str, schema: pa.Schema, first: str, expected: pa.Schema) -> None:
    problem = other_columns(file, schema.names, first, expected.names)
    if problem:
        raise problem
    for field in expected:
        other = schema.field(field.name).type
        if other != field.type and not pa.types.is_null(other):
            raise DataError(
                f"{clipped(field.name)} is {other} in {file} and {field.type} in {first}; expected one type. Write the "
                "files again with one schema"
            )


def _check_text(field: pa.Field) -> None:
    """Look at every name inside a column's type: one that is not UTF-8 raises here, and not somewhere later."""
    kind = field.type
    _ = field.name, getattr(kind, "tz", None)
    if pa.types.is_dictionary(kind):
        _check_text(pa.field("", kind.value_type))
    elif isinstance(kind, pa.BaseExtensionType):
        _check_text(pa.field("", kind.storage_type))
    for position in range(kind.num_fields):
        _check_text(kind.field(position))


# -- the two formats --------------------------------------------------------------------------------------------------


class _ParquetReader:
    def __init__(self, file: Any) -> None:
        self._file = pq.ParquetFile(file)
        self.schema = self._file.schema_arrow

    def batches(self, columns: list[str], chunk: int) -> Iterator[pa.RecordBatch]:
        return iter(self._file.iter_batches(batch_size=chunk, columns=columns, use_threads=False))


class _ArrowReader:
    def __init__(self, file: Any) -> None:
        try:
            self._file = pa.ipc.open_file(file)
            self._count = self._file.num_record_batches
        except pa.ArrowInvalid:
            file.seek(0)
            self._file = pa.ipc.open_stream(file)
            self._count = None
        self.schema = self._file.schema

    def batches(self, columns: list[str], chunk: int) -> Iterator[pa.RecordBatch]:
        if self._count is None:
            return iter(self._file)
        return (self._file.get_batch(number) for number in range(self._count))


@contextlib.contextmanager
def _opened(file: str) -> Iterator[_ParquetReader | _ArrowReader]:
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(open_seekable(file))
        with reading(file):
            magic = raw.read(4)
            raw.seek(0)
            source: Any = raw if is_url(file) else stack.enter_context(pa.memory_map(file))
            reader = _ParquetReader(source) if magic == b"PAR1" else _ArrowReader(source)
            for field in reader.schema:
                _check_text(field)
        yield reader
