"""`evaluate`: a bundle on rows whose answers are known."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelyard.bundle.predictor import Predictor, load
from modelyard.core.errors import BundleError, DataError
from modelyard.core.files import read_json
from modelyard.evaluate.answered import answer_rows
from modelyard.evaluate.assess import assess
from modelyard.evaluate.baseline import Baseline
from modelyard.evaluate.closer import look_closer
from modelyard.evaluate.mistakes import find_mistakes
from modelyard.evaluate.records import Evaluation

__all__ = ["evaluate"]


def evaluate(
    bundle: str | Path | Predictor, data: Any, format: str | None = None, mistakes: int | None = None
) -> Evaluation:
    """Measure a bundle on other rows than those it was trained with, in bounded memory.

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
    contents, settings = predictor.contents, predictor.spec.evaluate
    answered = answer_rows(predictor, data, format)
    output, targets = answered.output[answered.usable], answered.kept(answered.usable)
    evaluation = assess(
        contents.task,
        output,
        targets,
        _baseline(bundle),
        split=answered.name,
        seed=contents.spec.seed,
        resamples=settings.resamples,
        confidence=settings.confidence,
        rows_without_target=int((~answered.usable).sum()),
        notes=answered.notes,
        threshold=settings.threshold,
    )
    places = answered.places.take(answered.usable)
    evaluation = look_closer(
        evaluation, contents, output, targets, places, answered.sources, device=str(predictor.device)
    )
    worst = find_mistakes(
        contents.task,
        contents.task.outcome(output, targets),
        places,
        answered.sources,
        contents.fitted,
        settings.mistakes if mistakes is None else mistakes,
    )
    return replace(evaluation, mistakes=worst, seconds=time.monotonic() - started)


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
