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
    data: DataSpec, sample: pa.Table, targets_of: Sequence[str] | None, folder: str = ""
) -> tuple[dict[str, Choice[Any]], dict[str, Choice[Any]], list[ColumnGuess]]:
    """Decide the modality of every input and target.

    Args:
        data: The spec's data section.
        sample: Some rows.
        targets_of: Modalities the task allows for a target; None when the task is not said.
        folder: Where relative paths among the values stand.

    Returns:
        Inputs and targets by column, and what was found out about each column of the data.

    Raises:
        SpecError: Columns that do not exist, no target, or no usable input; all problems at once.
    """
    names = sample.schema.names
    problems: list[Problem] = []

    def check(place: str, columns: Sequence[str]) -> list[str]:
        for column in columns:
            if column not in names:
                hint = nearest(column, names)
                problems.append(Problem(place, f"no column {column!r} in the data{hint}; columns: {', '.join(names)}"))
        return [column for column in columns if column in names]

    targets_said = data.targets or {}
    if not targets_said:
        problems.append(Problem("data.targets", f"says no column to predict; columns: {', '.join(names)}"))
    by = [] if data.split.by is None else check("data.split.by", [data.split.by])
    check("data.split.key", data.split.key or [])
    check("data.ignore", data.ignore)
    guesses: list[ColumnGuess] = []

    def decide(column: str, said: Choice[Any] | None, place: str) -> Choice[Any] | None:
        inferred, reason, score = infer_column(sample.column(column), column, folder)
        if said is not None:
            guesses.append(ColumnGuess(column, said.name, "as the spec says", stated=True))
            if inferred is None or inferred.name != said.name:
                return said
            # What the data shows fills only what the spec leaves open (an image's size, a separator).
            found = {
                name: getattr(inferred.settings, name)
                for name in inferred.settings.model_fields_set - said.settings.model_fields_set
            }
            try:
                return said.with_settings(**found) if found else said
            except ValueError as error:
                message = f"does not fit the data, which shows {found}: {first_reason(error)}"
                problems.append(Problem(place or column, message))
                return said
        usable = inferred is not None and (score >= _USEFUL or place != "")
        guesses.append(ColumnGuess(column, inferred.name if usable and inferred else None, reason))
        return inferred if usable else None

    targets: dict[str, Choice[Any]] = {}
    for column in check("data.targets", list(targets_said)):
        choice = decide(column, targets_said[column], f"data.targets.{column}")
        if choice is not None and targets_of is not None and choice.name not in targets_of:
            if targets_said[column] is not None:
                allowed = " or ".join(targets_of)
                problems.append(Problem(f"data.targets.{column}", f"is {choice.name}, but the task learns {allowed}"))
            else:
                choice = Choice("modality", targets_of[0], table("modality").find(targets_of[0]).Settings())
                guesses[-1] = ColumnGuess(column, choice.name, "what the task learns")
        if choice is None:
            problems.append(Problem(f"data.targets.{column}", f"cannot tell what it is: {guesses[-1].reason}"))
        else:
            targets[column] = choice

    inputs: dict[str, Choice[Any]] = {}
    if data.inputs is not None:
        for column in check("data.inputs", list(data.inputs)):
            if column in targets_said:
                problems.append(Problem(f"data.inputs.{column}", "is a target; a model cannot be given its answer"))
                continue
            choice = decide(column, data.inputs[column], f"data.inputs.{column}")
            if choice is None:
                problems.append(Problem(f"data.inputs.{column}", f"cannot tell what it is: {guesses[-1].reason}"))
            else:
                inputs[column] = choice
    else:
        used_for_split = set(by) if data.split.method in ("given", "group", "time") else set()
        for column in names:
            if column in targets_said or column in data.ignore:
                continue
            if column in used_for_split:
                guesses.append(ColumnGuess(column, None, f"decides the split ({data.split.method})"))
                continue
            choice = decide(column, None, "")
            if choice is not None:
                inputs[column] = choice
    if not inputs and not problems:
        why = "; ".join(f"{guess.column}: {guess.reason}" for guess in guesses if guess.modality is None)
        problems.append(Problem("data.inputs", f"no usable column is left to learn from ({why}); name them yourself"))
    if problems:
        raise SpecError(problems)
    return inputs, targets, guesses
