"""Hashes of texts and bytes, the values of most columns: a part of `data.rowhash`, which says what they are for.

A value is cut into words of 8 bytes, the last one filled up with zeros. Each word is scrambled together with its place,
the words are added modulo 2^64, and the length is mixed in at the end.
"""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.core.randomness import mix

__all__ = ["PLACE", "byte_hashes", "constant", "mix_in_place", "sums"]

Hashes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

PLACE = np.uint64(0xD1342543DE82EF95)
"""By what a word's place is multiplied before it is added to the word."""
_FEW = 64
"""Values of at most so many bytes are hashed a word of all values at a time."""
_ROWS = 1 << 15
"""Values at a time, so that what is worked out of them stays in the processor's cache."""
_THREE, _SEVEN, _WIDTH = np.uint64(3), np.uint64(7), np.uint64(64)
_STEPS = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)


def constant(text: str) -> np.uint64:
    """Return the number that stands for a word in hashes."""
    return np.uint64(
        int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
    )


_BYTES = constant("modelyard row hash: bytes")
_HEADS = np.array([(1 << 8 * min(size, 8)) - 1 for size in range(_FEW + 1)], np.uint64)
"""What of a word counts when so many bytes of the value are left."""
_LENGTHS = mix(np.arange(_FEW + 1, dtype=np.uint64) ^ _BYTES)
"""What lengths of up to `_FEW` bytes are mixed in as."""


class _Scratch(threading.local):
    """Arrays of a thread that are used again: fresh ones cost several times as much as the arithmetic in them."""

    def __init__(self) -> None:
        self.content = np.empty(0, "<u8")
        self.shifted = np.empty(_ROWS, np.uint64)
        self.rows = np.empty((9, _ROWS), np.int64)

    def words(self, data: Bytes) -> Hashes:
        """Return a copy of the bytes as words, with zeros behind them."""
        size = (len(data) >> 3) + 2
        if len(self.content) < size:
            self.content = np.empty(size, "<u8")
        words = self.content[:size]
        words[-3:] = 0
        words.view(np.uint8)[: len(data)] = data
        return words


_scratch = _Scratch()


def byte_hashes(data: Bytes, offsets: npt.NDArray[np.signedinteger[Any]]) -> Hashes:
    """Hash `data[offsets[i]:offsets[i + 1]]` for each i.

    Args:
        data: uint8, at least to the last offset.
        offsets: int32 or int64 (values + 1,), not falling.

    Returns:
        uint64 (values,).
    """
    found = np.empty(len(offsets) - 1, np.uint64)
    for start in range(0, len(found), _ROWS):
        own, part = offsets[start : start + _ROWS + 1], found[start : start + _ROWS]
        content = data[int(own[0]) : int(own[-1])]
        starts, lengths, *spare = _scratch.rows[:, : len(part)]
        np.subtract(own[:-1], own[0], out=starts)
        np.subtract(own[1:], own[:-1], out=lengths)
        if lengths.max() <= _FEW:
            _of_few_words(part, _scratch.words(content), starts, lengths, spare)
        else:
            part[:] = _of_many_words(content, starts, lengths)
    return found


def _of_few_words(hashes: Hashes, words: Hashes, starts: Numbers, lengths: Numbers, spare: list[Numbers]) -> None:
    """Write the hashes of values, a word of all of them at a time."""
    most, other = int(lengths.max()), spare[0].view(np.uint64)
    _eights(words, starts, hashes, spare)
    hashes &= np.take(_HEADS, lengths, out=other, mode="clip")
    mix_in_place(hashes)
    if lengths.min() == 0:
        hashes[lengths == 0] = 0
    for done in range(8, most, 8):
        longer = np.flatnonzero(lengths > done)
        at, left, more, *rest = (part[: len(longer)] for part in spare)
        other = rest[0].view(np.uint64)
        np.take(starts, longer, out=at, mode="clip")
        at += done
        np.take(lengths, longer, out=left, mode="clip")
        left -= done
        sums = more.view(np.uint64)
        _eights(words, at, sums, rest)
        sums &= np.take(_HEADS, left, out=other, mode="clip")
        sums += np.uint64((done >> 3) * int(PLACE) % 2**64)
        mix_in_place(sums)
        sums += np.take(hashes, longer, out=other, mode="clip")
        hashes[longer] = sums
    hashes ^= np.take(_LENGTHS, lengths, out=spare[0].view(np.uint64), mode="clip")
    mix_in_place(hashes)


def _eights(words: Hashes, at: Numbers, found: Hashes, spare: list[Numbers]) -> None:
    """Write the 8 bytes from each place on, put together from the two words they lie in, which is quicker by far than
    to have NumPy read words where none belong."""
    word, high, shift = spare[0], spare[1].view(np.uint64), spare[2].view(np.uint64)
    np.right_shift(at, 3, out=word)
    np.take(words, word, out=found, mode="clip")  # of the modes that check, this one writes straight to `out`
    word += 1
    np.take(words, word, out=high, mode="clip")
    np.bitwise_and(at.view(np.uint64), _SEVEN, out=shift)
    shift <<= _THREE
    found >>= shift
    np.subtract(_WIDTH, shift, out=shift)
    high <<= shift  # by 64 places: nothing is left
    found |= high


def _of_many_words(data: Bytes, starts: Numbers, lengths: Numbers) -> Hashes:
    content = np.zeros(len(data) + 8, np.uint8)
    content[:-8] = data
    words_at = np.ndarray((len(data) + 1,), "<u8", buffer=content, strides=(1,))  # a word from any byte on
    counts = (lengths + 7) >> 3
    ends = np.cumsum(counts)
    begins = ends - counts
    place = np.arange(ends[-1], dtype=np.int64) - np.repeat(begins, counts)
    words = words_at[np.repeat(starts, counts) + (place << 3)]
    some = lengths > 0
    words[ends[some] - 1] &= _HEADS[(lengths[some] - 1 & 7) + 1]
    words += place.view(np.uint64) * PLACE
    return mix(sums(mix(words), begins, ends) ^ mix(lengths.view(np.uint64) ^ _BYTES))


def mix_in_place(values: Hashes) -> None:
    """Scramble numbers, (rows,), where they are, as `core.randomness.mix` does elsewhere."""
    for start in range(0, len(values), _ROWS):
        part = values[start : start + _ROWS]
        shifted = _scratch.shifted[: len(part)]
        part += np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in _STEPS:
            np.right_shift(part, shift, out=shifted)
            part ^= shifted
            part *= factor
        np.right_shift(part, np.uint64(31), out=shifted)
        part ^= shifted


def sums(values: Hashes, starts: Numbers, ends: Numbers) -> Hashes:
    """Sum `values[starts[i]:ends[i]]` modulo 2^64 for each i."""
    running = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values, out=running[1:])
    return running[ends] - running[starts]
