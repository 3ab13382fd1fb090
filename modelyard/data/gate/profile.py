"""What is known about every column, gathered once and shared by statistics and checks; and the chunk at hand, with
what several of them need of it worked out once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.data.gate.check import Check, RowIndex
from modelyard.data.gate.examined import Examined, Subject
from modelyard.data.gate.repeats import Repeats
from modelyard.data.gate.sketches import Moments, RowSample
from modelyard.data.gate.tally import Tally
from modelyard.data.modalities.base import Modality
from modelyard.data.modalities.reading import is_text
from modelyard.data.rowhash import row_hashes
from modelyard.data.split import SPLITS

__all__ = ["ColumnProfile", "Encoded", "Profile", "ProfileCheck", "View", "hash_values"]

VALUES = 65_536
"""Different values of a category column that are kept one by one."""
_SAMPLE_ROWS = 8192
_SAMPLE_CELLS = 1 << 22
_FEW = 100

Numbers = npt.NDArray[np.int64]


def hash_values(values: pa.Array) -> npt.NDArray[np.uint64]:
    """Return each value's hash, the same in every column; uint64 (rows,)."""
    return row_hashes(pa.RecordBatch.from_arrays([values], ["value"]))


class Encoded:
    """A column of a chunk as positions in a list of its different values."""

    def __init__(self, values: pa.Array, view: View) -> None:
        encoded = values if pa.types.is_dictionary(values.type) else pc.dictionary_encode(values)
        self.values: pa.Array = encoded.dictionary
        size = len(self.values)
        indices = encoded.indices
        if indices.null_count:
            indices = indices.fill_null(size)
        self.index: Numbers = indices.to_numpy(zero_copy_only=False).astype(np.int64)
        """Each row's value, `len(values)` for none; (rows,)."""
        table = np.bincount(self.index * 4 + view.lanes, minlength=4 * size + 4).reshape(-1, 4)[:, 1:]
        self.counts: Numbers = table[:size]
        """Rows by value and split."""
        self.missing: Numbers = table[size]
        """Rows without a value, by split."""

    @cached_property
    def keys(self) -> npt.NDArray[np.uint64]:
        """Each value's hash."""
        return hash_values(self.values)


class View:
    """A chunk, with what is worked out of it once."""

    def __init__(self, chunk: Examined) -> None:
        self.chunk = chunk
        self.start = chunk.number
        self.rows = len(chunk.codes)
        self.lanes: Numbers = chunk.codes.astype(np.int64) + 1
        """Each row's split code plus one; 0 for what is left out already."""
        self.counts: Numbers = np.bincount(self.lanes, minlength=4)[1:]
        """Rows by split."""
        whole = self.counts[0] == self.rows
        self.order: Numbers | None = None if whole else np.argsort(chunk.codes, kind="stable")
        """Rows by split, those left out first; None when all rows train."""
        self.bounds: Numbers = self.rows - np.cumsum(np.append(self.counts, 0)[::-1])[::-1]
        """Where each split starts in `order`."""
        self.held: Numbers = np.flatnonzero(self.lanes > 1)
        """Held-out rows."""
        self._encoded: dict[str, Encoded] = {}

    def raw(self, column: str) -> pa.Array | None:
        """Return a column as the source gave it, None when it has none of this name."""
        table = self.chunk.rows.table
        return table.column(column) if column in table.schema.names else None

    def encoded(self, column: str, is_read: bool) -> Encoded:
        """Return a column of read or raw values as positions among its different values."""
        key = f"{is_read} {column}"
        if key not in self._encoded:
            values = self.chunk.read[column] if is_read else self.chunk.rows.table.column(column)
            self._encoded[key] = Encoded(values, self)
        return self._encoded[key]

    def split(self, values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Return the values of each split's rows, in their order."""
        ordered = values if self.order is None else values.take(self.order)
        return [ordered[self.bounds[code] : self.bounds[code + 1]] for code in range(3)]


class ColumnProfile:
    """What is known about one input or target."""

    def __init__(self, modality: Modality) -> None:
        self.modality = modality
        self.column = modality.column
        self.kind = "other"
        """By the values read: `number`, `category`, `text`, `list` or `other`."""
        self.missing: Numbers = np.zeros(3, np.int64)
        """Rows without a value, by split."""
        self.moments = [Moments() for _ in range(3)]
        """By split: of numbers themselves, of texts' lengths in characters, of lists' lengths."""
        self.tally: Tally | None = None
        """Of categories."""
        self._keys: dict[str, int] = {}

    def show(self, value: Any) -> str:
        """Return a value as a person sees it."""
        return self.modality.show(value).text

    def observe(self, view: View, chosen: Numbers) -> dict[str, npt.NDArray[Any]]:
        """Take in a chunk; return what of it goes into the row sample."""
        values = view.chunk.read[self.column]
        kind = values.type
        if pa.types.is_dictionary(kind) or (is_text(kind) and self.modality.labelled):
            return self._category(view, chosen)
        if not pa.types.is_floating(kind) and values.null_count:
            self.missing += np.bincount(view.lanes[np.asarray(values.is_null())], minlength=4)[1:]
        if pa.types.is_floating(kind):
            self.kind = "number"
            numbers = np.asarray(values.to_numpy(zero_copy_only=False), np.float64)
            self._numbers(view, numbers, bool(values.null_count), count_missing=True)
            return {self.column: numbers.take(chosen)}
        if is_text(kind):
            self.kind = "text"
            lengths = self._lengths(view, pc.utf8_length(values))
            hashes = hash_values(values.take(pa.array(chosen)))
            return {self.column: lengths.take(chosen), f"{self.column} \0": hashes}
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            self.kind = "list"
            return {self.column: self._lengths(view, pc.list_value_length(values)).take(chosen)}
        return {}

    def _category(self, view: View, chosen: Numbers) -> dict[str, npt.NDArray[Any]]:
        self.kind = "category"
        encoded = view.encoded(self.column, is_read=True)
        if self.tally is None:
            self.tally = Tally(VALUES, texts=True)
        self.missing += encoded.missing
        keys, index = self._hashes(encoded), encoded.index
        self.tally.add(keys, encoded.counts, index, view.lanes, view.held, view.start, encoded.values)
        return {self.column: np.append(keys, np.uint64(0))[index.take(chosen)]}

    def _hashes(self, encoded: Encoded) -> npt.NDArray[np.uint64]:
        """Return the hash of each of a chunk's values; few values are the same ones in every chunk."""
        if len(encoded.values) > _FEW:
            return encoded.keys
        words = encoded.values.to_pylist()
        if not self._keys.keys() >= set(words):
            if len(self._keys) > 10 * _FEW:
                self._keys.clear()
            self._keys.update(zip(words, encoded.keys.tolist(), strict=True))
        return np.array([self._keys[word] for word in words], np.uint64)

    def _lengths(self, view: View, lengths: pa.Array) -> npt.NDArray[np.float64]:
        has_nulls = bool(lengths.null_count)
        numbers = np.asarray(lengths.to_numpy(zero_copy_only=False), np.float64)
        self._numbers(view, numbers, has_nulls, count_missing=False)
        return numbers

    def _numbers(self, view: View, numbers: npt.NDArray[np.float64], has_nulls: bool, count_missing: bool) -> None:
        for code, part in enumerate(view.split(numbers)):
            if has_nulls:
                present = part[~np.isnan(part)]
                self.missing[code] += (len(part) - len(present)) if count_missing else 0
                part = present
            self.moments[code].add(part)

    def state(self) -> dict[str, Any]:
        """Return all of it, as JSON values and arrays."""
        return {
            "kind": self.kind,
            "missing": self.missing.copy(),
            "moments": [moments.state() for moments in self.moments],
            "tally": None if self.tally is None else self.tally.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.kind = state["kind"]
        self.missing = np.array(state["missing"], np.int64)
        for moments, stored in zip(self.moments, state["moments"], strict=True):
            moments.restore(stored)
        if state["tally"] is not None:
            self.tally = Tally(VALUES, texts=True)
            self.tally.restore(state["tally"])


class Profile:
    """All columns of the inputs and targets."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.columns = {modality.column: ColumnProfile(modality) for modality in subject.modalities}
        cells = _SAMPLE_CELLS // max(len(self.columns), 1)
        self.sample = RowSample(max(1024, min(_SAMPLE_ROWS, cells)))
        self.rows: Numbers = np.zeros(3, np.int64)
        """Rows by split, without those left out already."""
        self.repeats: Repeats | None = None
        self.drift: list[Any] | None = None
        self._sorted: dict[tuple[str, int], npt.NDArray[np.float64]] = {}

    def observe(self, chunk: Examined) -> View:
        """Take in a chunk; return it with what was worked out of it."""
        self.view = view = View(chunk)
        self.rows += view.counts
        if view.rows:
            chosen = self.sample.choose(view.start, view.lanes)
            self.sample.add(
                {
                    name: values
                    for part in self.each(lambda column: column.observe(view, chosen))
                    for name, values in part.items()
                }
            )
        return view

    def each(self, work: Callable[[ColumnProfile], Any]) -> list[Any]:
        """Do something for every column; the results in the order of the columns."""
        return [work(column) for column in self.columns.values()]

    # -- once all rows have passed ------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Conclude; what follows can then be asked, also by several threads."""
        self.sample.finish()
        for column in self.columns.values():
            if column.tally is not None:
                column.tally.merge()

    def ordered(self, column: str, code: int) -> npt.NDArray[np.float64]:
        """Return a split's sampled numbers in rising order, without missing ones."""
        found = self._sorted.get((column, code))
        if found is None:
            numbers = self.sample.column(column, code)
            found = np.sort(numbers[~np.isnan(numbers)])
            self._sorted[column, code] = found
        return found

    def repeated(self, index: RowIndex) -> Repeats:
        """Return the rows whose inputs occur more than once, in parts."""
        if self.repeats is None:
            self.repeats = Repeats(index)
        return self.repeats

    def targets(self) -> list[ColumnProfile]:
        """Return the targets."""
        return [self.columns[target.column] for target in self.subject.targets]

    def inputs(self) -> list[ColumnProfile]:
        """Return the inputs."""
        return [self.columns[modality.column] for modality in self.subject.inputs]

    def held_out(self) -> list[int]:
        """Return the codes of the splits that are held out and have rows."""
        return [code for code in range(1, len(SPLITS)) if self.rows[code]]

    def state(self) -> dict[str, Any]:
        """Return all of it, as JSON values and arrays."""
        columns = {name: column.state() for name, column in self.columns.items()}
        return {"rows": self.rows.copy(), "columns": columns, "sample": self.sample.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.rows = np.array(state["rows"], np.int64)
        for name, stored in state["columns"].items():
            self.columns[name].restore(stored)
        self.sample.restore(state["sample"])


class ProfileCheck(Check):
    """A check that rests on the columns' profile; the gate hands it over."""

    profile: Profile

    @property
    def target(self) -> str:
        """The target's name, as a sentence about it says it."""
        return " and ".join(f"'{target.column}'" for target in self.subject.targets) or "the target"
