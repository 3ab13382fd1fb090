"""The passes over the rows that prepare data: each row is read, assigned to a split, learned from when it trains,
encoded and stored; what cannot be used is counted and named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.core.errors import DataError
from modelyard.core.files import write_json
from modelyard.core.records import Record
from modelyard.data.fitted import Fitted, encode, make_modality
from modelyard.data.inspect import ColumnGuess
from modelyard.data.rowhash import row_hashes
from modelyard.data.sources.base import Rows, Source
from modelyard.data.split import SPLITS, Assigner, split_code, time_cutoffs
from modelyard.data.store import StoreWriter, take
from modelyard.spec.settings import Choice
from modelyard.spec.spec import Spec

__all__ = ["DataRecord", "Preparation", "Progress"]

Progress = Callable[[str, int], None]
"""Told what is being done and how many rows are through."""

_CHUNK = 16384
_CHUNK_BYTES = 64 << 20
"""Rows are read in chunks of at most this many rows, and of at most about this many bytes of large values."""
_DROPPED = -1
_SHOWN = 10


@dataclass(frozen=True)
class DataRecord(Record):
    """What the data was, for the evidence and the report."""

    source: Any
    files: list[str]
    fingerprint: str
    """SHA-256 over the content of all files."""
    rows: dict[str, int]
    """Split → rows used."""
    split: dict[str, Any]
    """How rows were assigned."""
    columns: list[ColumnGuess]
    summaries: dict[str, dict[str, Any]]
    """Column → what was learned from the training split: counts, mean, labels, vocabulary …"""
    dropped: dict[str, int]
    """Reason → rows left out."""
    dropped_rows: list[dict[str, Any]] = field(default_factory=list)
    """The first of them: file, position, reason."""
    labels: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    """Target → split → label → rows."""
    origin: dict[str, Any] | None = None
    """For a catalogued data set: where it comes from and its licence."""
    store: str = ""
    reused: bool = False
    """Whether the prepared columns of an earlier run were used."""
    seconds: float = 0.0


class Preparation:
    """Two passes over the rows: the first splits, fits, and stores what needs no fit; the second stores the rest."""

    def __init__(self, spec: Spec, parts: Mapping[str | None, Source], progress: Progress) -> None:
        self.data = spec.data
        self.seed = spec.seed
        self.parts = parts
        self.progress = progress
        self.inputs = [make_modality(_said(choice), column, "input") for column, choice in _items(self.data.inputs)]
        self.targets = [make_modality(_said(choice), column, "target") for column, choice in _items(self.data.targets)]
        self.dropped: dict[str, int] = {}
        self.dropped_rows: list[dict[str, Any]] = []
        self.unreadable = 0
        self.codes: dict[str | None, list[npt.NDArray[np.int8]]] = {}
        self.label_counts: dict[str, dict[str, dict[str, int]]] = {}
        self.rows_read = 0
        self.chunk = self._chunk_rows()
        self.file_numbers: dict[str, int] = {}

    def run(self, folder: Path, content: str, guesses: list[ColumnGuess], origin: dict[str, Any] | None) -> None:
        writer = StoreWriter(folder)
        try:
            self._first_pass(writer)
            self._refuse_unreadable()
            rows = self._count()
            for modality in (*self.inputs, *self.targets):
                modality.finish_fit()
            self._second_pass(writer)
            fitted = Fitted(self.inputs, self.targets)
            record = DataRecord(
                source=self.data.model_dump(mode="json", include={"source"})["source"],
                files=list(self.file_numbers),
                fingerprint=content,
                rows=rows,
                split=self.data.split.model_dump(mode="json"),
                columns=guesses,
                summaries={modality.column: modality.summary() for modality in fitted.modalities},
                dropped=self.dropped,
                dropped_rows=self.dropped_rows[:1000],
                labels=self.label_counts,
                origin=origin,
            )
            writer.finish(record=record.as_dict())
        finally:
            writer.abandon()
        for name, bytes_ in fitted.files().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(bytes_)
        if self.dropped_rows:
            write_json(folder / "quarantine.json", self.dropped_rows)

    def _chunk_rows(self) -> int:
        wide = sum(modality.row_bytes() for modality in self.inputs)
        return max(64, min(_CHUNK, _CHUNK_BYTES // wide)) if wide else _CHUNK

    def _chunks(self, part: str | None, columns: list[str] | None) -> Iterator[Rows]:
        count = 0
        for rows in self.parts[part].read(columns, chunk=self.chunk):
            if self.data.limit is not None and count + rows.table.num_rows > self.data.limit:
                keep = self.data.limit - count
                positions = None if rows.positions is None else rows.positions[:keep]
                yield Rows(rows.table.slice(0, keep), rows.file, rows.start, rows.unreadable, positions)
                return
            count += rows.table.num_rows
            yield rows

    def _first_pass(self, writer: StoreWriter) -> None:
        early = [modality for modality in self.inputs if modality.encodes_before_fit]
        late = [modality for modality in (*self.inputs, *self.targets) if modality not in early]
        for part, source in self.parts.items():
            names = source.schema().names
            self._need(names, part)
            assigner = self._assigner(part)
            wanted = None if assigner is not None and assigner.columns is None else self._wanted(assigner)
            self.codes[part] = []
            for rows in self._chunks(part, wanted):
                codes = self._assign(part, assigner, rows)
                positions = _positions(rows)
                for position, reason in rows.unreadable.items():
                    self._drop(rows.file, position, reason, unreadable=True)
                read: dict[str, pa.Array] = {}
                for modality in (*early, *late):
                    reading = modality.read(rows.table.column(modality.column), source.folder())
                    read[modality.column] = reading.values
                    for index, reason in reading.problems.items():
                        if codes[index] != _DROPPED:
                            self._drop(
                                rows.file, int(positions[index]), f"{modality.column}: {reason}", unreadable=True
                            )
                            codes[index] = _DROPPED
                for target in self.targets:
                    missing = np.asarray(read[target.column].is_null()) & (codes != _DROPPED)
                    for index in np.flatnonzero(missing).tolist():
                        self._drop(rows.file, int(positions[index]), f"no {target.column} (the target is missing)")
                        codes[index] = _DROPPED
                training = pa.array(np.flatnonzero(codes == 0))
                for modality in (*early, *late):
                    modality.partial_fit(read[modality.column].take(training))
                self._store(writer, rows, codes, positions, encode(early, read) if early else {})
                self.codes[part].append(codes)
                self.rows_read += rows.table.num_rows
                self.progress("reading", self.rows_read)

    def _second_pass(self, writer: StoreWriter) -> None:
        late = [modality for modality in self.inputs if not modality.encodes_before_fit]
        modalities = [*late, *self.targets]
        columns = [modality.column for modality in modalities]
        done = 0
        for part, source in self.parts.items():
            for rows, codes in zip(self._chunks(part, columns), self.codes[part], strict=True):
                read = {
                    modality.column: modality.read(rows.table.column(modality.column), source.folder()).values
                    for modality in modalities
                }
                encoded = encode(late, read)
                for target in self.targets:
                    encoded[f"target.{target.column}"] = target.encode_target(read[target.column])
                for code, name in enumerate(SPLITS):
                    chosen = np.flatnonzero(codes == code)
                    if len(chosen):
                        writer.append(name, {key: _take(column, chosen) for key, column in encoded.items()})
                self._count_labels(read, codes)
                done += rows.table.num_rows
                self.progress("encoding", done)

    def _store(
        self,
        writer: StoreWriter,
        rows: Rows,
        codes: npt.NDArray[np.int8],
        positions: npt.NDArray[np.int64],
        encoded: Mapping[str, Any],
    ) -> None:
        self.file_numbers.setdefault(rows.file, len(self.file_numbers))
        about = {
            "row.file": np.full(len(codes), self.file_numbers[rows.file], np.int32),
            "row.position": positions,
            "row.hash": row_hashes(rows.table),
        }
        for code, name in enumerate(SPLITS):
            chosen = np.flatnonzero(codes == code)
            if len(chosen):
                writer.append(name, {key: _take(column, chosen) for key, column in {**about, **encoded}.items()})

    # -- pieces of the passes -----------------------------------------------------------------------------------------

    def _need(self, names: list[str], part: str | None) -> None:
        absent = [modality.column for modality in (*self.inputs, *self.targets) if modality.column not in names]
        if absent:
            where = f"the {part} rows have" if part else "the data has"
            raise DataError(f"{where} no column {', '.join(map(repr, absent))}; columns: {', '.join(names)}")

    def _wanted(self, assigner: Assigner | None) -> list[str]:
        columns = [modality.column for modality in (*self.inputs, *self.targets)]
        return list(dict.fromkeys([*columns, *((assigner.columns or []) if assigner else [])]))

    def _assigner(self, part: str | None) -> Assigner | None:
        """Return what splits a part further: all of an undivided source; validation rows out of given training rows."""
        split = self.data.split
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
            cutoffs = time_cutoffs((rows.table.column(by) for rows in self._chunks(part, [by])), split)
        target = self.targets[0].column if self.targets else None
        return Assigner(split, self.seed, target, cutoffs)

    def _assign(self, part: str | None, assigner: Assigner | None, rows: Rows) -> npt.NDArray[np.int8]:
        if assigner is not None:
            return assigner.assign(rows.table)
        code = 0 if part is None else split_code(part)
        if code is None:
            raise DataError(f"unknown split {part!r}; a source is named train, validation or test")
        return np.full(rows.table.num_rows, code, np.int8)

    def _drop(self, file: str, position: int, reason: str, unreadable: bool = False) -> None:
        kind = reason if len(reason) < 80 else reason[:77] + "…"
        kind = "unreadable value" if unreadable else kind
        self.unreadable += unreadable
        self.dropped[kind] = self.dropped.get(kind, 0) + 1
        self.dropped_rows.append({"file": file, "position": position, "reason": reason})

    def _refuse_unreadable(self) -> None:
        if not self.unreadable or self.data.unreadable == "drop":
            return
        bad = [row for row in self.dropped_rows if not row["reason"].startswith("no ")]
        listed = "\n".join(f"  {row['file']}, record {row['position'] + 1}: {row['reason']}" for row in bad[:_SHOWN])
        more = f"\n  … and {self.unreadable - _SHOWN} more" if self.unreadable > _SHOWN else ""
        raise DataError(
            f"{self.unreadable} of {self.rows_read} rows cannot be read:\n{listed}{more}\n"
            "Mend them, or leave them out with: data.unreadable=drop"
        )

    def _count(self) -> dict[str, int]:
        codes = np.concatenate([np.empty(0, np.int8), *(chunk for chunks in self.codes.values() for chunk in chunks)])
        rows = {name: int((codes == code).sum()) for code, name in enumerate(SPLITS)}
        if rows["train"] == 0:
            raise DataError(
                f"no rows are left to train on: {self.rows_read} read, {sum(self.dropped.values())} left out "
                f"({self.dropped or 'none unreadable'}), {rows['validation']} to validate, {rows['test']} to test"
            )
        return {name: count for name, count in rows.items() if count}

    def _count_labels(self, read: Mapping[str, pa.Array], codes: npt.NDArray[np.int8]) -> None:
        for target in self.targets:
            if not target.labelled:
                continue
            counts = self.label_counts.setdefault(target.column, {})
            for code, split in enumerate(SPLITS):
                chosen = read[target.column].filter(pa.array(codes == code))
                for entry in chosen.value_counts().to_pylist():
                    labels = counts.setdefault(split, {})
                    label = target.show(entry["values"]).text
                    labels[label] = labels.get(label, 0) + entry["counts"]


def _positions(rows: Rows) -> npt.NDArray[np.int64]:
    if rows.positions is not None:
        return np.asarray(rows.positions, np.int64)
    return np.arange(rows.start, rows.start + rows.table.num_rows, dtype=np.int64)


def _take(column: Any, chosen: npt.NDArray[np.int64]) -> Any:
    return column if len(chosen) == len(column) else take(column, chosen)


def _items(choices: Mapping[str, Choice[Any] | None] | None) -> list[tuple[str, Choice[Any] | None]]:
    return list((choices or {}).items())


def _said(choice: Choice[Any] | None) -> Choice[Any]:
    assert choice is not None, "columns are resolved before rows are read"
    return choice
