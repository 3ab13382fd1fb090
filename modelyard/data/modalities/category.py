"""Categories: values out of a set of names, known by training; what training did not hold is unknown, and counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from modelyard.core.errors import DataError
from modelyard.data.kinds import Categories
from modelyard.data.modalities import guessing
from modelyard.data.modalities.base import Column, Draw, Guess, Modality, Reading, Shown, State
from modelyard.data.modalities.partial import packed, unpacked
from modelyard.data.modalities.reading import quote
from modelyard.data.modalities.restoring import checked, require_state
from modelyard.data.modalities.streaming import Counts
from modelyard.data.modalities.vocabulary import Vocabulary, VocabularySettings, VocabularyState, canonical

__all__ = ["Category", "CategorySettings"]

_MISSING, _UNKNOWN, _FIRST = 0, 1, 2


class CategorySettings(VocabularySettings):
    """How a column of categories is read and which of them are known."""


class Category(Modality):
    """One name per row.

    As an input: id 0 is a missing value, 1 an unknown one, and from 2 on stand the known ones by falling count.
    As a target: the known labels in their order from 0 on; a missing or unknown one is −1.
    """

    Settings = CategorySettings
    name = "category"
    group = "categories"
    labelled = True
    settings: CategorySettings

    def __init__(self, column: str, settings: CategorySettings, role: str = "input") -> None:
        super().__init__(column, settings, role)
        self._counts = Counts()
        self._rows = self._missing = 0
        self._vocabulary: Vocabulary | None = None
        self.unknown_rows = 0
        """Rows encoded since the fit (or `restore`) whose value was not known."""

    @classmethod
    def infer(cls, values: pa.Array, column: str, folder: str = "") -> Guess | None:
        """Claim columns with few different values, truth values and dictionaries."""
        return guessing.category(values, column)

    def read(self, values: pa.Array, folder: str = "") -> Reading:
        """Return strings, written alike whatever file they came from (`vocabulary.canonical`)."""
        return Reading(*canonical(values, self.settings.missing))

    def partial_fit(self, values: pa.Array) -> None:
        """Count a chunk's values."""
        self._rows += len(values)
        self._missing += values.null_count
        counted = pc.value_counts(values.drop_null())
        self._counts.add(counted.field("values").to_pylist(), counted.field("counts").to_pylist())

    def finish_fit(self) -> None:
        """Choose the known values.

        Raises:
            DataError: No value is known; or, for a target, only one label is, so that there is nothing to tell apart.
        """
        is_target = self.role == "target"
        found = Vocabulary.learn(self._counts, self.settings, self._rows, self._missing, by_frequency=not is_target)
        seen = f"{self._rows} training rows, {self._missing} of them missing, {len(self._counts)} different values"
        if found is None:
            raise DataError(
                f"no category of column {self.column!r} is known after {seen}; leave the column out, "
                f"lower min_count (now {self.settings.min_count}), or look at what counts as missing"
            )
        if is_target and (len(found) == 1 or sum(count > 0 for count in found.learned.counts) == 1):
            label = max(zip(found.learned.counts, found.values, strict=True))[1]
            raise DataError(
                f"target {self.column!r} has the single label {label!r} ({seen}): there is nothing to learn. "
                "Choose another target; if one of the markers of missing values is a label, set `missing`"
            )
        self._vocabulary = found

    def partial_state(self) -> State:
        """Return the counts so far as a file."""
        about = {"rows": np.array([self._rows, self._missing])}
        return packed("category", {"counts": self._counts.save(), "about": about})

    def restore_partial(self, state: State) -> None:
        """Take over counts."""
        parts = unpacked("category", state, self.column)
        self._counts.load(parts["counts"])
        self._rows, self._missing = parts["about"]["rows"].tolist()

    def state(self) -> State:
        """Return the known values with their counts."""
        return State(self._fitted().learned.model_dump())

    def restore(self, state: State) -> None:
        """Take over the known values."""
        learned = checked(VocabularyState, state.json, self.column)
        require_state(not state.files, self.column, "a category keeps no files")
        require_state(self.role != "target" or len(learned.values) > 1, self.column, "a target with a single label")
        self._vocabulary = Vocabulary.restore(learned, self.settings, self.column)
        self.unknown_rows = 0

    def _fitted(self) -> Vocabulary:
        if self._vocabulary is None:
            raise RuntimeError(f"the category {self.column!r} was neither fitted nor restored")
        return self._vocabulary

    @property
    def labels(self) -> tuple[str, ...]:
        """The known values in their order, by the names that are shown."""
        return tuple(self.settings.name_of(value) for value in self._fitted().values)

    def describe(self) -> Categories:
        """Return this column's share of the matrix of categories."""
        return Categories(name="categories", columns=(self.column,), sizes=(_FIRST + len(self._fitted()),))

    def encode(self, values: pa.Array) -> dict[str, Column]:
        """Return ids, int32 (rows, 1)."""
        found = self._fitted().index(values)
        ids = np.where(found >= 0, found + _FIRST, _UNKNOWN)
        ids[values.is_null().to_numpy(zero_copy_only=False)] = _MISSING
        self.unknown_rows += int((ids == _UNKNOWN).sum())
        return {"": ids.astype(np.int32)[:, None]}

    def remarks(self, values: pa.Array) -> dict[int, str]:
        """Name the values that training did not hold."""
        unknown = np.flatnonzero((self._fitted().index(values) < 0) & np.asarray(values.is_valid()))
        names = values.take(pa.array(unknown)).to_pylist()
        return {at: f"not seen in training: {quote(name)}" for at, name in zip(unknown.tolist(), names, strict=True)}

    def collate(self, parts: Mapping[str, Column], draw: Draw | None) -> dict[str, Tensor]:
        """Return `categories`, int64 (B, 1)."""
        return {"categories": torch.from_numpy(np.array(parts[""], np.int64))}

    def encode_target(self, values: pa.Array) -> npt.NDArray[np.int64]:
        """Return label ids, int64 (rows,), −1 where missing or unknown."""
        found = self._fitted().index(values)
        self.unknown_rows += int((found < 0).sum()) - values.null_count
        return found

    def decode_target(self, targets: npt.NDArray[Any]) -> pa.Array:
        """Return the labels' names for ids (rows,), null for −1."""
        ids = np.asarray(targets, np.int64)
        return pa.array(self.labels, pa.string()).take(pa.array(ids, mask=ids < 0))

    def show(self, value: Any) -> Shown:
        """Return the value's name."""
        return Shown("label", "missing" if value is None else self.settings.name_of(value))

    def summary(self) -> dict[str, Any]:
        """Return counts, the most frequent values, and how many rows encoded since held an unknown one."""
        return {**self._fitted().summary(self.settings), "unknown_rows": self.unknown_rows}
