"""A first look at rows: which column is of which modality, and why. `modelyard new` prints what is found here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from modelyard.core.errors import DataError, Problem, SpecError, nearest
from modelyard.core.records import Record
from modelyard.core.registry import table
from modelyard.data.sources.base import Source
from modelyard.spec.parse import first_reason, parse
from modelyard.spec.settings import Choice
from modelyard.spec.spec import DataSpec

__all__ = ["ColumnGuess", "infer_column", "resolve_columns", "sample_rows"]

SAMPLE = 20_000
"""Rows a first look reads."""
_USEFUL = 0.3
"""A column on which no modality has a claim at least this strong is left out of inferred inputs."""


@dataclass(frozen=True)
class ColumnGuess(Record):
    """What a column was taken for."""

    column: str
    modality: str | None
    """None: no modality fits well enough, and the column is not used."""
    reason: str
    stated: bool = False
    """Whether the spec said it, rather than the data."""


def sample_rows(source: Source, rows: int = SAMPLE) -> pa.Table:
    """Return the first rows of a source.

    Raises:
        DataError: The source has no rows, or the same column name twice.
    """
    schema = source.schema()
    chunks: list[pa.RecordBatch] = []
    count = 0
    for chunk in source.read(chunk=rows):
        chunks.append(chunk.table)
        count += chunk.table.num_rows
        if count >= rows:
            break
    if count == 0:
        files = ", ".join(source.files()[:3])
        raise DataError(
            f"{files}: no rows; columns: {', '.join(schema.names) or 'none'}. There is nothing to learn from"
        )
    return pa.Table.from_batches(chunks).slice(0, rows)


def infer_column(values: pa.ChunkedArray, column: str, folder: str = "") -> tuple[Choice[Any] | None, str, float]:
    """Return the modality that claims a column most strongly (None when none does), its reason and its score."""
    sample = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(sample, pa.ChunkedArray):  # extension arrays keep their chunks
        sample = sample.chunk(0) if sample.num_chunks == 1 else pa.concat_arrays(sample.chunks)
    best: tuple[float, str, str, Mapping[str, Any]] = (0.0, "", "nothing in it that a modality can read", {})
    modalities = table("modality")
    for name in modalities:
        guess = modalities.find(name).infer(sample, column, folder)
        if guess is not None and guess.score > best[0]:
            best = (guess.score, name, guess.reason, guess.settings)
    score, name, reason, values_found = best
    if not name:
        return None, reason, 0.0
    settings, problems = parse(modalities.find(name).Settings, values_found, f"data.inputs.{column}")
    if settings is None:
        raise SpecError(problems)
    return Choice("modality", name, settings), reason, score


def resolve_columns(
    data: DataSpec, sample: pa.Table, targets_of: Sequence[str] | None, folder: str = "", need_targets: bool = True
) -> tuple[dict[str, Choice[Any]], dict[str, Choice[Any]], list[ColumnGuess]]:
    """Decide the modality of every input and target.

    Args:
        data: The spec's data section.
        sample: Some rows.
        targets_of: Modalities the task allows for a target; None when the task is not said.
        folder: Where relative paths among the values stand.
        need_targets: Whether a spec without targets is a problem.

    Returns:
        Inputs and targets by column, and what was found out about each column of the data.

    Raises:
        SpecError: Columns that do not exist, no target, or no usable input; all problems at once.
    """
    return _Columns(data, sample, folder, need_targets).resolve(targets_of)


class _Columns:
    """Gathers decisions and problems while the columns are gone through."""

    def __init__(self, data: DataSpec, sample: pa.Table, folder: str, need_targets: bool) -> None:
        self.data = data
        self.need_targets = need_targets
        self.sample = sample
        self.folder = folder
        self.names: list[str] = sample.schema.names
        self.problems: list[Problem] = []
        self.guesses: list[ColumnGuess] = []

    def resolve(
        self, targets_of: Sequence[str] | None
    ) -> tuple[dict[str, Choice[Any]], dict[str, Choice[Any]], list[ColumnGuess]]:
        data = self.data
        # an empty mapping says that nothing is to be predicted: the task learns from the inputs alone
        if data.targets is None and self.need_targets:
            self.problems.append(
                Problem("data.targets", f"says no column to predict; columns: {', '.join(self.names)}")
            )
        self._known("data.split.by", [] if data.split.by is None else [data.split.by])
        self._known("data.split.key", data.split.key or [])
        self._known("data.ignore", data.ignore)
        self._known("data.group", [] if data.group is None else [data.group])
        self._known("data.time", [] if data.time is None else [data.time])
        targets = self._targets(targets_of)
        inputs = self._inferred_inputs() if data.inputs is None else self._said_inputs(data.inputs)
        if not inputs and not self.problems:
            why = "; ".join(f"{guess.column}: {guess.reason}" for guess in self.guesses if guess.modality is None)
            message = f"no usable column is left to learn from ({why}); name them yourself"
            self.problems.append(Problem("data.inputs", message))
        if self.problems:
            raise SpecError(self.problems)
        return inputs, targets, self.guesses

    def _targets(self, targets_of: Sequence[str] | None) -> dict[str, Choice[Any]]:
        said = self.data.targets or {}
        targets: dict[str, Choice[Any]] = {}
        for column in self._known("data.targets", list(said)):
            place = f"data.targets.{column}"
            if targets_of is not None and not targets_of:
                message = "is named, but the task learns from inputs alone; write `targets: {}` and ignore the column"
                self.problems.append(Problem(place, message))
                continue
            choice = self._decide(column, said[column], place)
            if choice is not None and targets_of is not None and choice.name not in targets_of:
                if said[column] is not None:
                    allowed = " or ".join(targets_of)
                    self.problems.append(Problem(place, f"is {choice.name}, but the task learns {allowed}"))
                else:
                    choice = Choice("modality", targets_of[0], table("modality").find(targets_of[0]).Settings())
                    self.guesses[-1] = ColumnGuess(column, choice.name, "what the task learns")
            if choice is not None:
                targets[column] = choice
        return targets

    def _said_inputs(self, said: Mapping[str, Choice[Any] | None]) -> dict[str, Choice[Any]]:
        inputs: dict[str, Choice[Any]] = {}
        for column in self._known("data.inputs", list(said)):
            place = f"data.inputs.{column}"
            if column in (self.data.targets or {}):
                self.problems.append(Problem(place, "is a target; a model cannot be given its answer"))
                continue
            choice = self._decide(column, said[column], place)
            if choice is not None:
                inputs[column] = choice
        return inputs

    def _inferred_inputs(self) -> dict[str, Choice[Any]]:
        split = self.data.split
        inputs: dict[str, Choice[Any]] = {}
        for column in self.names:
            if column in (self.data.targets or {}) or column in self.data.ignore:
                continue
            if column == split.by and split.method in ("given", "group", "time"):
                self.guesses.append(ColumnGuess(column, None, f"decides the split ({split.method})"))
                continue
            inferred, reason, score = infer_column(self.sample.column(column), column, self.folder)
            usable = inferred if score >= _USEFUL else None
            self.guesses.append(ColumnGuess(column, usable.name if usable else None, reason))
            if usable is not None:
                inputs[column] = usable
        return inputs

    def _decide(self, column: str, said: Choice[Any] | None, place: str) -> Choice[Any] | None:
        """Return what a column that the spec names is taken for; None, and a problem, when nothing can read it."""
        inferred, reason, _ = infer_column(self.sample.column(column), column, self.folder)
        if said is None:
            self.guesses.append(ColumnGuess(column, inferred.name if inferred else None, reason))
            if inferred is None:
                self.problems.append(Problem(place, f"cannot tell what it is: {reason}"))
            return inferred
        self.guesses.append(ColumnGuess(column, said.name, "as the spec says", stated=True))
        if inferred is None or inferred.name != said.name:
            return said
        # What the data shows fills only what the spec leaves open (an image's size, a separator).
        open_fields = inferred.settings.model_fields_set - said.settings.model_fields_set
        found = {name: getattr(inferred.settings, name) for name in open_fields}
        try:
            return said.with_settings(**found) if found else said
        except ValueError as error:
            message = f"does not fit the data, which shows {found}: {first_reason(error)}"
            self.problems.append(Problem(place, message))
            return said

    def _known(self, place: str, columns: Sequence[str]) -> list[str]:
        """Return the columns that exist; each other one is a problem."""
        listed = ", ".join(self.names)
        for column in columns:
            if column not in self.names:
                message = f"no column {column!r} in the data{nearest(column, self.names)}; columns: {listed}"
                self.problems.append(Problem(place, message))
        return [column for column in columns if column in self.names]
