"""Sets of labels: any number of names per row, as a list, as JSON, or around a separator."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pydantic import Field
from torch import Tensor

from modelyard.core.errors import DataError
from modelyard.data.kinds import Numbers
from modelyard.data.modalities import guessing
from modelyard.data.modalities.base import Column, Draw, Guess, Modality, Reading, Shown, State
from modelyard.data.modalities.partial import packed, unpacked
from modelyard.data.modalities.reading import as_text, flat, is_text, present_text, quote
from modelyard.data.modalities.restoring import checked, require_state
from modelyard.data.modalities.streaming import Counts
from modelyard.data.modalities.vocabulary import Vocabulary, VocabularySettings, VocabularyState, canonical

__all__ = ["Labels", "LabelsSettings"]

_NAMED = 5
_SEPARATORS = ("|", ";", ",")
_ITEM = re.compile(r"""\s*(?:'([^'\\]*)'|"([^"\\]*)"|([^\s,'"\[\]]+))\s*(,|$)""")


class LabelsSettings(VocabularySettings):
    """How a column of sets of labels is read and which of them are known."""

    max_size: int = Field(default=1000, ge=1, le=100_000)
    """How many different labels are known at most: the most frequent ones."""
    separator: str | None = Field(default=None, min_length=1)
    """What stands between the labels of a text; by default the first of `|`, `;` and `,` that occurs in the value."""


class Labels(Modality):
    """Any number of labels per row. A row with none (an empty list) is not a missing one.

    As an input: one number a label, 1 where the row has it, and a flag of missing rows if training had any.
    As a target: int8, 1 where the row has the label, −1 in all places of a missing row.
    """

    Settings = LabelsSettings
    name = "labels"
    group = "numbers"
    settings: LabelsSettings

    def __init__(self, column: str, settings: LabelsSettings, role: str = "input") -> None:
        super().__init__(column, settings, role)
        self._counts = Counts()
        self._rows = self._missing = 0
        self._vocabulary: Vocabulary | None = None
        self.unknown_labels = 0
        """Labels met since the fit (or `restore`) that were not known and therefore left out."""

    @classmethod
    def infer(cls, values: pa.Array, column: str, folder: str = "") -> Guess | None:
        """Claim lists, lists written as text, and short values that recombine around a separator.

        Lists of one fixed length are vectors or pixels, not sets.
        """
        if isinstance(values.type, pa.BaseExtensionType) or pa.types.is_fixed_size_list(values.type):
            return None
        return guessing.labels(values, column)

    def read(self, values: pa.Array, folder: str = "") -> Reading:
        """Return lists of different strings, in the order of the row; null where the whole row is missing.

        Markers of missing values inside a list are left out.
        """
        values = flat(values)
        if not _is_list(values.type):
            values, problems = self._split(values)
        else:
            problems = {}
        sizes = np.asarray(pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False), np.int64)
        rows = np.repeat(np.arange(len(values)), sizes)
        names, unread = canonical(values.flatten(), self.settings.missing)
        for at, message in unread.items():
            problems.setdefault(int(rows[at]), f"in its list: {message}")
        valid = values.is_valid().to_numpy(zero_copy_only=False) & ~_marked(len(values), problems)
        return Reading(_grouped(names, rows, valid), problems)

    def _split(self, values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
        """Bring single values to lists: text is split, anything else is a list of one."""
        texts, problems = as_text(values)
        texts = present_text(texts, self.settings.missing)
        if not is_text(values.type):
            return pa.ListArray.from_arrays(*_singles(texts)), problems
        separator = self.settings.separator
        lists = None
        written = pc.fill_null(pc.match_substring_regex(texts, r"^\[(?s:.*)\]$"), False)
        for sign in (separator,) if separator is not None else reversed(_SEPARATORS):
            parts = pc.split_pattern(texts, sign)
            lists = parts if lists is None else pc.if_else(pc.match_substring(texts, sign), parts, lists)
        if pc.any(written).as_py():
            lists, unread = _parse_lists(texts, lists, written)
            problems = {**problems, **unread}
        return lists, problems

    def partial_fit(self, values: pa.Array) -> None:
        """Count a chunk's labels."""
        self._rows += len(values)
        self._missing += values.null_count
        counted = pc.value_counts(values.flatten())
        self._counts.add(counted.field("values").to_pylist(), counted.field("counts").to_pylist())

    def finish_fit(self) -> None:
        """Choose the known labels.

        Raises:
            DataError: There is not one.
        """
        found = Vocabulary.learn(self._counts, self.settings, self._rows, self._missing, by_frequency=False)
        if found is None:
            raise DataError(
                f"column {self.column!r} has no known label in {self._rows} training rows ({self._missing} missing); "
                f"lower min_count (now {self.settings.min_count}), or look at the separator"
            )
        self._vocabulary = found

    def partial_state(self) -> State:
        """Return the counts so far as a file."""
        about = {"rows": np.array([self._rows, self._missing])}
        return packed("labels", {"counts": self._counts.save(), "about": about})

    def restore_partial(self, state: State) -> None:
        """Take over counts."""
        parts = unpacked("labels", state, self.column)
        self._counts.load(parts["counts"])
        self._rows, self._missing = parts["about"]["rows"].tolist()

    def state(self) -> State:
        """Return the known labels with their counts."""
        return State(self._fitted().learned.model_dump())

    def restore(self, state: State) -> None:
        """Take over the known labels."""
        learned = checked(VocabularyState, state.json, self.column)
        require_state(not state.files, self.column, "labels keep no files")
        self._vocabulary = Vocabulary.restore(learned, self.settings, self.column)
        self.unknown_labels = 0

    def _fitted(self) -> Vocabulary:
        if self._vocabulary is None:
            raise RuntimeError(f"the labels of {self.column!r} were neither fitted nor restored")
        return self._vocabulary

    @property
    def labels(self) -> tuple[str, ...]:
        """The known labels in their order, by the names that are shown."""
        return tuple(self.settings.name_of(value) for value in self._fitted().values)

    @property
    def _flags_missing(self) -> bool:
        return self._fitted().learned.missing > 0

    def describe(self) -> Numbers:
        """Return this column's share of the matrix of numbers: one a label, and the flag of missing rows."""
        return Numbers(name="numbers", columns=(self.column,), width=len(self._fitted()) + int(self._flags_missing))

    def encode(self, values: pa.Array) -> dict[str, Column]:
        """Return float32 (rows, width): 1 where the row has the label, then, if flagged, 1 where the row is missing."""
        held = self._held(values, np.float32)
        if self._flags_missing:
            missing = values.is_null().to_numpy(zero_copy_only=False)
            held = np.column_stack([held, missing.astype(np.float32)])
        return {"": held}

    def remarks(self, values: pa.Array) -> dict[int, str]:
        """Name the labels that training did not hold; they are left out."""
        rows, found = self._found(values)
        names: dict[int, list[str]] = {}
        unknown = np.flatnonzero(found < 0)
        labels = values.flatten().take(pa.array(unknown)).to_pylist()
        for row, name in zip(rows[unknown].tolist(), labels, strict=True):
            names.setdefault(row, []).append(quote(name))
        return {row: f"not seen in training: {', '.join(listed[:_NAMED])}" for row, listed in names.items()}

    def collate(self, parts: Mapping[str, Column], draw: Draw | None) -> dict[str, Tensor]:
        """Return `numbers`, float32 (B, width)."""
        return {"numbers": torch.from_numpy(np.require(parts[""], np.float32, ["C", "W"]))}

    def encode_target(self, values: pa.Array) -> npt.NDArray[np.int8]:
        """Return int8 (rows, L): 1 where the row has the label, 0 where not, −1 throughout a missing row."""
        held = self._held(values, np.int8)
        held[values.is_null().to_numpy(zero_copy_only=False)] = -1
        return held

    def _held(self, values: pa.Array, kind: type[np.generic]) -> npt.NDArray[Any]:
        rows, found = self._found(values)
        held = np.zeros((len(values), len(self._fitted())), kind)
        held[rows[found >= 0], found[found >= 0]] = 1
        self.unknown_labels += int((found < 0).sum())
        return held

    def _found(self, values: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the row of each label, and its place among the known ones, −1 when it is none of them."""
        sizes = np.asarray(pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False), np.int64)
        return np.repeat(np.arange(len(values)), sizes), self._fitted().index(values.flatten())

    def decode_target(self, targets: npt.NDArray[Any]) -> pa.Array:
        """Return the names of the labels marked 1 in (rows, L), a list a row; null for a row of −1."""
        targets = np.asarray(targets)
        rows, ids = np.nonzero(targets == 1)
        names = pa.array(self.labels, pa.string()).take(pa.array(ids))
        return _grouped(names, rows, np.asarray((targets >= 0).all(axis=1), np.bool_))

    def show(self, value: Any) -> Shown:
        """Return the names of the row's labels."""
        if value is None:
            return Shown("label", "missing")
        return Shown("label", ", ".join(self.settings.name_of(item) for item in value) or "none")

    def summary(self) -> dict[str, Any]:
        """Return counts, the most frequent labels, and how many unknown ones were met since."""
        return {**self._fitted().summary(self.settings), "unknown_labels": self.unknown_labels}


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _marked(rows: int, positions: Mapping[int, str]) -> npt.NDArray[np.bool_]:
    marked = np.zeros(rows, bool)
    marked[list(positions)] = True
    return marked


def _singles(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Offsets and values of lists of one; a null offset makes a null list."""
    missing = texts.is_null().to_numpy(zero_copy_only=False)
    offsets = np.r_[0, np.cumsum(~missing)].astype(np.int32)
    return pa.array(offsets, mask=np.r_[missing, False]), texts.drop_null()


def _grouped(names: pa.Array, rows: npt.NDArray[np.int64], valid: npt.NDArray[np.bool_]) -> pa.Array:
    """Gather names (with nulls, which are left out) into one list a row, each name once, in their order."""
    encoded = names.cast(pa.string()).dictionary_encode()
    codes = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), np.int64)
    kept = np.flatnonzero((codes >= 0) & valid[rows])
    _, first = np.unique(rows[kept] * (len(encoded.dictionary) + 1) + codes[kept], return_index=True)
    kept = kept[np.sort(first)]
    offsets = np.r_[0, np.cumsum(np.bincount(rows[kept], minlength=len(valid)))].astype(np.int32)
    values = encoded.dictionary.take(pa.array(codes[kept]))
    return pa.ListArray.from_arrays(pa.array(offsets, mask=np.r_[~valid, False]), values)


def _parse_lists(texts: pa.Array, lists: pa.Array, written: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Replace the lists of those texts that are themselves written as lists."""
    items = lists.to_pylist()
    problems = {}
    for at in np.flatnonzero(written.to_numpy(zero_copy_only=False)):
        text = texts[int(at)].as_py()
        items[at] = _parse_list(text)
        if items[at] is None:
            problems[int(at)] = f"{quote(text)} is not a list of labels"
    return pa.array(items, pa.list_(pa.string())), problems


def _parse_list(text: str) -> list[str] | None:
    """Read a JSON list, or one as Python writes it, of plain values; None when it is neither."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return _parse_quoted(text[1:-1].strip())
    if not all(isinstance(item, str | int | float) or item is None for item in found):
        return None
    return [json.dumps(item) if isinstance(item, bool | float) else str(item) for item in found if item is not None]


def _parse_quoted(text: str) -> list[str] | None:
    found: list[str] = []
    at = 0
    while at < len(text):
        match = _ITEM.match(text, at)
        if match is None:
            return None
        found.append(next(part for part in match.groups()[:3] if part is not None))
        at = match.end()
    return found
