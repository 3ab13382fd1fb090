"""The first lines of delimited text: which character parts the cells, and where the header ends."""

from __future__ import annotations

import re

__all__ = ["after_lines", "delimiter_of", "first_record"]

_CANDIDATES = "\t|;,"  # those rarer in prose first: they win a tie
_LOOK = 1 << 16


def after_lines(head: bytes, count: int) -> int:
    """Return where the line behind the first `count` lines starts (line ends: LF, CR LF or CR)."""
    at = 0
    for _ in range(count):
        end = re.compile(rb"\r\n|\n|\r").search(head, at)
        if end is None:
            return len(head)
        at = end.end()
    return at


def delimiter_of(head: bytes, file: str, quote: str | None) -> str:
    """Return the character between cells: by the file's ending, or what the header uses and the next lines repeat."""
    if re.search(r"\.(tsv|tab)(\.[a-z0-9]+)?$", file.lower()):
        return "\t"
    text = head[:_LOOK].decode("utf-8", "ignore")
    if quote is not None:
        text = re.sub(f"{re.escape(quote)}[^{re.escape(quote)}]*{re.escape(quote)}", "", text)
    lines = [line for line in re.split(r"[\r\n]+", text) if line]
    if len(head) > _LOOK and len(lines) > 1:
        lines.pop()  # cut short
    lines = lines[:20] or [""]

    def fitness(candidate: str) -> tuple[float, int]:
        counts = [line.count(candidate) for line in lines]
        return sum(count == counts[0] for count in counts) / len(counts), counts[0]

    used = [candidate for candidate in _CANDIDATES if candidate in lines[0]]
    return max(used, key=fitness) if used else ","


def first_record(head: bytes, delimiter: str, quote: str | None, whole: bool) -> tuple[list[str], int] | None:
    """Return the cells of the first record and its length in bytes, its line end included; None when it does not end.

    Quotes count where the Arrow reader counts them: at the start of a cell, doubled for one inside.

    Args:
        head: UTF-8 text, possibly cut anywhere.
        delimiter: The character between cells.
        quote: The character around cells, or None.
        whole: Whether `head` reaches to the end of the file.
    """
    mark, part = (quote or "").encode(), delimiter.encode()
    stops = re.compile(b"|".join([rb"\r\n?", rb"\n", re.escape(part)]))
    cells: list[bytes] = []
    at = 0
    while True:
        cell = bytearray()  # a header may hold millions of doubled quotes
        if mark and head.startswith(mark, at):
            at += 1
            while True:
                closing = head.find(mark, at)
                if closing < 0:
                    return None
                cell += head[at:closing]
                at = closing + 1
                if not head.startswith(mark, at):
                    break
                cell += mark
                at += 1
        stop = stops.search(head, at)
        if stop is None and not whole:
            return None
        cells.append(bytes(cell) + head[at : stop.start() if stop else len(head)])
        at = stop.end() if stop else len(head)
        if stop is None or stop.group() != part:
            return [cell.decode("utf-8", "replace") for cell in cells], at
