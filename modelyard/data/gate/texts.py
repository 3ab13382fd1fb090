"""How long texts are, and which are longer than what is set to be kept of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow.compute as pc

from modelyard.data.gate.check import Found, RowIndex
from modelyard.data.gate.examined import Examined, Subject
from modelyard.data.gate.finding import Finding, Policy
from modelyard.data.gate.profile import ColumnProfile, ProfileCheck
from modelyard.data.gate.words import count
from modelyard.data.split import SPLITS

__all__ = ["TextLengths"]

_FAR = 10
"""How many times as long as the middle one a text is to be called far longer."""


class TextLengths(ProfileCheck):
    """Says how long the texts of each column are, and names the longest when it is far longer than the others."""

    name = "text_lengths"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.longest: dict[str, list[int]] = {}
        """Column → characters and number of the first of the longest rows."""

    def observe(self, chunk: Examined) -> None:
        view = self.profile.view
        for column in self.profile.inputs():
            if column.kind != "text" or not view.rows:
                continue
            values = chunk.read[column.column]
            known = self.longest.get(column.column, [-1, -1])
            # Bytes are never fewer than characters, and cost nothing to count.
            if (pc.max(pc.binary_length(values)).as_py() or 0) <= known[0]:
                continue
            lengths = np.asarray(pc.fill_null(pc.utf8_length(values), -1), np.int64)
            lengths = np.where(view.lanes > 0, lengths, -1)
            at = int(lengths.argmax())
            if lengths[at] > known[0]:
                self.longest[column.column] = [int(lengths[at]), view.start + at]

    def finish(self, index: RowIndex) -> list[Found]:
        return [self._say(column) for column in self.profile.inputs() if column.column in self.longest]

    def _say(self, column: ColumnProfile) -> Found:
        characters, number = self.longest[column.column]
        lengths = np.sort(np.concatenate([self.profile.ordered(column.column, code) for code in range(len(SPLITS))]))
        middle, high = (float(value) for value in np.quantile(lengths, (0.5, 0.95)))
        whole = all(self.profile.sample.is_whole(code) for code in range(len(SPLITS)))
        about = "" if whole else "about "
        kept = getattr(column.modality.settings, "max_length", None)
        what = (
            f"at most {count(kept, 'token')} are kept of each" if kept else "what 99% of training needs is kept of each"
        )
        is_far = characters > _FAR * max(middle, 1)
        far = f"; the longest is {characters / max(middle, 1):,.0f} times that" if is_far else ""
        finding = Finding(
            self.name,
            "note",
            f"texts of '{column.column}' have up to {count(characters, 'character')}, half of them at most "
            f"{about}{middle:,.0f}{far}",
            f"A model that reads tokens in their order takes so many at a time: {what}, and what is cut cannot help to "
            f"predict {self.target}. How much was cut is told after training.",
            0,
            [column.column],
            details={"longest": characters, "median": middle, "95%": high, "max_length": kept},
        )
        named = np.array([number] if is_far else [], np.int64)
        return Found(finding, named, words={number: count(characters, "character")})

    def state(self) -> Mapping[str, Any]:
        return {name: list(known) for name, known in self.longest.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.longest = {name: [int(value) for value in known] for name, known in state.items()}
