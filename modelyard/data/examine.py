"""The first pass over the rows: each is read, hashed, assigned to a split and shown to the data gate.

What it leaves on the disk has one entry a row, in the order of the sources: hashes, file, position, split. Pictures are
decoded here, once for good. What cannot be used goes to `quarantine.jsonl`, with its reason.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.core.errors import DataError
from modelyard.core.files import digest_file, read_json, storage_errors, synced, to_json, write_json
from modelyard.data.chunks import Chunk, Chunks, Progress, Waypoint, ahead, positions_of
from modelyard.data.early import EarlyReader, EarlyWriter, is_stored
from modelyard.data.gate.check import RowIndex
from modelyard.data.gate.examined import DROPPED, UNLABELLED, Examined, Subject
from modelyard.data.gate.gate import Gate
from modelyard.data.rowhash import column_hashes, joined_hashes
from modelyard.data.sources.unlabelled import UNLABELLED_PART
from modelyard.data.split import SPLITS, Assigner, split_code, time_cutoffs
from modelyard.data.store import map_array
from modelyard.spec.spec import SplitSpec

__all__ = ["Examination", "examine", "open_examination"]

_ARRAYS = {
    "hashes": "<u8",
    "input_hashes": "<u8",
    "target_hashes": "<u8",
    "codes": "|i1",
    "file": "<i4",
    "position": "<i8",
}
_SHOWN = 1000


@dataclass(frozen=True)
class Examination:
    """What the first pass found."""

    folder: Path
    index: RowIndex
    """With the codes as the gate's decisions left them."""
    rows: dict[str, int]
    """Split → rows that are used."""
    selection: str
    """Digest of the codes: what else depends on which rows are used where."""
    gate: dict[str, Any]
    """The gate's result as a plain dict."""
    dropped: dict[str, int]
    """Reason → rows left out."""
    dropped_rows: list[dict[str, Any]]
    """The first of them; all are in `quarantine.jsonl`."""
    schema: dict[str, str]

    def split_rows(self, split: str) -> npt.NDArray[np.int64]:
        """Return the numbers of a split's rows, int64, memory-mapped."""
        return map_array(self.folder / f"{split}.rows", "<i8")[0]


def open_examination(folder: Path) -> Examination:
    """Return a finished examination, its arrays memory-mapped."""
    about = read_json(folder / "manifest.json")
    arrays = {name: map_array(folder / name, dtype)[0] for name, dtype in _ARRAYS.items()}
    keep = ("rows", "selection", "gate", "dropped", "dropped_rows", "schema")
    return Examination(folder, RowIndex(**arrays, files=about["files"]), **{name: about[name] for name in keep})


def examine(
    folder: Path, subject: Subject, gate: Gate, chunks: Chunks, early: Mapping[str, Path], progress: Progress
) -> None:
    """Carry out the first pass; `folder` holds the manifest when it is complete.

    Args:
        folder: Where the result goes; what an interrupted pass left there is taken up.
        subject: What is examined.
        gate: Sees every chunk.
        chunks: The rows.
        early: Column that is encoded on the way → its folder; when it stands there already it is taken from there.
        progress: Told how many rows are through.
    """
    # The stack closes files, and what they still hold may no longer fit on the disk.
    with storage_errors(folder), ExitStack() as stack:
        _Pass(folder, subject, gate, chunks, early, progress, stack).run()


class _Pass:
    def __init__(
        self,
        folder: Path,
        subject: Subject,
        gate: Gate,
        chunks: Chunks,
        early: Mapping[str, Path],
        progress: Progress,
        stack: ExitStack,
    ) -> None:
        self.folder = folder
        self.subject = subject
        self.gate = gate
        self.chunks = chunks
        self.progress = progress
        self.learns_unlabelled = subject.spec.train.semi_supervised is not None
        self.watcher: ThreadPoolExecutor = stack.enter_context(ThreadPoolExecutor(max_workers=1))
        self.looking: Future[None] | None = None
        self.left_out: list[tuple[str, int, str, Any, list[str]]] = []
        self.waypoint = Waypoint(folder / "waypoint.npz")
        folder.mkdir(parents=True, exist_ok=True)
        found = self.waypoint.take_up() or {}
        self.number: int = found.get("number", 0)
        self.taken: int = found.get("taken", 0)
        self.files: dict[str, int] = {name: at for at, name in enumerate(found.get("files", []))}
        self.dropped = Counter(found.get("dropped", {}))
        self.dropped_rows: list[dict[str, Any]] = found.get("dropped_rows", [])
        self.assigners = {part: self._assigner(part) for part in chunks.parts}
        for part, state in found.get("assigners", {}).items():
            assigner = self.assigners[None if part == "" else part]
            assert assigner is not None
            assigner.restore(state)
        if found:
            gate.restore(found["gate"])
        sizes = found.get("sizes", {})
        self.arrays = {name: self._open(stack, folder / name, sizes.get(name)) for name in _ARRAYS}
        self.quarantine = self._open(stack, folder / "quarantine.jsonl", sizes.get("quarantine.jsonl"))
        self.readers: dict[str, EarlyReader] = {}
        self.writers: dict[str, EarlyWriter] = {}
        for modality in subject.inputs:
            if modality.column not in early:
                continue
            place = early[modality.column]
            if is_stored(place):
                self.readers[modality.column] = EarlyReader(modality, place)
            else:
                writer = EarlyWriter(modality, place, found.get("early", {}).get(modality.column))
                self.writers[modality.column] = writer
                stack.callback(writer.abandon)
        self.unread = [modality for modality in subject.modalities if modality.column not in self.readers]

    def run(self) -> None:
        with storage_errors(self.folder):
            for chunk in ahead(self.chunks(skip=self.taken)):
                self._need(chunk)
                self._take(chunk)
                self.number = chunk.number + chunk.rows.table.num_rows
                self.taken += 1
                self.progress("examining", self.number)
                if self.waypoint.is_due():
                    self._note()
            self._finish()

    # -- a chunk ------------------------------------------------------------------------------------------------------

    def _take(self, chunk: Chunk) -> None:
        rows, positions = chunk.rows, positions_of(chunk.rows)
        self.files.setdefault(rows.file, len(self.files))
        for position, reason in rows.unreadable.items():
            self._leave_out(rows.file, position, reason, "unreadable", ())
        # One column after the other: the gate looks at the last chunk and the next is parsed at the same time, and
        # more threads than that hand Python's lock back and forth.
        folder = chunk.source.folder()
        readings = {one.column: one.read(rows.table.column(one.column), folder) for one in self.unread}
        count = rows.table.num_rows
        readings.update({column: reader.read(chunk.number, count) for column, reader in self.readers.items()})
        read = {column: reading.values for column, reading in readings.items()}
        notes = {column: reading.notes for column, reading in readings.items() if reading.notes}
        hashes, of_inputs, of_targets = self._hash(rows.table, read)
        codes = self._assign(chunk, hashes)
        for column, reading in readings.items():
            for at, reason in reading.problems.items():
                if codes[at] != DROPPED:
                    self._leave_out(rows.file, int(positions[at]), f"{column}: {reason}", "unreadable", (column,))
                    codes[at] = DROPPED
        is_unlabelled = chunk.part == UNLABELLED_PART
        if is_unlabelled:
            codes[codes != DROPPED] = UNLABELLED
        elif self.learns_unlabelled:
            for target in self.subject.targets:
                codes[(codes == 0) & np.asarray(read[target.column].is_null())] = UNLABELLED
        for target in (*self.subject.targets, *self.subject.extras):
            missing = np.asarray(read[target.column].is_null()) & (codes >= 0)
            what = "target" if target in self.subject.targets else "row's weight"
            for at in np.flatnonzero(missing).tolist():
                reason = f"no {target.column} (the {what} is missing)"
                self._leave_out(rows.file, int(positions[at]), reason, "missing_target", (target.column,))
                codes[at] = DROPPED
        # Statistics and checks are about rows with a target; those of `data.unlabelled` are shown to few of them.
        shown = codes if is_unlabelled else np.where(codes == UNLABELLED, DROPPED, codes).astype(np.int8)
        self._show(Examined(rows, chunk.number, shown, positions, hashes, read, notes), is_unlabelled)
        self._write("hashes", hashes)
        self._write("input_hashes", of_inputs)
        self._write("target_hashes", of_targets)
        self._write("codes", codes)
        self._write("file", np.full(len(codes), self.files[rows.file], np.int32))
        self._write("position", positions)
        for column, writer in self.writers.items():
            if count:
                writer.append(chunk.number, readings[column])

    def _assign(self, chunk: Chunk, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int8]:
        assigner = self.assigners[chunk.part]
        if assigner is not None:
            return assigner.assign(chunk.rows.table, hashes)
        code = 0 if chunk.part is None else split_code(chunk.part)
        return np.full(chunk.rows.table.num_rows, 0 if code is None else code, np.int8)

    def _hash(self, table: pa.RecordBatch, read: Mapping[str, pa.Array]) -> tuple[npt.NDArray[np.uint64], ...]:
        """Return the rows' hashes over all columns, the inputs, and the targets. Pictures count as what they show."""
        inputs = {modality.column for modality in self.subject.inputs}
        targets = {modality.column for modality in self.subject.targets}
        pictures = {modality.column for modality in self.subject.inputs if modality.row_bytes()}
        tasks = [(name, table.column(at)) for at, name in enumerate(table.schema.names)]
        tasks += [(name, read[name]) for name in sorted(pictures)]
        named = [(name, column_hashes(name, column)) for name, column in tasks]
        plain, shown = named[: table.num_columns], named[table.num_columns :]
        of_inputs = [part for name, part in plain if name in inputs - pictures] + [part for _, part in shown]
        every = joined_hashes((part for _, part in plain), table.num_rows)
        return (
            every,
            joined_hashes(of_inputs, table.num_rows),
            joined_hashes((part for name, part in plain if name in targets), table.num_rows),
        )

    def _need(self, chunk: Chunk) -> None:
        names = chunk.rows.table.schema.names
        absent = [modality.column for modality in self.subject.modalities if modality.column not in names]
        if absent:
            where = f"the {chunk.part} rows have" if chunk.part else "the data has"
            raise DataError(f"{where} no column {', '.join(map(repr, absent))}; columns: {', '.join(names)}")

    def _leave_out(self, file: str, position: int, reason: str, kind: Any, columns: Sequence[str]) -> None:
        self.left_out.append((file, position, reason, kind, list(columns)))
        self._quarantine(file, position, reason, "unreadable value" if kind == "unreadable" else reason)

    def _show(self, chunk: Examined, is_unlabelled: bool) -> None:
        """Let the gate look at a chunk while the next one is read; one chunk at a time, in order."""
        self._wait()
        left_out, self.left_out = self.left_out, []

        def look() -> None:
            for row in left_out:
                self.gate.left_out(*row)
            if is_unlabelled:
                self.gate.observe_unlabelled(chunk)
            else:
                self.gate.observe(chunk)

        self.looking = self.watcher.submit(look)

    def _wait(self) -> None:
        """Wait until the gate has seen all that it was shown."""
        if self.looking is not None:
            self.looking.result()
            self.looking = None

    def _quarantine(self, file: str, position: int, reason: str, kind: str) -> None:
        self.dropped[kind] += 1
        row = {"file": file, "position": position, "reason": reason}
        if len(self.dropped_rows) < _SHOWN:
            self.dropped_rows.append(row)
        self.quarantine.write((to_json(row) + "\n").encode())

    # -- how far it is ------------------------------------------------------------------------------------------------

    def _open(self, stack: ExitStack, path: Path, size: int | None) -> IO[bytes]:
        with storage_errors(path):
            file = open(path, "wb" if size is None else "r+b")  # noqa: SIM115  # the stack closes it
            stack.callback(file.close)
            if size is not None:
                file.truncate(size)
                file.seek(size)
        return file

    def _write(self, name: str, values: npt.NDArray[Any]) -> None:
        self.arrays[name].write(np.ascontiguousarray(values, _ARRAYS[name]).data)

    def _sync(self) -> dict[str, int]:
        sizes = {}
        for name, file in {**self.arrays, "quarantine.jsonl": self.quarantine}.items():
            sizes[name] = synced(file)
        return sizes

    def _note(self) -> None:
        self._wait()
        self.waypoint.note(
            {
                "sizes": self._sync(),
                "number": self.number,
                "taken": self.taken,
                "files": list(self.files),
                "dropped": dict(self.dropped),
                "dropped_rows": self.dropped_rows,
                "assigners": {part or "": one.state() for part, one in self.assigners.items() if one is not None},
                "gate": self.gate.state(),
                "early": {column: writer.flush() for column, writer in self.writers.items()},
            }
        )

    def _finish(self) -> None:
        self._wait()
        for writer in self.writers.values():
            writer.close()
        self._sync()
        arrays = {name: map_array(self.folder / name, dtype)[0] for name, dtype in _ARRAYS.items()}
        index = RowIndex(**arrays, files=list(self.files))
        result = self.gate.finish(index)
        codes = np.array(index.codes)
        for number, reason in result.drop.items():
            codes[number] = DROPPED
            self._quarantine(index.files[index.file[number]], int(index.position[number]), reason, reason)
        self._sync()
        self._replace("codes", codes)
        rows = {}
        for code, split in [*enumerate(SPLITS), (UNLABELLED, UNLABELLED_PART)]:
            numbers = np.flatnonzero(codes == code)
            rows[split] = len(numbers)
            if len(numbers):
                self._replace(f"{split}.rows", numbers.astype("<i8"))
        first = next(iter(self.chunks.parts.values()))
        write_json(
            self.folder / "manifest.json",
            {
                "rows": {split: count for split, count in rows.items() if count},
                "files": list(self.files),
                "selection": digest_file(self.folder / "codes"),
                "gate": result.as_dict(),
                "dropped": dict(self.dropped),
                "dropped_rows": self.dropped_rows,
                "schema": {field.name: str(field.type) for field in first.schema()},
            },
        )
        self.waypoint.done()

    def _replace(self, name: str, values: npt.NDArray[Any]) -> None:
        with open(self.folder / f"{name}.new", "wb") as file:
            file.write(np.ascontiguousarray(values).data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.folder / f"{name}.new", self.folder / name)

    # -- the split ----------------------------------------------------------------------------------------------------

    def _assigner(self, part: str | None) -> Assigner | None:
        """Return what splits a part further: all of an undivided source; validation rows out of given training rows."""
        split: SplitSpec = self.subject.spec.data.split
        if part is not None and split_code(part) != 0:
            return None
        if split.validation == 0 and split.test == 0 and split.method != "given":
            return None
        if part is not None and split.method == "given":
            if split.validation == 0 and split.test == 0:
                return None
            split = split.model_copy(update={"method": "random", "by": None})
        cutoffs = None
        if split.method == "time" and split.by is not None:
            by = split.by
            cutoffs = time_cutoffs((rows.table.column(by) for rows in self.chunks.of(part, [by])), split)
        target = self.subject.targets[0].column if self.subject.targets else None
        return Assigner(split, self.subject.spec.seed, target, cutoffs)
