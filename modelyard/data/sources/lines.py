"""On which line of a delimited text its records start: for people, who count lines and not records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from modelyard.data.sources.decoded import Decoded

__all__ = ["count_lines", "record_lines"]

_READ = 1 << 20
_NEWLINE = 10


def count_lines(text: bytes) -> int:
    """Return the number of line ends: LF, CR LF or CR."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def record_lines(
    text: Decoded, delimiter: str, quote: str | None, first_line: int, positions: Sequence[int]
) -> list[int] | None:
    """Return the line each record starts on, reading no further than the last; None when there are fewer records.

    Args:
        text: Goes on with the first record of the data.
        delimiter: The character between cells.
        quote: The character around cells that hold line ends, or None.
        first_line: Number of the line that `text` goes on with.
        positions: Positions of records, rising. Empty lines are no records.
    """
    wanted = np.asarray(positions, np.int64)
    lines = np.empty(len(wanted), np.int64)
    scan = _Scan(delimiter, quote)
    record, line, done = 0, first_line, 0
    for block in _blocks(text):
        starts = scan.starts(block)
        offsets = starts[(starts < len(block))]
        until = np.searchsorted(wanted, record + len(offsets))
        if until > done:
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE)
            at = offsets[wanted[done:until] - record]
            lines[done:until] = line + np.searchsorted(ends, at)
            done = int(until)
            if done == len(wanted):
                break
        record += len(offsets)
        line += block.count(b"\n")
    return lines.tolist() if done == len(wanted) else None


def _blocks(text: Decoded) -> Iterator[bytes]:
    """Yield the text with LF alone as line end."""
    held = b""
    while block := text.read(_READ):
        block = held + block
        held = block[-1:] if block.endswith(b"\r") else b""  # whether LF follows is not known yet
        block = block[: len(block) - len(held)]
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if block:
            yield block
    if held:
        yield b"\n"


class _Scan:
    """Finds where records start, block after block.

    In text whose quotes are all where they mean something, a line end is inside of a cell exactly when an odd number of
    quotes stands before it, which is counted for a whole block at once. A block with a quote elsewhere is read cell by
    cell, as the parser reads it.
    """

    def __init__(self, delimiter: str, quote: str | None) -> None:
        self._delimiter = delimiter.encode()
        self._quote = (quote or "").encode()
        self._inside = False
        """Whether the block starts inside of quotes."""
        self._before = b"\n"
        """The byte before the block."""
        self._closed = False
        """Whether the block starts right behind a closing quote."""
        self._fresh = True
        """Whether the block starts with a record."""
        self._stop = re.compile(rb"[" + re.escape(self._delimiter) + rb"\n]")

    def starts(self, block: bytes) -> npt.NDArray[np.int64]:
        """Return where records start in a block, empty lines left out."""
        ends = self._ends(block)
        starts = np.append(np.empty(0, np.int64), ends + 1)
        if self._fresh:
            starts = np.append(np.int64(0), starts)
        self._fresh = bool(len(block)) and bool(len(starts)) and starts[-1] == len(block)
        starts = starts[starts < len(block)]
        content = np.frombuffer(block, np.uint8)
        found: npt.NDArray[np.int64] = starts[content[starts] != _NEWLINE]
        return found

    def _ends(self, block: bytes) -> npt.NDArray[np.int64]:
        """Return the line ends that end records."""
        content = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(content == _NEWLINE)
        if not self._quote or (not self._inside and self._quote not in block):
            self._before, self._closed = block[-1:], False
            return ends
        marks = np.flatnonzero(content == self._quote[0])
        parity = (np.arange(len(marks)) + self._inside) & 1
        opening = marks[parity == 0]
        previous = content[opening - 1]
        if len(opening) and opening[0] == 0:
            previous[0] = self._before[0]
        meant = previous == self._delimiter[0]
        meant |= previous == _NEWLINE
        meant |= previous == self._quote[0]
        if not meant.all():
            return self._cell_by_cell(block)
        inside = (np.searchsorted(marks, ends) + self._inside) & 1
        self._inside = bool((len(marks) + self._inside) & 1)
        self._before = block[-1:]
        self._closed = not self._inside and self._before == self._quote
        outside: npt.NDArray[np.int64] = ends[inside == 0]
        return outside

    def _cell_by_cell(self, block: bytes) -> npt.NDArray[np.int64]:
        ends = []
        at, inside = 0, self._inside
        doubled = self._closed and block.startswith(self._quote)
        starts_cell = doubled or (not inside and self._before in (b"\n", self._delimiter))
        self._closed = False
        while at < len(block):
            if starts_cell and block.startswith(self._quote, at):
                at, inside = at + 1, True
            if inside:
                closing = block.find(self._quote, at)
                if closing < 0:
                    break
                at, inside, starts_cell = closing + 1, False, False
                if block.startswith(self._quote, at):  # doubled: one quote of the text
                    at, inside = at + 1, True
                    continue
                self._closed = at == len(block)
            stop = self._stop.search(block, at)
            if stop is None:
                break
            if stop.group() == b"\n":
                ends.append(stop.start())
            at, starts_cell = stop.end(), True
        self._inside = inside
        self._before = block[-1:]
        return np.array(ends, np.int64)
