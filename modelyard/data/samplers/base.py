"""What every sampler does: for any stretch of any epoch, say which rows stand there, from the position alone.

Nothing is remembered from one batch to the next and no shuffled list is held, so an epoch can be entered anywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from modelyard.core.randomness import Permutation, derive, mix
from modelyard.data.store import SplitStore
from modelyard.spec.settings import Settings

__all__ = ["Groups", "Order", "Sampler", "quotas"]

Rows = npt.NDArray[np.int64]


class Order(Protocol):
    """The rows of one epoch."""

    def slice(self, start: int, stop: int) -> Rows:
        """Return the rows at places `start` to `stop - 1` of the epoch, as positions in the split, int64."""
        ...


class Sampler(ABC):
    """Subclasses are listed in `samplers/table.py`.

    Args:
        settings: The sampler's settings.
        store: The training split.
        files: Names of the files that `row.file` counts.
        seed: The spec's seed.
    """

    Settings: ClassVar[type[Settings]]
    name: ClassVar[str]
    has_every_row_once: ClassVar[bool] = False
    """Whether an epoch holds each row of the split exactly once."""

    def __init__(self, settings: Any, store: SplitStore, files: Sequence[str], seed: int) -> None:
        self.settings = settings
        self.store = store
        self.files = files
        self.seed = seed

    @classmethod
    def columns(cls, settings: Any) -> list[str]:
        """Return columns of numbers it needs beside inputs and targets; the store keeps them as `row.COLUMN`."""
        return []

    def __len__(self) -> int:
        """How many rows an epoch has."""
        return len(self.store)

    @abstractmethod
    def epoch(self, epoch: int) -> Order:
        """Return the order of an epoch."""


class Groups:
    """Draws from several groups of rows in fixed proportions: each block of draws holds each group's quota, shuffled.

    Within a group every row comes once before any comes again, across epochs, each time in another order.

    Args:
        members: Each group's rows.
        quotas: How many draws of a block each group gets.
        rows: Draws an epoch has.
        seed: The spec's seed.
        purpose: Sets its randomness apart from others'.
    """

    def __init__(self, members: Sequence[Rows], quotas: Sequence[int], rows: int, seed: int, purpose: str) -> None:
        self.members = members
        self.quotas = np.asarray(quotas, np.int64)
        self.rows = rows
        self.seed = seed
        self.purpose = purpose
        self._block = int(self.quotas.sum())
        # In an unshuffled block, draw i belongs to group _group[i], as its _rank[i]-th.
        self._group = np.repeat(np.arange(len(members)), self.quotas)
        self._rank = np.concatenate([np.arange(quota) for quota in self.quotas])

    def epoch(self, epoch: int) -> Order:
        """Return the order of an epoch."""
        return _GroupOrder(self, epoch)

    def draw(self, epoch: int, start: int, stop: int) -> Rows:
        """Return the rows at places `start` to `stop - 1` of an epoch."""
        if stop <= start:
            return np.empty(0, np.int64)
        size = self._block
        first, last = start // size, (stop - 1) // size
        key = np.uint64(derive(self.seed, self.purpose, "block", epoch))
        cells = np.arange(first * size, (last + 1) * size, dtype=np.uint64)
        slots = mix(cells ^ key).reshape(-1, size).argsort(axis=1)
        blocks = np.repeat(np.arange(first, last + 1) + epoch * -(-self.rows // size), size)
        flat = slots.reshape(-1)
        groups, turns = self._group[flat], blocks * self.quotas[self._group[flat]] + self._rank[flat]
        inside = slice(start - first * size, stop - first * size)
        groups, turns = groups[inside], turns[inside]
        rows = np.empty(len(groups), np.int64)
        for group in np.unique(groups):
            places = np.flatnonzero(groups == group)
            rows[places] = self._members(int(group), turns[places])
        return rows

    def _members(self, group: int, turns: Rows) -> Rows:
        members = self.members[group]
        cycles, at = np.divmod(turns, len(members))
        result = np.empty(len(turns), np.int64)
        for cycle in np.unique(cycles):
            chosen = cycles == cycle
            order = Permutation(len(members), self.seed, self.purpose, group, int(cycle))
            result[chosen] = members[order(at[chosen])]
        return result


class _GroupOrder:
    def __init__(self, groups: Groups, epoch: int) -> None:
        self.groups = groups
        self.number = epoch

    def slice(self, start: int, stop: int) -> Rows:
        return self.groups.draw(self.number, start, min(stop, self.groups.rows))


def quotas(shares: Mapping[str, float], block: int) -> list[int]:
    """Return how many draws of a block each share gets: by largest remainders, at least one for every share above 0."""
    total = sum(shares.values())
    exact = [share / total * block for share in shares.values()]
    found = [max(1, int(value)) for value in exact]
    for at in sorted(range(len(exact)), key=lambda at: int(exact[at]) - exact[at]):
        if sum(found) >= block:
            break
        found[at] += 1
    return found
