"""A loaded bundle: raw rows in, answers out, through the same code that trained it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from modelyard.bundle.contents import Contents, read_contents
from modelyard.core.device import pick_device
from modelyard.core.errors import DataError, UsageError
from modelyard.core.optional import require
from modelyard.data.batch import Batch
from modelyard.data.modalities.base import Modality, Reading
from modelyard.data.sources.base import Rows, Source
from modelyard.data.sources.open import open_sources
from modelyard.data.store import take

__all__ = ["Predictions", "Predictor", "load"]


@dataclass(frozen=True)
class Predictions(Sequence[dict[str, Any]]):
    """Answers, in the order of the rows. A sequence of dicts; also a table."""

    columns: dict[str, list[Any]]
    """Answer column → one plain value a row; None in a row that could not be read."""
    output: npt.NDArray[np.float32]
    """What the answers are decoded from, float32 (rows, A), for most tasks the model's raw outputs; NaN in a row that
    could not be read."""
    problems: dict[int, str]
    """Row → why it has no answer."""
    notes: dict[str, int]
    """What was unusual about the rows, counted: absent columns, unreadable rows, and each kind of remark by column."""
    remarks: dict[int, list[str]] = field(default_factory=dict)
    """Row → what was unusual about what it was answered from: absent columns, missing values, categories that training
    did not hold, texts that were cut. A row with a problem has none."""

    def __len__(self) -> int:
        return len(self.output)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        row = {name: values[index] for name, values in self.columns.items()}
        position = index % len(self)
        if position in self.remarks:
            row["remarks"] = list(self.remarks[position])
        if position in self.problems:
            row["problem"] = self.problems[position]
        return row

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def to_arrow(self) -> pa.Table:
        """Return the answers as an Arrow table; nested answers (all probabilities) stay nested lists or structs."""
        columns = dict(self.columns)
        if self.remarks:
            columns["remarks"] = [self.remarks.get(index) for index in range(len(self))]
        if self.problems:
            columns["problem"] = [self.problems.get(index) for index in range(len(self))]
        return pa.table({name: pa.array(values) for name, values in columns.items()})

    def to_pandas(self) -> Any:
        """Return the answers as a pandas table.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        require("pandas", "pandas")
        return self.to_arrow().to_pandas()


class Predictor:
    """A model that is ready to answer.

    `network` is an ordinary `torch.nn.Module`; `spec` the resolved spec; `calibrated` whether the probabilities of
    answers are calibrated by the bundle's temperature. Answers and raw outputs are the same with and without.

    Raises:
        UsageError: Calibrated probabilities are asked for, and the bundle has no temperature.
    """

    def __init__(self, contents: Contents, device: str = "cpu", calibrated: bool = False) -> None:
        if calibrated and contents.task.temperature is None:
            reason = (
                "no temperature was fitted when it was trained (it needs evaluate.calibrate, and validation rows that "
                "are not all answered rightly)"
                if contents.task.calibrates
                else f"a {contents.task.name} has no probabilities that could be calibrated"
            )
            raise UsageError(f"this bundle cannot give calibrated probabilities: {reason}; ask for plain ones")
        self.contents = contents
        self.calibrated = calibrated
        self.device = pick_device(device)
        self.network = contents.model.to(self.device).eval()
        self.spec = contents.spec

    @property
    def inputs(self) -> list[str]:
        """Columns a row should have."""
        return [modality.column for modality in self.contents.fitted.inputs]

    @property
    def targets(self) -> list[str]:
        """Columns an answer has."""
        return [modality.column for modality in self.contents.fitted.targets]

    def predict(self, rows: Any, batch_size: int = 512, format: str | None = None) -> Predictions:
        """Answer raw rows.

        Args:
            rows: A list of dicts or one dict, a pandas or Arrow table, a dict of columns, or the location of a file,
                glob or folder.
            batch_size: Rows per pass through the model.
            format: Name of the source's format, when `rows` is a location whose ending does not tell.

        Raises:
            DataError: There are no rows, or none of the model's columns is in them.
        """
        parts = list(self.predict_chunks(rows, batch_size, format))
        if not parts:
            raise DataError("no rows to predict: the input is empty")
        return _join([part for _, part in parts])

    def predict_chunks(
        self, rows: Any, batch_size: int = 512, format: str | None = None, measured: bool = False
    ) -> Iterator[tuple[Rows, Predictions]]:
        """Answer raw rows a chunk at a time, in bounded memory: pairs of the raw rows and their answers.

        With `measured`, for tasks that learn from inputs alone, the rows are not answered: outputs are their errors
        (`tasks.from_inputs`), and there are no answer columns.
        """
        location = [rows] if isinstance(rows, dict) and not self._is_columns(rows) else rows
        for source in self.open(location, format):
            names = source.schema().names
            absent = [column for column in self.inputs if column not in names]
            if len(absent) == len(self.inputs):
                raise DataError(
                    f"the rows have none of the model's columns ({', '.join(self.inputs)}); they have: "
                    f"{', '.join(names) or 'none'}"
                )
            for chunk in source.read(chunk=max(batch_size, 4096)):
                yield chunk, self._answer(chunk, absent, source.folder(), batch_size, measured)

    def open(self, location: Any, format: str | None = None) -> list[Source]:
        """Open rows, with the options the training data was read with when they come in the same format; sources that
        are open already are taken as they are."""
        if isinstance(location, list) and location and all(isinstance(part, Source) for part in location):
            return location
        location = str(location) if isinstance(location, Path) else location
        sources = list(open_sources(location, format, {}).values())
        data = self.spec.data
        if data.options and all(source.name == data.format for source in sources):
            sources = list(open_sources(location, format, data.options).values())
        return sources

    def _is_columns(self, rows: dict[str, Any]) -> bool:
        """Whether a dict holds whole columns, rather than one row whose cells may be lists themselves."""
        if not all(isinstance(value, list | np.ndarray) and len(value) for value in rows.values()):
            return False
        sets = [modality.column for modality in self.contents.fitted.inputs if modality.name == "labels"]
        return all(not isinstance(rows[column][0], str) for column in sets if column in rows)

    def _answer(self, chunk: Rows, absent: list[str], folder: str, batch_size: int, measured: bool) -> Predictions:
        fitted, count = self.contents.fitted, chunk.table.num_rows
        readings: dict[str, Reading] = {}
        problems: dict[int, str] = {}
        for modality in fitted.inputs:
            raw = pa.nulls(count) if modality.column in absent else chunk.table.column(modality.column)
            readings[modality.column] = modality.read(raw, folder)
            for row, reason in readings[modality.column].problems.items():
                problems.setdefault(row, f"{modality.column}: {reason}")
        remarks, notes = self._remark(readings, absent, count, problems)
        if problems:
            notes["unreadable"] = len(problems)
        good = np.array([row for row in range(count) if row not in problems], np.int64)
        task = self.contents.task
        size = 2 * len(task.parts) if measured else task.answer_size
        output = np.full((count, size), np.nan, np.float32)
        if len(good):
            readable = {name: reading.values.take(pa.array(good)) for name, reading in readings.items()}
            output[good] = self.run(fitted.encode_inputs(readable), len(good), batch_size, measured)
        if measured:
            return Predictions({}, output, problems, notes, remarks)
        answers: dict[str, list[Any]] = {}
        decode = task.decode_calibrated if self.calibrated else task.decode
        for name, column in decode(output[good]).items():
            answers[name] = [None] * count
            for row, answer in zip(good, column, strict=True):
                answers[name][row] = answer
        return Predictions(answers, output, problems, notes, remarks)

    def _remark(
        self, readings: dict[str, Reading], absent: list[str], count: int, problems: dict[int, str]
    ) -> tuple[dict[int, list[str]], dict[str, int]]:
        """Return remarks by row, and how many rows have each kind of them."""
        remarks: dict[int, list[str]] = {}
        notes: dict[str, int] = {}
        if absent:
            listed = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
            note = f"columns that are absent, taken as missing: {listed}"
            notes[note] = count
            remarks = {row: [note] for row in range(count) if row not in problems}
        for modality in self.contents.fitted.inputs:
            if modality.column in absent:
                continue
            for row, remark in _unusual(modality, readings[modality.column]):
                if row not in problems:
                    remarks.setdefault(row, []).append(f"{modality.column}: {remark}")
                    kind = f"{modality.column}: {remark.partition(':')[0]}"
                    notes[kind] = notes.get(kind, 0) + 1
        return remarks, notes

    def run(self, columns: Any, rows: int, batch_size: int = 512, measured: bool = False) -> npt.NDArray[np.float32]:
        """Run the model over encoded columns and return what answers are decoded from, float32 (rows, A); or, with
        `measured`, the errors of a task that learns from inputs alone."""
        outputs, task = [], self.contents.task
        with torch.inference_mode():
            for start in range(0, rows, batch_size):
                chosen = np.arange(start, min(start + batch_size, rows))
                tensors = self.contents.fitted.collate({name: take(c, chosen) for name, c in columns.items()}, None)
                moved = {name: tensor.to(self.device) for name, tensor in tensors.items()}
                if measured:
                    found = task.forward(self.network, Batch(moved, {}, chosen))["output"]
                else:
                    found = task.answer(self.network, moved)
                outputs.append(found.float().cpu())
        return torch.cat(outputs).numpy()


def load(bundle: str | Path, device: str = "cpu", check: bool = True, calibrated: bool = False) -> Predictor:
    """Load a bundle.

    Args:
        bundle: The bundle's folder, or a finished run's.
        device: Where to run it.
        check: Whether to recompute all digests first.
        calibrated: Whether probabilities are calibrated by the temperature that was fitted after training. The answers
            stay the same.

    Raises:
        BundleError: The bundle is incomplete, altered or of an unknown format.
        UsageError: Calibrated probabilities are asked for, and the bundle has no temperature.
    """
    path = Path(bundle)
    if not (path / "manifest.json").exists() and (path / "bundle" / "manifest.json").exists():
        path = path / "bundle"
    contents, _ = read_contents(path, check)
    return Predictor(contents, device, calibrated)


def _unusual(modality: Modality, reading: Reading) -> Iterator[tuple[int, str]]:
    """Yield rows, with what was unusual about their value: missing, as its reading says, as its modality says."""
    for row in np.flatnonzero(reading.values.is_null().to_numpy(zero_copy_only=False)).tolist():
        yield row, "missing"
    yield from reading.notes.items()
    yield from modality.remarks(reading.values).items()


def _join(parts: list[Predictions]) -> Predictions:
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, list[Any]] = {name: [] for name in parts[0].columns}
    problems: dict[int, str] = {}
    remarks: dict[int, list[str]] = {}
    notes: dict[str, int] = {}
    start = 0
    for part in parts:
        for name, values in part.columns.items():
            columns[name].extend(values)
        problems.update({row + start: reason for row, reason in part.problems.items()})
        remarks.update({row + start: found for row, found in part.remarks.items()})
        for note, count in part.notes.items():
            notes[note] = notes.get(note, 0) + count
        start += len(part)
    return Predictions(columns, np.concatenate([part.output for part in parts]), problems, notes, remarks)
