"""MinHash signatures of texts, computed as whole arrays.

A text of few words, or of a script written without spaces, is the set of its runs of four letters (of six bytes, two to
three characters, outside ASCII); a text of many words is the set of its runs of three words. Case, blanks, punctuation
and marks do not count. The signature has 64 lanes of one byte; the share of lanes that agree estimates the sets'
Jaccard similarity, with a deviation of about 0.05.

Sources: Broder 1997 (resemblance by minima of hashes); Li, Owen and Zhang 2012 (one permutation, so that every run is
hashed once); Shrivastava 2017 (lanes that stay empty take the value of one chosen at random, the same for all texts);
Li and König 2010 (few bits a lane).

Legend: R texts, L lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.core.randomness import mix, stream
from modelyard.data.gate.text_bytes import FOLD, OTHERS, clipped, text_blocks, text_bytes

__all__ = ["FEWEST", "LANES", "LETTERS", "WORDS", "Signatures", "letter_runs", "scramble", "signatures"]

Bytes = npt.NDArray[np.uint8]
Words32 = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]

LANES = 64
LETTERS, WORDS = 0, 1
"""Kinds of signature."""

FEWEST = 8
"""Runs a text needs to be compared at all: below, one letter more or less is a large part of it."""
_WORDS_FROM, _LETTERS_BELOW = 24, 32
"""Texts of 24 to 31 words get both kinds, so that no near pair falls between the two: 24 of 32 is below 0.8."""
_LONGEST_WORD = 20
"""Bytes a word has on average in no language written with spaces."""
_EMPTY = np.uint32(0xFFFFFFFF)
_FULL_PASSES = 12

_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)


@dataclass(frozen=True)
class Signatures:
    """Signatures of some texts: of a text too short for one none, of one of middling length two."""

    rows: Numbers
    """Which text, (m,)."""
    kinds: Bytes
    values: Bytes
    """(m, L)."""


def signatures(texts: pa.Array) -> Signatures:
    """Compute the signatures of texts.

    Args:
        texts: string or large_string without nulls; what stands behind the first 256 KiB of a text does not count.
    """
    data, offsets = text_bytes(clipped(texts))
    parts = [part for first, last in text_blocks(offsets) for part in _block(data, offsets, first, last)]
    if not parts:
        parts = [Signatures(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty((0, LANES), np.uint8))]
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")
    return Signatures(
        rows[order],
        np.concatenate([part.kinds for part in parts])[order],
        np.concatenate([part.values for part in parts])[order],
    )


def _block(data: Bytes, offsets: Numbers, first: int, last: int) -> list[Signatures]:
    raw = data[offsets[first] : offsets[last]].tobytes()
    if not raw:
        return []
    ends = offsets[first + 1 : last + 1] - offsets[first]
    starts = np.concatenate([[0], ends[:-1]])
    filled = np.flatnonzero(ends > starts)  # a sum over no bytes would be the byte that follows
    starts = starts[filled]
    folded = np.frombuffer(raw.translate(FOLD), np.uint8)
    letter = folded != 0
    begins = letter.copy()
    begins[1:] &= ~letter[:-1]
    begins[starts] = letter[starts]
    words = np.add.reduceat(begins, starts, dtype=np.int64)
    letters = np.add.reduceat(letter, starts, dtype=np.int64)
    spaced = letters <= _LONGEST_WORD * words
    by_letters = (~(spaced & (words >= _LETTERS_BELOW)) & (letters >= FEWEST)).nonzero()[0]
    by_words = (spaced & (words >= _WORDS_FROM)).nonzero()[0]
    found = []
    if len(by_letters):
        run = np.frombuffer(raw.translate(FOLD, OTHERS) + bytes(8), np.uint8)
        found.append(_sign(*letter_runs(run, letters, by_letters), filled[by_letters] + first, LETTERS))
    if len(by_words):
        found.append(_by_words(folded, letter, begins, words, by_words, filled + first))
    return found


def letter_runs(run: Bytes, letters: Numbers, chosen: Numbers) -> tuple[Words32, npt.NDArray[np.bool_], Numbers]:
    """Return texts' runs of letters, as numbers to scramble.

    Args:
        run: All letters of all texts, and 8 bytes more.
        letters: How many bytes of it are each text's.
        chosen: Which texts to return the runs of; each has at least `FEWEST` bytes.

    Returns:
        One number for each letter of the chosen texts, whether a run begins there, and how many there are of each text.
    """
    if len(chosen) < len(letters):
        mask = np.zeros(len(letters), bool)
        mask[chosen] = True
        run = np.concatenate([run[:-8][np.repeat(mask, letters)], run[-8:]])
        letters = letters[chosen]
    total = len(run) - 8
    ends = np.cumsum(letters)
    fours = np.ndarray((total + 4,), "<u4", buffer=run, strides=(1,)).astype(np.uint32)
    valid = np.ones(total, bool)
    for back in (1, 2, 3):
        valid[np.maximum(ends - back, 0)] = False
    hashes = fours[:total] * np.uint32(0x9E3779B1)
    if run.max() >= 0x80:
        wide = np.flatnonzero(run[:total] >= 0xC0)
        hashes[wide] += fours[wide + 2] * np.uint32(0x85EBCA6B)
        late = np.zeros(total, bool)
        for back in (4, 5):
            late[np.maximum(ends - back, 0)] = True
        valid[wide[late[wide]]] = False
        valid &= (run[:total] & 0xC0) != 0x80  # a run begins with a character, not within one
    # Texts are longer than 5 bytes, so what is marked near an end lies in the text that ends there.
    return hashes, valid, letters


def _by_words(
    folded: Bytes, letter: npt.NDArray[np.bool_], begins: npt.NDArray[np.bool_], words: Numbers, chosen: Numbers,
    rows: Numbers,
) -> Signatures:  # fmt: skip
    """Sign texts by their runs of three words."""
    starts = np.flatnonzero(begins)
    mask = np.zeros(len(words), bool)
    mask[chosen] = True
    starts = starts[np.repeat(mask, words)]
    # A word ends where the next byte is no letter, or begins another text's first word.
    stops = np.concatenate([~letter[1:] | begins[1:], [True]])
    last = np.flatnonzero(letter & stops)
    ends = last[np.searchsorted(last, starts)] + 1
    hashes = _word_hashes(folded, starts, ends)
    first, middle, third = hashes[:-2], hashes[1:-1], hashes[2:]
    runs = np.zeros(len(hashes), np.uint64)
    runs[:-2] = mix(first * np.uint64(3) + mix(middle) * np.uint64(5) + third)
    words = words[chosen]
    valid = np.ones(len(starts), bool)
    valid[np.cumsum(words) - 1] = valid[np.cumsum(words) - 2] = False
    return _sign((runs >> np.uint64(32)).astype(np.uint32), valid, words, rows[chosen], WORDS)


def _word_hashes(folded: Bytes, starts: Numbers, ends: Numbers) -> npt.NDArray[np.uint64]:
    """Hash `folded[starts[i]:ends[i]]` for each i, eight bytes at a time; of longer words the first 64 bytes."""
    padded = np.concatenate([folded, np.zeros(8, np.uint8)])
    eights = np.ndarray((len(folded) + 1,), "<u8", buffer=padded, strides=(1,))
    lengths = ends - starts
    hashes = mix(eights[starts] & _MASKS[np.minimum(lengths, 8)])
    for done in range(8, 64, 8):
        longer = np.flatnonzero(lengths > done)
        if not len(longer):
            break
        rest = np.minimum(lengths[longer] - done, 8)
        hashes[longer] = mix(hashes[longer] ^ (eights[starts[longer] + done] & _MASKS[rest]))
    return hashes


def scramble(hashes: Words32) -> None:
    """Scramble numbers one to one, in place."""
    hashes ^= hashes >> np.uint32(16)
    hashes *= np.uint32(0x7FEB352D)
    hashes ^= hashes >> np.uint32(15)
    hashes *= np.uint32(0x846CA68B)
    hashes ^= hashes >> np.uint32(16)


def _sign(hashes: Words32, valid: npt.NDArray[np.bool_], sizes: Numbers, rows: Numbers, kind: int) -> Signatures:
    """Turn the hashes of all runs into signatures.

    Args:
        hashes: uint32, text by text.
        valid: Which of them count.
        sizes: How many each text has, (R,).
        rows: The texts' numbers, (R,).
        kind: `LETTERS` or `WORDS`.
    """
    scramble(hashes)
    # The upper 6 bits choose the lane, the lower 26 are the value whose minimum is kept.
    lane = (hashes >> np.uint32(26)).astype(np.int64)
    lane *= len(sizes)
    lane += np.repeat(np.arange(len(sizes)), sizes)
    hashes &= np.uint32(0x3FFFFFF)
    hashes[~valid] = _EMPTY
    lowest = np.full(LANES * len(sizes), _EMPTY)
    np.minimum.at(lowest, lane, hashes)
    lowest_LR = lowest.reshape(LANES, len(sizes))
    counts = np.add.reduceat(valid, np.cumsum(sizes) - sizes, dtype=np.int64)
    enough = counts >= FEWEST
    if not enough.all():
        lowest_LR, rows = lowest_LR[:, enough], rows[enough]
    codes_LR = (lowest_LR * np.uint32(0x9E3779B1) >> np.uint32(24)).astype(np.uint8)
    np.maximum(codes_LR, np.uint8(1), out=codes_LR)
    codes_LR *= lowest_LR != _EMPTY
    values = np.ascontiguousarray(_densified(codes_LR).T)
    return Signatures(rows, np.full(len(rows), kind, np.uint8), values)


_SOURCES = np.stack([stream(0, "densification", attempt).permutation(LANES) for attempt in range(512)])
"""From which lane an empty one takes its value, attempt by attempt: the same for all texts."""


def _densified(codes_LR: Bytes) -> Bytes:
    """Fill lanes that are empty (0). Every text has lanes that are not."""
    filled = codes_LR.copy()
    empty = np.empty(filled.shape, bool)
    taken = np.empty_like(filled)
    for sources in _SOURCES[:_FULL_PASSES]:
        np.equal(filled, 0, out=empty)
        np.take(codes_LR, sources, axis=0, out=taken, mode="clip")
        taken *= empty
        filled += taken
    lanes, texts = np.divmod(np.flatnonzero(filled.reshape(-1) == 0), filled.shape[1])  # of two axes at once it is slow
    for sources in _SOURCES[_FULL_PASSES:]:
        if not len(lanes):
            break
        codes = codes_LR[sources[lanes], texts]
        filled[lanes, texts] = codes
        lanes, texts = lanes[codes == 0], texts[codes == 0]
    return filled
