"""From a model's outputs on rows with known answers to an `Evaluation`: metrics with intervals, the trivial answer
beside them, each label on its own, what is confused with what, calibration, curves, and the rows that went most wrong.

Legend: n rows, O outputs, L labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.core.errors import DataError
from modelyard.evaluate.baseline import Baseline, fit_baseline
from modelyard.evaluate.bootstrap import intervals
from modelyard.evaluate.calibration import assess_calibration
from modelyard.evaluate.curves import MOST_CURVES, curves
from modelyard.evaluate.found import each_once, label_counts
from modelyard.evaluate.metrics import Metric, form_of
from modelyard.evaluate.records import Calibration, Confusion, Evaluation, Measured
from modelyard.evaluate.table import METRICS
from modelyard.evaluate.thresholds import assess_threshold
from modelyard.evaluate.weighted import ratio
from modelyard.spec.spec import ThresholdSpec
from modelyard.tasks.base import Errors, Outcome, Task

__all__ = ["assess", "measure", "worst"]

_CONFUSION_LABELS = 100
_DRAWN, _FEWEST = 1 << 27, 200
"""Rows that all resamples together draw at most, and the fewest resamples all the same."""
_PER_TARGET = ("r2", "rmse", "mae")


def measure(task: Task, outcome: Outcome, names: Sequence[str] | None = None) -> dict[str, float]:
    """Return the named metrics' values (unsaid: all of the task's), without intervals: the line of one epoch.

    Raises:
        UsageError: A metric is unknown, or does not fit this kind of outcome.
    """
    return {name: _find(name)(outcome) for name in (task.metrics if names is None else names)}


def assess(
    task: Task,
    output: npt.NDArray[np.float32],
    targets: Mapping[str, npt.NDArray[Any]],
    training_targets: Mapping[str, npt.NDArray[Any]] | Baseline | None,
    *,
    split: str,
    seed: int,
    resamples: int = 1000,
    confidence: float = 0.95,
    rows_without_target: int = 0,
    notes: Sequence[str] = (),
    threshold: ThresholdSpec | None = None,
) -> Evaluation:
    """Measure outputs against known targets by all of the task's metrics.

    Metrics, confusion and curves are those of the plain probabilities; the calibration says what they would be worth
    after `task.temperature`, where there is one.

    Args:
        task: Says what outputs mean, and which metrics count.
        output: The model's raw outputs, (n, O).
        targets: Encoded targets of the same rows, by column; rows that lack one were left out (`rows_with_targets`).
        training_targets: The training split's encoded targets, or a baseline fitted before; None for no baseline.
        split: Which rows these are, for the record.
        seed: The run's seed, from which the resamples follow.
        resamples: Bootstrap resamples behind the intervals; 0 for none (their ends are NaN). Of more than 134 million
            rows drawn in all, fewer resamples, and a note says so.
        confidence: Level of the intervals.
        rows_without_target: How many rows were left out, for the record.
        notes: What else a reader must know; what is found here is added.
        threshold: The goal for which the task's threshold was chosen on the validation split; None: it was not chosen.

    Raises:
        DataError: There is no row, a row lacks its target, or the output does not fit.
        SpecError: A threshold cannot be chosen for this task, or its goal makes no sense.
        UsageError: The number of resamples or the confidence makes no sense.
    """
    outcome = task.outcome(output, targets)
    if len(outcome) == 0:
        raise DataError(
            f"nothing to evaluate: no row of {split!r} has a target ({rows_without_target} rows were left out for that)"
        )
    if len(outcome) != len(outcome.score):
        raise DataError(
            f"{len(outcome.score)} outputs were given for {len(outcome)} targets; they must be the same rows"
        )
    baseline = training_targets
    if baseline is not None and not isinstance(baseline, Baseline):
        baseline = fit_baseline(task, baseline)
    metrics = [_find(name) for name in (*task.metrics, *task.more_metrics)]
    asked, resamples = resamples, min(resamples, max(_FEWEST, _DRAWN // len(outcome)))
    ends = intervals(metrics, outcome, seed=seed, resamples=resamples, confidence=confidence)
    trivial = {} if baseline is None else {answer: baseline.outcome(outcome, answer) for answer in ("mean", "median")}
    measured = [
        Measured(
            name=metric.name,
            value=metric(outcome),
            low=ends[metric.name][0],
            high=ends[metric.name][1],
            baseline=metric(trivial[metric.trivial]) if trivial else None,
            higher_is_better=metric.higher_is_better,
            rows=len(outcome),
        )
        for metric in metrics
    ]
    confusion, left_out = _confusion(outcome)
    calibration = assess_calibration(task, output, targets, seed=seed, resamples=resamples, confidence=confidence)
    fewer = f"intervals rest on {resamples} resamples instead of {asked}: so many rows make them narrow all the same"
    found = [
        left_out,
        fewer if resamples < asked else None,
        _absent_labels(outcome),
        _without_width(measured),
        _without_curves(outcome),
        _about_probabilities(task, calibration),
    ]
    return Evaluation(
        split=split,
        rows=len(outcome),
        rows_without_target=rows_without_target,
        confidence=confidence,
        metrics=measured,
        per_label=_per_label(outcome),
        confusion=confusion,
        notes=[*notes, *(note for note in found if note)],
        calibration=calibration,
        curves=curves(outcome),
        threshold=None if threshold is None else assess_threshold(task, outcome, threshold),
    )


def worst(task: Task, outcome: Outcome, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the rows that were answered wrongly, the highest loss first, at most `count`; equal losses in row order.

    Returns:
        Row numbers int64 (k,) and their losses float64 (k,), k ≤ count.
    """
    losses = task.row_losses(outcome)
    wrong = np.flatnonzero((outcome.answer != outcome.target).reshape(len(outcome), -1).any(axis=1))
    chosen = wrong[np.argsort(-losses[wrong], kind="stable")][:count].astype(np.int64)
    return chosen, losses[chosen]


def _find(name: str) -> Metric:
    metric: Metric = METRICS.find(name)
    return metric


def _per_label(outcome: Outcome) -> list[dict[str, Any]]:
    """Each label's rows, precision, recall and F1; of several numbers, each target's rows, R², RMSE and MAE; of errors,
    each part's, and its skill score."""
    if isinstance(outcome, Errors):
        error, trivial = outcome.score.mean(axis=0), outcome.trivial.mean(axis=0)
        return [
            {"name": name, "rows": len(outcome), "error": float(e), "skill_score": float(1 - ratio(e, t))}
            for name, e, t in zip(outcome.labels, error, trivial, strict=True)
        ]
    if form_of(outcome) == "regression":
        if len(outcome.labels) == 1:
            return []
        columns = [
            Outcome(outcome.target[:, [i]], outcome.score[:, [i]], outcome.answer[:, [i]], (name,))
            for i, name in enumerate(outcome.labels)
        ]
        return [
            {"name": column.labels[0], "rows": len(column), **{name: _find(name)(column) for name in _PER_TARGET}}
            for column in columns
        ]
    right, answered, true = (counts[0] for counts in label_counts(outcome)(each_once(outcome)))
    shares = (ratio(right, answered), ratio(right, true), ratio(2 * right, answered + true))
    return [
        {"name": name, "rows": int(true[i]), "precision": float(p[i]), "recall": float(r[i]), "f1": float(f[i])}
        for p, r, f in (shares,)
        for i, name in enumerate(outcome.labels)
    ]


def _confusion(outcome: Outcome) -> tuple[Confusion | None, str | None]:
    """The counts, and a note when only the most confused labels are kept."""
    if form_of(outcome) != "classification":
        return None, None
    labels, note = np.arange(len(outcome.labels)), None
    if len(labels) > _CONFUSION_LABELS:
        wrong = outcome.target != outcome.answer
        involved = sum(np.bincount(ids[wrong], minlength=len(labels)) for ids in (outcome.target, outcome.answer))
        note = (
            f"the confusion table shows the {_CONFUSION_LABELS} most confused of {len(labels)} labels; "
            "rows whose true or answered label is not among them are not counted in it"
        )
        labels = np.sort(np.argsort(-involved, kind="stable")[:_CONFUSION_LABELS])
    place = np.full(len(outcome.labels), -1)
    place[labels] = np.arange(len(labels))
    true, answered = place[outcome.target], place[outcome.answer]
    kept = (true >= 0) & (answered >= 0)
    cells = np.bincount(true[kept] * len(labels) + answered[kept], minlength=len(labels) ** 2)
    counts = cells.reshape(len(labels), len(labels)).tolist()
    return Confusion([outcome.labels[label] for label in labels], counts), note


def _absent_labels(outcome: Outcome) -> str | None:
    form = form_of(outcome)
    if form == "regression":
        return None
    rows = (
        np.bincount(outcome.target, minlength=len(outcome.labels))
        if form == "classification"
        else outcome.target.sum(0)
    )
    absent = [name for name, count in zip(outcome.labels, rows, strict=True) if count == 0]
    if not absent:
        return None
    names = ", ".join(absent[:5]) + (" …" if len(absent) > 5 else "")
    return f"{len(absent)} of {len(outcome.labels)} labels have no row here ({names}): nothing was measured about them"


def _without_width(measured: Sequence[Measured]) -> str | None:
    names = [metric.name for metric in measured if metric.low == metric.high and not math.isnan(metric.low)]
    if not names:
        return None
    return (
        f"every resample of these {measured[0].rows} rows gave the same {', '.join(names)}: "
        "an interval without width says that the rows cannot show the error, not that there is none"
    )


def _without_curves(outcome: Outcome) -> str | None:
    form, labels = form_of(outcome), len(outcome.labels)
    if form == "regression" or labels <= MOST_CURVES:
        return None
    return f"curves are drawn for the {MOST_CURVES} most frequent of {labels} labels"


def _about_probabilities(task: Task, calibration: Calibration | None) -> str | None:
    if calibration is None or not task.about_probabilities:
        return None
    fitted = "" if task.temperature is not None else "; none was fitted"
    return f"{task.about_probabilities}{fitted}"
