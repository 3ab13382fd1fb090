"""Answers into a file: the raw rows beside what the model said, a chunk at a time, whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from modelyard.bundle.predictor import Predictions, Predictor
from modelyard.core.errors import DataError, UsageError
from modelyard.core.files import atomic_file, to_json
from modelyard.core.records import Record

__all__ = ["WrittenAnswers", "write_answers"]

_PREFIX = "predicted_"


@dataclass(frozen=True)
class WrittenAnswers(Record):
    """A file of answers."""

    path: str
    rows: int
    unanswered: int
    """Rows that could not be read; their answer is empty and `problem` says why."""
    notes: dict[str, int]


def write_answers(predictor: Predictor, rows: Any, path: Path, format: str | None = None) -> WrittenAnswers:
    """Answer rows and write them to `path`: the columns of the input that hold plain values, then `predicted_…`,
    `remarks` (what was unusual about the row) and `problem` (why it has no answer).

    Args:
        predictor: The loaded bundle.
        rows: As `Predictor.predict` takes them.
        path: Ends in .csv, .parquet or .jsonl.
        format: Name of the input's format, when its ending does not tell.

    Raises:
        UsageError: The ending is none of the three.
        DataError: There are no rows.
        StorageError: The file could not be written; nothing is left behind.
    """
    writers = {".csv": _csv, ".parquet": _parquet, ".jsonl": _jsonl}
    if path.suffix not in writers:
        raise UsageError(f"answers are written as {', '.join(writers)}; got {path.name!r}")
    tally = _Tally()
    with atomic_file(path) as file:
        writers[path.suffix](tally.count(_tables(predictor, rows, format)), file)
        if tally.rows == 0:
            raise DataError("no rows to predict: the input is empty")
    return WrittenAnswers(str(path), tally.rows, tally.unanswered, tally.notes)


class _Tally:
    def __init__(self) -> None:
        self.rows = 0
        self.unanswered = 0
        self.notes: dict[str, int] = {}

    def count(self, tables: Iterator[tuple[pa.Table, Predictions]]) -> Iterator[pa.Table]:
        for table, answers in tables:
            self.rows += len(answers)
            self.unanswered += len(answers.problems)
            for note, number in answers.notes.items():
                self.notes[note] = self.notes.get(note, 0) + number
            yield table


def _tables(predictor: Predictor, rows: Any, format: str | None) -> Iterator[tuple[pa.Table, Predictions]]:
    for chunk, answers in predictor.predict_chunks(rows, format=format):
        columns: dict[str, pa.Array] = {}
        for name, column in zip(chunk.table.schema.names, chunk.table.columns, strict=True):
            if not (pa.types.is_nested(column.type) or pa.types.is_binary(column.type) or _is_tensor(column)):
                columns[name] = column
        for name, values in answers.columns.items():
            flat = [to_json(value) if isinstance(value, list | dict) else value for value in values]
            columns[_PREFIX + name] = pa.array(flat)
        # always there, as a file's columns are settled before its last rows are read
        columns["remarks"] = pa.array(
            ["; ".join(answers.remarks[row]) if row in answers.remarks else None for row in range(len(answers))],
            pa.string(),
        )
        columns["problem"] = pa.array([answers.problems.get(row) for row in range(len(answers))], pa.string())
        yield pa.table(columns), answers


def _is_tensor(column: pa.Array) -> bool:
    return isinstance(column.type, pa.BaseExtensionType)


def _csv(tables: Iterator[pa.Table], file: Any) -> None:
    _write_all(tables, lambda schema: pa.csv.CSVWriter(file, schema))


def _parquet(tables: Iterator[pa.Table], file: Any) -> None:
    _write_all(tables, lambda schema: pa.parquet.ParquetWriter(file, schema))


def _write_all(tables: Iterator[pa.Table], open_writer: Callable[[pa.Schema], Any]) -> None:
    """Write tables with the first one's schema: a chunk without a single answer has columns of no type yet."""
    writer = schema = None
    for table in tables:
        if writer is None:
            schema = table.schema
            writer = open_writer(schema)
        writer.write_table(table.cast(schema))
    if writer is not None:
        writer.close()


def _jsonl(tables: Iterator[pa.Table], file: Any) -> None:
    for table in tables:
        text = io.StringIO()
        for row in table.to_pylist():
            text.write(to_json(row) + "\n")
        file.write(text.getvalue().encode())
