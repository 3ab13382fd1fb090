"""What a training hands over: to Python, the terminal, `--json`, the evidence and the report alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.core.records import Record

__all__ = ["EpochRecord", "RateSearch", "TrainingRecord"]


@dataclass(frozen=True)
class EpochRecord(Record):
    """One pass over the training rows."""

    epoch: int
    """Counted from 1."""
    step: int
    """Optimizer steps taken since the start."""
    learning_rate: float
    """At the end of the epoch."""
    train: dict[str, float]
    """`loss`, and the task's metrics on the rows as they were trained on (augmented, weights still moving);
    no metrics where rows were mixed."""
    validation: dict[str, float]
    """`loss` and metrics on the validation rows; empty when there are none."""
    seconds: float
    """Time of training alone."""
    rows_per_second: float
    unlabelled: dict[str, Any] = field(default_factory=dict)
    """What was guessed of rows without a target (`semi_supervised.guesses`); empty where none are learned from."""
    best: bool = False
    """Whether this epoch's weights are the best so far."""


@dataclass(frozen=True)
class RateSearch(Record):
    """A learning-rate range test (Smith 2017): the loss as the rate grows from step to step."""

    rates: list[float]
    losses: list[float]
    """Smoothed, without the bias of the start."""
    suggestion: float
    """The rate at which the loss falls most steeply."""


@dataclass(frozen=True)
class TrainingRecord(Record):
    """How a model was trained, for the evidence and the report."""

    epochs: list[EpochRecord]
    kept_epoch: int
    """Epoch whose weights are in the bundle; 0 for the initial ones."""
    stopped_early: str | None
    """Why training ended before its last epoch; None when it did not."""
    steps: int
    seconds: float
    """Training and validation, without preparing data."""
    rows_per_second: float
    """Median over the epochs, training alone."""
    parameters: int
    family: str
    family_reason: str
    precision: str
    device: str
    threads: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    rate_search: RateSearch | None = None
    choices: dict[str, str] = field(default_factory=dict)
    """Setting → why it was chosen, for what the spec left open."""
    samples: str = ""
    """Digest over the ids of all rows trained on, in their order; equal for trainings that saw the same rows alike."""
    skipped: list[int] = field(default_factory=list)
    """Steps, counted from 1, whose batches were left out because the loss left all bounds there."""
    without_targets: int = 0
    """Batches in which no row had a target."""
    continued: int = 0
    """How often the training was interrupted and taken up again."""


@dataclass(frozen=True)
class RunRecord(Record):
    """A run as its folder tells it."""

    name: str
    path: Path
    status: str
    """`running`, `finished`, `stopped` or `failed`."""
    started: str
    """ISO 8601, UTC."""
    seconds: float
    metrics: dict[str, float]
    """Test metrics; validation metrics when there was no test split."""
    split: str
    """Which split `metrics` belongs to."""
    message: str = ""
    """Why it stopped or failed."""
    asked: str = ""
    """Digest of the spec as it was asked for."""
