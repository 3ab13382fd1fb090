"""Delimited text: CSV, TSV and their kin, plain or compressed. Every cell arrives as text; modalities make sense of it.

A record with too few or too many cells, or bytes that are no text, is unreadable and keeps its position; nothing is
padded, cut or replaced to fit.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from pydantic import Field, field_validator, model_validator

from modelyard.core.errors import DataError
from modelyard.data.sources.base import Rows, Source
from modelyard.data.sources.decoded import NO_TEXT, Decoded, check_encoding, visible
from modelyard.data.sources.delimited import after_lines, delimiter_of, first_record
from modelyard.data.sources.files import (
    clipped,
    digest_files,
    expand,
    listed,
    open_stream,
    other_columns,
    reading,
    with_compressions,
)
from modelyard.data.sources.lines import count_lines, record_lines
from modelyard.data.sources.rows import among, check_columns, empty_batch, in_chunks, without
from modelyard.spec.settings import Settings

__all__ = ["Csv", "CsvSettings"]

_BLOCK = 4 << 20  # a record longer than this is refused: most often a quote was never closed
_MANY_COLUMNS = 100_000
_MANY = 1_000_000  # unreadable records kept in memory at a time
_END = "\0\x1c\0\x1d\0"  # no text holds this


class CsvSettings(Settings):
    """How delimited text is laid out."""

    delimiter: str | None = None
    """The character between cells; tab for .tsv and .tab, else the one of `,` `;` tab `|` that the header uses."""
    encoding: str | None = None
    """The text's encoding, such as cp1252 or gb18030; UTF-8 by default."""
    header: bool | list[str] = True
    """Whether the first record holds the column names. For files without: the names, or false for column_1, …"""
    quote: str | None = '"'
    """The character around cells that hold delimiters or line ends; null when quotes mean nothing."""
    skip_rows: int = Field(default=0, ge=0)
    """How many lines to leave out before the header."""

    @field_validator("delimiter", "quote")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or not value.isascii() or value in "\r\n\0"):
            raise ValueError(f"expected one ASCII character, got {value!r}")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        return None if value is None else check_encoding(value)

    @model_validator(mode="after")
    def _consistent(self) -> CsvSettings:
        if self.delimiter is not None and self.delimiter == self.quote:
            raise ValueError(f"delimiter and quote are both {self.quote!r}")
        if isinstance(self.header, list):
            twice = [name for name, count in Counter(self.header).items() if count > 1]
            if twice or not all(self.header):
                raise ValueError(
                    f"header needs different names for the columns, none empty; got {', '.join(self.header)}"
                )
        return self


class Csv(Source):
    """One or more delimited text files with the same columns."""

    Settings = CsvSettings
    name = "csv"
    extensions = with_compressions(".csv", ".tsv", ".tab")
    settings: CsvSettings

    def __init__(self, location: Any, settings: CsvSettings) -> None:
        super().__init__(location, settings)
        self._files: list[str] | None = None
        self._names: list[str] | None = None
        self._even: dict[str, tuple[int, int]] = {}
        """File that was read to its end and has every record on one line of its own → its records, and the lines before
        them."""

    def files(self) -> list[str]:
        if self._files is None:
            self._files = expand(self.location)
        return self._files

    def schema(self) -> pa.Schema:
        if self._names is None:
            files = self.files()
            names = self._names_of(files[0])
            for file in files[1:]:
                problem = other_columns(file, self._names_of(file), files[0], names)
                if problem:
                    raise problem
            self._names = names
        return pa.schema([(name, pa.string()) for name in self._names])

    def read(self, columns: Sequence[str] | None = None, chunk: int = 65536) -> Iterator[Rows]:
        names = self.schema().names
        wanted = check_columns(columns, names, self.files()[0])
        for file in self.files():
            for block in self._blocks(file):
                table = block.table.select(wanted)
                yield from in_chunks(table, file, block.start, chunk, block.unreadable)

    def fingerprint(self) -> str:
        return digest_files(self.files())

    def place(self, file: str, positions: Sequence[int]) -> list[str]:
        records, before = self._even.get(file, (0, 0))
        if len(positions) and positions[-1] < records:
            return [f"{file}, line {before + 1 + position}" for position in positions]
        with open_stream(file) as stream:
            text = Decoded(stream, self.settings.encoding)
            layout = self._layout(text, file)
            lines = record_lines(text, layout.delimiter, self.settings.quote, layout.lines + 1, positions)
        if lines is None:
            raise DataError(f"{file} has fewer than {positions[-1] + 1:,} records; did it change while it was read?")
        return [f"{file}, line {line}" for line in lines]

    # -- one file -----------------------------------------------------------------------------------------------------

    def _names_of(self, file: str) -> list[str]:
        with open_stream(file) as stream:
            return self._layout(Decoded(stream, self.settings.encoding), file).names

    def _blocks(self, file: str) -> Iterator[_Block]:
        with open_stream(file) as stream:
            text = Decoded(stream, self.settings.encoding)
            layout = self._layout(text, file)
            text.line_ends = 0
            records = 0
            for block in _parse(text, layout, self.settings.quote, file):
                records = block.start + block.table.num_rows + len(block.unreadable)
                yield block
            # `_parse` puts two line ends behind the text, of which the first one may end its last record.
            if text.line_ends == records + 1 + text.ends_with_line_end and not text.has_lone_returns:
                self._even[file] = records, layout.lines

    def _layout(self, text: Decoded, file: str) -> _Layout:
        """Read up to the end of the header; `text` then goes on with the first record of the data."""
        quote = self.settings.quote
        head = text.read(_BLOCK)
        start = after_lines(head, self.settings.skip_rows)
        while head[start : start + 1] in (b"\n", b"\r"):
            start += 1
        if start == len(head):
            skipped = f" after the {self.settings.skip_rows} skipped lines" if self.settings.skip_rows else ""
            raise DataError(f"{file} is empty{skipped}; expected a header and rows")
        delimiter = self.settings.delimiter or delimiter_of(head[start:], file, quote)
        record = first_record(head[start:], delimiter, quote, whole=len(head) < _BLOCK)
        if record is None:
            raise DataError(
                f"the first record of {file} does not end within {_BLOCK >> 20} MiB or the file; is a quote never "
                "closed, or is this no delimited text? (data.options.quote, data.options.skip_rows, data.format)"
            )
        cells, length = record
        if len(cells) > _MANY_COLUMNS:
            raise DataError(
                f"the first record of {file} has {len(cells):,} cells; expected at most {_MANY_COLUMNS:,} columns. "
                "Does data.options.delimiter fit the file?"
            )
        if any(NO_TEXT in cell for cell in cells):
            raise DataError(
                f"the first record of {file} is not {text.encoding}: {clipped(visible(delimiter.join(cells)))}. Say "
                "how the text is encoded with data.options.encoding (such as cp1252, latin-1, gb18030, utf-16), or "
                "convert the file to UTF-8"
            )
        if any("\0" in cell for cell in cells):
            raise DataError(
                f"{file} holds NUL characters in its first record; expected text. Is it UTF-16 (data.options.encoding) "
                "or another format (data.format)?"
            )
        if self.settings.header is True:
            text.push_back(head[start + length :])
            return _Layout(_column_names(cells, file), delimiter, count_lines(head[: start + length]))
        text.push_back(head[start:])
        lines = count_lines(head[:start])
        if isinstance(self.settings.header, list):
            return _Layout(self.settings.header, delimiter, lines)
        return _Layout([f"column_{number}" for number in range(1, len(cells) + 1)], delimiter, lines)


@dataclass
class _Layout:
    names: list[str]
    delimiter: str
    lines: int
    """How many lines stand before the first record of the data."""


@dataclass
class _Block:
    table: pa.RecordBatch
    start: int
    unreadable: dict[int, str] = field(default_factory=dict)


def _column_names(cells: list[str], file: str) -> list[str]:
    """Return the header's names; a nameless column, such as the index that pandas writes, is called by its number."""
    twice = [name for name, count in Counter(cells).items() if count > 1 and name]
    if twice:
        raise DataError(
            f"{file} has more than one column called {listed(twice)}; expected different names. "
            "Rename them in the file, or give all names with data.options.header and leave the header out with "
            "skip_rows"
        )
    taken = set(cells)
    names = []
    for number, cell in enumerate(cells, 1):
        name = cell or f"column_{number}"
        while not cell and name in taken:
            name += "_"
        taken.add(name)
        names.append(name)
    return names


# -- the data behind the header ---------------------------------------------------------------------------------------


def _parse(text: Decoded, layout: _Layout, quote: str | None, file: str) -> Iterator[_Block]:
    """Yield the records as blocks, positions exact.

    A record of one cell too many is put behind the file's end. When it does not come back as such, the file's last
    quote was never closed and has swallowed it.
    """
    ragged = _Ragged(len(layout.names))
    text.append(("\n" + _END + layout.delimiter * len(layout.names) + "\n").encode())
    position = 0
    with _csv_errors(file, position, ragged):
        reader = pyarrow.csv.open_csv(
            text,
            pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK, column_names=layout.names),
            pyarrow.csv.ParseOptions(
                delimiter=layout.delimiter,
                quote_char=quote or False,
                newlines_in_values=quote is not None,
                invalid_row_handler=ragged,
            ),
            pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in layout.names},
                check_utf8=False,  # `Decoded` gives nothing else
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=False,
            ),
        )
    with reader:
        while True:
            with _csv_errors(file, position, ragged):
                table = next(reader, None)
            if table is None:
                break
            # The parser is ahead of the rows it has handed out: take only what stands among these.
            unreadable, stop = ragged.take(position, table.num_rows)
            if table.num_rows:
                table = _without_broken(table, position, unreadable, text)
            yield _Block(table, position, unreadable)
            position = stop
    if ragged.found:
        yield _Block(empty_batch(reader.schema), position, ragged.found)


class _Ragged:
    """Collects the records whose number of cells is not the header's, as the parser meets them."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.found: dict[int, str] = {}
        self.too_many = False

    def __call__(self, row: pyarrow.csv.InvalidRow) -> str:
        if row.text.startswith(_END) and row.actual_columns == self.expected + 1:
            return "skip"
        if len(self.found) >= _MANY:
            self.too_many = True
            return "error"
        if _END in row.text:
            self.found[row.number - 1] = _never_closed(row.text)
        else:
            cells = f"{row.actual_columns} cell{'' if row.actual_columns == 1 else 's'}"
            # Beyond a thousand at a time nobody reads the excerpts, and a file of them must not fill the memory.
            excerpt = f": {clipped(visible(row.text))}" if len(self.found) < 1000 else ""
            self.found[row.number - 1] = f"has {cells}, expected {self.expected}{excerpt}"
        return "skip"

    def take(self, start: int, rows: int) -> tuple[dict[int, str], int]:
        """Hand out what stands among the next `rows` readable records from `start` on, and where these end."""
        taken, stop = among(self.found, start, rows)
        for position in taken:
            del self.found[position]
        return taken, stop


def _without_broken(table: pa.RecordBatch, start: int, unreadable: dict[int, str], text: Decoded) -> pa.RecordBatch:
    """Move rows that only look readable from the table to `unreadable`: a swallowed end of the file, no text."""
    broken: dict[int, str] = {}
    if text.has_nul or any(_END in (column[-1].as_py() or "") for column in table.columns):
        for column in table.columns:
            for row in np.flatnonzero(pc.match_substring(column, "\0").fill_null(False).to_numpy(zero_copy_only=False)):
                broken.setdefault(int(row), _no_text(column[int(row)].as_py(), text.encoding))
    return without(table, start, broken, unreadable)


def _no_text(value: str, encoding: str) -> str:
    if _END in value:
        return _never_closed(value)
    if NO_TEXT in value:
        return f"is not {encoding}: {clipped(visible(value))} (data.options.encoding says how the text is encoded)"
    return f"holds NUL characters: {clipped(value)}"


def _never_closed(text: str) -> str:
    lines = text.partition(_END)[0].count("\n")
    return f"a quote is opened and never closed: the record runs to the end of the file, over {lines} lines"


@contextlib.contextmanager
def _csv_errors(file: str, position: int, ragged: _Ragged) -> Iterator[None]:
    try:
        with reading(file):
            yield
    except DataError as error:
        if ragged.too_many:
            first, reason = next(iter(ragged.found.items()))
            raise DataError(
                f"{file} has more than {_MANY:,} unreadable records close together; the first, record {first}, "
                f"{reason}. Do data.options.delimiter, quote and header fit the file?"
            ) from error
        if "straddling object" in str(error):
            raise DataError(
                f"{file} holds a record longer than {_BLOCK >> 20} MiB behind record {position}; most often a quote is "
                "opened and never closed. Mend it, or set data.options.quote: null when quotes mean nothing"
            ) from error
        raise
