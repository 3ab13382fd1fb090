"""What must hold whatever bytes a file holds: rows that are whole and counted exactly, or an error meant for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from modelyard.core.errors import ModelyardError
from modelyard.data.modalities.table import MODALITIES
from modelyard.data.sources.base import Source
from modelyard.data.sources.open import open_sources

LONGEST_MESSAGE = 6000
COLUMNS = 40  # given to the modalities, of files that have thousands
SETTINGS: dict[str, dict[str, Any]] = {"image": {"size": 16, "channels": 3, "max_pixels": 4_000_000}}


@dataclass(frozen=True)
class Outcome:
    """What came of opening and reading everything."""

    rows: int = 0
    unreadable: int = 0
    problems: int = 0
    notes: int = 0
    refused: str = ""
    """The message, when the location or one of its files was refused."""


class Broken(AssertionError):
    """A promise of sources or modalities that was not kept."""


def check(kept: bool, what: str) -> None:
    if not kept:
        raise Broken(what)


def examine(location: Path, format: str | None = None, options: Mapping[str, Any] | None = None) -> Outcome:
    """Open a location, read all of it in chunks of two sizes, and give each column to every modality.

    Raises:
        Broken: Something read is not as promised. Any other exception that leaves this is a defect as well.
    """
    rows = unreadable = problems = notes = 0
    try:
        for source in open_sources(str(location), format, options).values():
            source.fingerprint()
            schema = source.schema()
            large = _read(source, schema, 65536, tables := [])
            small = 7 if len(large[0]) < 2000 else 999
            check(_read(source, schema, small, []) == large, f"chunks of {small} rows give other rows than of 65536")
            rows, unreadable = rows + len(large[0]), unreadable + len(large[1])
            for table in tables:
                for name in schema.names[:COLUMNS]:
                    here = _modalities(table.column(name), name, source.folder())
                    problems, notes = problems + here[0], notes + here[1]
    except ModelyardError as error:
        message = str(error)
        check(0 < len(message) <= LONGEST_MESSAGE, f"a message of {len(message)} characters: {message[:200]}")
        return Outcome(rows, unreadable, problems, notes, message)
    return Outcome(rows, unreadable, problems, notes)


def _read(source: Source, schema: pa.Schema, chunk: int, tables: list[pa.RecordBatch]) -> tuple[list, dict]:
    """Return the places of all rows and the unreadable records, after a look at every promise of `Rows`."""
    seen: list[tuple[str, int]] = []
    unreadable: dict[tuple[str, int], str] = {}
    files: dict[str, int] = {}
    try:
        for rows in source.read(chunk=chunk):
            check(rows.table.num_rows <= chunk, f"{rows.table.num_rows} rows in a chunk of {chunk}")
            check(rows.table.schema.equals(schema), f"rows of {rows.table.schema}, schema {schema}")
            rows.table.validate(full=True)
            count = rows.table.num_rows
            positions = list(range(rows.start, rows.start + count)) if rows.positions is None else list(rows.positions)
            check(len(positions) == count, f"{len(positions)} positions for {count} rows")
            seen += [(rows.file, position) for position in positions]
            for position, reason in rows.unreadable.items():
                check((rows.file, position) not in unreadable, f"record {position} is told twice")
                check(0 < len(reason) <= 2000, f"a reason of {len(reason)} characters: {reason[:200]}")
                unreadable[rows.file, position] = reason
            files[rows.file] = files.get(rows.file, 0) + count + len(rows.unreadable)
            tables.append(rows.table)
    finally:
        # What came before an error counts, too: no gap, nothing twice, in order.
        order = {file: number for number, file in enumerate(files)}
        check(seen == sorted(seen, key=lambda place: (order[place[0]], place[1])), "rows out of order")
        places = sorted([*seen, *unreadable])
        check(places == [(file, at) for file in sorted(files) for at in range(files[file])], "positions with gaps")
    for file in files:
        positions = sorted(position for name, position in places if name == file)
        check(len(source.place(file, positions)) == len(positions), f"places of {file} for {len(positions)} records")
    return seen, unreadable


def _modalities(values: pa.Array, name: str, folder: str) -> tuple[int, int]:
    problems = notes = 0
    for modality in MODALITIES:
        found = MODALITIES.find(modality)
        guess = found.infer(values.slice(0, 1000), name, folder)
        check(guess is None or 0 <= guess.score <= 1, f"{modality} claims {guess}")
        column = found(name, found.Settings(**SETTINGS.get(modality, {})))
        reading = column.read(values, folder)
        check(len(reading.values) == len(values), f"{modality} reads {len(reading.values)} of {len(values)} values")
        reading.values.validate(full=True)
        for position, text in reading.problems.items():
            check(0 <= position < len(values), f"{modality}: a problem at {position} of {len(values)}")
            check(not reading.values[position].is_valid, f"{modality}: {text!r}, and yet a value, at {position}")
            check(0 < len(text) <= 2000, f"{modality}: a problem of {len(text)} characters")
        for position in reading.notes:
            check(reading.values[position].is_valid, f"{modality}: a note at {position}, where there is no value")
        problems, notes = problems + len(reading.problems), notes + len(reading.notes)
    return problems, notes
