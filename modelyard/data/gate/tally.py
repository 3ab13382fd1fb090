"""How often each value of a column occurs in each split, and where it stands first: exact up to a limit, then sampled.

Beyond the limit only values whose hash falls into a part of all hashes are kept (adaptive sampling, Wegman; see
Flajolet 1990), each still counted exactly. What is found depends on the values alone, never on how rows came in chunks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["NAMED", "NOWHERE", "Tally", "first_of"]

NAMED = 10
"""Rows that are named of a finding."""
NOWHERE = np.iinfo(np.int64).max
"""Stands where there is no row number."""

Numbers = npt.NDArray[np.int64]


def first_of(groups: Numbers, numbers: Numbers, count: int) -> Numbers:
    """Return the first of `numbers` (rising within a group) of each group, int64 (count, NAMED), then `NOWHERE`."""
    found = np.full((count, NAMED), NOWHERE, np.int64)
    if len(groups):
        order = np.argsort(groups, kind="stable")
        groups, numbers = groups[order], numbers[order]
        starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
        lengths = np.diff(np.append(starts, len(groups)))
        rank = np.arange(len(groups)) - np.repeat(starts, lengths)
        kept = rank < NAMED
        found[groups[kept], rank[kept]] = numbers[kept]
    return found


class Tally:
    """Counts of a column's values by split.

    Args:
        limit: How many different values are kept.
        texts: Whether the values themselves are kept, and not only their hashes.
    """

    def __init__(self, limit: int, texts: bool) -> None:
        self.limit = limit
        self.level = 0
        """Values are kept whose hash starts with so many zero bits."""
        self.keys = np.empty(0, np.uint64)
        """The values' hashes, rising."""
        self.counts = np.empty((0, 3), np.int64)
        """Rows by value and split."""
        self.train_first = np.empty((0, NAMED), np.int64)
        """Numbers of each value's first training rows."""
        self.held_first = np.empty((0, NAMED), np.int64)
        """Numbers of each value's first held-out rows."""
        self.texts: dict[int, str] | None = {} if texts else None
        self._pending: list[tuple[npt.NDArray[np.uint64], Numbers, Numbers, Numbers]] = []
        self._waiting = 0

    @property
    def about(self) -> bool:
        """Whether only a part of the values is kept."""
        return self.level > 0

    @property
    def scale(self) -> int:
        """By what a count of kept values or rows is multiplied to estimate that of all."""
        return 1 << self.level

    def __len__(self) -> int:
        self.merge()
        return len(self.keys)

    @property
    def distinct(self) -> int:
        """How many different values there are; an estimate when `about`."""
        return len(self) * self.scale

    def add(
        self,
        keys: npt.NDArray[np.uint64],
        counts: Numbers,
        index: Numbers,
        lanes: Numbers,
        held: Numbers,
        start: int,
        values: pa.Array | None = None,
    ) -> None:
        """Take in a chunk.

        Args:
            keys: Hash of each different value of the chunk, (values,).
            counts: Rows by value and split, (values, 3).
            index: Which value each row has, (rows,); `len(keys)` for none.
            lanes: Each row's split code plus one, (rows,).
            held: The chunk's held-out rows, rising.
            start: Number of the chunk's first row.
            values: The different values as text.
        """
        spot = np.searchsorted(self.keys, keys)
        known = np.zeros(len(keys), bool)
        inside = spot < len(self.keys)
        known[inside] = self.keys[spot[inside]] == keys[inside]
        kept = counts.any(axis=1)
        if self.level:
            kept &= (keys >> np.uint64(64 - self.level)) == 0
        # Rows of values whose first rows are known already need no second look.
        where = spot[known]
        held_done = np.logical_or(~kept, counts[:, 1:].sum(axis=1) == 0)
        train_done = np.logical_or(~kept, counts[:, 0] == 0)
        held_done[known] |= self.held_first[where, -1] != NOWHERE
        train_done[known] |= self.train_first[where, -1] != NOWHERE
        if known.all() and held_done.all() and train_done.all():
            np.add.at(self.counts, spot, counts)
            return
        size = len(keys)
        train_first = np.full((size, NAMED), NOWHERE, np.int64)
        held_first = np.full((size, NAMED), NOWHERE, np.int64)
        if len(held) and not held_done.all():
            rows = held[~np.append(held_done, True)[index[held]]]
            held_first = first_of(index[rows], rows + start, size)
        if not train_done.all():
            rows = np.flatnonzero((lanes == 1) & ~np.append(train_done, True)[index])
            train_first = first_of(index[rows], rows + start, size)
        if values is not None and self.texts is not None:
            new = np.flatnonzero(kept & ~known)
            for key, text in zip(keys[new].tolist(), values.take(pa.array(new)).to_pylist(), strict=True):
                self.texts[key] = text
        self._pending.append((keys[kept], counts[kept], train_first[kept], held_first[kept]))
        self._waiting += int(kept.sum())
        if self._waiting + len(self.keys) <= 4096 or self._waiting > max(4096, len(self.keys) // 2):
            self.merge()

    def merge(self) -> None:
        """Bring what waits into order."""
        if not self._pending:
            return
        keys, counts, train_first, held_first = (
            np.concatenate(parts)
            for parts in zip((self.keys, self.counts, self.train_first, self.held_first), *self._pending, strict=True)
        )
        self._pending, self._waiting = [], 0
        order = np.argsort(keys, kind="stable")
        keys, counts, train_first, held_first = keys[order], counts[order], train_first[order], held_first[order]
        if len(keys):
            starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
            groups = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(keys))))
            if len(starts) < len(keys):
                train_first = _joined(groups, train_first, len(starts))
                held_first = _joined(groups, held_first, len(starts))
            counts = np.add.reduceat(counts, starts)
            keys = keys[starts]
        if len(keys) > self.limit:
            while int(np.searchsorted(keys, self._bound(), "left")) > self.limit:
                self.level += 1
            end = int(np.searchsorted(keys, self._bound(), "left"))
            keys, counts, train_first, held_first = keys[:end], counts[:end], train_first[:end], held_first[:end]
            if self.texts is not None:
                self.texts = {key: self.texts[key] for key in keys.tolist()}
        self.keys, self.counts, self.train_first, self.held_first = keys, counts, train_first, held_first

    def _bound(self) -> np.uint64:
        return np.uint64(2**64 - 1 if self.level == 0 else 1 << (64 - self.level))

    def text(self, position: int) -> str:
        """Return the value at a position of `keys`."""
        assert self.texts is not None
        return self.texts[int(self.keys[position])]

    def words(self) -> list[str]:
        """Return all values, in the order of `keys`."""
        self.merge()
        return [self.text(position) for position in range(len(self.keys))]

    def first_rows(self, positions: Numbers, texts: Sequence[str], held: bool) -> tuple[Numbers, dict[int, str]]:
        """Return the first rows, held-out ones or all, of the values at some positions of `keys`, and each one's value.

        Args:
            positions: The values.
            texts: What to call each of them.
            held: Whether only held-out rows count.
        """
        rows = self.held_first[positions]
        if not held:
            rows = np.concatenate([self.train_first[positions], rows], axis=1)
        there = rows != NOWHERE
        numbers, owners = rows[there], np.nonzero(there)[0]
        order = np.argsort(numbers, kind="stable")[:NAMED]
        return numbers[order], {int(numbers[at]): repr(texts[int(owners[at])]) for at in order.tolist()}

    def state(self) -> dict[str, Any]:
        """Return all of it, as JSON values and arrays."""
        self.merge()
        arrays = {name: getattr(self, name).copy() for name in ("keys", "counts", "train_first", "held_first")}
        return {"level": self.level, **arrays, "texts": None if self.texts is None else self.words()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.level = int(state["level"])
        self.keys = np.asarray(state["keys"], np.uint64)
        self.counts = np.asarray(state["counts"], np.int64).reshape(-1, 3)
        self.train_first = np.asarray(state["train_first"], np.int64).reshape(-1, NAMED)
        self.held_first = np.asarray(state["held_first"], np.int64).reshape(-1, NAMED)
        self._pending, self._waiting = [], 0
        if state["texts"] is not None:
            self.texts = dict(zip(self.keys.tolist(), state["texts"], strict=True))


def _joined(groups: Numbers, firsts: Numbers, count: int) -> Numbers:
    """Bring the first rows of several parts of each group together."""
    present = firsts != NOWHERE
    return first_of(np.repeat(groups, present.sum(axis=1)), firsts[present], count)
