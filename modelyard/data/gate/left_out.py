"""Rows that are left out before anything is learned: unreadable ones, and those without their target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from modelyard.data.gate.check import Check, Found, RowIndex
from modelyard.data.gate.examined import Examined, Subject
from modelyard.data.gate.finding import Finding, NamedRow, Policy
from modelyard.data.gate.tally import NAMED
from modelyard.data.gate.words import rows_of, share

__all__ = ["LeftOut", "MissingTarget", "Unreadable"]


class LeftOut(Check):
    """Is told of every row that is left out; by file and position, for not all of them have a number."""

    kind: ClassVar[Literal["unreadable", "missing_target"]]
    policies: ClassVar[tuple[Policy, ...]] = ("drop", "error")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.seen = 0
        self.count = 0
        self.columns: Counter[str] = Counter()
        self.first: list[NamedRow] = []

    def add(self, file: str, position: int, reason: str, columns: Sequence[str]) -> None:
        """Take note of a row."""
        self.count += 1
        self.columns.update(columns)
        if len(self.first) < NAMED:
            self.first.append(NamedRow(file, position, "", reason))

    def observe(self, chunk: Examined) -> None:
        self.seen += len(chunk.codes) + len(chunk.rows.unreadable)

    def _found(self, finding: Finding) -> list[Found]:
        return [Found(finding, np.empty(0, np.int64))]

    def state(self) -> Mapping[str, Any]:
        first = [row.as_dict() for row in self.first]
        return {"seen": self.seen, "count": self.count, "columns": dict(self.columns), "first": first}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.seen, self.count = int(state["seen"]), int(state["count"])
        self.columns = Counter(state["columns"])
        self.first = [NamedRow(**row) for row in state["first"]]


class Unreadable(LeftOut):
    """Rows of which something cannot be read. Too many of them mean that the file is read wrongly."""

    name = "unreadable"
    kind = "unreadable"

    def observe_unlabelled(self, chunk: Examined) -> None:
        self.observe(chunk)

    def finish(self, index: RowIndex) -> list[Found]:
        if not self.count:
            return []
        limit = self.subject.spec.data.unreadable_limit
        part = self.count / max(self.seen, 1)
        over = part > limit
        title = f"{rows_of(self.count, self.seen)} cannot be read"
        why = (
            "They are left out of training and of the results, which then speak of the other rows only."
            if not over
            else f"More than {share(limit)} may not be left out unseen: so many mean that the file is damaged "
            "or is read "
            "with the wrong settings (delimiter, encoding, decimal sign, modality), and what is left may be biased."
        )
        setting = f"data.unreadable_limit={min(np.ceil(part * 1000) / 1000, 0.999):.3g}" if over else ""
        details = {"share": part, "limit": limit, "by_column": dict(self.columns.most_common(100))}
        return self._found(
            Finding(
                self.name,
                "refuse" if over else "warn",
                title,
                why,
                self.count,
                sorted(self.columns),
                list(self.first),
                setting=setting,
                details=details,
            )
        )


class MissingTarget(LeftOut):
    """Rows that do not say what is to be predicted."""

    name = "missing_target"
    kind = "missing_target"

    def finish(self, index: RowIndex) -> list[Found]:
        if not self.count:
            return []
        names = " or ".join(f"'{target.column}'" for target in self.subject.targets)
        return self._found(
            Finding(
                self.name,
                "warn",
                f"{rows_of(self.count, self.seen)} have no {names}",
                f"Nothing can be learned from a row without {names}; they are left out. If they are missing for "
                "a reason, "
                "the other rows are not like those the model will meet.",
                self.count,
                sorted(self.columns),
                list(self.first),
                details={"share": self.count / max(self.seen, 1)},
            )
        )
