"""`evaluate`: a bundle on rows whose answers are known."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.bundle.predictor import Predictor, load
from modelyard.core.errors import BundleError, DataError
from modelyard.core.files import read_json
from modelyard.data.modalities.base import Modality
from modelyard.evaluate.assess import assess
from modelyard.evaluate.baseline import Baseline, rows_with_targets
from modelyard.evaluate.mistakes import find_mistakes
from modelyard.evaluate.records import Evaluation

__all__ = ["evaluate"]


def evaluate(
    bundle: str | Path | Predictor, data: Any, format: str | None = None, mistakes: int | None = None
) -> Evaluation:
    """Measure a bundle on other rows than those it was trained with.

    Args:
        bundle: The bundle's folder, a finished run's, or a loaded predictor.
        data: Rows with their targets: a file, glob or folder, or a table from Python.
        format: Name of the source's format, when the location's ending does not tell.
        mistakes: How many of the worst mistakes to keep; as many as the spec says when None.

    Raises:
        BundleError: The bundle is incomplete or altered.
        DataError: The rows lack a target column, or no row can be used.
    """
    started = time.monotonic()
    predictor = bundle if isinstance(bundle, Predictor) else load(bundle)
    contents = predictor.contents
    location = str(data) if isinstance(data, Path) else data
    sources = predictor.open(location, format)
    _need_targets(sources, contents.fitted.targets)
    outputs, places, encoded = [], [], []
    notes: dict[str, int] = {}
    unseen: dict[str, int] = {}
    for chunk, answers in predictor.predict_chunks(location, format=format):
        read = {target.column: target.read(chunk.table.column(target.column)) for target in contents.fitted.targets}
        targets = contents.fitted.encode_targets({column: reading.values for column, reading in read.items()})
        for column, reading in read.items():
            unknown = int((~rows_with_targets({column: targets[column]})).sum()) - reading.values.null_count
            if unknown > 0:
                unseen[column] = unseen.get(column, 0) + unknown
        for note, count in answers.notes.items():
            notes[note] = notes.get(note, 0) + count
        positions = chunk.positions if chunk.positions is not None else range(chunk.start, chunk.start + len(answers))
        places += [(chunk.file, int(position)) for position in positions]
        outputs.append(answers.output)
        encoded.append(targets)
    if not outputs:
        raise DataError("no rows to evaluate: the data is empty")
    output = np.concatenate(outputs)
    targets = {column: np.concatenate([part[column] for part in encoded]) for column in encoded[0]}
    usable = rows_with_targets(targets) & ~np.isnan(output).any(axis=1)
    said = [f"{note}: {count} rows" for note, count in notes.items()]
    said += [
        f"{count} rows have a {column} that was not seen in training: not measured" for column, count in unseen.items()
    ]
    settings = contents.spec.evaluate
    kept = {column: values[usable] for column, values in targets.items()}
    evaluation = assess(
        contents.task,
        output[usable],
        kept,
        _baseline(bundle),
        split=location if isinstance(location, str) else "rows given from Python",
        seed=contents.spec.seed,
        resamples=settings.resamples,
        confidence=settings.confidence,
        rows_without_target=int((~usable).sum()),
        notes=said,
    )
    outcome = contents.task.outcome(output[usable], kept)
    worst = find_mistakes(
        contents.task,
        outcome,
        [place for place, use in zip(places, usable, strict=True) if use],
        sources,
        contents.fitted,
        settings.mistakes if mistakes is None else mistakes,
    )
    return replace(evaluation, mistakes=worst, seconds=time.monotonic() - started)


def _need_targets(sources: list[Any], targets: tuple[Modality, ...]) -> None:
    for source in sources:
        names = source.schema().names
        absent = [target.column for target in targets if target.column not in names]
        if absent:
            raise DataError(
                f"the rows have no column {', '.join(map(repr, absent))}, and without the true answers nothing can be "
                f"measured; columns: {', '.join(names)}. To get answers instead: modelyard predict"
            )


def _baseline(bundle: str | Path | Predictor) -> Baseline | None:
    """Return the trivial answer fitted on the training split, as the bundle keeps it."""
    if isinstance(bundle, Predictor):
        return None
    path = Path(bundle)
    path = path if (path / "manifest.json").exists() else path / "bundle"
    try:
        return Baseline(**read_json(path / "evidence" / "baseline.json"))
    except (DataError, TypeError) as error:
        raise BundleError(f"{path}/evidence/baseline.json cannot be read: {error}") from error
