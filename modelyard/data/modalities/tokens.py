"""Texts as token ids: a tokenizer over words, characters or byte-pair pieces, learned from the training split.

Every character of a script written without spaces (Chinese, Japanese, Thai …) is a word of its own, so that such texts
work without a word list. Built on the `tokenizers` library; a stored `tokenizer.json` can be read by other programs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tokenizers import Tokenizer, models, trainers

from modelyard.core.errors import BundleError, DataError
from modelyard.core.randomness import derive, mix
from modelyard.data.modalities.base import Ragged
from modelyard.data.modalities.partial import Arrays, load_texts, save_texts
from modelyard.data.modalities.pipeline import Encoder, TokenKind, count_tokens, pipeline
from modelyard.data.modalities.restoring import require_state
from modelyard.data.modalities.streaming import Counts

__all__ = ["PADDING", "UNKNOWN", "TokenModel"]

PADDING, UNKNOWN = 0, 1
_SPECIAL = ("[PAD]", "[UNK]")
_LONGEST = 512
_NOTHING_KNOWN = "no known token"
_ROWS_AT_ONCE = 8192


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
        self._lengths = _Lengths(max(max_length or 0, _LONGEST))
        self._sample = _Texts()
        self._tokenizer: Tokenizer | None = None
        self._encoder: Encoder | None = None
        self.learned: dict[str, Any] = {}
        self.trained: dict[str, int] = {}
        """How long the training texts were and how much of them is cut; not known of a model that was loaded."""
        self.cut_rows = self.cut_tokens = self.empty_rows = 0

    # -- learning -------------------------------------------------------------------------------------------------

    def learn(self, texts: pa.Array) -> None:
        """Count the tokens of a chunk of texts without nulls (or keep some of the texts, for `bpe`)."""
        if self.kind == "bpe":
            self._sample.add(texts)
            return
        for tokens, counts, lengths in count_tokens(texts, self.kind, self.lowercase):
            self._counts.add(tokens, counts)
            self._lengths.add(lengths)

    def save_partial(self) -> dict[str, Arrays]:
        """Return what `learn` has gathered, for `load_partial`."""
        return {"counts": self._counts.save(), "lengths": self._lengths.save(), "sample": self._sample.save()}

    def load_partial(self, saved: Mapping[str, Arrays]) -> None:
        """Go on where `save_partial` was called."""
        self._counts.load(saved["counts"])
        self._lengths.load(saved["lengths"])
        self._sample.load(saved["sample"])

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
                self._lengths.add(np.diff(self._ready().encode(pa.array(texts, pa.string())).offsets))
        if self._asked_length is None:
            self.max_length = self._lengths.enough_for(0.99)
        self.learned = learned
        self.trained = self._lengths.cut_at(self.max_length)
        self._counts, self._sample = Counts(), _Texts()

    def _train_bpe(self) -> tuple[dict[str, int], list[tuple[str, str]]]:
        tokenizer = pipeline(models.BPE(), self.kind, self.lowercase)
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
        self._tokenizer = pipeline(model, self.kind, self.lowercase)
        self._encoder = Encoder(self._tokenizer, self.kind, self.lowercase, UNKNOWN)

    def _ready(self) -> Encoder:
        if self._encoder is None:
            raise RuntimeError(f"the text {self.column!r} was neither fitted nor restored")
        return self._encoder

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

    def remarks(self, texts: pa.Array) -> dict[int, str]:
        """Say of which texts tokens are cut, and which have none that is known; texts are without nulls."""
        found = self._ready().encode(texts)
        lengths = np.diff(found.offsets)
        known = np.append(0, np.cumsum(found.values != UNKNOWN))[found.offsets]
        remarks = {int(at): _NOTHING_KNOWN for at in np.flatnonzero(known[1:] == known[:-1])}
        for at in np.flatnonzero(lengths > self.max_length).tolist():
            remarks[at] = f"cut to {self.max_length} tokens: it has {lengths[at]}"
        return remarks

    def encode(self, texts: pa.Array) -> dict[str, Ragged]:
        """Return `ids`, int32, each row 1 to `max_length` long; a text without any token becomes one unknown token.

        Adds to `cut_rows` and `cut_tokens` what did not fit, to `empty_rows` the texts without a token.
        """
        found = self._ready().encode(texts)
        values, lengths = found.values, np.diff(found.offsets)
        kept = np.minimum(lengths, self.max_length)
        self.cut_rows += int((lengths > kept).sum())
        self.cut_tokens += int((lengths - kept).sum())
        if len(lengths) and lengths.max() > self.max_length:
            place = np.arange(len(values)) - np.repeat(found.offsets[:-1], lengths)
            values = values[place < self.max_length]
        empty = np.flatnonzero(kept == 0)
        self.empty_rows += len(empty)
        if len(empty):
            values = np.insert(values, (np.cumsum(kept) - kept)[empty], UNKNOWN)
            kept[empty] = 1
        return {"ids": Ragged(values, np.r_[0, np.cumsum(kept)].astype(np.int64))}


class _Lengths:
    """How many texts have each number of tokens up to `limit`, how many have more, and the sum and the largest."""

    def __init__(self, limit: int) -> None:
        self._rows = np.zeros(limit + 2, np.int64)
        self._total = self._longest = 0

    def add(self, lengths: npt.NDArray[np.int64]) -> None:
        most = len(self._rows) - 1
        self._rows += np.bincount(np.minimum(lengths, most), minlength=most + 1)
        self._total += int(lengths.sum())
        self._longest = max(self._longest, int(lengths.max(initial=0)))

    def enough_for(self, share: float) -> int:
        """Return the length that this share of the texts needs, from 1 to `limit`."""
        needed = int(np.argmax(np.cumsum(self._rows) >= share * self._rows.sum()))
        return min(max(1, needed), len(self._rows) - 2)

    def cut_at(self, length: int) -> dict[str, int]:
        """Say what is lost when texts are cut at a length of at most `limit`."""
        kept = int(np.minimum(np.arange(len(self._rows)), length) @ self._rows)
        rows = int(self._rows[length + 1 :].sum())
        return {"rows_cut": rows, "tokens_cut": self._total - kept, "longest": self._longest}

    def save(self) -> Arrays:
        """Return everything as arrays, for `load`."""
        return {"rows": self._rows, "about": np.array([self._total, self._longest], np.int64)}

    def load(self, saved: Arrays) -> None:
        """Go on where `save` was called."""
        self._rows = saved["rows"].copy()
        self._total, self._longest = saved["about"].tolist()


class _Texts:
    """A random part of the texts, up to a number of characters, that does not depend on where the chunks end.

    Each text gets a random key from its position alone; those with the smallest keys stay.
    """

    _CHARACTERS = 40_000_000
    _LONGEST = 20_000

    def __init__(self) -> None:
        self._key = np.uint64(derive(0, "text sample"))
        self._seen = self._characters = 0
        self._below = 2**64 - 1
        self._kept: list[tuple[int, str]] = []

    def add(self, texts: pa.Array) -> None:
        keys = mix(np.arange(self._seen, self._seen + len(texts), dtype=np.uint64) ^ self._key)
        self._seen += len(texts)
        if self._below < 2**64 - 1:
            chosen = np.flatnonzero(keys < np.uint64(self._below))
            keys, texts = keys[chosen], texts.take(pa.array(chosen))
        new = [text[: self._LONGEST] for text in texts.to_pylist()]
        self._kept += zip(keys.tolist(), new, strict=True)
        self._characters += sum(map(len, new))
        if self._characters > self._CHARACTERS:
            self._kept.sort()
            ends = np.cumsum([len(text) for _, text in self._kept])
            fitting = int(np.searchsorted(ends, self._CHARACTERS, "right"))
            self._below = self._kept[fitting][0]
            self._kept = self._kept[:fitting]
            self._characters = int(ends[fitting - 1]) if fitting else 0

    def parts(self) -> Iterator[list[str]]:
        """Yield the texts in a fixed order, some at a time."""
        self._kept.sort()
        for start in range(0, len(self._kept), _ROWS_AT_ONCE):
            yield [text for _, text in self._kept[start : start + _ROWS_AT_ONCE]]

    def __len__(self) -> int:
        return len(self._kept)

    def save(self) -> Arrays:
        """Return everything as arrays, for `load`."""
        keys = np.array([key for key, _ in self._kept], np.uint64)
        about = np.array([self._seen, self._characters, self._below], np.uint64)
        return {"keys": keys, "about": about, **save_texts([text for _, text in self._kept])}

    def load(self, saved: Arrays) -> None:
        """Go on where `save` was called."""
        self._kept = list(zip(saved["keys"].tolist(), load_texts(saved), strict=True))
        self._seen, self._characters, self._below = saved["about"].tolist()
