"""The words that n-grams are made of: how a text is brought to its normal form and cut, alone or as whole arrays."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import chain

import numpy as np
import pyarrow as pa

from modelyard.data.modalities.cutting import Cutter, Kind
from modelyard.data.modalities.ngram_keys import Ints

__all__ = ["BREAK", "analyze", "joined_words", "normal", "words_of"]

BREAK = "\0"
"""Stands between two texts that are joined."""

# Scripts that are written without spaces; each of their characters is a word (the blocks of `pipeline.UNSPACED`).
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0edf\u1000-\u109f\u1780-\u17d3\u2e80-\u2fd5\u3005-\u3007\u3021-\u3029\u3038-\u303b"
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U0001b000-\U0001b16f\U00020000-\U000323af"
)
_MARKS = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)).startswith("M"))
# Groups are not possessive: up to 3.11.4, Python takes in what only began to match (`B’` for `B`).
_LETTERS = rf"(?:[^\W\d_{_UNSPACED}]++[{_MARKS}]*+)+"
_TOKEN = re.compile(rf"{BREAK}|[{_UNSPACED}]|{_LETTERS}(?:['’]{_LETTERS})*|\d++")


def analyze(text: str, lowercase: bool = True) -> list[str]:
    """Cut a text into the words that n-grams are made of; signs between them are left out."""
    return _TOKEN.findall(normal([text], lowercase))


def joined_words(stream: str) -> str:
    """Return the words and breaks of joined texts with a blank between any two."""
    return " ".join(_TOKEN.findall(stream))


def normal(texts: Sequence[str], lowercase: bool) -> str:
    """Normalise texts (NFKC, lower case) and join them around the break."""
    joined = unicodedata.normalize("NFKC", BREAK.join(text.replace(BREAK, " ") for text in texts))
    return joined.lower() if lowercase else joined


def words_of(texts: pa.Array, lowercase: bool) -> tuple[pa.DictionaryArray, Ints]:
    """Cut texts as `analyze` does: the words of all, and how many each has."""
    cut = _cutter(lowercase).cut(texts)
    words, counts = cut.pieces(), cut.counts
    if len(cut.left):
        others = [analyze(text, lowercase) for text in texts.take(pa.array(cut.left)).to_pylist()]
        counts[cut.left] = [len(found) for found in others]
        is_left = np.zeros(len(counts), np.bool_)
        is_left[cut.left] = True
        other = np.repeat(is_left, counts)
        place = np.where(other, np.cumsum(other) - 1, other.sum() + np.cumsum(~other) - 1)
        words = pa.concat_arrays([pa.array(chain.from_iterable(others), pa.string()), words]).take(pa.array(place))
    return words.dictionary_encode(), counts


@cache
def _cutter(lowercase: bool) -> Cutter:
    def normalise(text: str) -> str:
        # The small form of a capital sigma depends on what follows it.
        return "" if lowercase and "Σ" in normal([text], False) else normal([text], lowercase)

    return Cutter("word", normalise, _kinds_of, signs=False)


def _kinds_of(characters: str) -> dict[str, Kind]:
    return {character: kind for character in characters if (kind := _kind_of(character)) is not Kind.SIGN}


def _kind_of(character: str) -> Kind:
    if re.match(f"[{_UNSPACED}]", character):
        return Kind.LEFT if character.isdecimal() else Kind.UNSPACED
    if re.match(_LETTERS, character):
        return Kind.LETTER
    if re.match(r"\d", character):
        return Kind.NUMBER
    return Kind.APOSTROPHE if character in "'’" else Kind.SIGN
