"""Inputs that give the answer away: a copy of the target, or a column that predicts it almost alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.core.randomness import derive, mix
from modelyard.data.gate.check import Found, RowIndex
from modelyard.data.gate.examined import Examined, Subject
from modelyard.data.gate.finding import Finding, Policy
from modelyard.data.gate.profile import ColumnProfile, ProfileCheck
from modelyard.data.gate.words import share

__all__ = ["LabelCopy", "LabelPredictor"]

Numbers = npt.NDArray[np.int64]
_FOLDS = 4
_BINS = 64
_LABELS = 64
_ENOUGH_ROWS = 50
_LEFT = 0.03
"""A column predicts by itself when this share of the baseline's error, or less, is left."""


class LabelCopy(ProfileCheck):
    """Inputs that equal a target in every row."""

    name = "label_copy"
    policies: ClassVar[tuple[Policy, ...]] = ("error", "keep")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.equal = {target.column: [modality.column for modality in subject.inputs] for target in subject.targets}
        """Target → inputs that were equal to it in all rows so far."""

    def observe(self, chunk: Examined) -> None:
        view = self.profile.view
        used = pa.array(view.lanes > 0) if any(self.equal.values()) else None
        for target, inputs in self.equal.items():
            truth = chunk.read[target]
            self.equal[target] = [name for name in inputs if _equal(chunk.read[name], truth, used)]

    def finish(self, index: RowIndex) -> list[Found]:
        found = []
        rows = int(self.profile.rows.sum())
        for target, copies in self.equal.items():
            if not copies or rows < 2 or not _varies(self.profile.columns[target]):
                continue
            names = " and ".join(f"'{name}'" for name in copies)
            finding = Finding(
                self.name,
                "refuse",
                f"{names} {'is' if len(copies) == 1 else 'are'} the same as the target '{target}' in all {rows:,} rows",
                f"The model would copy the answer instead of learning '{target}', and fail where the answer is "
                "not known "
                f"yet. Leave {names} out with data.ignore.",
                0,
                copies,
            )
            found.append(Found(finding, np.empty(0, np.int64)))
        return found

    def state(self) -> Mapping[str, Any]:
        return {"equal": {target: list(inputs) for target, inputs in self.equal.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.equal = {target: list(inputs) for target, inputs in state["equal"].items()}


def _equal(values: pa.Array, truth: pa.Array, used: pa.Array) -> bool:
    """Say whether two columns agree in all rows that are used; missing values agree with nothing."""
    if values.type != truth.type or pa.types.is_nested(values.type):
        return False
    for start, stop in ((0, 64), (64, len(values))):  # the first rows tell most columns apart
        same = pc.fill_null(pc.equal(values.slice(start, stop), truth.slice(start, stop)), False)
        if not pc.all(pc.or_(same, pc.invert(used.slice(start, stop))), min_count=0).as_py():
            return False
    return True


def _varies(target: ColumnProfile) -> bool:
    if target.tally is not None:
        return len(target.tally) > 1
    seen = [moments for moments in target.moments if moments.count]
    return bool(seen) and min(one.minimum for one in seen) < max(one.maximum for one in seen)


class LabelPredictor(ProfileCheck):
    """Inputs that predict a target almost perfectly by themselves.

    Each column is given the simplest rule there is: the commonest label (for numbers the mean) among the training rows
    with the same value, numbers in 64 bins of equal size. It is learned on three quarters of a sample of at most 8,192
    training rows and judged on the fourth, in turn, so that a column of names for the rows predicts nothing.
    """

    name = "label_predictor"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    def finish(self, index: RowIndex) -> list[Found]:
        numbers = self.profile.sample.numbers(0)
        folds = (
            mix(numbers.astype(np.uint64) ^ np.uint64(derive(0, "folds of a single column"))) % np.uint64(_FOLDS)
        ).astype(np.int64)
        found = []
        for target in self.profile.targets():
            truth = _Truth.of(self.profile, target)
            if truth is None:
                continue
            scores = self.profile.each(partial(self._score, truth, folds))
            names = [column.column for column in self.profile.columns.values()]
            found += [
                self._say(name, target.column, score, truth)
                for name, score in zip(names, scores, strict=True)
                if score is not None and 1 - score <= _LEFT * (1 - truth.baseline)
            ]
        return found

    def _score(self, truth: _Truth, folds: Numbers, column: ColumnProfile) -> float | None:
        """Return the accuracy, or R², of the column's own rule; None for what is no input or cannot be asked."""
        if column.modality not in self.subject.inputs or column.kind not in ("number", "category", "text"):
            return None
        if column.kind == "number":
            numbers = self.profile.sample.column(column.column, 0)
            bins = _bins_of_numbers(numbers, self.profile.ordered(column.column, 0))
            return truth.score(bins, folds, numbers)
        name = column.column if column.kind == "category" else f"{column.column} \0"
        return truth.score(_bins_of_keys(self.profile.sample.column(name, 0)), folds, None)

    def _say(self, name: str, target: str, score: float, truth: _Truth) -> Found:
        if truth.labels:
            result = (
                f"{share(score)} of the training rows right; always answering the commonest label: "
                f"{share(truth.baseline)}"
            )
            details = {"accuracy": score, "majority": truth.baseline}
        else:
            result = f"R² {score:.3f}; always answering the mean: 0"
            details = {"r2": score, "mean": 0.0}
        finding = Finding(
            self.name,
            "warn",
            f"'{name}' predicts '{target}' almost by itself ({result})",
            f"Such a column is often written down after '{target}' was known, or made from it. Where the answer is not "
            f"known yet, '{name}' may not be either. If it is, accept this; else leave it out with data.ignore.",
            0,
            [name],
            details={**details, "target": target, "rows": len(truth.values)},
        )
        return Found(finding, np.empty(0, np.int64))


@dataclass(frozen=True)
class _Truth:
    """A target's values in the sampled training rows."""

    values: npt.NDArray[Any]
    """Label positions, the commonest first, or numbers; NaN-free."""
    labels: int
    """How many labels there are; 0 for numbers."""
    baseline: float
    """Accuracy of the commonest label; for numbers 0, the R² of the mean."""

    @classmethod
    def of(cls, profile: Any, target: ColumnProfile) -> _Truth | None:
        values = profile.sample.column(target.column, 0) if target.kind in ("number", "category") else np.empty(0)
        if len(values) < _ENOUGH_ROWS:
            return None
        if target.kind == "number":
            return cls(values, 0, 0.0) if values.min() < values.max() else None
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        if len(counts) < 2:
            return None
        rank = np.empty(len(counts), np.int64)
        rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        # Beyond the commonest labels a wrong answer is as good as another.
        return cls(rank[inverse], min(len(counts), _LABELS), float(counts.max() / len(values)))

    def score(self, bins: Numbers, folds: Numbers, numbers: npt.NDArray[np.float64] | None) -> float:
        """Return accuracy or R² of the rule for one column's bins, judged on rows it was not learned from."""
        size = int(bins.max()) + 1
        cells = folds * size + bins
        if self.labels:
            known = self.values < self.labels
            pairs = (cells * self.labels + self.values)[known]
            counts = np.bincount(pairs, minlength=_FOLDS * size * self.labels).reshape(_FOLDS, size, self.labels)
            answers = (counts.sum(axis=0) - counts).argmax(axis=2)  # of none at all: the commonest label, position 0
            return float((answers[folds, bins] == self.values).mean())
        total = float(np.square(self.values - self.values.mean()).sum())
        sums = np.bincount(cells, self.values, _FOLDS * size).reshape(_FOLDS, size)
        rows = np.bincount(cells, minlength=_FOLDS * size).reshape(_FOLDS, size)
        others, rows = sums.sum(axis=0) - sums, rows.sum(axis=0) - rows
        means = np.where(rows > 0, others / np.maximum(rows, 1), self.values.mean())
        binned = 1 - float(np.square(self.values - means[folds, bins]).sum()) / total
        return max(binned, _straight_line(numbers, self.values) if numbers is not None else binned)


def _straight_line(numbers: npt.NDArray[np.float64], truth: npt.NDArray[np.float64]) -> float:
    """Return R² of the best straight line; 0 where numbers are missing or all the same."""
    if np.isnan(numbers).any() or numbers.min() == numbers.max():
        return 0.0
    x, y = numbers - numbers.mean(), truth - truth.mean()
    with np.errstate(over="ignore", invalid="ignore"):
        found = float(np.square((x * y).sum()) / (np.square(x).sum() * np.square(y).sum()))
    return found if np.isfinite(found) else 0.0


def _bins_of_numbers(numbers: npt.NDArray[np.float64], ordered: npt.NDArray[np.float64]) -> Numbers:
    """Return each number's bin: bins of equal size, or one a value where they are few; missing ones have their own."""
    if not len(ordered):
        return np.zeros(len(numbers), np.int64)
    different = np.flatnonzero(np.diff(ordered)) + 1
    if len(different) < _BINS:
        edges = ordered[different]
    else:
        edges = np.unique(ordered[np.arange(1, _BINS) * len(ordered) // _BINS])
    found = np.searchsorted(edges, numbers, "right")
    found[np.isnan(numbers)] = len(edges) + 1
    return found.astype(np.int64)


def _bins_of_keys(keys: npt.NDArray[np.uint64]) -> Numbers:
    """Return each value's bin; values that occur once share one, for nothing can be learned about them."""
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    again = counts > 1
    position = np.where(again, np.cumsum(again), 0)
    return position[inverse].astype(np.int64)
