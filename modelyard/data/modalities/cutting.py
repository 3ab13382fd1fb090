"""Texts cut into words, characters or pieces as whole arrays: no Python for each token.

A character that normalisation changes alone, whatever stands beside it, is looked up in a table; a text with any other
(a combining mark, a lone Hangul letter …) is left to whoever does the general case. What is cut here is cut exactly as
the general case would cut it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Cut", "Cutter", "Kind", "Manner", "parts_of"]

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[Any]
"""Code points: uint8 when all are ASCII, uint32 otherwise."""
Kinds = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Manner = Literal["word", "character", "piece"]

_CODES = 0x110000
_JAMO = ((0x1100, 0x1200), (0xA960, 0xA980), (0xD7B0, 0xD800))  # Hangul letters compose to syllables
_GROUP = 3  # digits in a piece


class Kind(IntEnum):
    """What a character is to a cut."""

    NEW = 0
    """Not looked at yet."""
    SPACE = 1
    LETTER = 2
    UNSPACED = 3
    """A letter of a script written without spaces."""
    NUMBER = 4
    SIGN = 5
    APOSTROPHE = 6
    EXPANDED = 7
    """Becomes several characters."""
    LEFT = 8
    """Depends on its neighbours: its text is left to others."""


@dataclass(frozen=True)
class Cut:
    """Texts, cut: `codes` are the code points of all pieces, text after text."""

    codes: Codes
    starts: Ints
    """int64 (pieces,): where in `codes` each piece starts."""
    counts: Ints
    """int64 (texts,): how many pieces each text has; 0 for one that is left."""
    left: Ints
    """int64: positions of the texts that were not cut."""

    def pieces(self) -> pa.Array:
        """Return the pieces as strings."""
        if self.codes.dtype == np.uint8:
            content, edges = self.codes.tobytes(), np.append(self.starts, len(self.codes))
        else:
            content = self.codes.tobytes().decode("utf-32-le").encode()
            widths = np.ones(len(self.codes), np.uint8)
            for limit in (0x80, 0x800, 0x10000):
                widths += self.codes >= limit
            ends = np.cumsum(widths, dtype=np.int64)
            edges = np.append((ends - widths)[self.starts], len(content))
        buffers = [None, pa.py_buffer(edges.astype(np.int32)), pa.py_buffer(content)]
        return pa.StringArray.from_buffers(len(self.starts), buffers[1], buffers[2])


class Cutter:
    """Cuts texts at fixed places.

    | manner | pieces |
    |---|---|
    | `word` | words with inner apostrophes, numbers, single letters of unspaced scripts, single signs; no blanks |
    | `character` | every character; blanks as one blank, none at the ends |
    | `piece` | words, runs of an unspaced script, up to three digits, runs of signs; each with a blank before it |

    Args:
        manner: How to cut.
        normalise: Brings a text to its normal form, as the general case does. A character that it changes by its
            neighbours must not stand unchanged between an `a` and a `b`, or be a mark or a Hangul letter.
        kinds_of: Says of characters in normal form what each is; those it does not name are signs.
        signs: Whether the manner `word` keeps signs.
    """

    def __init__(
        self,
        manner: Manner,
        normalise: Callable[[str], str],
        kinds_of: Callable[[str], Mapping[str, Kind]],
        signs: bool = True,
    ) -> None:
        self._manner = manner
        self._normalise = normalise
        self._kinds_of = kinds_of
        self._signs = signs
        self._kinds = np.zeros(_CODES, np.uint8)
        self._normal = np.zeros(_CODES, np.uint32)
        self._expansions: dict[int, list[int]] = {}
        self._look_at(range(128))
        self._ascii_kinds = self._kinds[:128].tobytes() + bytes(128)
        self._ascii_normal = self._normal[:128].astype(np.uint8).tobytes() + bytes(128)

    def cut(self, texts: pa.Array) -> Cut:
        """Cut an array of strings without nulls. Several threads may do so at once."""
        content, bounds = _content(texts)
        left = np.empty(0, np.int64)
        codes: Codes
        if content.isascii():
            codes = np.frombuffer(content.translate(self._ascii_normal), np.uint8)
            kinds = np.frombuffer(content.translate(self._ascii_kinds), np.uint8)
        else:
            codes, bounds = _code_points(content, bounds)
            kinds = self._kinds[codes]
            if not kinds.all():
                self._look_at(np.unique(codes[kinds == Kind.NEW]).tolist())
                kinds = self._kinds[codes]
            if kinds.max() >= Kind.EXPANDED:
                codes, kinds, bounds, left = self._resolved(codes, kinds, bounds)
            codes = self._normal[codes]
        if self._manner == "word":
            codes, starts, counts = _words(codes, kinds, bounds, self._signs)
        else:
            codes, kinds, bounds = _trimmed(codes, kinds, bounds)
            starts = np.arange(len(codes)) if self._manner == "character" else _piece_starts(kinds, bounds)
            counts = np.diff(np.searchsorted(starts, bounds))
        return Cut(codes, starts, counts, left)

    def _resolved(self, codes: Codes, kinds: Kinds, bounds: Ints) -> tuple[Codes, Kinds, Ints, Ints]:
        """Take out the texts that are left, and write out the characters that become several."""
        lengths = np.diff(bounds)
        left = np.unique(np.searchsorted(bounds, np.flatnonzero(kinds == Kind.LEFT), "right") - 1)
        if len(left):
            stays = np.ones(len(lengths), np.bool_)
            stays[left] = False
            kept = np.repeat(stays, lengths)
            codes, kinds, bounds = codes[kept], kinds[kept], _edges(np.where(stays, lengths, 0))
        expanded = np.flatnonzero(kinds == Kind.EXPANDED)
        if len(expanded):
            sizes = np.ones(len(codes), np.int64)
            found, group = np.unique(codes[expanded], return_inverse=True)
            written = [self._expansions[code] for code in found.tolist()]
            sizes[expanded] = np.array([len(part) for part in written])[group]
            edges = _edges(sizes)
            codes, bounds = np.repeat(codes, sizes), edges[bounds]
            for number, part in enumerate(written):
                at = edges[expanded[group == number]]
                for offset, code in enumerate(part):
                    codes[at + offset] = code
            kinds = self._kinds[codes]
        return codes, kinds, bounds, left

    def _look_at(self, codes: Iterable[int]) -> None:
        """Enter characters into the tables. Two threads that do so at once enter the same."""
        forms = {code: self._form(chr(code)) for code in codes}
        kinds = self._kinds_of("".join(sorted({form for form in forms.values() if len(form) == 1})))
        for code, form in forms.items():
            if len(form) == 1:
                self._normal[code] = ord(form)
                self._kinds[code] = kinds.get(form, Kind.SIGN)
        for code, form in forms.items():
            if len(form) != 1:
                self._kinds[code] = self._expanded(code, form)

    def _expanded(self, code: int, form: str) -> Kind:
        parts = [ord(character) for character in form]
        self._look_at([part for part in parts if self._kinds[part] == Kind.NEW and part != code])
        fixed = all(Kind.NEW < self._kinds[part] < Kind.EXPANDED and self._normal[part] == part for part in parts)
        if not parts or not fixed:
            return Kind.LEFT
        self._expansions[code] = parts
        return Kind.EXPANDED

    def _form(self, character: str) -> str:
        """The normal form of a character; empty when it depends on what stands beside it."""
        found = self._normalise(f"a{character}b")
        form = found[1:-1]
        alone = found[:1] == "a" and found[-1:] == "b" and not any(map(_combines, character + form))
        return form if alone and self._normalise(found) == found else ""


def parts_of(texts: pa.Array, size: int) -> list[pa.Array]:
    """Cut an array of strings into slices of about `size` bytes each."""
    offsets = _offsets(texts)
    part = (offsets[1:] - offsets[0]) // size
    edges = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(texts)]
    return [texts[start:stop] for start, stop in pairwise(edges) if start < stop]


def _combines(character: str) -> bool:
    """Whether a character may join with the one before it, or is unknown to this Python's tables."""
    category = unicodedata.category(character)
    code = ord(character)
    return category[0] == "M" or category == "Cn" or any(low <= code < high for low, high in _JAMO)


def _offsets(texts: pa.Array) -> Ints:
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    buffer = texts.buffers()[1]
    if buffer is None or not len(texts):
        return np.zeros(1, np.int64)
    return np.frombuffer(buffer, width)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)


def _content(texts: pa.Array) -> tuple[bytes, Ints]:
    """Return the UTF-8 of all texts, and where each begins and ends in it."""
    offsets = _offsets(texts)
    data = texts.buffers()[2]
    content = b"" if data is None else data.slice(int(offsets[0]), int(offsets[-1] - offsets[0])).to_pybytes()
    return content, offsets - offsets[0]


def _code_points(content: bytes, bounds: Ints) -> tuple[Codes, Ints]:
    codes = np.frombuffer(content.decode().encode("utf-32-le"), np.uint32)
    begins = (np.frombuffer(content, np.uint8) & 0xC0) != 0x80
    return codes, _edges(begins)[bounds]


def _edges(sizes: npt.NDArray[Any]) -> Ints:
    edges = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=edges[1:])
    return edges


def _first(length: int, bounds: Ints) -> Bools:
    """Mark where texts begin, and the end."""
    first = np.zeros(length + 1, np.bool_)
    first[bounds] = True
    return first


def _words(codes: Codes, kinds: Kinds, bounds: Ints, signs: bool) -> tuple[Codes, Ints, Ints]:
    """Return the code points without blanks, where each word starts in them, and how many each text has."""
    first = _first(len(codes), bounds)
    kinds = _with_apostrophes(kinds, first)
    start = _changes(kinds, first)
    start |= kinds == Kind.UNSPACED
    start |= kinds == Kind.SIGN
    kept = kinds != Kind.SPACE
    if not signs:
        kept &= kinds != Kind.SIGN
    start &= kept
    counts = np.diff(np.searchsorted(np.flatnonzero(start), bounds))
    return codes[kept], np.flatnonzero(start[kept]), counts


def _piece_starts(kinds: Kinds, bounds: Ints) -> Ints:
    """Return where pieces start; blanks stand single, inside texts."""
    first = _first(len(kinds), bounds)
    kinds = _with_apostrophes(kinds, first)
    start = _changes(kinds, first)
    digits = np.flatnonzero(kinds == Kind.NUMBER)
    if len(digits):
        runs = digits[start[digits]]
        place = digits - runs[np.searchsorted(runs, digits, "right") - 1]
        start[digits[place % _GROUP == 0]] = True
    start[1:] &= kinds[:-1] != Kind.SPACE  # a blank belongs to what follows
    return np.flatnonzero(start)


def _with_apostrophes(kinds: Kinds, first: Bools) -> Kinds:
    """Make apostrophes letters between letters, and signs elsewhere."""
    at = np.flatnonzero(kinds == Kind.APOSTROPHE)
    if not len(at):
        return kinds
    beside = np.zeros(len(kinds) + 2, np.bool_)
    beside[1:-1] = kinds == Kind.LETTER
    inside = beside[at] & beside[at + 2] & ~first[at] & ~first[at + 1]
    kinds = kinds.copy()
    kinds[at] = np.where(inside, Kind.LETTER, Kind.SIGN)
    return kinds


def _changes(kinds: Kinds, first: Bools) -> Bools:
    start = first[:-1].copy()
    start[1:] |= kinds[1:] != kinds[:-1]
    return start


def _trimmed(codes: Codes, kinds: Kinds, bounds: Ints) -> tuple[Codes, Kinds, Ints]:
    """Bring runs of blanks to one blank, and drop those at the ends of texts."""
    space = kinds == Kind.SPACE
    if not space.any():
        return codes, kinds, bounds
    codes = np.where(space, codes.dtype.type(ord(" ")), codes)
    first = _first(len(codes), bounds)
    dropped = space & first[:-1]
    dropped[1:] |= space[1:] & space[:-1]
    codes, kinds, bounds = _without(dropped, codes, kinds, bounds)
    last = (kinds == Kind.SPACE) & _first(len(codes), bounds)[1:]
    return _without(last, codes, kinds, bounds)


def _without(dropped: Bools, codes: Codes, kinds: Kinds, bounds: Ints) -> tuple[Codes, Kinds, Ints]:
    places = np.flatnonzero(dropped)
    if not len(places):
        return codes, kinds, bounds
    kept = ~dropped
    return codes[kept], kinds[kept], bounds - np.searchsorted(places, bounds)
