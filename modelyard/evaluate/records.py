"""What an evaluation hands over: to Python, the terminal, `--json`, the evidence and the report alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from modelyard.core.records import Record

__all__ = ["Confusion", "Evaluation", "Measured", "Mistake"]


@dataclass(frozen=True)
class Measured(Record):
    """One metric's value over a set of rows, with the interval that its sample size allows."""

    name: str
    value: float
    low: float
    high: float
    """Ends of the bootstrap interval at `Evaluation.confidence`."""
    baseline: float | None
    """The same metric for the trivial answer (majority label, mean value) fitted on the training split."""
    higher_is_better: bool
    rows: int


@dataclass(frozen=True)
class Confusion(Record):
    """How often each true label (rows) was answered with each label (columns)."""

    labels: list[str]
    counts: list[list[int]]


@dataclass(frozen=True)
class Mistake(Record):
    """A row the model got badly wrong, named so that it can be looked up."""

    file: str
    position: int
    """Record in the file, counted from 0."""
    target: Any
    answer: Any
    loss: float
    confidence: float | None
    """Probability the model gave its answer; None where there is none."""
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Input column → {"kind", "text", "png" (base64) or None}."""


@dataclass(frozen=True)
class Evaluation(Record):
    """The result of running a model over rows whose answers are known."""

    split: str
    """Which rows: `train`, `validation`, `test`, or the file they came from."""
    rows: int
    rows_without_target: int
    confidence: float
    """Level of every interval, such as 0.95."""
    metrics: list[Measured]
    per_label: list[dict[str, Any]] = field(default_factory=list)
    """For labels: name, rows, precision, recall, f1."""
    confusion: Confusion | None = None
    mistakes: list[Mistake] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a reader must know: unseen labels, unknown categories, cut texts, with counts."""
    seconds: float = 0.0

    def value(self, metric: str) -> float:
        """Return a metric's value by name.

        Raises:
            KeyError: The metric was not measured here.
        """
        for measured in self.metrics:
            if measured.name == metric:
                return measured.value
        raise KeyError(f"{metric} was not measured; measured: {', '.join(m.name for m in self.metrics)}")
