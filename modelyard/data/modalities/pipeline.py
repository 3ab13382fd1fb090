"""From texts to token ids: the pipeline of the `tokenizers` library, and the same on whole arrays, much faster.

Both give the same ids. Texts that `cutting` leaves, and a few texts alone, go through the library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from modelyard.core.device import cores
from modelyard.data.modalities.base import Ragged
from modelyard.data.modalities.cutting import Cut, Cutter, Kind, Manner, parts_of

__all__ = ["UNSPACED", "Encoder", "TokenKind", "count_tokens", "pipeline"]

Ints = npt.NDArray[np.int64]
TokenKind = Literal["word", "character", "bpe"]
T = TypeVar("T")

UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_LETTERS = rf"[\p{{L}}\p{{M}}&&[^{UNSPACED}]]+"
# Words (with inner apostrophes), numbers, single characters of unspaced scripts, single signs.
_WORDS = rf"[{UNSPACED}]\p{{M}}*|{_LETTERS}(?:['’]{_LETTERS})*|\p{{N}}+|[^\s\p{{L}}\p{{M}}\p{{N}}]"
# The same with the blank before a word kept as ▁, and runs of unspaced scripts in one piece for the merges to cut.
_PIECES = rf"▁?(?:[{UNSPACED}\p{{M}}]+|{_LETTERS}(?:['’]{_LETTERS})*|\p{{N}}{{1,3}}|[^▁\p{{L}}\p{{M}}\p{{N}}]+)|▁"
_BLANK = "▁"

_KINDS = (
    (Kind.LEFT, rf"[{UNSPACED}\p{{M}}{_BLANK}]"),
    (Kind.SPACE, r"\s"),
    (Kind.LETTER, rf"[\p{{L}}&&[^{UNSPACED}]]"),
    (Kind.UNSPACED, rf"[\p{{L}}&&[{UNSPACED}]]"),
    (Kind.NUMBER, rf"[\p{{N}}&&[^{UNSPACED}]]"),
    (Kind.APOSTROPHE, "['’]"),
)
"""What a character is to the patterns above; a later line overrides an earlier one. Of the unspaced scripts, letters
are cut alike wherever they stand; their numbers and signs are not."""

_MANNERS: Mapping[TokenKind, Manner] = {"word": "word", "character": "character", "bpe": "piece"}
_BYTES = 1 << 20
"""Texts are cut in parts of about this many bytes, which stay in the processor's cache."""
_TRIAL = 1 << 17
"""Bytes by which it is decided whether pieces repeat enough to be looked up one by one."""
_ROWS_AT_ONCE = 8192
_FEW = 32
"""So few texts go through the library: arrays would not pay."""
_MOSTLY_DIFFERENT = 0.5
"""Share of the characters in different pieces above which pieces are not looked up one by one."""


def pipeline(model: models.Model, kind: TokenKind, lowercase: bool) -> Tokenizer:
    """A tokenizer that normalises (NFKC, lower case), then cuts as its kind does. It holds no special tokens, so that
    a text which spells one is a text like any other."""
    steps = _normal_form(lowercase)
    if kind == "word":
        cut = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    else:
        blank = " " if kind == "character" else _BLANK
        steps += [normalizers.Strip(), normalizers.Replace(Regex(r"\s+"), blank)]
        pattern = r"(?m:.)" if kind == "character" else _PIECES
        cut = pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = cut
    return tokenizer


def count_tokens(texts: pa.Array, kind: TokenKind, lowercase: bool) -> Iterator[tuple[list[str], list[int], Ints]]:
    """Count the words or characters of an array of strings without nulls, part after part.

    Yields:
        Different tokens, how often each occurs, and how many tokens each text of the part has.
    """
    cut = _cutter(kind, lowercase).cut

    def count(part: pa.Array) -> tuple[list[str], list[int], Ints, list[str]]:
        found = cut(part)
        if kind == "character":
            codes, times = np.unique(found.codes, return_counts=True)
            tokens, counts = [chr(code) for code in codes.tolist()], times.tolist()
        else:
            counted = pc.value_counts(found.pieces())
            tokens, counts = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
        return tokens, counts, np.delete(found.counts, found.left), part.take(pa.array(found.left)).to_pylist()

    for tokens, counts, lengths, left in _in_threads(count, parts_of(texts, _BYTES)):
        yield tokens, counts, lengths
        if left:
            yield _count_directly(left, kind, lowercase)


def _count_directly(texts: list[str], kind: TokenKind, lowercase: bool) -> tuple[list[str], list[int], Ints]:
    # A tokenizer that knows every word of these texts counts them without leaving compiled code.
    tokenizer = pipeline(models.WordLevel({}, unk_token=""), kind, lowercase)
    trainer = trainers.WordLevelTrainer(vocab_size=2**31, min_frequency=0, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    ids = _encode_directly(tokenizer, texts)
    vocabulary = tokenizer.get_vocab()
    counts = np.bincount(ids.values, minlength=len(vocabulary))
    return list(vocabulary), counts[list(vocabulary.values())].tolist(), np.diff(ids.offsets)


class Encoder:
    """Gives texts their ids by a tokenizer that `pipeline` made, without truncation."""

    def __init__(self, tokenizer: Tokenizer, kind: TokenKind, lowercase: bool, unknown: int) -> None:
        self._tokenizer = tokenizer
        self._kind = kind
        self._cut = _cutter(kind, lowercase).cut
        self._unknown = unknown
        vocabulary = tokenizer.get_vocab()
        self._part = _BYTES
        if kind == "character":
            self._table = np.full(0x110000, unknown, np.int32)
            for token, at in vocabulary.items():
                if len(token) == 1:
                    self._table[ord(token)] = at
            self._ids: Callable[[Cut], Ragged | None] = self._of_characters
        elif kind == "word":
            self._words = pa.array(sorted(vocabulary, key=vocabulary.__getitem__), pa.string())
            self._part = max(_BYTES, 64 * len(vocabulary))  # each part builds a table of the vocabulary anew
            self._ids = self._of_words
        else:
            self._ids = self._of_pieces

    def encode(self, texts: pa.Array) -> Ragged:
        """Return int32 ids of an array of strings without nulls; a text without a token has none."""
        if len(texts) < _FEW:
            return self._directly(texts)
        if self._kind == "bpe" and self._encode(parts_of(texts, _TRIAL)[0]) is None:
            # The other parts will be alike. While one thread gathers the ids of its part, the library works on others.
            parts = _in_threads(self._directly, parts_of(texts, _BYTES // 4))
        else:
            parts = _in_threads(self._encode_part, parts_of(texts, self._part))
        lengths = np.concatenate([np.diff(part.offsets) for part in parts])
        return Ragged(np.concatenate([part.values for part in parts]), _edges(lengths))

    def _encode_part(self, texts: pa.Array) -> Ragged:
        found = self._encode(texts)
        return self._directly(texts) if found is None else found

    def _directly(self, texts: pa.Array) -> Ragged:
        return _encode_directly(self._tokenizer, texts.to_pylist())

    def _encode(self, texts: pa.Array) -> Ragged | None:
        """Encode what can be cut as arrays, and the rest directly; None when directly is quicker for all of it."""
        found = self._cut(texts)
        cut = self._ids(found)
        if cut is None or not len(found.left):
            return cut
        left = self._directly(texts.take(pa.array(found.left)))
        lengths = np.diff(cut.offsets)
        lengths[found.left] = np.diff(left.offsets)
        is_left = np.zeros(len(lengths), np.bool_)
        is_left[found.left] = True
        place = np.repeat(is_left, lengths)
        values = np.empty(len(place), np.int32)
        values[place], values[~place] = left.values, cut.values
        return Ragged(values, _edges(lengths))

    def _of_characters(self, cut: Cut) -> Ragged:
        return Ragged(self._table[cut.codes], _edges(cut.counts))

    def _of_words(self, cut: Cut) -> Ragged:
        found = pc.fill_null(pc.index_in(cut.pieces(), value_set=self._words), self._unknown)
        return Ragged(found.to_numpy(), _edges(cut.counts))

    def _of_pieces(self, cut: Cut) -> Ragged | None:
        """Take each different piece to the model once; None when they are so many that little would be saved."""
        encoded = cut.pieces().dictionary_encode()
        different = encoded.dictionary
        if len(different) and pc.sum(pc.utf8_length(different)).as_py() > _MOSTLY_DIFFERENT * len(cut.codes):
            return None
        model = self._tokenizer.model
        ids = [[token.id for token in model.tokenize(piece.replace(" ", _BLANK))] for piece in different.to_pylist()]
        sizes = np.fromiter(map(len, ids), np.int64, len(ids))
        values = np.fromiter(chain.from_iterable(ids), np.int32, int(sizes.sum()))
        chosen = encoded.indices.to_numpy()
        edges = _edges(sizes[chosen])
        place = np.repeat(_edges(sizes)[:-1][chosen] - edges[:-1], sizes[chosen]) + np.arange(edges[-1])
        return Ragged(values[place], edges[_edges(cut.counts)])


def _encode_directly(tokenizer: Tokenizer, texts: Sequence[str]) -> Ragged:
    """Return the ids of texts, int32, as the library gives them; some texts at a time, for its records are large."""
    parts = []
    sizes = []
    for start in range(0, len(texts), _ROWS_AT_ONCE):
        rows = tokenizer.encode_batch_fast(texts[start : start + _ROWS_AT_ONCE], add_special_tokens=False)
        ids = [row.ids for row in rows]
        sizes += [len(row) for row in ids]
        parts.append(np.fromiter(chain.from_iterable(ids), np.int32))
    return Ragged(np.concatenate([np.empty(0, np.int32), *parts]), _edges(np.array(sizes, np.int64)))


@cache
def _cutter(kind: TokenKind, lowercase: bool) -> Cutter:
    return Cutter(_MANNERS[kind], normalizers.Sequence(_normal_form(lowercase)).normalize_str, _kinds_of)


def _normal_form(lowercase: bool) -> list[normalizers.Normalizer]:
    return [normalizers.NFKC(), normalizers.Lowercase()] if lowercase else [normalizers.NFKC()]


def _kinds_of(characters: str) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for kind, pattern in _KINDS:
        split = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
        found |= {match: kind for match, _ in split.pre_tokenize_str(characters)}
    return found


def _in_threads(work: Callable[[pa.Array], T], parts: Sequence[pa.Array]) -> list[T]:
    threads = min(cores(), len(parts))
    if threads < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))


def _edges(lengths: Ints) -> Ints:
    edges = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=edges[1:])
    return edges
