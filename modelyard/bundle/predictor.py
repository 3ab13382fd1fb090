"""A loaded bundle: raw rows in, answers out, through the same code that trained it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from modelyard.bundle.contents import Contents, read_contents
from modelyard.core.device import pick_device
from modelyard.core.errors import DataError
from modelyard.core.optional import require
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
    """The model's raw outputs, float32 (rows, O); NaN in a row that could not be read."""
    problems: dict[int, str]
    """Row → why it has no answer."""
    notes: dict[str, int]
    """What was unusual about the rows, counted: absent columns, unreadable rows."""

    def __len__(self) -> int:
        return len(self.output)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        row = {name: values[index] for name, values in self.columns.items()}
        position = index % len(self)
        return {**row, "problem": self.problems[position]} if position in self.problems else row

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def to_arrow(self) -> pa.Table:
        """Return the answers as an Arrow table; nested answers (all probabilities) stay nested lists or structs."""
        columns = dict(self.columns)
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

    `network` is an ordinary `torch.nn.Module`; `spec` the resolved spec; `labels` the names of the answers.
    """

    def __init__(self, contents: Contents, device: str = "cpu") -> None:
        self.contents = contents
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
        self, rows: Any, batch_size: int = 512, format: str | None = None
    ) -> Iterator[tuple[Rows, Predictions]]:
        """Answer raw rows a chunk at a time, in bounded memory: pairs of the raw rows and their answers."""
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
                yield chunk, self._answer(chunk, absent, source.folder(), batch_size)

    def open(self, location: Any, format: str | None = None) -> list[Source]:
        """Open rows, with the options the training data was read with when they come in the same format."""
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

    def _answer(self, chunk: Rows, absent: list[str], folder: str, batch_size: int) -> Predictions:
        fitted, count = self.contents.fitted, chunk.table.num_rows
        values: dict[str, pa.Array] = {}
        problems: dict[int, str] = {}
        for modality in fitted.inputs:
            raw = pa.nulls(count) if modality.column in absent else chunk.table.column(modality.column)
            reading = modality.read(raw, folder)
            values[modality.column] = reading.values
            for row, reason in reading.problems.items():
                problems.setdefault(row, f"{modality.column}: {reason}")
        notes: dict[str, int] = {}
        if absent:
            listed = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
            notes[f"columns that are absent, taken as missing: {listed}"] = count
        if problems:
            notes["unreadable"] = len(problems)
        good = np.array([row for row in range(count) if row not in problems], np.int64)
        size = self.contents.task.output_size
        output = np.full((count, size), np.nan, np.float32)
        if len(good):
            readable = {name: array.take(pa.array(good)) for name, array in values.items()}
            output[good] = self.run(fitted.encode_inputs(readable), len(good), batch_size)
        answers: dict[str, list[Any]] = {}
        for name, column in self.contents.task.decode(output[good]).items():
            answers[name] = [None] * count
            for row, answer in zip(good, column, strict=True):
                answers[name][row] = answer
        return Predictions(answers, output, problems, notes)

    def run(self, columns: Any, rows: int, batch_size: int = 512) -> npt.NDArray[np.float32]:
        """Run the model over encoded columns and return its raw outputs, float32 (rows, O)."""
        outputs = []
        with torch.inference_mode():
            for start in range(0, rows, batch_size):
                chosen = np.arange(start, min(start + batch_size, rows))
                tensors = self.contents.fitted.collate({name: take(c, chosen) for name, c in columns.items()}, None)
                moved = {name: tensor.to(self.device) for name, tensor in tensors.items()}
                outputs.append(self.network(moved).float().cpu())
        return torch.cat(outputs).numpy()


def load(bundle: str | Path, device: str = "cpu", check: bool = True) -> Predictor:
    """Load a bundle.

    Args:
        bundle: The bundle's folder, or a finished run's.
        device: Where to run it.
        check: Whether to recompute all digests first.

    Raises:
        BundleError: The bundle is incomplete, altered or of an unknown format.
    """
    path = Path(bundle)
    if not (path / "manifest.json").exists() and (path / "bundle" / "manifest.json").exists():
        path = path / "bundle"
    contents, _ = read_contents(path, check)
    return Predictor(contents, device)


def _join(parts: list[Predictions]) -> Predictions:
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, list[Any]] = {name: [] for name in parts[0].columns}
    problems: dict[int, str] = {}
    notes: dict[str, int] = {}
    start = 0
    for part in parts:
        for name, values in part.columns.items():
            columns[name].extend(values)
        problems.update({row + start: reason for row, reason in part.problems.items()})
        for note, count in part.notes.items():
            notes[note] = notes.get(note, 0) + count
        start += len(part)
    return Predictions(columns, np.concatenate([part.output for part in parts]), problems, notes)
