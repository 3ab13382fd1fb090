"""Statistics of a column that arrives in chunks, in bounded memory. None of them depends on where the chunks end.

Each can `save` what it has gathered as arrays, and another object that `load`s them goes on as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from modelyard.core.randomness import derive, mix
from modelyard.data.modalities.partial import Arrays, load_texts, save_texts

__all__ = ["Counts", "KeyCounts", "Moments", "Sample"]

Floats = npt.NDArray[np.float64]


class Moments:
    """Count, mean, variance, smallest and largest value.

    Values are taken in blocks of a fixed size, each summed on its own and merged (Chan, Golub and LeVeque 1979), so
    that the result is the same, bit for bit, whatever chunks the values came in.
    """

    _BLOCK = 1 << 16

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.minimum = float("inf")
        self.maximum = float("-inf")
        self._squares = 0.0
        self._waiting = np.empty(0, np.float64)

    def add(self, values: Floats) -> None:
        """Take in finite float64 values."""
        values = np.concatenate([self._waiting, values])
        full = len(values) - len(values) % self._BLOCK
        for start in range(0, full, self._BLOCK):
            self._merge(values[start : start + self._BLOCK])
        self._waiting = values[full:].copy()

    def finish(self) -> None:
        """Take in what waits for a full block. Call once, after the last `add`."""
        if len(self._waiting):
            self._merge(self._waiting)
            self._waiting = np.empty(0, np.float64)

    def _merge(self, block: Floats) -> None:
        count, mean = len(block), float(block.mean())
        difference, total = mean - self.mean, self.count + count
        self._squares += float(np.square(block - mean).sum()) + difference**2 * (self.count * count / total)
        self.mean += difference * (count / total)
        self.count = total
        self.minimum = min(self.minimum, float(block.min()))
        self.maximum = max(self.maximum, float(block.max()))

    def save(self) -> Arrays:
        """Return everything as arrays, for `load`."""
        about = np.array([self.mean, self.minimum, self.maximum, self._squares])
        return {"about": about, "count": np.array([self.count]), "waiting": self._waiting}

    def load(self, saved: Arrays) -> None:
        """Go on where `save` was called."""
        self.mean, self.minimum, self.maximum, self._squares = saved["about"].tolist()
        (self.count,) = saved["count"].tolist()
        self._waiting = saved["waiting"]

    @property
    def deviation(self) -> float:
        """Standard deviation of the population (divided by n); exactly 0 when all values are equal."""
        if self.count == 0 or self.minimum == self.maximum:
            return 0.0
        return float(np.sqrt(self._squares / self.count))


class Sample:
    """At most `size` of the values, each equally likely; all of them while there are no more.

    Each value gets a random key from its position alone, and the smallest keys stay ("bottom-k" sampling).
    """

    def __init__(self, size: int, purpose: str) -> None:
        self._size = size
        self._key = np.uint64(derive(0, purpose))
        self._seen = 0
        self._largest = np.uint64(2**64 - 1)
        self._keys = np.empty(0, np.uint64)
        self._values = np.empty(0, np.float64)

    def add(self, values: Floats) -> None:
        """Take in float64 values."""
        keys = mix(np.arange(self._seen, self._seen + len(values), dtype=np.uint64) ^ self._key)
        self._seen += len(values)
        smaller = keys < self._largest
        self._keys = np.concatenate([self._keys, keys[smaller]])
        self._values = np.concatenate([self._values, values[smaller]])
        if len(self._keys) > 2 * self._size:
            self._shrink()

    def _shrink(self) -> None:
        if len(self._keys) > self._size:
            kept = np.sort(np.argpartition(self._keys, self._size - 1)[: self._size])
            self._keys, self._values = self._keys[kept], self._values[kept]
            self._largest = self._keys.max()

    def save(self) -> Arrays:
        """Return everything as arrays, for `load`."""
        about = np.array([self._seen, self._largest], np.uint64)
        return {"about": about, "keys": self._keys, "values": self._values}

    def load(self, saved: Arrays) -> None:
        """Go on where `save` was called."""
        self._seen, self._largest = int(saved["about"][0]), saved["about"][1]
        self._keys, self._values = saved["keys"], saved["values"]

    def values(self) -> Floats:
        """Return the sample, in the order the values came."""
        self._shrink()
        return self._values


class Counts:
    """How often each text occurs. Beyond `limit` different ones the rarest are forgotten, and `approximate` says so."""

    def __init__(self, limit: int = 2_000_000) -> None:
        self._limit = limit
        self._counts: dict[str, int] = {}
        self.approximate = False

    def add(self, texts: Iterable[str], counts: Iterable[int]) -> None:
        """Add to the counts of the given texts."""
        known = self._counts
        for text, count in zip(texts, counts, strict=True):
            known[text] = known.get(text, 0) + count
        threshold = 1
        while len(self._counts) > self._limit:
            self.approximate = True
            self._counts = {text: count for text, count in self._counts.items() if count > threshold}
            threshold *= 2

    def ranked(self) -> list[tuple[str, int]]:
        """Return (text, count), the most frequent first, equal ones by text."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))

    def save(self) -> Arrays:
        """Return everything as arrays, for `load`."""
        counts = np.fromiter(self._counts.values(), np.int64, len(self._counts))
        return {"counts": counts, "approximate": np.array([self.approximate]), **save_texts(list(self._counts))}

    def load(self, saved: Arrays) -> None:
        """Go on where `save` was called."""
        self._counts = dict(zip(load_texts(saved), saved["counts"].tolist(), strict=True))
        self.approximate = bool(saved["approximate"][0])

    def __len__(self) -> int:
        return len(self._counts)


class KeyCounts:
    """How often each 64-bit key occurs, for many more keys than a dict would hold; forgets as `Counts` does."""

    def __init__(self, limit: int = 8_000_000, pending: int = 4_000_000) -> None:
        self._limit = limit
        self._most_pending = pending
        self._pending: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
        self._pending_size = 0
        self._keys = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)
        self.approximate = False

    def add(self, keys: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> None:
        """Add to the counts of the given keys."""
        self._pending.append((keys, counts))
        self._pending_size += len(keys)
        if self._pending_size > self._most_pending:
            self._merge()

    def result(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return keys in rising order and their counts."""
        self._merge()
        return self._keys, self._counts

    def save(self) -> Arrays:
        """Return everything as arrays, for `load`."""
        keys = np.concatenate([np.empty(0, np.int64), *(keys for keys, _ in self._pending)])
        counts = np.concatenate([np.empty(0, np.int64), *(counts for _, counts in self._pending)])
        pending = {"pending_keys": keys, "pending_counts": counts}
        return {"keys": self._keys, "counts": self._counts, "approximate": np.array([self.approximate]), **pending}

    def load(self, saved: Arrays) -> None:
        """Go on where `save` was called."""
        self._keys, self._counts = saved["keys"], saved["counts"]
        self._pending = [(saved["pending_keys"], saved["pending_counts"])]
        self._pending_size = len(saved["pending_keys"])
        self.approximate = bool(saved["approximate"][0])

    def _merge(self) -> None:
        if not self._pending:
            return
        keys = np.concatenate([self._keys, *(keys for keys, _ in self._pending)])
        counts = np.concatenate([self._counts, *(counts for _, counts in self._pending)])
        self._pending, self._pending_size = [], 0
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], counts[order]
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.empty(0, np.int64)
        self._keys = keys[starts]
        self._counts = np.add.reduceat(counts, starts) if len(starts) else counts
        threshold = 1
        while len(self._keys) > self._limit:
            self.approximate = True
            kept = self._counts > threshold
            self._keys, self._counts = self._keys[kept], self._counts[kept]
            threshold *= 2
