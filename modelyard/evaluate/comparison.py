"""What a comparison of bundles hands over: to Python, the terminal, `--json`, the evidence and the report alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from modelyard.core.records import Record
from modelyard.evaluate.records import Measured

__all__ = ["Compared", "Comparison", "Difference", "OnlyRight"]


@dataclass(frozen=True)
class Compared(Record):
    """One of the bundles."""

    path: str
    name: str
    family: str
    parameters: int
    metrics: list[Measured]


@dataclass(frozen=True)
class Difference(Record):
    """One metric of a bundle less the same of the first bundle."""

    bundle: int
    """Number of the bundle in `Comparison.bundles`; the first is 0."""
    metric: str
    difference: float
    low: float
    high: float
    """Ends of the paired bootstrap interval."""
    p_value: float
    test: str
    """`McNemar, exact` · `paired permutation` · `paired bootstrap`."""
    higher_is_better: bool
    verdict: str
    """`better`, `worse` or `not distinguishable` than the first, at `Comparison.confidence`."""
    rows_needed: int | None = None
    """About how many rows would tell a difference as large as this one with a chance of 80%; None where it is told
    already, where there is none, or where the metric is no mean over rows."""


@dataclass(frozen=True)
class OnlyRight(Record):
    """Rows that one of two bundles answers rightly and the other wrongly."""

    bundle: int
    """Number of the bundle that is compared with the first."""
    only_first: int
    only_this: int
    agreement: float
    """Share of rows that both answer alike; NaN for numbers."""
    examples: list[dict[str, Any]] = field(default_factory=list)
    """Some of them, the surest first: `right` (number of the bundle that is), and the row as the wrong one saw it."""


@dataclass(frozen=True)
class Comparison(Record):
    """What bundles make of the same rows."""

    data: str
    target: list[str]
    rows: int
    rows_left_out: int
    """Rows that not all of the bundles can use: no target, one they do not know, or an input that cannot be read."""
    confidence: float
    bundles: list[Compared]
    differences: list[Difference]
    """Of each bundle to the first, by metric; the headline first."""
    only_right: list[OnlyRight]
    verdict: list[str]
    """One sentence for each bundle but the first."""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
