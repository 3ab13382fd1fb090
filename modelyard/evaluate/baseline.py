"""The trivial answer, fitted on the training split: what a model must beat to be worth anything.

Classification: the most frequent label, with the labels' frequencies as probabilities. Multi-label: each label's
frequency, answered when it is at least one half. Regression: the mean, or the median for metrics of absolute error.
A task that learns from inputs alone carries the trivial answer's errors in its outcome (`tasks.base.Errors`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from modelyard.core.errors import DataError
from modelyard.core.records import Record
from modelyard.evaluate.metrics import form_of
from modelyard.tasks.base import Errors, Outcome, Task

__all__ = ["Baseline", "fit_baseline", "rows_with_targets"]

_CHUNK = 1 << 22


@dataclass(frozen=True)
class Baseline(Record):
    """What the trivial answer learned. A plain record, so that a bundle can keep it: `Baseline(**record)`."""

    mean: list[float]
    """Frequency of each label, in the order of `Outcome.labels`; mean of each target in the user's units."""
    median: list[float]
    """Median of each target; for labels the same as `mean`."""

    def outcome(self, like: Outcome, answer: Literal["mean", "median"] = "mean") -> Outcome:
        """Return the same rows as `like`, answered trivially."""
        if isinstance(like, Errors):
            return replace(like, score=like.trivial, answer=like.trivial)
        values = np.array(self.mean if answer == "mean" else self.median, dtype=np.float64)
        score = np.broadcast_to(values, (len(like), len(values)))
        form = form_of(like)
        if form == "classification":
            return Outcome(like.target, score, np.full(len(like), values.argmax(), dtype=np.int64), like.labels)
        if form == "multilabel":
            return Outcome(like.target, score, (score >= 0.5).astype(np.uint8), like.labels)
        return Outcome(like.target, score, score, like.labels)


def rows_with_targets(targets: Mapping[str, npt.NDArray[Any]], rows: int = 0) -> npt.NDArray[np.bool_]:
    """Say which rows have all their targets, bool (n,), from encoded targets by column (missing: -1 or NaN); all of
    `rows` rows where the task has no targets."""
    if not targets:
        return np.ones(rows, bool)
    present = [
        (~np.isnan(values) if values.dtype.kind == "f" else values >= 0).reshape(len(values), -1).all(axis=1)
        for values in targets.values()
    ]
    result: npt.NDArray[np.bool_] = np.logical_and.reduce(present)
    return result


def fit_baseline(task: Task, training_targets: Mapping[str, npt.NDArray[Any]]) -> Baseline:
    """Fit the trivial answer on the training split's encoded targets, by column; rows without a target are left out.

    Raises:
        DataError: No row has a target.
    """
    if task.from_inputs:
        return Baseline([], [])
    present = rows_with_targets(training_targets)
    kept = {column: values[present] for column, values in training_targets.items()}
    rows = int(present.sum())
    if not rows:
        raise DataError(
            f"no targets: all {len(present)} rows of the training split lack theirs; check the target column"
        )
    repeats = np.ones(rows, dtype=np.int64)
    if len(kept) == 1 and next(iter(kept.values())).ndim == 1:
        column, values = next(iter(kept.items()))
        distinct, repeats = np.unique(values, return_counts=True)
        kept, rows = {column: distinct}, len(distinct)
    # the task itself says what an encoded target is in an outcome, so it is asked, a chunk of rows at a time
    chunk = max(1, _CHUNK // task.output_size)
    outcomes = [
        task.outcome(
            np.zeros((min(chunk, rows - start), task.output_size), dtype=np.float32),
            {column: values[start : start + chunk] for column, values in kept.items()},
        )
        for start in range(0, rows, chunk)
    ]
    target = np.concatenate([outcome.target for outcome in outcomes])
    if form_of(outcomes[0]) == "classification":
        counts = np.bincount(target, weights=repeats, minlength=len(outcomes[0].labels))
        mean = counts / counts.sum()
        return Baseline(mean.tolist(), mean.tolist())
    mean = np.average(target, axis=0, weights=repeats)
    if form_of(outcomes[0]) == "multilabel":
        return Baseline(mean.tolist(), mean.tolist())
    return Baseline(mean.tolist(), np.median(np.repeat(target, repeats, axis=0), axis=0).tolist())
