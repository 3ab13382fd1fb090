"""Rows whose inputs occur more than once, found in bounded memory however many rows there are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from modelyard.data.gate.check import RowIndex

__all__ = ["Part", "Repeats"]

Numbers = npt.NDArray[np.int64]
_AT_A_TIME = 1 << 22  # rows looked at together: 32 MB of hashes, and about six times that while they are worked on
_BLOCK = 1 << 20


class Repeats:
    """The rows that are used and share their inputs' hash with another one, in parts that hold every such set whole.

    The hashes are taken in as many parts, by their leading bits, as keep a part small.
    """

    def __init__(self, index: RowIndex, at_a_time: int = _AT_A_TIME) -> None:
        self._index = index
        self._at_a_time = at_a_time
        self._kept: list[Part] | None = None

    def __iter__(self) -> Iterator[Part]:
        """Yield the parts that hold any rows; they are remembered while they are few."""
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Part] | None = []
        rows = 0
        for candidates in _candidates(self._index, self._at_a_time):
            if not len(candidates):
                continue
            part = Part(self._index, candidates)
            rows += len(candidates)
            if kept is not None and rows <= self._at_a_time:
                kept.append(part)
            else:
                kept = None
            yield part
        self._kept = kept


class Part:
    """Rows that share their inputs with others; `rows` by hash, then by number."""

    def __init__(self, index: RowIndex, rows: Numbers) -> None:
        self.rows = rows
        """Numbers of the rows."""
        hashes = index.input_hashes[rows]
        self.starts: Numbers = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))
        """Where each set of equal inputs starts in `rows`."""
        self.group: Numbers = np.repeat(np.arange(len(self.starts)), np.diff(np.append(self.starts, len(hashes))))
        """Each row's set."""
        self.codes: npt.NDArray[np.int8] = index.codes[rows]
        self.targets: npt.NDArray[np.uint64] = index.target_hashes[rows]

    def any_in_group(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return for each row whether the mask holds for one of its set."""
        found: npt.NDArray[np.bool_] = np.logical_or.reduceat(mask, self.starts)[self.group]
        return found

    def first_in_group(self, mask: npt.NDArray[np.bool_]) -> Numbers:
        """Return for each row the number of the first row of its set for which the mask holds."""
        numbers = np.where(mask, self.rows, np.iinfo(np.int64).max)
        first: Numbers = np.minimum.reduceat(numbers, self.starts)[self.group]
        return first


def _candidates(index: RowIndex, at_a_time: int) -> Iterator[Numbers]:
    count = len(index)
    bits = 0
    while count >> bits > at_a_time:
        bits += 1
    for part in range(1 << bits):
        hashes, used = [], []
        for start in range(0, count, _BLOCK):
            block = np.asarray(index.input_hashes[start : start + _BLOCK])
            mask = np.asarray(index.codes[start : start + _BLOCK]) >= 0
            if bits:
                mask &= (block >> np.uint64(64 - bits)) == part
            rows = np.flatnonzero(mask)
            hashes.append(block if len(rows) == len(block) else block[rows])
            used.append(rows + start)
        yield _repeated(np.concatenate([np.empty(0, np.uint64), *hashes]), used)


def _repeated(hashes: npt.NDArray[np.uint64], used: list[Numbers]) -> Numbers:
    """Return the numbers of the rows whose hash occurs more than once, by hash and number.

    Few do in most data. Some bits of the hash name a cell; only rows whose cell has another one are put in order.
    """
    bits = max(len(hashes).bit_length() + 2, 8)
    cells = ((hashes >> np.uint64(8)) & np.uint64((1 << bits) - 1)).astype(np.int64)
    numbers = np.arange(len(hashes), dtype=np.int32)
    owner = np.zeros(1 << bits, np.int32)
    owner[cells] = numbers
    others = owner[cells] != numbers
    del owner
    shared = np.zeros(1 << bits, bool)
    shared[cells[others]] = True
    maybe = np.flatnonzero(shared[cells])
    few = hashes[maybe]
    order = np.argsort(few, kind="stable")
    same = few[order][1:] == few[order][:-1]
    again = np.zeros(len(few), bool)
    again[1:] |= same
    again[:-1] |= same
    return np.concatenate([np.empty(0, np.int64), *used])[maybe[order[again]]]
