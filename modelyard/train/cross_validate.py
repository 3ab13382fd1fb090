"""Cross-validation over the training rows: each is answered by a model that was not trained on it.

That gives an estimate with more rows behind it than one held-out split has, how much it varies from one choice of
training rows to another, and the training rows whose label is likely wrong.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from modelyard.core.events import EventLog
from modelyard.core.records import Record
from modelyard.data.lookup import Places
from modelyard.data.prepare import Prepared, locate
from modelyard.evaluate.assess import assess, measure
from modelyard.evaluate.mistakes import describe_rows
from modelyard.evaluate.records import Evaluation, Mistake
from modelyard.evaluate.suspects import find_suspects
from modelyard.spec.spec import Spec
from modelyard.tasks.base import Outcome, Task
from modelyard.train.portions import Units, assign_folds, find_units
from modelyard.train.start import announcing, train_again

__all__ = ["CrossValidation", "Fold", "Spread", "cross_validate"]

_NAMED = 1000


@dataclass(frozen=True)
class Fold(Record):
    """One of the trainings."""

    fold: int
    """Counted from 1."""
    trained: int
    """Rows it was trained on."""
    rows: int
    """Rows held out and answered."""
    metrics: dict[str, float]
    """On the rows held out."""
    seconds: float


@dataclass(frozen=True)
class Spread(Record):
    """How much a metric varies over the folds."""

    metric: str
    mean: float
    standard_deviation: float
    """Over the folds, with one degree of freedom less than folds; folds share training rows, so it is too small as an
    error of the mean."""
    lowest: float
    highest: float


@dataclass(frozen=True)
class CrossValidation(Record):
    """What models said of the training rows that they had not seen."""

    folds: list[Fold]
    epochs: int
    """Epochs of each training."""
    evaluation: Evaluation
    """Of all training rows together, each answered by the model that had not seen it; `suspects` are the rows whose
    label is likely wrong."""
    spread: list[Spread]
    suspects: list[dict[str, Any]] = field(default_factory=list)
    """All rows whose label is likely wrong, at most 1000, the surest first: file, position, target, answer (label
    names), and the answered label's probability where a row has one label."""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def cross_validate(
    spec: Spec, prepared: Prepared, task: Task, folds: int, log: EventLog, epochs: int | None = None
) -> CrossValidation:
    """Train once for each fold on the other folds, and let it answer the rows of its own.

    Rows of one group (`data.group`, or `data.split.by` of a split by group) share a fold; without groups equal rows do.
    Labels are spread evenly. Nothing is stopped early: no row is spared to decide when.

    Args:
        spec: The resolved spec, with a learning rate that is a number.
        prepared: Its data.
        task: The task of the main training; each fold prepares one of its own.
        folds: How many, 2 or more.
        log: Told `fold` after each one.
        epochs: Epochs of each training, on the schedule of all the spec's epochs: the epoch whose weights the main
            training kept. None: all of the spec's.

    Raises:
        SpecError: There are fewer groups, or distinct rows, than folds.
        ModelyardError: A training diverged.
    """
    started = time.monotonic()
    units = find_units(spec, prepared)
    fold_of_row = assign_folds(units, folds)
    store = prepared.splits["train"]
    output = np.empty((len(store), task.output_size), np.float32)
    targets = {name.removeprefix("target."): store.whole(name) for name in store.columns if name.startswith("target.")}
    encoded = {column: np.asarray(values) for column, values in targets.items()}
    epochs = spec.train.epochs if epochs is None else epochs
    measured: list[Fold] = []
    for fold in range(folds):
        began = time.monotonic()
        held_out, others = np.flatnonzero(fold_of_row == fold), np.flatnonzero(fold_of_row != fold)
        quiet = announcing(log, f"cross-validation, fold {fold + 1} of {folds}", spec.train.step_rows)
        trained = train_again(spec, prepared, others, quiet, epochs=epochs, watched=False)
        collected = trained.answer(store.subset(held_out), prepared.fitted, spec.train.evaluation_batch_size)
        output[held_out] = collected.output()
        metrics = measure(task, collected.outcome(task))
        measured.append(Fold(fold + 1, len(others), len(held_out), metrics, time.monotonic() - began))
        log("fold", folds=folds, **measured[-1].as_dict())
    evaluation = assess(
        task,
        output,
        encoded,
        encoded,
        split=f"training rows, {folds} folds",
        seed=spec.seed,
        resamples=spec.evaluate.resamples,
        confidence=spec.evaluate.confidence,
    )
    named, shown, count = _suspects(spec, prepared, task, task.outcome(output, encoded))
    return CrossValidation(
        folds=measured,
        epochs=epochs,
        evaluation=replace(evaluation, suspects=shown, suspect_rows=count),
        spread=_spread(measured),
        suspects=named,
        notes=_notes(spec, prepared, units, folds),
        seconds=time.monotonic() - started,
    )


def _suspects(
    spec: Spec, prepared: Prepared, task: Task, outcome: Outcome
) -> tuple[list[dict[str, Any]], list[Mistake], int]:
    """Return the likely mislabelled rows by name, the first of them with their inputs, and how many there are."""
    rows, count = find_suspects(outcome)
    store = prepared.splits["train"]
    places = Places(prepared.record.files, np.asarray(store.whole("row.file")), np.asarray(store.whole("row.position")))
    named = [
        {
            "file": places[row][0],
            "position": places[row][1],
            "target": _labels(outcome, outcome.target[row]),
            "answer": _labels(outcome, outcome.answer[row]),
            "probability": float(outcome.score[row, outcome.answer[row]]) if outcome.target.ndim == 1 else None,
        }
        for row in rows[:_NAMED].tolist()
    ]
    first = rows[: spec.evaluate.mistakes]
    shown = describe_rows(task, outcome, first, places, locate(spec.data)[0].values(), prepared.fitted)
    return named, shown, count


def _labels(outcome: Outcome, value: Any) -> str | list[str]:
    """Return a target or answer by its label's name, or names where a row has several."""
    if outcome.target.ndim == 1:
        return outcome.labels[int(value)]
    return [label for label, present in zip(outcome.labels, value, strict=True) if present]


def _spread(folds: Sequence[Fold]) -> list[Spread]:
    spread = []
    for metric in folds[0].metrics:
        values = np.array([fold.metrics[metric] for fold in folds])
        values = values[~np.isnan(values)]  # not defined in a fold, such as ROC AUC without a positive row
        if len(values) > 1:
            spread.append(
                Spread(
                    metric, float(values.mean()), float(values.std(ddof=1)), float(values.min()), float(values.max())
                )
            )
    return spread


def _notes(spec: Spec, prepared: Prepared, units: Units, folds: int) -> list[str]:
    notes = [
        f"{units.together} share a fold; every row is answered by the one of {folds} models that was not trained on it",
        "columns stay fitted on the whole training split, the held-out fold included (scaling, vocabulary, label "
        "names): no target plays a part in that, so it cannot hide a mislabelled row; the metrics may come out very "
        "slightly too good by it",
    ]
    if spec.train.early_stopping is not None:
        notes.append("nothing was stopped early here: every fold trained as many epochs as the bundle's weights did")
    names = [getattr(target, "labels", ()) for target in prepared.fitted.targets]
    if len(names) == 1 and names[0]:
        alone = np.flatnonzero(np.bincount(units.label, minlength=len(names[0])) == 1)
        if len(alone):
            shown = ", ".join(names[0][label] for label in alone[:5]) + (" …" if len(alone) > 5 else "")
            notes.append(
                f"{len(alone)} labels are those of a single {units.what} ({shown}): the model that answered it had not "
                "seen the label, so it cannot be right about it"
            )
    return notes
