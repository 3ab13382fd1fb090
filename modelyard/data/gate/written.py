"""How values are written in the file: missing ones, words that stand for missing, numbers with grouped digits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.data.gate.check import Found, RowIndex
from modelyard.data.gate.examined import Examined, Subject
from modelyard.data.gate.finding import Finding, Policy
from modelyard.data.gate.profile import ProfileCheck
from modelyard.data.gate.tally import NAMED
from modelyard.data.gate.words import count, listed, rows_of, share
from modelyard.data.modalities.reading import is_text

__all__ = ["MissingValues", "WrittenMissing", "WrittenNumbers"]

_MOST_MARKS = 1000


class _Rows:
    """A count of rows, with words on the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: dict[int, str] = {}

    def add(self, numbers: npt.NDArray[np.int64], words: list[str]) -> None:
        """Take in rows, rising; words for as many of the first as may be named."""
        self.count += len(numbers)
        for number, word in zip(numbers[: NAMED - len(self.first)].tolist(), words, strict=False):
            self.first[number] = word

    @property
    def room(self) -> int:
        """How many rows can still be named."""
        return NAMED - len(self.first)

    def found(self, finding: Finding) -> Found:
        """Return a finding about these rows."""
        return Found(finding, np.array(list(self.first), np.int64), words=self.first)

    def state(self) -> dict[str, Any]:
        return {"count": self.count, "first": [[number, words] for number, words in self.first.items()]}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> _Rows:
        rows = cls()
        rows.count = int(state["count"])
        rows.first = {int(number): str(words) for number, words in state["first"]}
        return rows


class MissingValues(ProfileCheck):
    """Inputs without a value."""

    name = "missing_values"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.rows = _Rows()

    def observe(self, chunk: Examined) -> None:
        view = self.profile.view
        names = [modality.column for modality in self.subject.inputs if chunk.read[modality.column].null_count]
        if not names:
            return
        masks = {name: np.asarray(chunk.read[name].is_null()) for name in names}
        any_missing = np.logical_or.reduce(list(masks.values())) & (view.lanes > 0)
        rows = np.flatnonzero(any_missing)
        words = [
            "no " + ", ".join(name for name in names if masks[name][row]) for row in rows[: self.rows.room].tolist()
        ]
        self.rows.add(rows + view.start, words)

    def finish(self, index: RowIndex) -> list[Found]:
        if not self.rows.count:
            return []
        total = int(self.profile.rows.sum())
        by_column = {
            column.column: int(column.missing.sum()) for column in self.profile.inputs() if column.missing.any()
        }
        ranked = sorted(by_column, key=lambda name: -by_column[name])
        most = ranked[0]
        finding = Finding(
            self.name,
            "note",
            f"{rows_of(self.rows.count, total)} miss a value in {count(len(ranked), 'input')}; most often '{most}' "
            f"({share(by_column[most] / total)})",
            "Missing numbers are replaced by a stated value and flagged, missing categories are a value of "
            "their own. If "
            f"what is missing depends on {self.target}, the model learns from its absence.",
            self.rows.count,
            ranked,
            details={name: by_column[name] for name in ranked},
        )
        return [self.rows.found(finding)]

    def state(self) -> Mapping[str, Any]:
        return {"rows": self.rows.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.rows = _Rows.of(state["rows"])


class WrittenMissing(ProfileCheck):
    """Cells that say something, such as `NA` or `-`, which is read as a missing value."""

    name = "written_missing"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.rows: dict[str, _Rows] = {}
        self.marks: dict[str, Counter[str]] = {}

    def observe(self, chunk: Examined) -> None:
        view = self.profile.view
        for modality in self.subject.inputs:
            name = modality.column
            raw, read = view.raw(name), chunk.read[name]
            if raw is None or not is_text(raw.type) or not read.null_count:
                continue
            rows = np.flatnonzero(np.asarray(read.is_null()) & np.asarray(raw.is_valid()) & (view.lanes > 0))
            texts = pc.utf8_trim_whitespace(raw.take(pa.array(rows)))
            said = np.asarray(pc.not_equal(texts, ""))
            rows, texts = rows[said], texts.filter(pa.array(said))
            if not len(rows):
                continue
            marks = self.marks.setdefault(name, Counter())
            counted = pc.value_counts(texts)
            for mark, number in zip(
                counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True
            ):
                if mark in marks or len(marks) < _MOST_MARKS:
                    marks[mark] += number
            kept = self.rows.setdefault(name, _Rows())
            kept.add(rows + view.start, [repr(text) for text in texts.slice(0, kept.room).to_pylist()])

    def finish(self, index: RowIndex) -> list[Found]:
        found = []
        for name, rows in self.rows.items():
            marks = dict(self.marks[name].most_common(20))
            finding = Finding(
                self.name,
                "note",
                f"{count(rows.count, 'cell')} of '{name}' {'says' if rows.count == 1 else 'say'} "
                f"{listed(list(marks))} and "
                f"{'is' if rows.count == 1 else 'are'} read as missing",
                f"If one of them is a value of its own that tells about {self.target}, take it out of the column's "
                "`missing` setting.",
                rows.count,
                [name],
                details=marks,
            )
            found.append(rows.found(finding))
        return found

    def state(self) -> Mapping[str, Any]:
        rows = {name: kept.state() for name, kept in self.rows.items()}
        return {"rows": rows, "marks": {name: dict(marks) for name, marks in self.marks.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.rows = {name: _Rows.of(stored) for name, stored in state["rows"].items()}
        self.marks = {name: Counter(marks) for name, marks in state["marks"].items()}


class WrittenNumbers(ProfileCheck):
    """Numbers whose digits are grouped, such as `1,234`, among those of a column."""

    name = "written_numbers"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.rows: dict[str, _Rows] = {}

    def observe(self, chunk: Examined) -> None:
        view = self.profile.view
        for modality in self.subject.modalities:
            name = modality.column
            raw, read = view.raw(name), chunk.read[name]
            if raw is None or not is_text(raw.type) or not pa.types.is_floating(read.type) or not len(raw):
                continue
            decimal = getattr(modality.settings, "decimal", ".")
            if not _may_be_grouped(raw, decimal):
                continue
            grouped = pc.match_substring_regex(raw, rf"\d[^0-9eE+{re.escape(decimal)}-]+\d")
            grouped = pc.fill_null(pc.and_(grouped, read.is_valid()), False)
            rows = np.flatnonzero(np.asarray(grouped) & (view.lanes > 0))
            if len(rows):
                kept = self.rows.setdefault(name, _Rows())
                first = rows[: kept.room]
                texts, values = raw.take(pa.array(first)).to_pylist(), read.take(pa.array(first)).to_pylist()
                words = [f"{text!r} read as {value:.12g}" for text, value in zip(texts, values, strict=True)]
                kept.add(rows + view.start, words)

    def finish(self, index: RowIndex) -> list[Found]:
        found = []
        for name, rows in self.rows.items():
            finding = Finding(
                self.name,
                "note",
                f"{count(rows.count, 'number')} of '{name}' {'is' if rows.count == 1 else 'are'} written with "
                "grouped digits",
                "If the sign between the digits is the decimal sign, these numbers are read a thousand times "
                "too large, and "
                f"{self.target} is learned from them: set the column's `decimal`.",
                rows.count,
                [name],
            )
            found.append(rows.found(finding))
        return found

    def state(self) -> Mapping[str, Any]:
        return {name: rows.state() for name, rows in self.rows.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.rows = {name: _Rows.of(stored) for name, stored in state.items()}


def _may_be_grouped(texts: pa.Array, decimal: str) -> bool:
    """Look for the signs that group digits in the bytes of a column, all at once."""
    _, offsets, data = texts.buffers()
    if data is None:
        return False
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    ends = np.frombuffer(offsets, width)[[texts.offset, texts.offset + len(texts)]]
    content = data.slice(int(ends[0]), int(ends[1] - ends[0])).to_pybytes()
    signs = (b"," if decimal == "." else b".", b" ", b"'")
    return any(sign in content for sign in signs) or not content.isascii()
