"""Texts as token ids: a tokenizer over words, characters or byte-pair pieces, learned from the training split.

Every character of a script written without spaces (Chinese, Japanese, Thai …) is a word of its own, so that such texts
work without a word list. Built on the `tokenizers` library; a stored `tokenizer.json` can be read by other programs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from modelyard.core.errors import BundleError, DataError
from modelyard.core.randomness import derive, mix
from modelyard.data.modalities.base import Ragged
from modelyard.data.modalities.restoring import require_state
from modelyard.data.modalities.streaming import Counts

__all__ = ["PADDING", "UNKNOWN", "UNSPACED", "TokenKind", "TokenModel"]

TokenKind = Literal["word", "character", "bpe"]

PADDING, UNKNOWN = 0, 1
_SPECIAL = ("[PAD]", "[UNK]")
_LONGEST = 512
_ROWS_AT_ONCE = 8192

UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_LETTERS = rf"[\p{{L}}\p{{M}}&&[^{UNSPACED}]]+"
# Words (with inner apostrophes), numbers, single characters of unspaced scripts, single signs.
_WORDS = rf"[{UNSPACED}]\p{{M}}*|{_LETTERS}(?:['’]{_LETTERS})*|\p{{N}}+|[^\s\p{{L}}\p{{M}}\p{{N}}]"
# The same with the blank before a word kept as ▁, and runs of unspaced scripts in one piece for the merges to cut.
_PIECES = rf"▁?(?:[{UNSPACED}\p{{M}}]+|{_LETTERS}(?:['’]{_LETTERS})*|\p{{N}}{{1,3}}|[^▁\p{{L}}\p{{M}}\p{{N}}]+)|▁"


class TokenModel:
    """Learns a vocabulary from texts and turns texts into ids: 0 padding, 1 unknown, the known ones from 2 on.

    `learn` each chunk of training texts, then `finish`; or `load` what `dump` returned. Afterwards `encode`.
    """

    def __init__(
        self,
        column: str,
        kind: TokenKind,
        vocabulary_size: int,
        min_count: int,
        lowercase: bool,
        max_length: int | None,
    ) -> None:
        self.column = column
        self.kind = kind
        self.vocabulary_size = vocabulary_size
        self.min_count = min_count
        self.lowercase = lowercase
        self.max_length = max_length or 0
        self._asked_length = max_length
        self._counts = Counts(limit=1_000_000)
        self._lengths = np.zeros(_LONGEST + 1, np.int64)
        self._sample = _Texts()
        self._tokenizer: Tokenizer | None = None
        self.learned: dict[str, Any] = {}
        self.cut_rows = self.cut_tokens = self.empty_rows = 0

    # -- learning -------------------------------------------------------------------------------------------------

    def learn(self, texts: Sequence[str]) -> None:
        """Count the tokens of a chunk of texts (or keep some of the texts, for `bpe`)."""
        if self.kind == "bpe":
            self._sample.add(texts)
            return
        for start in range(0, len(texts), _ROWS_AT_ONCE):
            part = texts[start : start + _ROWS_AT_ONCE]
            # A tokenizer that knows every word of this part counts them without leaving compiled code.
            counter = _pipeline(models.WordLevel({}, unk_token=_SPECIAL[1]), self.kind, self.lowercase)
            trainer = trainers.WordLevelTrainer(vocab_size=2**31, min_frequency=0, show_progress=False)
            counter.train_from_iterator(part, trainer)
            ids = _encode(counter, part)
            counts = np.bincount(ids.values, minlength=counter.get_vocab_size())
            vocabulary = counter.get_vocab()
            self._counts.add(vocabulary, (int(counts[at]) for at in vocabulary.values()))
            self._add_lengths(ids)

    def _add_lengths(self, ids: Ragged) -> None:
        lengths = np.minimum(np.diff(ids.offsets), _LONGEST)
        self._lengths += np.bincount(lengths, minlength=_LONGEST + 1)

    def finish(self) -> None:
        """Choose the vocabulary and the longest row.

        Raises:
            DataError: No token occurs often enough.
        """
        learned: dict[str, Any]
        if self.kind == "bpe":
            vocabulary, merges = self._train_bpe()
            learned = {"merges": len(merges), "sampled_texts": len(self._sample)}
        else:
            ranked = self._counts.ranked()
            kept = [item for item in ranked if item[1] >= self.min_count][
                : max(0, self.vocabulary_size - len(_SPECIAL))
            ]
            vocabulary = {token: at for at, token in enumerate((*_SPECIAL, *(token for token, _ in kept)))}
            merges = []
            total = sum(count for _, count in ranked)
            known = sum(count for _, count in kept)
            learned = {"different_tokens": len(ranked), "unknown_share": 1 - known / total if total else 0.0}
            if self._counts.approximate:
                learned["approximate"] = True
        if len(vocabulary) <= len(_SPECIAL):
            raise DataError(
                f"column {self.column!r} has no token that occurs at least {self.min_count} times in training; "
                "lower min_count, or leave the column out"
            )
        self._build(vocabulary, merges)
        if self.kind == "bpe":
            for texts in self._sample.parts():
                self._add_lengths(_encode(self._built(), texts))
        if self._asked_length is None:
            reached = np.cumsum(self._lengths) >= 0.99 * self._lengths.sum()
            self.max_length = max(1, int(np.argmax(reached)))
        self.learned = learned
        self._counts, self._sample = Counts(), _Texts()

    def _train_bpe(self) -> tuple[dict[str, int], list[tuple[str, str]]]:
        tokenizer = _pipeline(models.BPE(), self.kind, self.lowercase)
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocabulary_size,
            min_frequency=self.min_count,
            special_tokens=list(_SPECIAL),
            limit_alphabet=max(1, self.vocabulary_size * 3 // 4),
            show_progress=False,
        )
        tokenizer.train_from_iterator(chain.from_iterable(self._sample.parts()), trainer)
        model = json.loads(tokenizer.to_str())["model"]
        return model["vocab"], [(left, right) for left, right in model["merges"]]

    # -- the stored form ------------------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """Return the tokenizer as `tokenizer.json`."""
        return self._built().to_str(pretty=False).encode()

    def load(self, content: bytes, max_length: int) -> None:
        """Rebuild the tokenizer. Only vocabulary and merges are taken from the file; how texts are cut follows from the
        settings, so that no pattern written by a stranger ever runs.

        Raises:
            BundleError: The file is not a tokenizer of this kind.
        """
        column = self.column
        try:
            model = json.loads(content)["model"]
            vocabulary, merges = model["vocab"], model.get("merges", [])
            "".join(vocabulary).encode()  # half a surrogate pair is legal in JSON, and no text
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BundleError(f"the tokenizer.json of column {column!r} is not a tokenizer: {error!r}") from error
        kind = {"bpe": "BPE"}.get(self.kind, "WordLevel")
        require_state(model.get("type") == kind, column, f"a tokenizer of type {model.get('type')!r}, not {kind}")
        require_state(isinstance(vocabulary, dict), column, "a vocabulary that is no object")
        ids = list(vocabulary.values())
        whole = all(type(at) is int for at in ids)
        require_state(whole and sorted(ids) == list(range(len(ids))), column, "ids that are not 0, 1, 2, …")
        require_state(2 < len(ids) <= self.vocabulary_size, column, f"a vocabulary of {len(ids)}")
        special = [vocabulary.get(token) for token in _SPECIAL]
        require_state(special == [PADDING, UNKNOWN], column, f"{' and '.join(_SPECIAL)} do not stand first")
        pairs = isinstance(merges, list) and all(
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in merges
        )
        require_state(pairs, column, "merges that are not pairs of tokens")
        known = all(left in vocabulary and right in vocabulary and left + right in vocabulary for left, right in merges)
        require_state(known, column, "merges of tokens that are not in the vocabulary")
        require_state(bool(merges) <= (self.kind == "bpe"), column, "merges in a vocabulary of whole tokens")
        require_state(self._asked_length in (None, max_length), column, f"max_length {max_length}")
        self._build(vocabulary, [(left, right) for left, right in merges])
        self.max_length = max_length
        self.learned = {}

    def _build(self, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
        model: models.Model
        if self.kind == "bpe":
            model = models.BPE(vocab=vocabulary, merges=merges, unk_token=_SPECIAL[1], fuse_unk=False)
        else:
            model = models.WordLevel(vocabulary, unk_token=_SPECIAL[1])
        self._tokenizer = _pipeline(model, self.kind, self.lowercase)

    def _built(self) -> Tokenizer:
        if self._tokenizer is None:
            raise RuntimeError(f"the text {self.column!r} was neither fitted nor restored")
        return self._tokenizer

    @property
    def terms(self) -> tuple[str, ...]:
        """The tokens by id."""
        vocabulary = self._built().get_vocab()
        return tuple(sorted(vocabulary, key=vocabulary.__getitem__))

    # -- encoding -------------------------------------------------------------------------------------------------

    def encode(self, texts: Sequence[str]) -> dict[str, Ragged]:
        """Return `ids`, int32, each row 1 to `max_length` long; a text without any token becomes one unknown token.

        Adds to `cut_rows` and `cut_tokens` what did not fit, to `empty_rows` the texts without a token.
        """
        tokenizer = self._built()
        parts = [_encode(tokenizer, texts[at : at + _ROWS_AT_ONCE]) for at in range(0, len(texts), _ROWS_AT_ONCE)]
        values = np.concatenate([part.values for part in parts]) if parts else np.empty(0, np.int32)
        lengths = np.concatenate([np.diff(part.offsets) for part in parts]) if parts else np.empty(0, np.int64)
        kept = np.minimum(lengths, self.max_length)
        self.cut_rows += int((lengths > kept).sum())
        self.cut_tokens += int((lengths - kept).sum())
        starts = np.cumsum(lengths) - lengths
        place = np.arange(len(values)) - np.repeat(starts, lengths)
        values = values[place < self.max_length]
        empty = np.flatnonzero(kept == 0)
        self.empty_rows += len(empty)
        if len(empty):
            values = np.insert(values, (np.cumsum(kept) - kept)[empty], UNKNOWN)
            kept[empty] = 1
        return {"ids": Ragged(values, np.r_[0, np.cumsum(kept)].astype(np.int64))}


def _pipeline(model: models.Model, kind: TokenKind, lowercase: bool) -> Tokenizer:
    """A tokenizer that normalises (NFKC, lower case), then cuts as its kind does. It holds no special tokens, so that
    a text which spells one is a text like any other."""
    steps: list[normalizers.Normalizer] = [normalizers.NFKC()]
    if lowercase:
        steps.append(normalizers.Lowercase())
    if kind == "word":
        cut = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    else:
        blank = " " if kind == "character" else "▁"
        steps += [normalizers.Strip(), normalizers.Replace(Regex(r"\s+"), blank)]
        pattern = r"(?m:.)" if kind == "character" else _PIECES
        cut = pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = cut
    return tokenizer


def _encode(tokenizer: Tokenizer, texts: Sequence[str]) -> Ragged:
    found = [row.ids for row in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
    lengths = np.fromiter(map(len, found), np.int64, len(found))
    values = np.fromiter(chain.from_iterable(found), np.int32, int(lengths.sum()))
    return Ragged(values, np.r_[0, np.cumsum(lengths)].astype(np.int64))


class _Texts:
    """A random part of the texts, up to a number of characters, that does not depend on where the chunks end."""

    _CHARACTERS = 40_000_000
    _LONGEST = 20_000

    def __init__(self) -> None:
        self._key = np.uint64(derive(0, "text sample"))
        self._seen = 0
        self._kept: list[tuple[int, str]] = []

    def add(self, texts: Sequence[str]) -> None:
        keys: npt.NDArray[np.uint64] = mix(np.arange(self._seen, self._seen + len(texts), dtype=np.uint64) ^ self._key)
        self._seen += len(texts)
        self._kept += zip(keys.tolist(), (text[: self._LONGEST] for text in texts), strict=True)
        total = sum(len(text) for _, text in self._kept)
        if total > self._CHARACTERS:
            self._kept.sort()
            within = np.cumsum([len(text) for _, text in self._kept]) <= self._CHARACTERS
            self._kept = self._kept[: int(within.sum())]

    def parts(self) -> Iterator[list[str]]:
        """Yield the texts in a fixed order, some at a time."""
        self._kept.sort()
        for start in range(0, len(self._kept), _ROWS_AT_ONCE):
            yield [text for _, text in self._kept[start : start + _ROWS_AT_ONCE]]

    def __len__(self) -> int:
        return len(self._kept)
