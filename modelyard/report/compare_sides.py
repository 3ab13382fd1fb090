"""What the sections of the comparison page share: the runs under their letters, and tables with a column for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from modelyard.report.asked import targets_of
from modelyard.report.evaluations import in_order
from modelyard.report.formatting import MISSING, finite, number
from modelyard.report.metric_names import change_of
from modelyard.report.svg import Drawn

__all__ = ["MOST_LINES", "Cell", "Line", "Side", "Table", "as_number", "change_between", "cut", "sides"]

MOST_LINES = 150
"""Lines a table shows."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HUES = 6


@dataclass(frozen=True)
class Side:
    """One of the runs."""

    number: int
    letter: str
    """What it is called in tables and charts."""
    name: str
    folder: str
    """Last part of its path, which tells runs of one name apart."""
    path: str
    link: str
    """Address of its report, relative to the page."""
    spec: Mapping[str, Any]
    evidence: Mapping[str, Any]
    judge: Mapping[str, Any]
    """The evaluation that judges it; empty when nothing was measured."""

    @property
    def kind(self) -> str:
        """Classes that give its look; past the sixth run lines are dashed."""
        return f"run-{self.number % _HUES}" + (" dashed" if self.number >= _HUES else "")

    @property
    def targets(self) -> list[str]:
        """The columns it predicts."""
        return targets_of(self.spec)

    @property
    def training(self) -> Mapping[str, Any]:
        """The record of its training; empty when there is none."""
        return self.evidence.get("training") or {}

    @property
    def measured(self) -> dict[str, Mapping[str, Any]]:
        """The metrics that judge it, by name."""
        return {str(metric["name"]): metric for metric in self.judge.get("metrics") or []}


@dataclass(frozen=True)
class Cell:
    """What a table says of one run."""

    text: str = MISSING
    small: str = ""
    sort: float | None = None


@dataclass(frozen=True)
class Line:
    """A line of a table."""

    name: str
    cells: Sequence[Cell]
    """One for each run, and further ones as the table's headings say."""
    note: str = ""
    strip: Drawn | None = None
    ends: tuple[str, str] = ("", "")
    """What stands under the ends of the strip."""


@dataclass(frozen=True)
class Table:
    """A table with a column for each run."""

    what: str
    """What it shows, in words."""
    tags: Sequence[str]
    """`measured`, `derived`, `declared`."""
    first: str
    """Heading of the first column."""
    lines: Sequence[Line]
    further: Sequence[str] = ()
    """Headings of columns that belong to no run alone."""
    strip: str = ""
    """Heading of the column of strips; empty when there is none."""
    left_out: int = 0
    """Lines that are not shown."""


def sides(runs: Sequence[Mapping[str, Any]]) -> list[Side]:
    """Return the runs under the letters they are called by."""
    found = []
    for at, run in enumerate(runs):
        path, evidence = str(run.get("path") or ""), run.get("evidence") or {}
        evaluations = in_order(evidence)
        letter = _LETTERS[at] if at < len(_LETTERS) else f"{_LETTERS[at % 26]}{at // 26}"
        folder = str(run.get("link") or path).rstrip("/")
        # quoting also takes the colon, so that nothing becomes a scheme such as javascript:
        link = quote(f"{folder}/bundle/report.html".encode("utf-8", "surrogateescape"), safe="/")
        spec = run.get("spec") or {}
        name = str(run.get("name") or spec.get("name") or "model")
        judge = evaluations[0] if evaluations else {}
        found.append(Side(at, letter, name, PurePath(path).name, path, link, spec, evidence, judge))
    return found


def as_number(value: Any, digits: int = 4) -> Cell:
    """Return a cell with a number."""
    return Cell(number(value, digits), "", finite(value))


def change_between(metric: str, low: Any, high: Any) -> str:
    """Return the ends of a change's interval, the unit once: `−1.2 to +8.9 points`."""
    first, last = (change_of(metric, None if (end := finite(one)) is None else round(end, 12)) for one in (low, high))
    if MISSING in (first, last):
        return MISSING
    return f"{first.removesuffix(' points').removesuffix(' point')} to {last}"


def cut(lines: Sequence[Line], most: int = MOST_LINES) -> tuple[Sequence[Line], int]:
    """Return the lines that are shown, and how many are not."""
    return lines[:most], max(0, len(lines) - most)
