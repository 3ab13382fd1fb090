"""What looking at data and preparing it hand over: to Python, the terminal, `--json`, the evidence and the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from modelyard.core.records import Record
from modelyard.data.gate.finding import Finding
from modelyard.data.inspect import ColumnGuess

__all__ = ["DataCheck", "DataRecord"]


@dataclass(frozen=True)
class DataCheck(Record):
    """What the data is, and what the data gate found in it."""

    source: Any
    files: list[str]
    fingerprint: str
    """SHA-256 over the content of all files."""
    rows: dict[str, int]
    """Split → rows used."""
    split: dict[str, Any]
    """How rows were assigned."""
    columns: list[ColumnGuess]
    schema: dict[str, str]
    """Column → type as the source gives it."""
    findings: list[Finding]
    """What the data gate found: refusals first, then warnings, then notes."""
    statistics: dict[str, dict[str, dict[str, Any]]]
    """Split → column → counts, missing, and by kind: mean and quantiles, frequent values, lengths …"""
    drift: list[dict[str, Any]]
    """How far each column of the held-out splits is from training."""
    dropped: dict[str, int]
    """Reason → rows left out."""
    dropped_rows: list[dict[str, Any]] = field(default_factory=list)
    """The first of them: file, position, reason."""
    quarantine: str = ""
    """File with all of them, one JSON object a line; empty when none was left out."""
    origin: dict[str, Any] | None = None
    """Where the data comes from: known for a catalogued set, else as the spec declares it."""
    licence: str = ""
    """Of the catalogue, or as the spec declares it; empty when unknown."""
    seconds: float = 0.0


@dataclass(frozen=True)
class DataRecord(DataCheck):
    """What the data was that a model trained on, for the evidence and the report."""

    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Column → what was learned from the training split: counts, mean, labels, vocabulary …"""
    labels: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    """Target → split → label → rows."""
    store: str = ""
    """Folder of the prepared columns."""
    reused: bool = False
    """Whether everything stood there already from an earlier run."""
