"""JSON records: one object a line, or one list of objects. Missing keys are null; broken lines keep their place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pydantic import Field

from modelyard.core.errors import DataError
from modelyard.data.sources.base import Rows, Source
from modelyard.data.sources.files import clipped, digest_files, expand, open_stream, with_compressions
from modelyard.data.sources.json_records import read_records, record_lines
from modelyard.data.sources.rows import check_columns, in_chunks, without
from modelyard.data.sources.values import Seen, to_array
from modelyard.spec.settings import Settings

__all__ = ["JsonLines", "JsonSettings"]

_BLOCK_BYTES = 8 << 20  # parsed at a time
_BLOCK_RECORDS = 1 << 14
_CELLS = 1 << 22
_MANY_KEYS = 10_000


class JsonSettings(Settings):
    """How JSON records are read."""

    sample: int = Field(default=65536, ge=1)
    """How many records are looked at, spread over the files, to decide the columns and their types."""


class JsonLines(Source):
    """One or more files of JSON records that make one table.

    A value that does not fit the type its column was given makes its record unreadable. `ignored` counts, while rows
    are read, the values under keys that occurred in no sampled record: they have no column.
    """

    Settings = JsonSettings
    name = "jsonl"
    extensions = with_compressions(".jsonl", ".ndjson", ".json")
    settings: JsonSettings

    def __init__(self, location: Any, settings: JsonSettings) -> None:
        super().__init__(location, settings)
        self.ignored: Counter[str] = Counter()
        self._files: list[str] | None = None
        self._schema: pa.Schema | None = None

    def files(self) -> list[str]:
        if self._files is None:
            self._files = expand(self.location)
        return self._files

    def schema(self) -> pa.Schema:
        if self._schema is None:
            self._schema = self._decide()
        return self._schema

    def read(self, columns: Sequence[str] | None = None, chunk: int = 65536) -> Iterator[Rows]:
        schema = self.schema()
        wanted = check_columns(columns, schema.names, self.files()[0])
        self.ignored.clear()
        for file in self.files():
            for block in _blocks(file, max(_CELLS // max(len(schema), 1), 1)):
                # Every column is checked, whichever are wanted: which records are readable must not depend on that.
                table = self._table(block, schema)
                yield from in_chunks(table.select(wanted), file, block.start, chunk, block.unreadable)

    def fingerprint(self) -> str:
        return digest_files(self.files())

    def place(self, file: str, positions: Sequence[int]) -> list[str]:
        with open_stream(file) as stream:
            lines = record_lines(stream, positions)
        return super().place(file, positions) if lines is None else [f"{file}, line {line}" for line in lines]

    def _decide(self) -> pa.Schema:
        """Look at the first records of each file and give every key a type."""
        files = self.files()
        share = -(-self.settings.sample // len(files))
        seen: dict[str, Seen] = {}
        broken = ""
        for file in files:
            known, keys = set(seen), set[str]()
            for block in _blocks(file, share):
                broken = broken or next(iter(block.unreadable.values()), "")
                keys.update(*block.records)
                if len(keys) > _MANY_KEYS:
                    raise DataError(
                        f"the records of {file} have more than {_MANY_KEYS:,} different keys "
                        f"({clipped(next(iter(keys)))}, …); expected the same keys in every record. Put varying ones "
                        "into a list"
                    )
                for name, values in _columns(block.records).items():
                    seen.setdefault(name, Seen()).add(values)
                if block.stop >= share:
                    break
            if known and keys and known.isdisjoint(keys):
                raise DataError(
                    f"{file} has none of the keys of {files[0]}: {', '.join(map(clipped, sorted(keys)[:10]))} instead "
                    f"of {', '.join(map(clipped, sorted(known)[:10]))}. Files read together need the same columns"
                )
        if not seen:
            raise DataError(
                f"no record of {files[0]} could be read; expected an object {{…}} a line, or one list of objects. "
                + (f"The first: {broken}" if broken else "It holds none")
            )
        return pa.schema([(name, column.type()) for name, column in seen.items()])

    def _table(self, block: _Block, schema: pa.Schema) -> pa.RecordBatch:
        """Turn a block's records into columns, moving those with a value of another type to `unreadable`."""
        names = set(schema.names)
        for record in block.records:
            if not record.keys() <= names:
                self.ignored.update(record.keys() - names)
        arrays = []
        broken: dict[int, str] = {}
        for column in schema:
            array, problems = to_array([record.get(column.name) for record in block.records], column.type)
            arrays.append(array)
            for row, problem in problems.items():
                broken.setdefault(
                    row,
                    f"{clipped(column.name)} is {problem} like the first {self.settings.sample:,} records "
                    "(data.options.sample looks at more of them)",
                )
        table = pa.RecordBatch.from_arrays(arrays, schema=schema)
        return without(table, block.start, broken, block.unreadable)


@dataclass
class _Block:
    start: int
    records: list[dict[str, Any]] = field(default_factory=list)
    unreadable: dict[int, str] = field(default_factory=dict)

    @property
    def stop(self) -> int:
        return self.start + len(self.records) + len(self.unreadable)


def _blocks(file: str, records: int = _BLOCK_RECORDS) -> Iterator[_Block]:
    """Yield a file's records, at most so many and so many bytes at a time."""
    records = min(records, _BLOCK_RECORDS)
    with open_stream(file) as stream:
        block, size = _Block(0), 0
        for length, record in read_records(stream):
            if isinstance(record, str):
                block.unreadable[block.stop] = record
            else:
                block.records.append(record)
            size += length
            if block.stop - block.start >= records or size >= _BLOCK_BYTES:
                yield block
                block, size = _Block(block.stop), 0
        if block.stop > block.start:
            yield block


def _columns(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for record in records:
        for name, value in record.items():
            columns.setdefault(name, []).append(value)
    return columns
