"""Leads rows of any source through the gate, as preparing data does: read, hash, assign, observe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelyard.core.registry import table
from modelyard.data.fitted import make_modality
from modelyard.data.gate.check import RowIndex
from modelyard.data.gate.examined import DROPPED, Examined, Subject
from modelyard.data.gate.finding import Finding
from modelyard.data.gate.gate import Gate, GateResult
from modelyard.data.inspect import resolve_columns, sample_rows
from modelyard.data.rowhash import column_hashes, joined_hashes, row_hashes
from modelyard.data.sources.open import open_sources
from modelyard.data.split import Assigner, split_code, time_cutoffs
from modelyard.spec.spec import Spec

__all__ = ["Examination", "examine", "found", "subject_of"]


@dataclass
class Examination:
    """A gate and what the caller keeps of every row."""

    gate: Gate
    columns: dict[str, list[Any]] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)

    def keep(self, **arrays: Any) -> None:
        for name, values in arrays.items():
            self.columns.setdefault(name, []).append(values)

    def finish(self) -> GateResult:
        columns = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        return self.gate.finish(RowIndex(**columns, files=list(self.files)))


def subject_of(data: dict[str, Any], seed: int = 0) -> Subject:
    """Return what is examined for a data section; `split.column` is not needed: the split is random when unsaid."""
    spec = Spec.parse({"data": data, "seed": seed})
    parts = open_sources(spec.data.source, spec.data.format, spec.data.options)
    source = parts.get("train") or next(iter(parts.values()))
    inputs, targets, _ = resolve_columns(spec.data, sample_rows(source), None, source.folder())
    split = spec.data.split
    if split.method == "auto":
        split = split.model_copy(update={"method": "random"})
    spec = spec.replace(data=spec.data.model_copy(update={"inputs": inputs, "targets": targets, "split": split}))
    return Subject(
        spec,
        parts,
        [make_modality(choice, column, "input") for column, choice in inputs.items()],
        [make_modality(choice, column, "target") for column, choice in targets.items()],
    )


def examine(
    data: dict[str, Any], chunk: int = 65536, interrupt: int | None = None, only: tuple[str, ...] | None = None
) -> GateResult:
    """Examine a data section.

    Args:
        data: As in a spec.
        chunk: Rows at a time.
        interrupt: After how many chunks to go on with another gate that takes up the state of the first.
        only: Names of the checks to run; all by default.
    """
    subject = subject_of(data)
    run = Examination(gate_of(subject, only))
    number = done = 0
    for part, source in subject.parts.items():
        split = subject.spec.data.split
        cutoffs = None
        if split.method == "time":
            cutoffs = time_cutoffs((rows.table.column(split.by) for rows in source.read([split.by])), split)
        assigner = Assigner(split, subject.spec.seed, cutoffs=cutoffs) if part is None else None
        for rows in source.read(chunk=chunk):
            done += 1
            if interrupt is not None and done == interrupt:
                state = run.gate.state()
                run.gate = gate_of(subject_of(data), only)
                run.gate.restore(state)
            count = rows.table.num_rows
            codes = assigner.assign(rows.table) if assigner else np.full(count, split_code(part or "train"), np.int8)
            positions = (
                np.arange(rows.start, rows.start + count) if rows.positions is None else np.array(rows.positions)
            )
            for position, reason in rows.unreadable.items():
                run.gate.left_out(rows.file, position, reason, "unreadable", ())
            readings = {m.column: m.read(rows.table.column(m.column), source.folder()) for m in subject.modalities}
            for column, reading in readings.items():
                for at, reason in reading.problems.items():
                    if codes[at] != DROPPED:
                        codes[at] = DROPPED
                        run.gate.left_out(rows.file, int(positions[at]), f"{column}: {reason}", "unreadable", (column,))
            for target in subject.targets:
                missing = np.asarray(readings[target.column].values.is_null()) & (codes != DROPPED)
                for at in np.flatnonzero(missing):
                    codes[at] = DROPPED
                    run.gate.left_out(rows.file, int(positions[at]), "no target", "missing_target", (target.column,))
            read = {column: reading.values for column, reading in readings.items()}
            notes = {column: reading.notes for column, reading in readings.items() if reading.notes}
            hashes = row_hashes(rows.table)
            run.gate.observe(Examined(rows, number, codes, positions, hashes, read, notes))
            run.files.setdefault(rows.file, len(run.files))
            run.keep(
                hashes=hashes,
                input_hashes=_joined(subject.inputs, rows.table, read, count),
                target_hashes=_joined(subject.targets, rows.table, read, count),
                codes=codes,
                file=np.full(count, run.files[rows.file], np.int32),
                position=positions.astype(np.int64),
            )
            number += count
    return run.finish()


def gate_of(subject: Subject, only: tuple[str, ...] | None) -> Gate:
    gate = Gate(subject)
    if only is not None:
        gate._checks = [check for check in gate._checks if check.name in only]
    return gate


def _joined(modalities: Any, rows: Any, read: Any, count: int) -> Any:
    parts = []
    for modality in modalities:
        values = read[modality.column] if modality.row_bytes() else rows.column(modality.column)
        parts.append(column_hashes(modality.column, values))
    return joined_hashes(parts, count)


def found(result: GateResult, check: str) -> list[Finding]:
    """Return a check's findings."""
    assert check in table("check"), check
    return [finding for finding in result.findings if finding.check == check]
