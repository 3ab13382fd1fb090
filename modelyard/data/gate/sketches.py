"""Statistics of numbers that arrive in chunks, in bounded memory; none depends on where the chunks end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.core.randomness import derive, mix

__all__ = ["Moments", "RowSample"]

Floats = npt.NDArray[np.float64]
_BLOCK = 8192


class Moments:
    """Count, mean, deviation, range and zeros of a column of numbers, cheap to keep for many columns.

    Values are taken in blocks of a fixed size, each summed on its own and merged (Chan, Golub and LeVeque 1979), so
    that the result is the same, bit for bit, whatever chunks they came in.
    """

    def __init__(self) -> None:
        self.count = 0
        self.zeros = 0
        self.minimum = math.inf
        self.maximum = -math.inf
        self._merged = 0
        self._mean = 0.0
        self._squares = 0.0
        self._waiting = np.empty(0, np.float64)

    def add(self, values: Floats) -> None:
        """Take in finite float64 values."""
        if not len(values):
            return
        self.count += len(values)
        self.zeros += len(values) - int(np.count_nonzero(values))
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))
        if len(self._waiting):
            values = np.concatenate([self._waiting, values])
        full = len(values) - len(values) % _BLOCK
        if full:
            self._merge(values[:full].reshape(-1, _BLOCK))
        self._waiting = values[full:].copy()

    def _merge(self, blocks: Floats) -> None:
        means = blocks.mean(axis=1)
        squares = np.square(blocks - means[:, None]).sum(axis=1)
        size = blocks.shape[1]
        for mean, square in zip(means.tolist(), squares.tolist(), strict=True):
            difference, total = mean - self._mean, self._merged + size
            self._squares += square + difference * difference * (self._merged * size / total)
            self._mean += difference * (size / total)
            self._merged = total

    def _finish(self) -> None:
        if len(self._waiting):
            self._merge(self._waiting[None, :])
            self._waiting = np.empty(0, np.float64)

    def summary(self) -> dict[str, Any]:
        """Return mean, deviation (divided by n), minimum, maximum and zeros; call once nothing more comes."""
        self._finish()
        if not self.count:
            return {}
        deviation = 0.0 if self.minimum == self.maximum else math.sqrt(self._squares / self.count)
        mean = min(max(self._mean, self.minimum), self.maximum)
        return {
            "mean": mean,
            "deviation": deviation,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "zeros": self.zeros,
        }

    def state(self) -> dict[str, Any]:
        """Return all of it, as JSON values and an array."""
        known: dict[str, Any] = {"count": self.count, "zeros": self.zeros, "merged": self._merged}
        if self.count:
            known |= {"minimum": self.minimum, "maximum": self.maximum, "mean": self._mean, "squares": self._squares}
        return {**known, "waiting": self._waiting.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.count, self.zeros, self._merged = int(state["count"]), int(state["zeros"]), int(state["merged"])
        self.minimum = float(state.get("minimum", math.inf))
        self.maximum = float(state.get("maximum", -math.inf))
        self._mean, self._squares = float(state.get("mean", 0.0)), float(state.get("squares", 0.0))
        self._waiting = np.asarray(state["waiting"], np.float64)


class RowSample:
    """At most `size` rows of each split, each equally likely, with the values of several columns; all rows while there
    are no more.

    Each row gets a random key from its number alone, and the smallest keys stay ("bottom-k" sampling).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._key = np.uint64(derive(0, "row sample of the data gate"))
        self._bounds = np.full(4, 2**64 - 1, np.uint64)
        self._bounds[0] = 0  # rows that are left out
        self._smallest = [np.empty(0, np.uint64) for _ in range(3)]
        """The `size` smallest keys of each split so far."""
        self._seen = np.zeros(3, np.int64)
        self._parts: list[dict[str, npt.NDArray[Any]]] = []
        self._held = 0
        self._is_new = False

    def choose(self, start: int, lanes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return which rows of a chunk may belong to the sample; `add` is then given their values.

        Args:
            start: Number of the chunk's first row.
            lanes: Each row's split code plus one.
        """
        keys = mix(np.arange(start, start + len(lanes), dtype=np.uint64) ^ self._key)
        chosen = np.flatnonzero((keys < self._bounds[lanes]) & (lanes > 0))
        for code in range(3):
            both = np.concatenate([self._smallest[code], keys[chosen[lanes[chosen] == code + 1]]])
            if len(both) >= self.size:
                both = np.partition(both, self.size - 1)[: self.size]
                self._bounds[code + 1] = both.max() + np.uint64(1)
            self._smallest[code] = both
        chosen = chosen[keys[chosen] < self._bounds[lanes[chosen]]]
        self._part = {"key": keys[chosen], "code": lanes[chosen] - 1, "number": chosen + start}
        self._seen += np.bincount(lanes, minlength=4)[1:]
        return chosen

    def add(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take in the values of the rows that were just chosen."""
        self._parts.append({**self._part, **{f"column {name}": values for name, values in columns.items()}})
        self._held += len(self._part["key"])
        self._is_new = True
        if self._held > 8 * self.size:
            self._shrink()

    def _shrink(self) -> None:
        if not self._parts or not self._is_new:
            return
        names = self._parts[0]
        whole = {name: np.concatenate([part[name] for part in self._parts]) for name in names}
        keep = whole["key"] < self._bounds[whole["code"] + 1]
        if not keep.all():
            whole = {name: values[keep] for name, values in whole.items()}
        self._parts, self._held, self._is_new = [whole], len(whole["key"]), False

    def finish(self) -> None:
        """Choose for good; afterwards threads may read at the same time."""
        self._shrink()

    def is_whole(self, code: int) -> bool:
        """Say whether all rows of a split are in the sample."""
        return bool(self._seen[code] <= self.size)

    def column(self, name: str, code: int | None = None) -> npt.NDArray[Any]:
        """Return a column's sampled values in the order of the rows, of one split or of all."""
        self._shrink()
        if not self._parts:
            return np.empty(0, np.float64)
        whole = self._parts[0]
        found = whole[f"column {name}"]
        return found if code is None else found[whole["code"] == code]

    def numbers(self, code: int) -> npt.NDArray[np.int64]:
        """Return the numbers of a split's sampled rows."""
        self._shrink()
        return self._parts[0]["number"][self._parts[0]["code"] == code] if self._parts else np.empty(0, np.int64)

    def state(self) -> dict[str, Any]:
        """Return all of it, as JSON values and arrays."""
        self._shrink()
        return {"bounds": self._bounds.copy(), "seen": self._seen.copy(), "rows": dict(*self._parts[:1])}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self._bounds = np.asarray(state["bounds"], np.uint64)
        self._seen = np.asarray(state["seen"], np.int64)
        self._parts = [dict(state["rows"])] if state["rows"] else []
        self._held = len(state["rows"]["key"]) if state["rows"] else 0
        if state["rows"]:
            key, code = np.asarray(state["rows"]["key"], np.uint64), np.asarray(state["rows"]["code"])
            self._smallest = [key[code == each] for each in range(3)]
