"""What the data gate hands over: to Python, the terminal, `--json`, the evidence and the report alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from modelyard.core.records import Record

__all__ = ["Finding", "NamedRow", "Policy", "Severity"]

Severity = Literal["refuse", "warn", "note"]
Policy = Literal["error", "drop", "keep"]


@dataclass(frozen=True)
class NamedRow(Record):
    """A row somebody can go and look at."""

    file: str
    position: int
    """Record in the file, counted from 0."""
    place: str
    """As a person finds it: `reviews.csv, line 17` or the path of a picture."""
    what: str = ""
    """What is the matter with this row, when it is not the same for all rows of the finding."""


@dataclass(frozen=True)
class Finding(Record):
    """One kind of thing that is wrong with, or worth knowing about, the data."""

    check: str
    """Name of the check, as in `data.checks`."""
    severity: Severity
    """`refuse` stops training; `warn` may hurt the result; `note` is worth knowing."""
    title: str
    """What it is, with its count: `"12 rows of the test split also stand in training"`."""
    why: str
    """Why it matters for what is to be learned here."""
    rows: int = 0
    """How many rows it is about, exactly; 0 when it is about columns alone."""
    columns: list[str] = field(default_factory=list)
    examples: list[NamedRow] = field(default_factory=list)
    """The first of the rows."""
    policy: Policy = "keep"
    """What was done about it."""
    setting: str = ""
    """The setting that accepts it or drops its rows, ready to be typed: `data.checks.duplicates_across_splits=keep`."""
    details: dict[str, Any] = field(default_factory=dict)
    """What else was measured, in plain values."""
