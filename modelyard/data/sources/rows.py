"""From a block of records, some of them unreadable, to `Rows` whose positions are exact; for sources that read text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from modelyard.core.errors import DataError, nearest
from modelyard.data.sources.base import Rows

__all__ = ["among", "check_columns", "empty_batch", "in_chunks", "without"]


def check_columns(columns: Sequence[str] | None, known: Sequence[str], file: str) -> list[str]:
    """Return the columns to read: those asked for, or all.

    Raises:
        DataError: A column was asked for that the file does not have.
    """
    if columns is None:
        return list(known)
    available = set(known)
    for name in columns:
        if name not in available:
            few = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
            raise DataError(f"{file} has no column {name!r}{nearest(name, known)}; it has: {few}")
    return list(columns)


def in_chunks(
    table: pa.RecordBatch, file: str, start: int, chunk: int, unreadable: Mapping[int, str] | None = None
) -> Iterator[Rows]:
    """Yield a block as `Rows` of at most `chunk` rows, each with the unreadable records among or behind them.

    Args:
        table: The readable rows of the block, in order.
        start: The position of the block's first record, readable or not.
        unreadable: Position → what is wrong, for the block's other records.
    """
    if not unreadable:
        for offset in range(0, table.num_rows, chunk):
            yield Rows(table.slice(offset, chunk), file, start + offset)
        return
    stop = start + table.num_rows + len(unreadable)
    positions = [position for position in range(start, stop) if position not in unreadable]
    if not positions:
        yield Rows(table, file, start, dict(unreadable))
        return
    for offset in range(0, table.num_rows, chunk):
        here = positions[offset : offset + chunk]
        first = start if offset == 0 else here[0]
        last = positions[offset + chunk] if offset + chunk < len(positions) else stop
        bad = {at: unreadable[at] for at in range(first, last) if at in unreadable}
        whole = here[-1] - here[0] + 1 == len(here)
        yield Rows(table.slice(offset, chunk), file, here[0], bad, None if whole else here)


def among(unreadable: Mapping[int, str], start: int, rows: int) -> tuple[dict[int, str], int]:
    """Return what of `unreadable` (ascending) stands among the next `rows` readable records, and where they end."""
    taken, stop = {}, start + rows
    for position, reason in unreadable.items():
        if position >= stop:
            break
        if position >= start:
            taken[position] = reason
            stop += 1
    return taken, stop


def without(table: pa.RecordBatch, start: int, broken: Mapping[int, str], unreadable: dict[int, str]) -> pa.RecordBatch:
    """Return a block's table without the rows of `broken` (by row), which move to `unreadable` (by position)."""
    if not broken:
        return table
    stop = start + table.num_rows + len(unreadable)
    positions = [position for position in range(start, stop) if position not in unreadable]
    unreadable.update({positions[row]: reason for row, reason in broken.items()})
    keep = np.ones(table.num_rows, dtype=bool)
    keep[list(broken)] = False
    return table.filter(pa.array(keep))


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch without rows, for unreadable records that no readable one follows."""
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
