"""What can be wrong with a column as a whole: always the same, always different, of mixed kinds, or with values that
training does not know."""

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
from modelyard.data.gate.profile import ColumnProfile, ProfileCheck
from modelyard.data.gate.tally import Tally
from modelyard.data.gate.words import count, listed, share
from modelyard.data.modalities.numerals import parse
from modelyard.data.modalities.reading import is_text

__all__ = ["ConstantColumn", "IdColumn", "MixedTypes", "UnseenCategories"]

Numbers = npt.NDArray[np.int64]
_NO_ROWS: Numbers = np.empty(0, np.int64)
_ALMOST_ALL = 0.95
_ENOUGH_ROWS = 20


class ConstantColumn(ProfileCheck):
    """Columns with the same value in every row."""

    name = "constant_column"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.first: dict[str, Any] = {}
        self.unused: dict[str, bool] = {}
        """Column that is no input → whether it has been the same so far."""

    def observe(self, chunk: Examined) -> None:
        table = chunk.rows.table
        if not table.num_rows:
            return
        for name, column in zip(table.schema.names, table.columns, strict=True):
            if name in chunk.read or not self.unused.get(name, True):
                continue
            if not (is_text(column.type) or pa.types.is_primitive(column.type)):
                self.unused[name] = False
                continue
            if name not in self.first:
                self.first[name] = str(column[0].as_py())
                self.unused[name] = True
            # The first rows tell most columns apart at once.
            self.unused[name] = all(
                _is_always(part, self.first[name]) for part in (column.slice(0, 64), column.slice(64))
            )

    def finish(self, index: RowIndex) -> list[Found]:
        total = int(self.profile.rows.sum())
        if total < 2:
            return []
        used, values = [], {}
        for column in self.profile.inputs():
            value = _constant(column)
            if value is not None:
                used.append(column.column)
                values[column.column] = value
        unused = [name for name, same in self.unused.items() if same]
        values.update({name: self.first[name] for name in unused})
        found = []
        for names, is_used in ((used, True), (unused, False)):
            if names:
                found.append(Found(self._say(names, is_used, {name: values[name] for name in names}), _NO_ROWS))
        return found

    def _say(self, names: list[str], is_used: bool, values: dict[str, str]) -> Finding:
        plural = len(names) > 1
        what = "inputs have" if plural else "input has"
        if not is_used:
            what = "columns that are not used have" if plural else "column that is not used has"
        why = f"A column that never changes says nothing about {self.target}"
        why += "; leave it out with data.ignore." if is_used else "; it is left out rightly."
        return Finding(
            self.name,
            "note",
            f"{len(names):,} {what} the same value in every row: {listed(names)}",
            why,
            0,
            names,
            details={"values": values},
        )

    def state(self) -> Mapping[str, Any]:
        return {"first": dict(self.first), "unused": dict(self.unused)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.first, self.unused = dict(state["first"]), dict(state["unused"])


def _is_always(column: pa.Array, value: str) -> bool:
    """Say whether a column holds nothing but one value; `None` stands for a missing one."""
    if not len(column):
        return True
    if value == "None":
        return bool(column.null_count == len(column))
    if column.null_count:
        return False
    if is_text(column.type):
        return bool(pc.all(pc.equal(column, pa.scalar(value, column.type))).as_py())
    found = pc.unique(column)
    return len(found) == 1 and str(found[0].as_py()) == value


def _constant(column: ColumnProfile) -> str | None:
    """Return the value that every row has, in words; None when it changes."""
    if column.kind == "category" and column.tally is not None:
        if len(column.tally) > 1 or (len(column.tally) == 1 and column.missing.any()):
            return None
        return column.show(column.tally.text(0)) if len(column.tally) else "missing"
    if column.kind == "number":
        present = [moments for moments in column.moments if moments.count]
        if not present:
            return "missing"
        low, high = min(one.minimum for one in present), max(one.maximum for one in present)
        return column.show(low) if low == high and not column.missing.any() else None
    if column.kind == "text":
        return "missing" if not any(moments.count for moments in column.moments) else None
    return None


class IdColumn(ProfileCheck):
    """Columns whose value is different in (almost) every row: they name the row and say nothing about the next one."""

    name = "id_column"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    _HEAD = 1024
    _KEYS = 16_384

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.tallies: dict[str, Tally | None] = {}
        """Column that is no input → its values; None once it repeats too much."""
        self.waiting: dict[str, list[str]] = {}
        self.steps: dict[str, list[float]] = {}
        """Number column that has risen by one so far → its last value; [] once it has not."""

    def observe(self, chunk: Examined) -> None:
        view = self.profile.view
        table = chunk.rows.table
        for name, column in zip(table.schema.names, table.columns, strict=True):
            if name in chunk.read or not (is_text(column.type) or pa.types.is_integer(column.type)):
                continue
            if name not in self.tallies:
                self.tallies[name], self.waiting[name] = Tally(self._KEYS, texts=False), []
            tally = self.tallies[name]
            if tally is None:
                continue
            waiting = self.waiting[name]
            if len(waiting) < self._HEAD:
                waiting += [str(value) for value in column.slice(0, self._HEAD - len(waiting)).to_pylist()]
                if len(waiting) >= self._HEAD and len(set(waiting)) < len(waiting) / 2:
                    self.tallies[name] = None
                    continue
            encoded = view.encoded(name, is_read=False)
            tally.add(encoded.keys, encoded.counts, encoded.index, view.lanes, view.held, view.start)
        for profiled in self.profile.inputs():
            if profiled.kind == "number":
                self._step(profiled.column, chunk)

    def _step(self, name: str, chunk: Examined) -> None:
        last = self.steps.get(name)
        values = chunk.read[name]
        if last == [] or not len(values):
            return
        head = np.asarray(values.slice(0, 16).to_numpy(zero_copy_only=False), np.float64)
        rises = bool((np.diff(head, prepend=last or head[:1] - 1) == 1).all())
        if rises and len(values) > 16:
            rises = not values.null_count and bool((np.diff(np.asarray(values)[15:]) == 1).all())
        self.steps[name] = [float(values[-1].as_py())] if rises else []

    def finish(self, index: RowIndex) -> list[Found]:
        total = int(self.profile.rows.sum())
        if total < _ENOUGH_ROWS:
            return []
        used = [column.column for column in self.profile.inputs() if self._is_id(column, total)]
        unused = [name for name, tally in self.tallies.items() if tally is not None and _mostly_single(tally, total)]
        found = []
        if used:
            finding = Finding(
                self.name,
                "warn",
                f"{count(len(used), 'input')} with another value in almost every row: {listed(used)}",
                f"It names the row: a model can only learn {self.target} of the training rows by heart from it, "
                "and new "
                "rows have values it has never seen. Leave it out with data.ignore.",
                0,
                used,
            )
            found.append(Found(finding, _NO_ROWS))
        if unused:
            finding = Finding(
                self.name,
                "note",
                f"{count(len(unused), 'column')} with another value in almost every row, not used: {listed(unused)}",
                f"It names the row and says nothing about {self.target}; it is left out rightly.",
                0,
                unused,
            )
            found.append(Found(finding, _NO_ROWS))
        return found

    def _is_id(self, column: ColumnProfile, total: int) -> bool:
        if column.kind == "number":
            return bool(self.steps.get(column.column))
        return column.kind == "category" and column.tally is not None and _mostly_single(column.tally, total)

    def state(self) -> Mapping[str, Any]:
        tallies = {name: None if tally is None else tally.state() for name, tally in self.tallies.items()}
        return {"tallies": tallies, "waiting": dict(self.waiting), "steps": dict(self.steps)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.waiting = {name: list(values) for name, values in state["waiting"].items()}
        self.steps = {name: list(values) for name, values in state["steps"].items()}
        for name, stored in state["tallies"].items():
            tally = None
            if stored is not None:
                tally = Tally(self._KEYS, texts=False)
                tally.restore(stored)
            self.tallies[name] = tally


def _mostly_single(tally: Tally, total: int) -> bool:
    """Say whether almost every row has a value of its own."""
    single = int((tally.counts.sum(axis=1) == 1).sum()) if len(tally) else 0
    return single * tally.scale >= _ALMOST_ALL * total * (0.9 if tally.about else 1.0)


class UnseenCategories(ProfileCheck):
    """Category inputs with values that only held-out rows have."""

    name = "unseen_categories"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    def finish(self, index: RowIndex) -> list[Found]:
        found = []
        for column in self.profile.inputs():
            tally = column.tally
            if tally is None or not self.profile.rows[0] or not self.profile.held_out():
                continue
            tally.merge()
            held = tally.counts[:, 1:].sum(axis=1)
            unseen = np.flatnonzero((tally.counts[:, 0] == 0) & (held > 0))
            if len(unseen):
                found.append(self._say(column, tally, unseen, held))
        return found

    def _say(self, column: ColumnProfile, tally: Tally, unseen: Numbers, held: Numbers) -> Found:
        unseen = unseen[np.argsort(tally.held_first[unseen, 0])]
        values = [column.show(tally.text(at)) for at in unseen.tolist()]
        rows = int(held[unseen].sum()) * tally.scale
        all_held = int(self.profile.rows[1:].sum())
        about = "about " if tally.about else ""
        finding = Finding(
            self.name,
            "note",
            f"{about}{rows:,} of {count(all_held, 'held-out row')} ({share(rows / all_held)}) have a value of "
            f"'{column.column}' that training does not: {listed(values)}",
            f"To the model these values are one and the same unknown: it answers {self.target} without this "
            "column's help.",
            rows,
            [column.column],
            details={
                "values": {value: int(held[at]) for value, at in zip(values[:100], unseen.tolist(), strict=False)},
                "different": len(unseen) * tally.scale,
            },
        )
        first, words = tally.first_rows(unseen, values, held=True)
        return Found(finding, first, words=words)


class MixedTypes(ProfileCheck):
    """Category columns of which most values are numbers and some are words."""

    name = "mixed_types"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    def finish(self, index: RowIndex) -> list[Found]:
        found = []
        for column in self.profile.columns.values():
            tally = column.tally
            if tally is None or not len(tally) or tally.about:
                continue
            written = np.isfinite(parse(pa.array(tally.words(), pa.string())))
            rows = tally.counts.sum(axis=1)
            words, numbers = int(rows[~written].sum()), int(rows[written].sum())
            if not words or words >= numbers:
                continue
            others = np.flatnonzero(~written)
            others = others[np.argsort(-rows[others], kind="stable")]
            values = [column.show(tally.text(at)) for at in others.tolist()]
            finding = Finding(
                self.name,
                "note",
                f"'{column.column}' mixes numbers and words: {share(numbers / (numbers + words))} of its values are "
                f"numbers, {count(words, 'row')} hold words: {listed(values)}",
                "As categories its numbers have no order and no distance. If the words mean that a number is "
                "missing, name "
                f"them in the column's `missing` and make it a number; {self.target} is then learned from its size.",
                words,
                [column.column],
                details={"numbers": numbers, "words": dict(zip(values[:100], rows[others].tolist(), strict=False))},
            )
            first, said = tally.first_rows(others, values, held=False)
            found.append(Found(finding, first, words=said))
        return found
