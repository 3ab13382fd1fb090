"""What was unusual about pictures, and other values, that were read all the same: 16 bits, turned by their EXIF, …"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from modelyard.data.gate.check import Found, RowIndex
from modelyard.data.gate.examined import Examined, Subject
from modelyard.data.gate.finding import Finding, Policy
from modelyard.data.gate.profile import ProfileCheck
from modelyard.data.gate.tally import NAMED
from modelyard.data.gate.words import count, listed

__all__ = ["ImageConversions"]

_KINDS = 1000


class ImageConversions(ProfileCheck):
    """Counts what the modalities noted while they read."""

    name = "image_conversions"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.rows: Counter[str] = Counter()
        self.kinds: dict[str, Counter[str]] = {}
        self.first: dict[str, dict[int, str]] = {}

    def observe(self, chunk: Examined) -> None:
        for column, notes in chunk.notes.items():
            kinds, first = self.kinds.setdefault(column, Counter()), self.first.setdefault(column, {})
            for row, note in sorted(notes.items()):
                if chunk.codes[row] < 0:
                    continue
                self.rows[column] += 1
                if note in kinds or len(kinds) < _KINDS:
                    kinds[note] += 1
                if len(first) < NAMED:
                    first[chunk.number + row] = note

    def finish(self, index: RowIndex) -> list[Found]:
        found = []
        for column, rows in self.rows.items():
            kinds = dict(self.kinds[column].most_common(20))
            finding = Finding(
                self.name,
                "note",
                f"{count(rows, 'value')} of '{column}' {'was' if rows == 1 else 'were'} converted while read: "
                f"{listed(list(kinds), 3)}",
                "What the model sees of them is not quite what the files hold. If the kind of file goes with "
                f"{self.target}, "
                "the model may learn the file instead of the picture.",
                rows,
                [column],
                details=kinds,
            )
            first = self.first[column]
            found.append(Found(finding, np.array(list(first), np.int64), words=first))
        return found

    def state(self) -> Mapping[str, Any]:
        return {
            "rows": dict(self.rows),
            "kinds": {name: dict(kinds) for name, kinds in self.kinds.items()},
            "first": {name: [[row, note] for row, note in first.items()] for name, first in self.first.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.rows = Counter(state["rows"])
        self.kinds = {name: Counter(kinds) for name, kinds in state["kinds"].items()}
        self.first = {name: {int(row): note for row, note in first} for name, first in state["first"].items()}
