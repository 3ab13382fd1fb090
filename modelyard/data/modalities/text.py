"""Texts: as rows of token ids, or as bags of weighted n-grams, whichever the model takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pydantic import Field, model_validator
from torch import Tensor

from modelyard.core.errors import DataError, Problem, SpecError
from modelyard.data.kinds import Bag, Input, Tokens
from modelyard.data.modalities import guessing
from modelyard.data.modalities.base import Column, Draw, Guess, Modality, Ragged, Reading, Shown, State
from modelyard.data.modalities.ngrams import LONGEST_CHARACTERS, LONGEST_WORDS, NgramModel
from modelyard.data.modalities.partial import packed, unpacked
from modelyard.data.modalities.pipeline import TokenKind
from modelyard.data.modalities.reading import MISSING_TEXT, as_text, present_text
from modelyard.data.modalities.restoring import Checked, checked, require_state
from modelyard.data.modalities.tokens import PADDING, TokenModel
from modelyard.spec.settings import Settings

__all__ = ["Text", "TextSettings"]

_SIZES = {"word": 20_000, "character": 6_000, "bpe": 8_000, "ngrams": 200_000}
_FILES = {"tokens": "tokenizer.json", "bag": "ngrams.json"}
_SHOWN = 300


class TextSettings(Settings):
    """How a column of texts becomes tokens or n-grams."""

    tokens: Literal["auto", "word", "character", "bpe", "ngrams"] = "auto"
    """`word`, `character`, `bpe` (byte-pair pieces): a row of ids, for models of sequences · `ngrams`: a bag of
    weighted n-grams · `auto`: words or n-grams, by what the model takes."""
    vocabulary_size: int | None = Field(default=None, ge=3, le=500_000)
    """How many tokens are known at most (n-grams: of words and of characters each). By default 20000 words, 6000
    characters, 8000 pieces or 200000 n-grams."""
    min_count: int = Field(default=2, ge=1)
    """How often a token must occur in training to be known; for n-grams, in how many texts."""
    lowercase: bool = True
    """Whether upper and lower case count as the same."""
    max_length: int | None = Field(default=None, ge=1, le=1_000_000)
    """Tokens a row keeps; the rest is cut and counted. By default what 99% of training needs, at most 512."""
    word_ngrams: tuple[int, int] | None = (1, 2)
    """Shortest and longest n-gram of words (or of characters of scripts written without spaces), at most 3."""
    character_ngrams: tuple[int, int] | None = None
    """Shortest and longest n-gram of characters, at most 5."""
    within_words: bool = True
    """Whether n-grams of characters stay inside words (with one blank around each) or run across them."""
    sublinear: bool = True
    """Whether an n-gram's c-th occurrence in a text counts less: 1 + ln c instead of c."""
    idf: bool = True
    """Whether n-grams weigh more the fewer texts they occur in."""
    norm: Literal["l2", "none"] = "l2"
    """Whether each text's weights are brought to length 1."""
    missing: list[str] = Field(default_factory=lambda: list(MISSING_TEXT))
    """What counts as missing, without regard to case."""

    @model_validator(mode="after")
    def _check_ngrams(self) -> TextSettings:
        for name, longest in (("word_ngrams", LONGEST_WORDS), ("character_ngrams", LONGEST_CHARACTERS)):
            sizes = getattr(self, name)
            if sizes is not None and not 1 <= sizes[0] <= sizes[1] <= longest:
                raise ValueError(f"{name} is {list(sizes)}; give two rising numbers from 1 to {longest}")
        if self.word_ngrams is None and self.character_ngrams is None:
            raise ValueError("word_ngrams and character_ngrams are both null; give at least one of them")
        return self


_Natural = Annotated[int, Field(ge=0, le=2**53)]


class _State(Checked):
    tokens: Literal["word", "character", "bpe", "ngrams"]
    rows: _Natural
    missing: _Natural
    max_length: Annotated[int, Field(ge=0, le=1_000_000)]
    learned: dict[str, int | float | bool]


class Text(Modality):
    """A text per row. Never a target."""

    Settings = TextSettings
    name = "text"
    kind = "tokens"
    settings: TextSettings

    def __init__(self, column: str, settings: TextSettings, role: str = "input") -> None:
        super().__init__(column, settings, role)
        self._rows = self._missing = 0
        self._model = self._new_model()
        self._fitted = False

    def _new_model(self) -> TokenModel | NgramModel:
        settings, kind = self.settings, self._tokens
        size = settings.vocabulary_size or _SIZES[kind]
        if kind == "ngrams":
            return NgramModel(
                self.column,
                size,
                settings.min_count,
                settings.lowercase,
                settings.word_ngrams,
                settings.character_ngrams,
                settings.within_words,
                settings.sublinear,
                settings.idf,
                settings.norm,
            )
        return TokenModel(self.column, kind, size, settings.min_count, settings.lowercase, settings.max_length)

    @property
    def _tokens(self) -> TokenKind | Literal["ngrams"]:
        return "word" if self.settings.tokens == "auto" else self.settings.tokens

    @classmethod
    def infer(cls, values: pa.Array, column: str, folder: str = "") -> Guess | None:
        """Claim strings of several words, and strings that hardly repeat."""
        return guessing.text(values, column)

    @classmethod
    def adapt(cls, settings: TextSettings, accepts: tuple[str, ...]) -> TextSettings:
        """Choose words or n-grams for `tokens: auto`.

        Args:
            accepts: Kinds of input the model takes, the preferred first.

        Raises:
            SpecError: The model takes neither, or not the one that is set.
        """
        offered = [kind for kind in accepts if kind in _FILES]
        taken = ", ".join(accepts) or "nothing"
        if not offered:
            raise SpecError(
                [Problem("", f"the model takes {taken}, and a text becomes tokens or a bag; choose another model")]
            )
        if settings.tokens == "auto":
            return settings.model_copy(update={"tokens": "word" if offered[0] == "tokens" else "ngrams"})
        kind = "bag" if settings.tokens == "ngrams" else "tokens"
        if kind not in offered:
            message = f"{settings.tokens!r} makes a {kind!r} input, and the model takes {taken}; leave tokens on auto"
            raise SpecError([Problem("tokens", message)])
        return settings

    def read(self, values: pa.Array, folder: str = "") -> Reading:
        """Return the texts as they are, null where nothing is written."""
        texts, problems = as_text(values)
        return Reading(present_text(texts, self.settings.missing, trim=False), problems)

    def partial_fit(self, values: pa.Array) -> None:
        """Count a chunk's tokens or n-grams; `bpe` keeps a bounded sample of the texts instead."""
        self._rows += len(values)
        self._missing += values.null_count
        self._model.learn(values.drop_null())

    def finish_fit(self) -> None:
        """Choose the vocabulary.

        Raises:
            DataError: There is no text, or no token occurs often enough.
        """
        if self._rows == self._missing:
            raise DataError(
                f"column {self.column!r} has no text in the {self._rows} training rows; leave it out of the inputs"
            )
        self._model.finish()
        self._fitted = True

    def partial_state(self) -> State:
        """Return counts (for `bpe`, the sampled texts) as a file."""
        about = {"rows": np.array([self._rows, self._missing])}
        return packed(f"text {self._tokens}", {"text": about, **self._model.save_partial()})

    def restore_partial(self, state: State) -> None:
        """Take over counts or texts."""
        parts = unpacked(f"text {self._tokens}", state, self.column)
        self._rows, self._missing = parts.pop("text")["rows"].tolist()
        self._model = self._new_model()
        self._model.load_partial(parts)

    def state(self) -> State:
        """Return the vocabulary as a file, and what else was learned."""
        model = self._ready()
        learned: dict[str, Any] = model.learned if isinstance(model, TokenModel) else {"approximate": model.approximate}
        length = model.max_length if isinstance(model, TokenModel) else 0
        found = _State(tokens=self._tokens, rows=self._rows, missing=self._missing, max_length=length, learned=learned)
        return State(found.model_dump(), {self._file: model.dump()})

    def restore(self, state: State) -> None:
        """Take over a vocabulary."""
        found = checked(_State, state.json, self.column)
        require_state(found.tokens == self._tokens, self.column, f"tokens {found.tokens!r} instead of {self._tokens!r}")
        require_state(
            set(state.files) == {self._file}, self.column, f"files {sorted(state.files)}, expected {self._file}"
        )
        require_state(found.missing < found.rows, self.column, f"{found.missing} missing of {found.rows} rows")
        model = self._new_model()
        if isinstance(model, TokenModel):
            require_state(found.max_length > 0, self.column, f"max_length {found.max_length}")
            model.load(state.files[self._file], found.max_length)
            model.learned = dict(found.learned)
        else:
            model.load(state.files[self._file], found.rows - found.missing)
            model.approximate = bool(found.learned.get("approximate", False))
        self._rows, self._missing, self._model, self._fitted = found.rows, found.missing, model, True

    def _ready(self) -> TokenModel | NgramModel:
        if not self._fitted:
            raise RuntimeError(f"the text {self.column!r} was neither fitted nor restored")
        return self._model

    @property
    def _file(self) -> str:
        return _FILES["bag" if self._tokens == "ngrams" else "tokens"]

    @property
    def terms(self) -> tuple[str, ...]:
        """The known tokens or n-grams by id, to explain a model by."""
        return self._ready().terms

    def describe(self) -> Input:
        """Return `Tokens` or `Bag`."""
        model = self._ready()
        if isinstance(model, TokenModel):
            return Tokens(self.column, (self.column,), len(model.terms), model.max_length, PADDING)
        return Bag(self.column, (self.column,), len(model.terms))

    def encode(self, values: pa.Array) -> dict[str, Column]:
        """Return `ids` (int32), and for n-grams `weights` (float32), both ragged.

        A row of tokens is cut at `max_length`, and has at least one: without any it is one unknown token. A bag may be
        empty. `summary()` counts rows and tokens that were cut, and rows without a token, since the fit (or `restore`).
        """
        return {**self._ready().encode(_written(values))}

    def remarks(self, values: pa.Array) -> dict[int, str]:
        """Say which texts are cut and by how much, and which hold nothing that training knew."""
        present = np.flatnonzero(np.asarray(values.is_valid()))
        found = self._ready().remarks(values.drop_null())
        return {int(present[at]): remark for at, remark in found.items()}

    def collate(self, parts: Mapping[str, Column], draw: Draw | None) -> dict[str, Tensor]:
        """Return `NAME.ids` int64 (B, T) padded to the batch's longest row and `NAME.length` int64 (B,).

        For n-grams: `NAME.ids` int64 (N,), `NAME.offsets` int64 (B,) and `NAME.weights` float32 (N,).
        """
        ids = parts["ids"]
        assert isinstance(ids, Ragged)
        if "weights" in parts:
            weights = parts["weights"]
            assert isinstance(weights, Ragged)
            return {
                f"{self.column}.ids": torch.from_numpy(ids.values.astype(np.int64)),
                f"{self.column}.offsets": torch.from_numpy(ids.offsets[:-1].astype(np.int64)),
                f"{self.column}.weights": torch.from_numpy(np.require(weights.values, np.float32, ["C", "W"])),
            }
        length = np.diff(ids.offsets)
        padded = np.full((len(length), int(length.max(initial=0))), PADDING, np.int64)
        padded[np.arange(padded.shape[1]) < length[:, None]] = ids.values
        return {f"{self.column}.ids": torch.from_numpy(padded), f"{self.column}.length": torch.from_numpy(length)}

    def show(self, value: Any) -> Shown:
        """Return the beginning of the text."""
        if value is None:
            return Shown("text", "missing")
        return Shown("text", value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…")

    def summary(self) -> dict[str, Any]:
        """Return the size of the vocabulary, how many training rows and tokens are cut and how many tokens the longest
        has (for `bpe`, of the sampled texts; unknown after `restore`), and what was cut or empty in rows encoded since.
        """
        model = self._ready()
        found = {"tokens": self._tokens, "rows": self._rows, "missing": self._missing, "vocabulary": len(model.terms)}
        if isinstance(model, NgramModel):
            return {**found, "empty_rows": model.empty_rows, "approximate": model.approximate}
        cut = {"cut_rows": model.cut_rows, "cut_tokens": model.cut_tokens, "empty_rows": model.empty_rows}
        return {**found, "max_length": model.max_length, **model.learned, **model.trained, **cut}


def _written(values: pa.Array) -> pa.Array:
    """Return read texts without nulls: a missing one is empty."""
    return pc.fill_null(values, "") if values.null_count else values
