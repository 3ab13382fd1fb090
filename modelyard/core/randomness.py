"""Randomness as a function: every choice follows from (seed, purpose, where), never from what was drawn before.

So nothing needs saving to resume, and the order of samples depends on neither workers nor machines.

    stream(seed, "bootstrap", 3)            a NumPy generator of its own (Philox, counter-based)
    uniforms(seed, "flip", epoch, ids)      one number in [0, 1) for each id, computed independently
    Permutation(n, seed, "order", epoch)    a shuffle of range(n), any slice of it in O(1) memory

Sources: Salmon et al. 2011 (Philox, counter-based generators); Steele et al. 2014 (SplitMix64);
Black and Rogaway 2002 (permutations of small domains by a Feistel network and cycle walking).
"""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["Permutation", "derive", "mix", "stream", "uniforms"]

Where = int | str


def derive(seed: int, purpose: str, *where: Where) -> int:
    """Return a 63-bit key for one purpose and place; equal arguments give equal keys on every machine."""
    text = "\x1f".join([str(int(seed)), purpose, *(str(part) for part in where)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def stream(seed: int, purpose: str, *where: Where) -> np.random.Generator:
    """Return a NumPy generator that belongs to this purpose and place alone."""
    return np.random.Generator(np.random.Philox(key=derive(seed, purpose, *where)))


def mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble 64-bit integers one to one (the finaliser of SplitMix64). Shape and dtype stay."""
    if values.ndim == 0:
        single: npt.NDArray[np.uint64] = mix(values[None])[0]
        return single
    with np.errstate(over="ignore"):
        # In place from the second step on: fresh memory costs as much as the arithmetic.
        mixed = values + np.uint64(0x9E3779B97F4A7C15)
        shifted = mixed >> np.uint64(30)
        mixed ^= shifted
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        np.right_shift(mixed, np.uint64(27), out=shifted)
        mixed ^= shifted
        mixed *= np.uint64(0x94D049BB133111EB)
        np.right_shift(mixed, np.uint64(31), out=shifted)
        mixed ^= shifted
        return mixed


def uniforms(
    seed: int, purpose: str, epoch: int, ids: npt.NDArray[np.int64 | np.uint64], count: int = 1
) -> npt.NDArray[np.float32]:
    """Return `count` numbers in [0, 1) for each id.

    Args:
        ids: Sample ids, shape (B,), any 64-bit integers.
        count: How many numbers each id gets.

    Returns:
        float32 array of shape (B, count). A row depends on its id, not on its neighbours.
    """
    key = np.uint64(derive(seed, purpose, epoch))
    base = mix(np.asarray(ids).astype(np.uint64) ^ key)
    with np.errstate(over="ignore"):
        lanes = mix(base[:, None] + np.arange(count, dtype=np.uint64)[None, :] * np.uint64(0xD1342543DE82EF95))
    return ((lanes >> np.uint64(40)).astype(np.float32)) * np.float32(2.0**-24)


class Permutation:
    """A pseudo-random permutation of `range(size)`: any part of it is computed on its own, in O(1) memory.

    A four-round Feistel network over the next even power of two, walked until the value falls inside the range.
    """

    _ROUNDS = 4
    _SMALL = 1 << 16
    """Sizes up to which rounds go by tables, and slices are cut from the whole order, which is computed once."""

    def __init__(self, size: int, seed: int, purpose: str, *where: Where) -> None:
        if size < 0:
            raise ValueError(f"a permutation needs a size of 0 or more, got {size}")
        self.size = size
        self._half_bits = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
        key = derive(seed, purpose, *where)
        self._keys = mix(np.arange(self._ROUNDS, dtype=np.uint64) + np.uint64(key))

    def __call__(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Map positions (int64, each in [0, size)) to the items that stand there."""
        values = self._feistel(np.asarray(positions, np.int64))
        outside = np.flatnonzero(values >= self.size)
        while outside.size:
            found = self._feistel(values[outside])
            values[outside] = found
            outside = outside[found >= self.size]
        return values

    def slice(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Return items `start` to `stop - 1` of the shuffled order, as int64."""
        if self.size <= self._SMALL:
            return self._whole[start:stop].copy()
        return self(np.arange(start, min(stop, self.size), dtype=np.int64))

    @cached_property
    def _whole(self) -> npt.NDArray[np.int64]:
        image = self._feistel(np.arange(1 << (2 * self._half_bits), dtype=np.int64))
        values = image[: self.size].copy()
        # Walked by 1, 2, 4, 8 … steps at a time, each of which ends where it comes inside.
        image[: self.size] = np.arange(self.size)
        while (values >= self.size).any():
            values = image.take(values)
            image = image.take(image)
        return values

    @cached_property
    def _tables(self) -> npt.NDArray[np.int64] | None:
        """What each round makes of its half of the bits, (rounds, 2^half bits), where these are few."""
        if self.size > self._SMALL:
            return None
        halves = np.arange(1 << self._half_bits, dtype=np.uint64)
        tables: npt.NDArray[np.int64] = (mix(halves ^ self._keys[:, None]) & halves[-1]).astype(np.int64)
        return tables

    def _feistel(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if self._tables is not None:
            half, last = self._half_bits, (1 << self._half_bits) - 1
            high, low = values >> half, values & last
            for table in self._tables:
                high, low = low, high ^ table.take(low)
            return (high << half) | low
        bits = np.uint64(self._half_bits)
        mask = np.uint64((1 << self._half_bits) - 1)
        left, right = values.astype(np.uint64) >> bits, values.astype(np.uint64) & mask
        for key in self._keys:
            left, right = right, left ^ (mix(right ^ key) & mask)
        return ((left << bits) | right).astype(np.int64)
