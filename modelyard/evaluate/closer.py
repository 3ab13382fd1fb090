"""A closer look at rows that were measured: slices, groups, corrupted inputs, and labels that are likely wrong.

The rows are read again from their files; of outputs and targets, nothing but what the measuring had is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.bundle.contents import Contents
from modelyard.data.lookup import Place, Places
from modelyard.data.sources.base import Source
from modelyard.evaluate.fairness import fairness
from modelyard.evaluate.mistakes import describe_rows
from modelyard.evaluate.raw_rows import choose_rows, column_names, read_columns, read_inputs
from modelyard.evaluate.records import Evaluation, Fairness, Robustness, Slice
from modelyard.evaluate.robustness import robustness
from modelyard.evaluate.slices import declared_slices, rows_of, worst_slices
from modelyard.evaluate.suspects import find_suspects
from modelyard.tasks.base import Outcome

__all__ = ["look_closer"]

_MOST_ROWS = 100_000
_MOST_LARGE = 10_000
"""Rows that are cut into slices at most; of pictures, which must be decoded for it, fewer."""
_MOST_GROUPED = 1_000_000


def look_closer(
    evaluation: Evaluation,
    contents: Contents,
    output: npt.NDArray[np.float32],
    targets: Mapping[str, npt.NDArray[Any]],
    places: Sequence[Place],
    sources: Iterable[Source],
    *,
    device: str = "cpu",
) -> Evaluation:
    """Return the evaluation with its slices, fairness, robustness and suspects, as `contents.spec.evaluate` asks.

    Args:
        evaluation: What was measured on these rows.
        contents: The model with its fitted columns, task and spec.
        output: The model's raw outputs, (n, O).
        targets: Encoded targets of the same rows, by column; none missing.
        places: Where each of the rows stands in the sources, (n,).
        sources: Where the rows can be read again; they are read from their start, once for each of the four.
        device: Where to run the model on corrupted rows.
    """
    settings, seed = contents.spec.evaluate, contents.spec.seed
    opened, where = list(sources), Places.of(places)
    outcome = contents.task.outcome(output, targets)
    notes = list(evaluation.notes)
    slices = _slices(contents, outcome, where, opened, notes)
    groups = _groups(contents, outcome, where, opened, notes)
    corrupted: list[Robustness] = []
    if settings.robustness and not contents.task.from_inputs:  # corrupted inputs would be their own targets
        rows = choose_rows(len(outcome), settings.robustness_rows, seed, "robustness")
        if len(rows) < len(outcome):
            notes.append(f"robustness: on {len(rows)} of {len(outcome)} rows, drawn by chance")
        corrupted, found = robustness(
            contents,
            read_inputs(opened, where.take(rows), contents.fitted),
            {column: values[rows] for column, values in targets.items()},
            device=device,
            resamples=settings.resamples,
            confidence=settings.confidence,
            batch_size=contents.spec.train.evaluation_batch_size,
        )
        notes += found
    suspected, count = find_suspects(outcome)
    shown = describe_rows(contents.task, outcome, suspected[: settings.mistakes], where, opened, contents.fitted)
    return replace(
        evaluation,
        slices=slices,
        fairness=groups,
        robustness=corrupted,
        suspects=shown,
        suspect_rows=count,
        notes=notes,
    )


def _slices(
    contents: Contents, outcome: Outcome, places: Places, sources: list[Source], notes: list[str]
) -> list[Slice]:
    settings, seed = contents.spec.evaluate, contents.spec.seed
    wanted = settings.slices
    if wanted is None:
        return []
    known = column_names(sources)
    targets = {target.column for target in contents.fitted.targets}
    columns = [column for column in known if column not in targets] if wanted == "auto" else list(wanted)
    columns = _present(columns, known, "slices", notes)
    large = any(modality.row_bytes() for modality in contents.fitted.inputs if modality.column in columns)
    rows = choose_rows(len(outcome), _MOST_LARGE if large else _MOST_ROWS, seed, "slices")
    if len(rows) < len(outcome):
        notes.append(f"slices: looked for among {len(rows)} of {len(outcome)} rows, drawn by chance")
        outcome, places = rows_of(outcome, rows), places.take(rows)
    kept = read_columns(sources, places, columns, contents.fitted)
    options: dict[str, Any] = {"seed": seed, "resamples": settings.resamples, "confidence": settings.confidence}
    if wanted == "auto":
        return worst_slices(outcome, kept, **options)
    found, left_out = declared_slices(outcome, kept, **options)
    notes += left_out
    return found


def _groups(
    contents: Contents, outcome: Outcome, places: Places, sources: list[Source], notes: list[str]
) -> list[Fairness]:
    settings, seed = contents.spec.evaluate, contents.spec.seed
    columns = _present(settings.groups, column_names(sources), "groups", notes)
    if not columns:
        return []
    rows = choose_rows(len(outcome), _MOST_GROUPED, seed, "groups")
    if len(rows) < len(outcome):
        notes.append(f"groups: compared on {len(rows)} of {len(outcome)} rows, drawn by chance")
        outcome, places = rows_of(outcome, rows), places.take(rows)
    kept = read_columns(sources, places, columns, contents.fitted)
    return [
        fairness(outcome, column, kept[column], seed=seed, resamples=settings.resamples, confidence=settings.confidence)
        for column in columns
    ]


def _present(columns: Sequence[str], known: Sequence[str], what: str, notes: list[str]) -> list[str]:
    """Return the columns that these rows have; each other one is noted."""
    for column in columns:
        if column not in known:
            notes.append(f"{what}: these rows have no column {column!r}; nothing was measured by it")
    return [column for column in columns if column in known]
