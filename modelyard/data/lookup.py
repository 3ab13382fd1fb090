"""Find raw rows again by file and position: to show them to a person, to slice by their values, to corrupt them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.core.errors import DataError
from modelyard.data.modalities.base import Modality, Shown
from modelyard.data.sources.base import Rows, Source

__all__ = ["Gathered", "Keep", "Place", "Places", "gather_rows", "show_rows"]

Place = tuple[str, int]
"""A row: its file, and its position there."""
Keep = Callable[[pa.Array, str], pa.Array]
"""(raw values, folder that relative paths among them stand under) → what is to be kept of them, of the same length."""
_CHUNK = 2048


class Places(Sequence[Place]):
    """Where many rows stand, in twelve bytes a row."""

    def __init__(self, files: Sequence[str], numbers: npt.NDArray[Any], positions: npt.NDArray[Any]) -> None:
        """Store the files, the number of each row's file among them (n,), and each row's position there (n,)."""
        self.files = tuple(files)
        self.numbers = np.asarray(numbers, np.int32)
        self.positions = np.asarray(positions, np.int64)

    @classmethod
    def of(cls, places: Sequence[Place]) -> Places:
        """Return any sequence of places as this one."""
        if isinstance(places, Places):
            return places
        known: dict[str, int] = {}
        numbers = [known.setdefault(file, len(known)) for file, _ in places]
        return cls(list(known), np.array(numbers, np.int32), np.array([at for _, at in places], np.int64))

    @classmethod
    def joined(cls, chunks: Iterable[Rows]) -> Places:
        """Return the places of all rows of some chunks, in order."""
        return cls.concatenated(
            [cls([rows.file], np.zeros(rows.table.num_rows, np.int32), _positions(rows)) for rows in chunks]
        )

    @classmethod
    def concatenated(cls, parts: Sequence[Places]) -> Places:
        """Return the places of several, one after the other."""
        known: dict[str, int] = {}
        numbers, positions = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for part in parts:
            names = np.array([known.setdefault(file, len(known)) for file in part.files], np.int32)
            numbers.append(names[part.numbers])
            positions.append(part.positions)
        return cls(list(known), np.concatenate(numbers), np.concatenate(positions))

    def take(self, rows: npt.NDArray[Any]) -> Places:
        """Return the places of some rows, by number or by a mask."""
        return Places(self.files, self.numbers[rows], self.positions[rows])

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, row: int) -> Place: ...
    @overload
    def __getitem__(self, row: slice) -> Places: ...
    def __getitem__(self, row: int | slice) -> Place | Places:
        if isinstance(row, slice):
            return self.take(np.arange(len(self))[row])
        return self.files[self.numbers[row]], int(self.positions[row])


@dataclass(frozen=True)
class Gathered:
    """Columns of rows that were looked up again, in the order they were asked for."""

    columns: Mapping[str, pa.Array]
    """Column → what was kept of it, (n,); null in a row that was not found."""
    held: Mapping[str, npt.NDArray[np.bool_]]
    """Column → which rows were found in a file that has the column, (n,)."""
    found: npt.NDArray[np.bool_]
    """Which rows were found at all, (n,)."""


def gather_rows(sources: Iterable[Source], places: Sequence[Place], keep: Mapping[str, Keep]) -> Gathered:
    """Read some rows again and keep what is asked of their columns, a chunk at a time.

    The sources are read until all rows are found; where a file lacks a column, `keep` is not called and its rows are
    null.

    Raises:
        DataError: Files give a column types that do not go together.
    """
    wanted = _Wanted(Places.of(places))
    parts: dict[str, list[pa.Array]] = {column: [] for column in keep}
    order: dict[str, list[npt.NDArray[np.int64]]] = {column: [] for column in keep}
    for source in sources:
        names = source.schema().names
        present = [column for column in keep if column in names]
        if wanted.done or not present:
            continue
        for rows in source.read(present, chunk=_CHUNK):
            inside, numbers = wanted.take(rows)
            if len(inside):
                for column in present:
                    raw = rows.table.column(column).take(pa.array(inside))
                    parts[column].append(keep[column](raw, source.folder()))
                    order[column].append(numbers)
            if wanted.done:
                break
    columns, held = {}, {}
    for column, function in keep.items():
        place = np.full(len(places), -1, np.int64)
        if parts[column]:
            numbers = np.concatenate(order[column])
            place[numbers] = np.arange(len(numbers))
            columns[column] = _joined(parts[column], column).take(pa.array(place, mask=place < 0))
        else:
            columns[column] = function(pa.nulls(len(places)), "")
        held[column] = place >= 0
    return Gathered(columns, held, wanted.found)


def show_rows(
    sources: Iterable[Source], wanted: Sequence[Place], modalities: Sequence[Modality]
) -> dict[Place, dict[str, Shown]]:
    """Return the asked rows as a person sees them: place → column → shown value. Columns a file lacks are left out."""

    def reader(modality: Modality) -> Keep:
        return lambda raw, folder: modality.read(raw, folder).values

    places = sorted(set(wanted))
    keep = {modality.column: reader(modality) for modality in modalities}
    gathered = gather_rows(sources, places, keep)
    found: dict[Place, dict[str, Shown]] = {}
    for row in np.flatnonzero(gathered.found):
        found[places[row]] = {
            modality.column: modality.show(_plain(gathered.columns[modality.column][row]))
            for modality in modalities
            if gathered.held[modality.column][row]
        }
    return found


class _Wanted:
    """The rows still looked for, by file and rising position."""

    def __init__(self, places: Places) -> None:
        self.found = np.zeros(len(places), bool)
        self._by_file: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = {}
        order = np.lexsort((places.positions, places.numbers))
        bounds = np.searchsorted(places.numbers[order], np.arange(len(places.files) + 1))
        for file, start, stop in zip(places.files, bounds[:-1], bounds[1:], strict=True):
            numbers = order[start:stop]
            self._by_file[file] = (places.positions[numbers], numbers)

    @property
    def done(self) -> bool:
        return bool(self.found.all())

    def take(self, rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return which rows of the chunk are wanted, and under which numbers; each is taken once."""
        none = np.empty(0, np.int64)
        if rows.file not in self._by_file or not rows.table.num_rows:
            return none, none
        here = _positions(rows)
        positions, numbers = self._by_file[rows.file]
        start, stop = np.searchsorted(positions, [here[0], here[-1] + 1])
        inside = np.searchsorted(here, positions[start:stop])
        new = (here[inside] == positions[start:stop]) & ~self.found[numbers[start:stop]]
        chosen = numbers[start:stop][new]
        self.found[chosen] = True
        return inside[new].astype(np.int64), chosen


def _positions(rows: Rows) -> npt.NDArray[np.int64]:
    if rows.positions is not None:
        return np.asarray(rows.positions, np.int64)
    return np.arange(rows.start, rows.start + rows.table.num_rows, dtype=np.int64)


def _joined(parts: Sequence[pa.Array], column: str) -> pa.Array:
    tables = [pa.table({column: part}) for part in parts]
    try:
        whole = pa.concat_tables(tables, promote_options="permissive").column(column)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        kinds = ", ".join(sorted({str(part.type) for part in parts}))
        raise DataError(
            f"column {column!r} is of types that do not go together ({kinds}); write it alike in all files"
        ) from error
    return pa.concat_arrays(whole.chunks)


def _plain(value: Any) -> Any:
    return value.as_py() if isinstance(value, pa.Scalar) else value
