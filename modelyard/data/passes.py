"""The passes behind the first: columns learn from the training rows, then all rows are encoded and stored.

Each column's result stands in a folder of its own, named by everything it depends on. What stands there already is not
done again, and a pass that was interrupted goes on where its last waypoint was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.core.errors import BundleError, Problem, SpecError
from modelyard.core.files import atomic_directory, digest_bytes, read_json, storage_errors, to_json, write_json
from modelyard.data.chunks import Chunks, Progress, Waypoint, threads
from modelyard.data.column_files import UnitWriter, open_unit
from modelyard.data.early import EarlyReader
from modelyard.data.examine import Examination
from modelyard.data.fitted import encode
from modelyard.data.modalities.base import Column, Modality, State
from modelyard.data.split import SPLITS
from modelyard.data.store import Stored

__all__ = ["Encoded", "Unit", "encode_units", "fit_columns", "take_over", "units_of"]

_SUMMARY = "summary.json"


def fit_columns(
    modalities: Mapping[str, Modality],
    places: Mapping[str, Path],
    early: Mapping[str, EarlyReader],
    seen: Examination,
    chunks: Chunks,
    progress: Progress,
) -> None:
    """Let each column learn from the training rows, or take up what it learned before.

    Args:
        modalities: The columns, unfitted; fitted afterwards. Keys tell inputs and targets of one column apart.
        places: The folder for each key.
        early: Columns that stand on the disk already, by key.
        seen: Which rows train.
        chunks: The rows.
        progress: Told how many rows are through.
    """
    open_ones = {}
    for key, modality in modalities.items():
        if (places[key] / "state.json").exists():
            _restore(modality, places[key])
        elif key in early:
            _fit_early(modality, early[key], seen, progress)
            _save(modality, places[key])
        else:
            open_ones[key] = modality
    if not open_ones:
        return
    shared = next(iter(places.values())).parent
    waypoint = Waypoint(shared / f"{_key(sorted(places[key].name for key in open_ones))}.waypoint.npz")
    found = waypoint.take_up() or {"taken": 0, "partial": {}}
    for key, partial in found["partial"].items():
        open_ones[key].restore_partial(State(partial["json"], partial["files"]))
    columns = list(dict.fromkeys(modality.column for modality in open_ones.values()))
    taken = found["taken"]
    with threads() as pool:
        for chunk in chunks(columns, skip=taken):
            codes = seen.index.codes[chunk.number : chunk.number + chunk.rows.table.num_rows]
            training = pa.array(np.flatnonzero(codes == 0))
            folder, table = chunk.source.folder(), chunk.rows.table
            list(pool.map(lambda one, rows=(table, folder, training): _learn(one, *rows), open_ones.values()))
            taken += 1
            progress("fitting", chunk.number + len(codes))
            if waypoint.is_due():
                partial = {}
                for key, modality in open_ones.items():
                    state = modality.partial_state()
                    partial[key] = {"json": dict(state.json), "files": dict(state.files)}
                waypoint.note({"taken": taken, "partial": partial})
    for key, modality in open_ones.items():
        modality.finish_fit()
        _save(modality, places[key])
    waypoint.done()


def take_over(modality: Modality, place: Path, state: State) -> None:
    """Let a column know what another one learned, instead of learning it from these rows.

    Raises:
        SpecError: The column's settings do not go with it.
    """
    if (place / "state.json").exists():
        return
    try:
        modality.restore(state)
    except BundleError as error:
        message = f"what it learned before cannot be taken over with these settings: {error}"
        raise SpecError([Problem(f"data.inputs.{modality.column}", message)]) from error
    _save(modality, place)


def _learn(modality: Modality, table: pa.RecordBatch, folder: str, training: pa.Array) -> None:
    modality.partial_fit(modality.read(table.column(modality.column), folder).values.take(training))


def _fit_early(modality: Modality, stored: EarlyReader, seen: Examination, progress: Progress) -> None:
    count = len(seen.index)
    step = max(64, (64 << 20) // max(modality.row_bytes(), 1))
    for start in range(0, count, step):
        stop = min(start + step, count)
        training = np.flatnonzero(seen.index.codes[start:stop] == 0)
        values = stored.read(start, stop - start).values
        modality.partial_fit(values if len(training) == len(values) else values.take(pa.array(training)))
        progress("fitting", stop)
    modality.finish_fit()


def _save(modality: Modality, place: Path) -> None:
    state = modality.state()
    with atomic_directory(place) as folder:
        write_json(folder / "state.json", state.json)
        write_json(folder / _SUMMARY, modality.summary())
        for name, content in state.files.items():
            (folder / name).write_bytes(content)


def _restore(modality: Modality, place: Path) -> None:
    own = ("state.json", _SUMMARY)
    files = {path.name: path.read_bytes() for path in sorted(place.iterdir()) if path.name not in own}
    try:
        modality.restore(State(read_json(place / "state.json"), files))
    except BundleError as error:
        raise BundleError(
            f"{error}. It stands in the cache ({place}); delete that folder and it is made anew"
        ) from error


# -- encoding ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unit:
    """Columns that are stored together: one column, or all of a group that makes one matrix."""

    name: str
    modalities: tuple[Modality, ...]
    single: bool
    """Whether it is one plain array a row (targets and extras), rather than what a model's input is made of."""
    fitted: tuple[Path, ...]
    """The folder with what each of them learned."""
    place: Path


def units_of(
    inputs: Sequence[Modality],
    targets: Sequence[Modality],
    extras: Sequence[Modality],
    places: Mapping[str, Path],
    root: Path,
) -> list[Unit]:
    """Return the units of columns that are encoded after fitting.

    Args:
        inputs: The inputs' modalities.
        targets: The targets'.
        extras: Those of columns that are neither.
        places: `input.COLUMN`, `target.COLUMN` or `row.COLUMN` → the folder with what it learned.
        root: Where the units' folders stand, each named by what its columns learned.
    """
    groups: dict[str, list[Modality]] = {}
    for modality in inputs:
        if not modality.encodes_before_fit:
            groups.setdefault(modality.group or f"{modality.column}.", []).append(modality)
    members = [(name, "input", group) for name, group in groups.items()]
    members += [(f"target.{target.column}", "target", [target]) for target in targets]
    members += [(f"row.{extra.column}", "row", [extra]) for extra in extras]
    units = []
    for name, kind, group in members:
        fitted = tuple(places[f"{kind}.{modality.column}"] for modality in group)
        key = _key([name, *(path.name for path in fitted)])
        units.append(Unit(name, tuple(group), kind != "input", fitted, root / key))
    return units


@dataclass(frozen=True)
class Encoded:
    """All stored columns, and what there is to say of them."""

    columns: dict[str, Stored]
    labels: dict[str, dict[str, dict[str, int]]]
    """Target → split → label → rows, for targets with labels."""
    summaries: dict[str, dict[str, Any]]
    """Column → what it learned, and what was counted while all rows were encoded (cut texts, unseen values …)."""


def encode_units(units: Sequence[Unit], seen: Examination, chunks: Chunks, progress: Progress) -> Encoded:
    """Encode and store the columns that are not stored yet, and return them all."""
    missing = [unit for unit in units if not (unit.place / "manifest.json").exists()]
    if missing:
        with storage_errors(missing[0].place), ExitStack() as stack:
            _encode(missing, seen, chunks, progress, stack)
    found = Encoded({}, {}, {})
    for unit in units:
        about = read_json(unit.place / "manifest.json")
        found.columns.update(open_unit(unit.place, about["columns"]))
        found.summaries.update(about["summaries"])
        if about["labels"] is not None:
            found.labels[unit.modalities[0].column] = about["labels"]
    return found


def _encode(units: Sequence[Unit], seen: Examination, chunks: Chunks, progress: Progress, stack: ExitStack) -> None:
    shared = units[0].place.parent
    waypoint = Waypoint(shared / f"{_key(sorted(unit.place.name for unit in units))}.waypoint.npz")
    found = waypoint.take_up() or {"taken": 0, "units": {}, "labels": {}, "counted": {}}
    counters = {
        unit.name: [
            _Counter(modality, read_json(fitted / _SUMMARY), found["counted"].get(modality.column, {}))
            for modality, fitted in zip(unit.modalities, unit.fitted, strict=True)
        ]
        for unit in units
    }
    writers = {}
    for unit in units:
        writers[unit.name] = UnitWriter(unit.place, found["units"].get(unit.name))
        stack.callback(writers[unit.name].abandon)
    labels: dict[str, dict[str, dict[str, int]]] = found["labels"]
    taken = found["taken"]
    wanted = list(dict.fromkeys(modality.column for unit in units for modality in unit.modalities))
    pool = stack.enter_context(threads())
    for chunk in chunks(wanted, skip=taken):
        codes = seen.index.codes[chunk.number : chunk.number + chunk.rows.table.num_rows]
        if len(codes):
            encoded = pool.map(
                lambda unit, chunk=chunk: _encode_unit(unit, chunk.rows.table, chunk.source.folder()), units
            )
            for unit, (columns, values) in zip(units, encoded, strict=True):
                writers[unit.name].append(columns)
                if unit.single and unit.modalities[0].labelled:
                    _count_labels(unit.modalities[0], values, codes, labels.setdefault(unit.name, {}))
        taken += 1
        progress("encoding", chunk.number + len(codes))
        if waypoint.is_due():
            flushed = {name: writer.flush() for name, writer in writers.items()}
            counted = {one.modality.column: one.counted() for ones in counters.values() for one in ones}
            waypoint.note({"taken": taken, "units": flushed, "labels": labels, "counted": counted})
    for unit in units:
        summaries = {one.modality.column: one.summary() for one in counters[unit.name]}
        about = {"columns": writers[unit.name].close(), "labels": labels.get(unit.name), "summaries": summaries}
        write_json(unit.place / "manifest.json", about)
    waypoint.done()


class _Counter:
    """What a modality counts while it encodes, carried over an interruption.

    Args:
        modality: Its summary holds whole numbers that rise as rows are encoded.
        learned: Its summary after fitting; one that was restored knows less of its training rows.
        before: What was counted before the interruption.
    """

    def __init__(self, modality: Modality, learned: Mapping[str, Any], before: Mapping[str, int]) -> None:
        self.modality = modality
        self._learned = learned
        self._before = before
        self._start = modality.summary()

    def counted(self) -> dict[str, int]:
        """Return by how much each number has risen since the first row."""
        now = self.modality.summary()
        rising = {name: value for name, value in now.items() if type(value) is int}
        return {name: value - self._start.get(name, 0) + self._before.get(name, 0) for name, value in rising.items()}

    def summary(self) -> dict[str, Any]:
        """Return the summary with what was counted in all rows."""
        counted = {name: self._learned.get(name, 0) + count for name, count in self.counted().items()}
        return {**self._learned, **counted}


def _encode_unit(unit: Unit, table: pa.RecordBatch, folder: str) -> tuple[dict[str, Column], pa.Array]:
    read = {
        modality.column: modality.read(table.column(modality.column), folder).values for modality in unit.modalities
    }
    if unit.single:
        (target,) = unit.modalities
        return {unit.name: target.encode_target(read[target.column])}, read[target.column]
    return encode(unit.modalities, read), None


def _count_labels(
    target: Modality, values: pa.Array, codes: npt.NDArray[np.int8], counts: dict[str, dict[str, int]]
) -> None:
    for code, split in enumerate(SPLITS):
        for entry in values.filter(pa.array(codes == code)).value_counts().to_pylist():
            label = target.show(entry["values"]).text
            labels = counts.setdefault(split, {})
            labels[label] = labels.get(label, 0) + entry["counts"]


def _key(parts: Sequence[str]) -> str:
    return digest_bytes(to_json(list(parts)).encode())[:24]
