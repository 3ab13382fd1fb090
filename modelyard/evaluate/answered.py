"""A bundle's outputs for rows whose answers are known: streamed, with nothing kept but outputs, targets and places.

Legend: n rows, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.bundle.predictor import Predictor
from modelyard.core.errors import DataError
from modelyard.data.lookup import Places
from modelyard.data.modalities.base import Modality
from modelyard.data.sources.base import Source
from modelyard.evaluate.baseline import rows_with_targets
from modelyard.tasks.base import Outcome, Task

__all__ = ["Answered", "answer_rows"]


@dataclass(frozen=True)
class Answered:
    """What a bundle makes of rows."""

    name: str
    """The rows' location, as a person gave it."""
    task: Task
    output: npt.NDArray[np.float32]
    """(n, O), of a task that learns from inputs alone its errors; NaN in a row that could not be read."""
    targets: Mapping[str, npt.NDArray[Any]]
    """Encoded, by column, (n, …)."""
    usable: npt.NDArray[np.bool_]
    """Rows with an output and all their targets, (n,)."""
    places: Places
    sources: list[Source]
    """Where the rows can be read again."""
    notes: list[str]

    def kept(self, rows: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[Any]]:
        """Return the targets of some rows."""
        return {column: values[rows] for column, values in self.targets.items()}

    def outcome(self, rows: npt.NDArray[np.bool_]) -> Outcome:
        """Return what the metrics take of some usable rows."""
        return self.task.outcome(self.output[rows], self.kept(rows))


def answer_rows(predictor: Predictor, data: Any, format: str | None = None) -> Answered:
    """Run a bundle over rows with known answers.

    Args:
        predictor: The loaded bundle.
        data: A file, glob or folder, or a table from Python.
        format: Name of the source's format, when the location's ending does not tell.

    Raises:
        DataError: There is no row, or a target column is absent.
    """
    location = str(data) if isinstance(data, Path) else data
    sources = predictor.open(location, format)
    fitted = predictor.contents.fitted
    _need_targets(sources, fitted.targets)
    outputs, chunks, encoded = [], [], []
    notes: dict[str, int] = {}
    unseen: dict[str, int] = {}
    is_measured = predictor.contents.task.from_inputs
    for chunk, answers in predictor.predict_chunks(location, format=format, measured=is_measured):
        read = {target.column: target.read(chunk.table.column(target.column)) for target in fitted.targets}
        targets = fitted.encode_targets({column: reading.values for column, reading in read.items()})
        for column, reading in read.items():
            unknown = int((~rows_with_targets({column: targets[column]})).sum()) - reading.values.null_count
            if unknown > 0:
                unseen[column] = unseen.get(column, 0) + unknown
        for note, count in answers.notes.items():
            notes[note] = notes.get(note, 0) + count
        chunks.append(Places.joined([chunk]))
        outputs.append(answers.output)
        encoded.append(targets)
    if not outputs:
        raise DataError("no rows to evaluate: the data is empty")
    output = np.concatenate(outputs)
    targets = {column: np.concatenate([part[column] for part in encoded]) for column in encoded[0]}
    said = [f"{note}: {count} rows" for note, count in notes.items()]
    said += [
        f"{count} rows have a {column} that was not seen in training: not measured" for column, count in unseen.items()
    ]
    return Answered(
        name=_name(location),
        task=predictor.contents.task,
        output=output,
        targets=targets,
        usable=rows_with_targets(targets, len(output)) & ~np.isnan(output).any(axis=1),
        places=Places.concatenated(chunks),
        sources=sources,
        notes=said,
    )


def _name(location: Any) -> str:
    if isinstance(location, list) and all(isinstance(part, Source) for part in location):
        return ", ".join(dict.fromkeys(str(part.location) for part in location))
    return location if isinstance(location, str) else "rows given from Python"


def _need_targets(sources: list[Source], targets: tuple[Modality, ...]) -> None:
    for source in sources:
        names = source.schema().names
        absent = [target.column for target in targets if target.column not in names]
        if absent:
            raise DataError(
                f"the rows have no column {', '.join(map(repr, absent))}, and without the true answers nothing can be "
                f"measured; columns: {', '.join(names)}. To get answers instead: modelyard predict"
            )
