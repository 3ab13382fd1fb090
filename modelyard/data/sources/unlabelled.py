"""Rows whose targets are not looked at: another source, its target columns without a value. It stands in no table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from modelyard.data.sources.base import Rows, Source

__all__ = ["UNLABELLED_PART", "Unlabelled"]

UNLABELLED_PART = "unlabelled"
"""What these rows are called among the parts of the data, and among the splits."""


class Unlabelled(Source):
    """The rows of a source as rows without a target.

    Args:
        source: The source.
        hidden: Columns that have no value in any row, whether the source has them or not.
    """

    name = "unlabelled"

    def __init__(self, source: Source, hidden: Sequence[str]) -> None:
        super().__init__(source.location, source.settings)
        self.source = source
        self.hidden = tuple(dict.fromkeys(hidden))

    @property
    def ignored(self) -> list[str]:
        """The hidden columns that the source has."""
        names = self.source.schema().names
        return [column for column in self.hidden if column in names]

    def files(self) -> list[str]:
        return self.source.files()

    def schema(self) -> pa.Schema:
        fields = [field for field in self.source.schema() if field.name not in self.hidden]
        return pa.schema([*fields, *(pa.field(column, pa.null()) for column in self.hidden)])

    def read(self, columns: Sequence[str] | None = None, chunk: int = 65536) -> Iterator[Rows]:
        shown = [name for name in self.source.schema().names if name not in self.hidden]
        if columns is not None:
            # One column at least: how many rows there are is said by columns alone.
            shown = [name for name in columns if name not in self.hidden] or shown[:1]
        for rows in self.source.read(shown, chunk):
            count = rows.table.num_rows
            found = dict(zip(rows.table.schema.names, rows.table.columns, strict=True))
            found |= {column: pa.nulls(count) for column in self.hidden}
            names = [*shown, *self.hidden] if columns is None else list(columns)
            table = pa.RecordBatch.from_arrays([found[name] for name in names], names)
            yield Rows(table, rows.file, rows.start, rows.unreadable, rows.positions)

    def fingerprint(self) -> str:
        return self.source.fingerprint()

    def folder(self) -> str:
        return self.source.folder()

    def label(self) -> str:
        return self.source.label()

    def place(self, file: str, positions: Sequence[int]) -> list[str]:
        return self.source.place(file, positions)
