"""Training on the future of the rows that judge: time-ordered data that was split without regard to time."""

from __future__ import annotations

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
from modelyard.data.gate.words import rows_of
from modelyard.data.modalities.numerals import typed
from modelyard.data.modalities.reading import is_text

__all__ = ["TimeLeakage"]

Floats = npt.NDArray[np.float64]
_MOST = 1 << 22  # training rows whose time is kept
_ISO = r"^\d{4}-\d{2}-\d{2}(?:$|[ T]\d{2}:\d{2})"


class TimeLeakage(ProfileCheck):
    """Counts the training rows that are later than the earliest held-out row.

    Looks at the column that `data.time` declares; without one, and when rows are split at random, at columns that hold
    dates or points in time throughout.
    """

    name = "time_leakage"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.columns: dict[str, _Times | None] = {}

    def observe(self, chunk: Examined) -> None:
        data, view = self.subject.spec.data, self.profile.view
        if data.time is not None:
            names = [data.time] if view.raw(data.time) is not None else []
        elif data.split.method in ("random", "stratified"):
            targets = {target.column for target in self.subject.targets}
            names = [name for name in chunk.rows.table.schema.names if name not in targets]
        else:
            names = []
        for name in names:
            if name in self.columns and self.columns[name] is None:
                continue
            times = _points(chunk.rows.table.column(name), declared=data.time is not None)
            if times is None:
                self.columns[name] = None
                continue
            kept = self.columns.setdefault(name, _Times())
            assert kept is not None
            kept.add(times, view.lanes, view.start)

    def finish(self, index: RowIndex) -> list[Found]:
        found = []
        for name, times in self.columns.items():
            if times is not None and (leak := self._look(name, times)) is not None:
                found.append(leak)
            elif times is None and self.subject.spec.data.time == name:
                finding = Finding(
                    self.name,
                    "warn",
                    f"'{name}' is declared as the rows' time, but cannot be read as one",
                    "Whether training rows are later than those that judge is not known. Expected numbers, "
                    "dates, or texts "
                    "such as 2024-05-31 or 2024-05-31 12:00.",
                    0,
                    [name],
                )
                found.append(Found(finding, np.empty(0, np.int64)))
        return found

    def _look(self, name: str, times: _Times) -> Found | None:
        rows, numbers = times.later()
        if not rows:
            return None
        declared = self.subject.spec.data.time == name
        trained = int(self.profile.rows[0])
        about = "about " if times.dropped else ""
        why = (
            f"In use the model answers {self.target} for times after those it learned from. Here it is judged "
            "on times it "
            "knows the future of, which flatters it. Hold out the latest rows with "
            f"data.split={{method: time, by: {name}}}."
        )
        if not declared:
            why += f" (If '{name}' does not order the rows, such as a date of birth, accept this.)"
        finding = Finding(
            self.name,
            "warn",
            f"{about}{rows_of(rows, trained)} of training are later in '{name}' than the earliest held-out row",
            why,
            rows,
            [name],
            details={"declared": declared, "missing": times.missing},
        )
        return Found(finding, numbers)

    def state(self) -> Mapping[str, Any]:
        return {name: None if times is None else times.state() for name, times in self.columns.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, stored in state.items():
            self.columns[name] = None if stored is None else _Times.of(stored)


class _Times:
    """The times of training rows, up to a number of them, and the earliest time of a held-out one."""

    def __init__(self) -> None:
        self.earliest = np.inf
        self.missing = 0
        self.dropped = 0
        self._times: list[Floats] = []
        self._numbers: list[npt.NDArray[np.int64]] = []
        self._kept = 0

    def add(self, times: Floats, lanes: npt.NDArray[np.int64], start: int) -> None:
        """Take in a chunk: seconds, NaN for none."""
        known = ~np.isnan(times)
        self.missing += int((~known & (lanes > 0)).sum())
        held = times[known & (lanes > 1)]
        if len(held):
            self.earliest = min(self.earliest, float(held.min()))
        rows = np.flatnonzero(known & (lanes == 1))
        room = max(_MOST - self._kept, 0)
        self.dropped += max(len(rows) - room, 0)
        rows = rows[:room]
        self._kept += len(rows)
        self._times.append(times[rows])
        self._numbers.append(rows + start)

    def later(self) -> tuple[int, npt.NDArray[np.int64]]:
        """Return how many training rows are later than the earliest held-out one, and the first of them."""
        times = np.concatenate([np.empty(0, np.float64), *self._times])
        later = times > self.earliest
        numbers = np.concatenate([np.empty(0, np.int64), *self._numbers])[later]
        rows = int(later.sum())
        if self.dropped and self._kept:
            rows = round(rows * (self._kept + self.dropped) / self._kept)
        return rows, numbers[:NAMED]

    def state(self) -> dict[str, Any]:
        times = np.concatenate([np.empty(0, np.float64), *self._times])
        numbers = np.concatenate([np.empty(0, np.int64), *self._numbers])
        earliest = None if np.isinf(self.earliest) else self.earliest
        missing = {"missing": self.missing, "dropped": self.dropped}
        return {"earliest": earliest, **missing, "times": times, "numbers": numbers}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> _Times:
        times = cls()
        times.earliest = np.inf if state["earliest"] is None else float(state["earliest"])
        times.missing, times.dropped = int(state["missing"]), int(state["dropped"])
        times._times = [np.asarray(state["times"], np.float64)]
        times._numbers = [np.asarray(state["numbers"], np.int64)]
        times._kept = len(times._times[0])
        return times


def _points(values: pa.Array, declared: bool) -> Floats | None:
    """Return points in time as numbers that rise with it, NaN where there is none; None when the column holds something
    else."""
    kind = values.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind) or (declared and typed(values.slice(0, 0)) is not None):
        return typed(values)
    if not is_text(kind):
        return None
    head = values.drop_null().slice(0, 16)
    dated = bool(pc.all(pc.match_substring_regex(head, _ISO)).as_py()) if len(head) else True
    if not dated and not declared:
        return None
    for target in (pa.timestamp("us"), pa.timestamp("us", "UTC")) if dated else (pa.float64(),):
        try:
            return typed(pc.cast(values, target))
        except pa.ArrowInvalid:
            continue
    return None
