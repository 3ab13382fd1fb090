"""Texts as weighted n-grams of words and characters (tf-idf), kept sparse. Counting and weighting run on whole arrays.

A word or character gets a small whole number; an n-gram is those numbers side by side in 64 bits. Looking n-grams up is
then a search in a sorted array, and their words can be read off the number again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import pairwise, repeat
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from modelyard.core.errors import BundleError, DataError
from modelyard.data.modalities.base import Ragged
from modelyard.data.modalities.ngram_keys import Ints, KeyIndex, pack, parts_of, rows_with, unpack, windows
from modelyard.data.modalities.ngram_words import BREAK, joined_words, normal, words_of
from modelyard.data.modalities.partial import Arrays, load_texts, save_texts
from modelyard.data.modalities.restoring import Checked, Written, checked, require_state
from modelyard.data.modalities.streaming import KeyCounts

__all__ = ["LONGEST_CHARACTERS", "LONGEST_WORDS", "NgramModel"]

_WORD_BITS, _CHARACTER_BITS = 21, 12
LONGEST_WORDS, LONGEST_CHARACTERS = 63 // _WORD_BITS, 63 // _CHARACTER_BITS


class _StoredNgrams(Checked):
    words: list[Written]
    word_rows: list[Annotated[int, Field(ge=1, le=2**53)]]
    characters: list[Written]
    character_rows: list[Annotated[int, Field(ge=1, le=2**53)]]


class NgramModel:
    """Learns which n-grams occur in enough texts, and turns texts into bags of them with tf-idf weights.

    The weight of an n-gram that stands c times in a text is tf · idf with tf = c, or 1 + ln c when `sublinear`, and
    idf = 1 + ln((1 + rows) / (1 + rows that hold it)), as scikit-learn's TfidfVectorizer computes it; `l2` then brings
    each text to length 1. An n-gram's id is its place by falling number of rows: words first, then characters.
    """

    def __init__(
        self,
        column: str,
        vocabulary_size: int,
        min_count: int,
        lowercase: bool,
        words: tuple[int, int] | None,
        characters: tuple[int, int] | None,
        within_words: bool,
        sublinear: bool,
        idf: bool,
        norm: Literal["l2", "none"],
    ) -> None:
        self.column = column
        self.vocabulary_size = vocabulary_size
        self.min_count = min_count
        self.lowercase = lowercase
        self.words = words
        self.characters = characters
        self.within_words = within_words
        self.sublinear = sublinear
        self.idf = idf
        self.norm = norm
        self.rows = 0
        self.empty_rows = 0
        self.approximate = False
        self._stored = _StoredNgrams(words=[], word_rows=[], characters=[], character_rows=[])
        self._word_ids: dict[str, int] = {BREAK: -1}
        self._character_ids = np.zeros(0x110000, np.int16)
        self._character_ids[ord(BREAK)] = -1
        self._characters_known: list[str] = []
        self._word_counts, self._character_counts = KeyCounts(), KeyCounts()
        self._word_index = self._character_index = KeyIndex(np.empty(0, np.int64), 0)
        self._idf = np.empty(0)

    # -- learning -------------------------------------------------------------------------------------------------

    def learn(self, texts: pa.Array) -> None:
        """Count in how many of these texts each n-gram occurs."""
        for part in parts_of(texts):
            self.rows += len(part)
            if self.words is not None:
                words, rows = words_of(part, self.lowercase)
                self._learn_words(words.dictionary.to_pylist())
                self._word_counts.add(*rows_with(*self._word_windows(words, rows)))
            if self.characters is not None:
                characters = self._character_stream(part)
                self._learn_characters(characters)
                self._character_counts.add(*rows_with(*self._character_windows(characters)))

    def _learn_words(self, tokens: list[str]) -> None:
        known = self._word_ids
        for token in tokens:
            if token not in known:
                if len(known) >= 1 << _WORD_BITS:
                    self.approximate = True
                    return
                known[token] = len(known)  # the break was the first: words count from 1

    def _learn_characters(self, stream: str) -> None:
        new = [character for character in dict.fromkeys(stream) if not self._character_ids[ord(character)]]
        room = (1 << _CHARACTER_BITS) - 1 - len(self._characters_known)
        self.approximate |= len(new) > room
        for character in new[:room]:
            self._characters_known.append(character)
            self._character_ids[ord(character)] = len(self._characters_known)

    def save_partial(self) -> dict[str, Arrays]:
        """Return what `learn` has gathered, for `load_partial`."""
        return {
            "words": save_texts(list(self._word_ids)[1:]),
            "characters": save_texts(self._characters_known),
            "word_counts": self._word_counts.save(),
            "character_counts": self._character_counts.save(),
            "about": {"rows": np.array([self.rows]), "approximate": np.array([self.approximate])},
        }

    def load_partial(self, saved: Mapping[str, Arrays]) -> None:
        """Go on where `save_partial` was called."""
        self._word_ids = {BREAK: -1} | {word: at + 1 for at, word in enumerate(load_texts(saved["words"]))}
        self._characters_known = load_texts(saved["characters"])
        for at, character in enumerate(self._characters_known):
            self._character_ids[ord(character)] = at + 1
        self._word_counts.load(saved["word_counts"])
        self._character_counts.load(saved["character_counts"])
        self.rows, self.approximate = int(saved["about"]["rows"][0]), bool(saved["about"]["approximate"][0])

    def finish(self) -> None:
        """Keep the n-grams that occur in most texts.

        Raises:
            DataError: None occurs in `min_count` texts.
        """
        self.approximate |= self._word_counts.approximate or self._character_counts.approximate
        word_keys, word_rows = self._most_frequent(self._word_counts)
        character_keys, character_rows = self._most_frequent(self._character_counts)
        if not len(word_keys) and not len(character_keys):
            raise DataError(
                f"column {self.column!r} has no n-gram that occurs in at least {self.min_count} of the {self.rows} "
                "training texts; lower min_count, or leave the column out"
            )
        words = [BREAK, *list(self._word_ids)[1:]]
        characters = [BREAK, *self._characters_known]
        self._take(
            _StoredNgrams(
                words=[" ".join(words[at] for at in unpack(key, _WORD_BITS)) for key in word_keys.tolist()],
                word_rows=word_rows.tolist(),
                characters=[
                    "".join(characters[at] for at in unpack(key, _CHARACTER_BITS)) for key in character_keys.tolist()
                ],
                character_rows=character_rows.tolist(),
            )
        )
        self._word_counts, self._character_counts = KeyCounts(), KeyCounts()

    def _most_frequent(self, counts: KeyCounts) -> tuple[Ints, Ints]:
        keys, rows = counts.result()
        kept = rows >= self.min_count
        keys, rows = keys[kept], rows[kept]
        order = np.lexsort((keys, -rows))[: self.vocabulary_size]
        return keys[order], rows[order]

    def _take(self, stored: _StoredNgrams) -> None:
        """Number the words and characters that known n-grams are made of, and prepare the search."""
        self._stored = stored
        self._word_ids = {BREAK: -1}
        parts = [term.split(" ") for term in stored.words]
        for part in parts:
            for token in part:
                self._word_ids.setdefault(token, len(self._word_ids))
        self._characters_known = list(dict.fromkeys("".join(stored.characters)))
        self._character_ids = np.zeros(0x110000, np.int16)
        self._character_ids[ord(BREAK)] = -1
        for at, character in enumerate(self._characters_known):
            self._character_ids[ord(character)] = at + 1
        word_keys = [pack([self._word_ids[token] for token in part], _WORD_BITS) for part in parts]
        ids = self._character_ids
        character_keys = [pack([int(ids[ord(c)]) for c in term], _CHARACTER_BITS) for term in stored.characters]
        self._word_index = KeyIndex(np.array(word_keys, np.int64), 0)
        self._character_index = KeyIndex(np.array(character_keys, np.int64), len(word_keys))
        occurring = np.array([*stored.word_rows, *stored.character_rows], np.float64)
        self._idf = 1 + np.log((1 + self.rows) / (1 + occurring)) if self.idf else np.ones(len(occurring))

    # -- the stored form ------------------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """Return the known n-grams, with the number of rows that held each, as JSON."""
        return json.dumps(self._stored.model_dump(), ensure_ascii=False, separators=(",", ":")).encode()

    def load(self, content: bytes, rows: int) -> None:
        """Take over what `dump` returned, of a training split of `rows` texts.

        Raises:
            BundleError: It does not hold together.
        """
        column = self.column
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"the ngrams.json of column {column!r} is not JSON: {error}") from error
        stored = checked(_StoredNgrams, value, column)
        self._check(stored.words, stored.word_rows, self.words, rows, [term.split(" ") for term in stored.words])
        self._check(
            stored.characters, stored.character_rows, self.characters, rows, [list(t) for t in stored.characters]
        )
        words = {token for term in stored.words for token in term.split(" ")}
        require_state("" not in words and len(words) < 1 << _WORD_BITS, column, "n-grams of empty or too many words")
        require_state(
            len(set("".join(stored.characters))) < 1 << _CHARACTER_BITS, column, "n-grams of too many characters"
        )
        require_state(bool(stored.words or stored.characters), column, "no n-grams")
        self.rows = rows
        self._take(stored)

    def _check(
        self, terms: list[str], counts: list[int], sizes: tuple[int, int] | None, rows: int, parts: list[list[str]]
    ) -> None:
        column = self.column
        require_state(len(terms) == len(counts), column, f"{len(counts)} counts for {len(terms)} n-grams")
        require_state(
            len(set(terms)) == len(terms) <= self.vocabulary_size, column, "n-grams that repeat or are too many"
        )
        low, high = sizes or (0, -1)
        require_state(all(low <= len(part) <= high for part in parts), column, "n-grams of another length than is set")
        require_state(not any(BREAK in term for term in terms), column, "n-grams that hold a null character")
        falling = all(before >= after for before, after in pairwise(counts))
        require_state(
            falling and (not counts or counts[0] <= rows), column, "counts that do not fall, or exceed the rows"
        )

    @property
    def terms(self) -> tuple[str, ...]:
        """The n-grams by id."""
        return (*self._stored.words, *self._stored.characters)

    # -- encoding -------------------------------------------------------------------------------------------------

    def encode(self, texts: pa.Array) -> dict[str, Ragged]:
        """Return `ids` (int32, rising within a row) and `weights` (float32); a text without a known n-gram is empty."""
        found = [self._encode(part) for part in parts_of(texts)]
        sizes = np.concatenate([np.empty(0, np.int64), *(part[0] for part in found)])
        ids = np.concatenate([np.empty(0, np.int32), *(part[1] for part in found)])
        weights = np.concatenate([np.empty(0, np.float32), *(part[2] for part in found)])
        self.empty_rows += int((sizes == 0).sum())
        offsets = np.r_[0, np.cumsum(sizes)].astype(np.int64)
        return {"ids": Ragged(ids, offsets), "weights": Ragged(weights, offsets)}

    def remarks(self, texts: pa.Array) -> dict[int, str]:
        """Say which texts hold no known n-gram; texts are without nulls."""
        sizes = [self._encode(part)[0] for part in parts_of(texts)]
        empty = np.flatnonzero(np.concatenate([np.empty(0, np.int64), *sizes]) == 0)
        return dict.fromkeys(empty.tolist(), "no known n-gram")

    def _encode(self, texts: pa.Array) -> tuple[Ints, npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        pairs = []
        size = len(self._idf)
        if self.words is not None:
            rows, keys = self._word_windows(*words_of(texts, self.lowercase))
            pairs.append(self._word_index.find(rows, keys, size))
        if self.characters is not None:
            rows, keys = self._character_windows(self._character_stream(texts))
            pairs.append(self._character_index.find(rows, keys, size))
        found, counts = np.unique(np.concatenate(pairs), return_counts=True)
        rows, ids = found // size, found % size
        weights = (1 + np.log(counts) if self.sublinear else counts) * self._idf[ids]
        if self.norm == "l2":
            weights = weights / np.sqrt(np.bincount(rows, np.square(weights), len(texts)))[rows]
        return np.bincount(rows, minlength=len(texts)), ids.astype(np.int32), weights.astype(np.float32)

    def _word_windows(self, words: pa.DictionaryArray, counts: Ints) -> tuple[Ints, Ints]:
        known = self._word_ids
        different = words.dictionary.to_pylist()
        found = np.fromiter(map(known.get, different, repeat(0)), np.int64, len(different))
        ids = np.insert(found[words.indices.to_numpy()], np.cumsum(counts)[:-1], -1)
        assert self.words is not None
        return windows(ids, *self.words, _WORD_BITS)

    def _character_stream(self, texts: pa.Array) -> str:
        stream = normal(texts.to_pylist(), self.lowercase)
        return f" {joined_words(stream)} " if self.within_words else re.sub(r"\s+", " ", stream)

    def _character_windows(self, stream: str) -> tuple[Ints, Ints]:
        codes = np.frombuffer(stream.encode("utf-32-le"), np.uint32)
        assert self.characters is not None
        ids = self._character_ids[codes].astype(np.int64)
        return windows(ids, *self.characters, _CHARACTER_BITS, codes == ord(" ") if self.within_words else None)
