"""What an evaluation hands over: to Python, the terminal, `--json`, the evidence and the report alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from modelyard.core.records import Record

__all__ = [
    "Calibration",
    "Confusion",
    "Curve",
    "Evaluation",
    "Fairness",
    "Measured",
    "Mistake",
    "Robustness",
    "Slice",
    "Threshold",
]


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
class Calibration(Record):
    """Whether probabilities mean what they say (Guo et al. 2017)."""

    label: str | None
    """Of two labels, the positive one, whose probability is binned; None: the probability of the answered label, and
    where a row has several labels the probabilities of all of them."""
    ece: float
    """Expected calibration error: mean distance of probability and truth over the bins, weighted by rows."""
    low: float
    high: float
    """Ends of its bootstrap interval."""
    largest: float
    """The largest distance of any bin."""
    bins: list[dict[str, float]]
    """Non-empty bins of equal width, rising: low, high, rows, probability (mean), share (true), share_low,
    share_high."""
    temperature: float | None = None
    """Fitted on the validation split; None when it was not. Above 1: the model is too sure."""
    ece_calibrated: float | None = None
    """The same error after dividing logits by the temperature."""
    log_loss: float | None = None
    log_loss_calibrated: float | None = None


@dataclass(frozen=True)
class Curve(Record):
    """What each threshold would give for one label against the rest, thinned to at most 200 points."""

    label: str
    rows: int
    """Rows of the label."""
    threshold: list[float]
    """Falling."""
    true_positive_rate: list[float]
    false_positive_rate: list[float]
    precision: list[float]
    """1 where nothing is answered with the label."""
    share: list[float]
    """Share of all rows that are answered with the label. Lift is precision / (rows of the label / all rows)."""
    roc_auc: float
    average_precision: float


@dataclass(frozen=True)
class Threshold(Record):
    """The threshold that was chosen on the validation split, and what it gives there and here."""

    label: str
    goal: str
    """In words: `the best recall with a precision of at least 0.9`."""
    value: float
    default: float
    """The threshold without the choice."""
    chosen_on: str
    metrics: dict[str, dict[str, float]]
    """`chosen` and `default` → metric → value on these rows."""


@dataclass(frozen=True)
class Slice(Record):
    """Rows that share something, measured apart."""

    column: str
    value: str
    """As a person reads it: `red`, `20 … 30`, `missing`, `longer than 120 characters`."""
    rows: int
    metric: str
    metric_value: float
    low: float
    high: float
    """Ends of the bootstrap interval."""
    rest: float
    """The metric over all other rows."""
    p_value: float
    """Chance of such a difference if the slice were like the rest, corrected for the number of slices looked at."""
    worse: bool
    """Whether it is worse than the rest by more than chance."""
    declared: bool
    """Whether the spec named the column, rather than the search finding the slice."""
    condition: list[dict[str, str]] = field(default_factory=list)
    """For slices of two columns: each with column and value."""


@dataclass(frozen=True)
class Fairness(Record):
    """How groups of one column fare."""

    column: str
    groups: list[dict[str, Any]]
    """Each: group, rows, metrics {name: {value, low, high}}: selection_rate, true_positive_rate, false_positive_rate,
    precision, accuracy of two labels; accuracy of more; mean_error and mae of numbers."""
    differences: list[dict[str, Any]]
    """Each: metric, difference (largest group's value less the smallest's), low, high, highest, lowest (groups),
    ratio (smallest / largest)."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Robustness(Record):
    """What is left of the headline metric when inputs are corrupted."""

    corruption: str
    """`noise`, `blur`, `typos`, `missing: age` …"""
    severity: int
    """1 (slight) to 3 (strong)."""
    columns: list[str]
    rows: int
    metric: str
    clean: float
    """The metric on the same rows as they are."""
    corrupted: float
    change: float
    low: float
    high: float
    """Ends of the paired bootstrap interval of the change."""
    changed_answers: float
    """Share of rows answered otherwise than before; NaN for numbers."""


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
    calibration: Calibration | None = None
    curves: list[Curve] = field(default_factory=list)
    threshold: Threshold | None = None
    slices: list[Slice] = field(default_factory=list)
    """Declared ones first, then the worst found, the worst first."""
    fairness: list[Fairness] = field(default_factory=list)
    robustness: list[Robustness] = field(default_factory=list)
    suspects: list[Mistake] = field(default_factory=list)
    """Rows whose label is likely wrong: confident learning on these rows, which the model did not train on."""
    suspect_rows: int = 0
    """How many such rows there are in all."""
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
