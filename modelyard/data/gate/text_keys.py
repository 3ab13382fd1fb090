"""Keys to sample texts by: texts that are nearly the same mostly share theirs, and few others do.

A text's key is that of one of its parts, the one with the smallest hash (Broder 1997), so that an edit elsewhere
leaves it as it is. Which parts there are depends on the text: common ones would give the same key to a large share of
all texts, and a sample would hold nearly all of them or none.

- of a text of many words, its runs of three words;
- of one of few words, its words of six letters or more, or else of four, or else all;
- of one of one or two words, or of a script written without spaces, its runs of letters.

Of each word the first eight bytes count; case, blanks, punctuation and marks do not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.core.randomness import mix
from modelyard.data.gate.minhash import FEWEST, letter_runs, scramble
from modelyard.data.gate.text_bytes import FOLD, OTHERS, clipped, text_blocks, text_bytes

__all__ = ["text_keys"]

Bytes = npt.NDArray[np.uint8]
Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Words32 = npt.NDArray[np.uint32]

_MANY, _FEW = 48, 3
_SHORTEST = FEWEST + 3
"""Bytes of so many runs of four letters."""
_LONGEST_WORD = 24
"""Bytes a word has on average, blanks and punctuation included, in no language written with spaces."""
_NONE = np.uint32(0xFFFFFFFF)
_ONES, _HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_HEADS = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)


def text_keys(texts: pa.Array) -> Keys:
    """Return each text's key, uint64 (rows,); the largest there is when it is too short to be compared.

    Args:
        texts: string or large_string without nulls; what stands behind the first 256 KiB of a text does not count.
    """
    data, offsets = text_bytes(clipped(texts))
    lowest = np.full(len(texts), _NONE)
    for first, last in text_blocks(offsets):
        raw = data[offsets[first] : offsets[last]].tobytes()
        if raw:
            _block(raw, offsets[first : last + 1] - offsets[first], lowest[first:last])
    keys = mix(lowest.astype(np.uint64))
    keys[(lowest == _NONE) | (np.diff(offsets) < _SHORTEST)] = np.iinfo(np.uint64).max
    return keys


def _block(raw: bytes, offsets: Numbers, lowest: Words32) -> None:
    """Write the smallest hash of each text's parts to `lowest`; `raw` is not empty."""
    folded = np.frombuffer(raw.translate(FOLD) + bytes(8), np.uint8)
    letter = folded[:-8] != 0
    begins = letter.copy()
    begins[1:] &= ~letter[:-1]
    starts = offsets[:-1] if offsets[-2] < len(raw) else offsets[:-1][offsets[:-1] < len(raw)]
    begins[starts] = letter[starts]
    at = np.flatnonzero(begins)
    edges = np.searchsorted(at, offsets)
    words = np.diff(edges)
    some = np.flatnonzero(words)
    if len(some):
        hashes, shortness = _word_hashes(folded, at, edges, offsets)
        lowest[some] = np.minimum.reduceat((hashes >> np.uint32(2)) | shortness, edges[some])
    spaced = (np.diff(offsets) <= _LONGEST_WORD * words) & (words >= _FEW)
    many = np.flatnonzero(spaced & (words >= _MANY))
    if len(many):
        runs = hashes * np.uint32(3)
        runs[:-1] += hashes[1:] * np.uint32(5)
        runs[:-2] += hashes[2:] * np.uint32(7)
        scramble(runs)
        runs[np.concatenate([edges[1:][many] - 1, edges[1:][many] - 2])] = _NONE
        lowest[many] = np.minimum.reduceat(runs, edges[some])[np.searchsorted(some, many)]
    if not spaced.all():
        _by_letters(raw, letter, starts, spaced, lowest)


def _word_hashes(folded: Bytes, at: Numbers, edges: Numbers, offsets: Numbers) -> tuple[Words32, Words32]:
    """Hash the first eight bytes of each word.

    Args:
        folded: The texts' bytes, 0 where there is no letter, and 8 bytes more.
        at: Where each word begins.
        edges: The first word of each text, and the number of words.
        offsets: Where each text begins, and the last one ends.

    Returns:
        The hashes, and how short the words are: 0, or 1 or 2 in the two highest bits.
    """
    parts = np.ndarray((len(folded) - 7,), "<u8", buffer=folded, strides=(1,))[at]
    ends_with = np.flatnonzero(np.diff(edges))
    lasts = edges[1:][ends_with] - 1  # whose text ends where the next one may go on with letters
    parts[lasts] &= _HEADS[np.minimum(offsets[1:][ends_with] - at[lasts], 8)]
    zeros = (parts - _ONES) & ~parts & _HIGH  # the lowest bit that is set marks the first byte that is 0
    parts &= zeros ^ (zeros - np.uint64(1))
    shortness = (parts < np.uint64(1 << 40)).astype(np.uint32)
    shortness += parts < np.uint64(1 << 24)
    shortness <<= np.uint32(30)
    parts ^= parts >> np.uint64(32)
    parts *= _SPREAD
    hashes = (parts >> np.uint64(32)).astype(np.uint32)
    return hashes, shortness


def _by_letters(
    raw: bytes, letter: npt.NDArray[np.bool_], starts: Numbers, spaced: npt.NDArray[np.bool_], lowest: Words32
) -> None:
    letters = np.zeros(len(spaced), np.int64)
    # Several texts may begin at one place, all but the last of them empty.
    filled = np.flatnonzero(np.diff(np.append(starts, len(raw))))
    letters[filled] = np.add.reduceat(letter, starts[filled], dtype=np.int64)
    chosen = np.flatnonzero(~spaced & (letters >= FEWEST))
    if not len(chosen):
        return
    run = np.frombuffer(raw.translate(FOLD, OTHERS) + bytes(8), np.uint8)
    hashes, valid, sizes = letter_runs(run, letters, chosen)
    scramble(hashes)
    hashes[~valid] = _NONE
    lowest[chosen] = np.minimum.reduceat(hashes, np.cumsum(sizes) - sizes)
