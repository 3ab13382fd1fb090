"""Judging a trained model: the options fitted on validation rows, then every measure on the rows held out."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from modelyard.bundle.contents import Contents
from modelyard.core.events import EventLog
from modelyard.data.loader import Loader
from modelyard.data.lookup import Places
from modelyard.data.prepare import Prepared, locate, row_places
from modelyard.evaluate.assess import assess
from modelyard.evaluate.baseline import Baseline, rows_with_targets
from modelyard.evaluate.calibration import fit_temperature
from modelyard.evaluate.closer import look_closer
from modelyard.evaluate.mistakes import find_mistakes
from modelyard.evaluate.outputs import collect
from modelyard.evaluate.records import Evaluation
from modelyard.evaluate.thresholds import choose_threshold, with_threshold
from modelyard.models.base import Family
from modelyard.spec.spec import Spec
from modelyard.tasks.base import Task

__all__ = ["judge"]


@dataclass(frozen=True)
class _Answered:
    """What the model said of the rows of a split that have a target."""

    split: str
    output: npt.NDArray[np.float32]
    targets: dict[str, npt.NDArray[Any]]
    places: Places
    without_target: int
    seconds: float


def judge(
    spec: Spec,
    prepared: Prepared,
    task: Task,
    model: Family,
    baseline: Baseline,
    device: torch.device,
    log: EventLog,
) -> tuple[Contents, list[Evaluation]]:
    """Fit temperature and threshold on the validation rows where the spec wants them, and measure each held-out split.

    Args:
        spec: The resolved spec.
        prepared: Its data.
        task: Gets the temperature and the threshold.
        model: The trained model.
        baseline: The trivial answer, fitted on the training rows.
        device: Where the model runs.
        log: Told how far it is.

    Returns:
        What the bundle holds, with the chosen threshold in the spec; and an evaluation of each of validation and test
        that there is. The last of them, which judges, has slices, groups, corrupted inputs and suspects as well.

    Raises:
        SpecError: The threshold that was asked for cannot be reached.
    """
    settings = spec.evaluate
    answered = {
        split: _answer(spec, prepared, task, model, split, device)
        for split in ("validation", "test")
        if split in prepared.splits
    }
    chosen = answered.get("validation")
    if chosen is not None and settings.calibrate:
        task.temperature = fit_temperature(task, chosen.output, chosen.targets)
    if chosen is not None and settings.threshold is not None:
        value = choose_threshold(task, chosen.output, chosen.targets, settings.threshold)
        spec = with_threshold(spec, task, value)
    contents = Contents(spec, prepared.fitted, task, model)
    evaluations = []
    for split, found in answered.items():
        log("progress", doing=f"measuring {split}", rows=len(found.output))
        last = split == list(answered)[-1]
        evaluations.append(_measure(contents, found, baseline, device, closely=last))
    return contents, evaluations


def _answer(spec: Spec, prepared: Prepared, task: Task, model: Family, split: str, device: torch.device) -> _Answered:
    started = time.monotonic()
    loader = Loader(prepared.splits[split], prepared.fitted, spec.train.evaluation_batch_size, spec.seed, False)
    collected = collect(task, model, loader, device)
    output, targets, ids = collected.output(), collected.targets(), collected.ids()
    present = rows_with_targets(targets, len(output))
    return _Answered(
        split,
        output[present],
        {name: values[present] for name, values in targets.items()},
        row_places(prepared, split, ids[present]),
        int((~present).sum()),
        time.monotonic() - started,
    )


def _measure(
    contents: Contents, found: _Answered, baseline: Baseline, device: torch.device, closely: bool
) -> Evaluation:
    started = time.monotonic()
    spec, task = contents.spec, contents.task
    evaluation = assess(
        task,
        found.output,
        found.targets,
        baseline,
        split=found.split,
        seed=spec.seed,
        resamples=spec.evaluate.resamples,
        confidence=spec.evaluate.confidence,
        rows_without_target=found.without_target,
        threshold=spec.evaluate.threshold,
    )
    sources = list(locate(spec.data)[0].values())
    outcome = task.outcome(found.output, found.targets)
    mistakes = find_mistakes(task, outcome, found.places, sources, contents.fitted, spec.evaluate.mistakes)
    evaluation = replace(evaluation, mistakes=mistakes)
    if closely:
        evaluation = look_closer(
            evaluation, contents, found.output, found.targets, found.places, sources, device=str(device)
        )
    return replace(evaluation, seconds=found.seconds + time.monotonic() - started)
