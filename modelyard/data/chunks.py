"""All rows of a job's sources, in order, in chunks; and how far a pass over them has come."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.core.states import read_state, write_state
from modelyard.data.modalities.base import Modality
from modelyard.data.sources.base import Rows, Source

__all__ = ["Chunk", "Chunks", "Progress", "Waypoint", "ahead", "chunk_rows", "positions_of", "threads"]

Progress = Callable[[str, int], None]
"""Told what is being done and how many rows are through."""

_MOST_ROWS = 65536
_MOST_BYTES = 64 << 20
"""Rows come in chunks of at most this many rows, and of about at most this many bytes."""
_EVERY = 20.0
"""Seconds between two waypoints."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of one source."""

    part: str | None
    source: Source
    number: int
    """Number of the first row, counted over all sources."""
    rows: Rows


class Chunks:
    """Goes through the sources' rows; the same sources, limit and size give the same chunks every time.

    Args:
        parts: The sources by given split.
        limit: At most this many rows of each source; None for all.
        size: Rows a chunk at most.
    """

    def __init__(self, parts: Mapping[str | None, Source], limit: int | None, size: int) -> None:
        self.parts = parts
        self.limit = limit
        self.size = size

    def __call__(self, columns: Sequence[str] | None = None, skip: int = 0) -> Iterator[Chunk]:
        """Yield the chunks, restricted to `columns` when given, without the first `skip` of them."""
        number = at = 0
        for part, source in self.parts.items():
            for rows in self.of(part, columns):
                if at >= skip:
                    yield Chunk(part, source, number, rows)
                at += 1
                number += rows.table.num_rows

    def of(self, part: str | None, columns: Sequence[str] | None) -> Iterator[Rows]:
        """Yield the rows of one source."""
        count = 0
        for rows in self.parts[part].read(columns, chunk=self.size):
            if self.limit is not None and count + rows.table.num_rows >= self.limit:
                keep = self.limit - count
                positions = None if rows.positions is None else rows.positions[:keep]
                last = (int(positions[-1]) if positions is not None else rows.start + keep - 1) if keep else -1
                bad = {position: reason for position, reason in rows.unreadable.items() if position <= last}
                yield Rows(rows.table.slice(0, keep), rows.file, rows.start, bad, positions)
                return
            count += rows.table.num_rows
            yield rows


def positions_of(rows: Rows) -> npt.NDArray[np.int64]:
    """Return each row's position in its file."""
    if rows.positions is not None:
        return np.asarray(rows.positions, np.int64)
    return np.arange(rows.start, rows.start + rows.table.num_rows, dtype=np.int64)


def ahead(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Yield the same chunks, the next one being read while the last is worked on."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = reader.submit(next, chunks, None)
            yield chunk


def chunk_rows(sample: pa.Table, modalities: Sequence[Modality]) -> int:
    """Return how many rows of data like this sample make a chunk that is easy on memory."""
    wide = max(sample.nbytes // max(sample.num_rows, 1), sum(modality.row_bytes() for modality in modalities), 1)
    return max(64, min(_MOST_ROWS, int(_MOST_BYTES // wide)))


class Waypoint:
    """How far a pass has come, on the disk, so that an interrupted one goes on from there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last = time.monotonic()

    def take_up(self) -> dict[str, Any] | None:
        """Return what was noted before an interruption; None at a fresh start."""
        return read_state(self.path) if self.path.exists() else None

    def is_due(self) -> bool:
        """Whether it is time to note again."""
        return time.monotonic() - self._last >= _EVERY

    def note(self, state: Mapping[str, Any]) -> None:
        """Note how far the pass has come; everything it refers to must be on the disk already."""
        write_state(self.path, state)
        self._last = time.monotonic()

    def done(self) -> None:
        """Forget it: the pass is complete."""
        self.path.unlink(missing_ok=True)


def threads() -> ThreadPoolExecutor:
    """Return a pool with a thread a core, for work that releases Python's lock."""
    return ThreadPoolExecutor(max_workers=os.cpu_count())
