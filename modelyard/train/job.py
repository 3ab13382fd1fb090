"""A training that is ready to begin: everything a spec leaves open decided, by rule or by measurement, each with its
reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from modelyard.bundle.contents import make_task
from modelyard.core.events import EventLog
from modelyard.data.kinds import Input
from modelyard.data.prepare import Prepared
from modelyard.models.base import Family
from modelyard.models.build import settle
from modelyard.spec.settings import Choice
from modelyard.spec.spec import Spec, TrainSpec
from modelyard.tasks.base import Task
from modelyard.tasks.model import build_model
from modelyard.train.arithmetic import choose_arithmetic
from modelyard.train.find_rate import find_rate
from modelyard.train.folder import Resolved
from modelyard.train.memory.fitting import find_micro_batch
from modelyard.train.memory.settings import lean_model
from modelyard.train.memory.trial import standing_bytes, trial_step
from modelyard.train.portions import assign_folds, find_units
from modelyard.train.pretrained import Loaded, Parent, load_pretrained
from modelyard.train.records import RateSearch
from modelyard.train.resolve import check_metrics, choose_family, choose_task, choose_training
from modelyard.train.side_by_side import can_be_divided
from modelyard.train.start import set_up, start
from modelyard.train.state import State
from modelyard.train.step import Setup

__all__ = ["Job", "make_job"]


@dataclass(frozen=True)
class Job:
    """What a training is carried out with."""

    spec: Spec
    """Nothing left open."""
    prepared: Prepared
    task: Task
    setup: Setup
    reasons: Mapping[str, str]
    """Setting → why it was chosen."""
    search: RateSearch | None
    loaded: Loaded | None
    """What was taken from a pretrained bundle."""
    new_model: Callable[[], Family]
    """Makes the model before its first step; always the same."""

    def begin(self) -> State:
        """Return the state before the first step."""
        return start(self.spec, self.setup, self.new_model())

    def resolved(self) -> Resolved:
        """Return what a run keeps to go on with."""
        return Resolved(self.spec, dict(self.reasons), self.search, self.prepared.record.fingerprint)


def make_job(spec: Spec, prepared: Prepared, parent: Parent | None, resolved: Resolved | None, log: EventLog) -> Job:
    """Decide what is open, and set torch's number of threads to what was decided.

    Args:
        spec: What is asked for.
        prepared: Its data.
        parent: The bundle that the weights begin from, when the spec names one.
        resolved: What was decided before an interruption, which then stands.
        log: Told of measurements that take time.

    Raises:
        SpecError: The spec does not fit the data, the task or itself.
    """
    reasons: dict[str, str] = {} if resolved is None else resolved.reasons
    spec = spec.replace(data=prepared.data)
    if resolved is not None:
        kept = resolved.spec
        spec = spec.replace(task=kept.task, model=kept.model, train=kept.train)
    spec = spec.replace(task=choose_task(spec, prepared.data.targets or {}, reasons))
    task = make_task(spec, prepared.fitted)
    check_metrics(spec, task, prepared)
    if spec.evaluate.cross_validate is not None:
        assign_folds(find_units(spec, prepared), spec.evaluate.cross_validate)  # too few groups are said now
    inputs = prepared.fitted.describe()
    family = settle(choose_family(spec, inputs, len(prepared.splits["train"]), reasons), inputs)
    spec = spec.replace(model=family, train=choose_training(spec.train, family.name, reasons))
    setup = set_up(spec, prepared.splits, prepared.fitted, task, prepared.record.files)
    task.prepare(setup.train.targets())
    loaded = None
    if parent is not None:
        loaded = load_pretrained(build_model(task, family, inputs, spec.seed), prepared.fitted, task, parent)

    def new_model(settings: TrainSpec) -> Family:
        model = build_model(task, family, inputs, spec.seed)
        if parent is not None:
            load_pretrained(model, prepared.fitted, task, parent)
        lean_model(settings, model)
        return model.to(setup.device)

    changes: dict[str, Any] = {}
    if resolved is None:
        changes |= _fit_in_memory(spec, setup, new_model, reasons)
        setup = _changed(setup, changes)
        changes |= _measure_arithmetic(spec, setup, new_model, family, inputs, reasons)
        setup = _changed(setup, changes)
    if setup.settings.threads is not None:
        torch.set_num_threads(setup.settings.threads)
    search = None if resolved is None else resolved.search
    if spec.train.learning_rate == "find":
        log("finding_rate")
        search = find_rate(setup, new_model(setup.settings))
        reasons["train.learning_rate"] = "the steepest fall of the loss in the range test"
        changes["learning_rate"] = search.suggestion
        setup = _changed(setup, changes)
    spec = spec.replace(train=setup.settings)
    return Job(spec, prepared, task, setup, reasons, search, loaded, partial(new_model, setup.settings))


def _changed(setup: Setup, changes: Mapping[str, Any]) -> Setup:
    settings = setup.settings.model_copy(update=dict(changes))
    return replace(setup, settings=settings, precision=settings.precision)


def _fit_in_memory(
    spec: Spec, setup: Setup, new_model: Callable[[TrainSpec], Family], reasons: dict[str, str]
) -> dict[str, Any]:
    """Find how many pieces a batch is cut into, when that is left to memory."""
    if spec.train.batch_size != "auto":
        return {}
    model = new_model(setup.settings)
    found = find_micro_batch(
        trial_step(setup, model),
        min(setup.settings.global_batch_size, len(setup.train.store)),
        setup.device,
        reserve_bytes=sum(standing_bytes(setup.settings, model).values()),
    )
    reasons["train.accumulate"] = found.reason
    return {"batch_size": setup.settings.global_batch_size, "accumulate": found.accumulate}


def _measure_arithmetic(
    spec: Spec,
    setup: Setup,
    new_model: Callable[[TrainSpec], Family],
    family: Choice[Any],
    inputs: list[Input] | tuple[Input, ...],
    reasons: dict[str, str],
) -> dict[str, Any]:
    """Choose precision, threads, their parts and compiling, where they are left open."""
    settings = setup.settings
    if isinstance(settings.side_by_side, int) and settings.side_by_side > 1:
        batch = next(iter(setup.train.epoch(0)), None)
        if batch is not None and not can_be_divided(setup.task, new_model(settings), batch):
            message = "a layer of this model looks at the whole batch or draws random numbers; leave it out"
            raise Spec.problem("train.side_by_side", message)
    about = settings.model_dump(mode="json", include={"batch_size", "accumulate", "optimizer", "memory", "ema"})
    facts = [
        family.name,
        family.settings.model_dump(mode="json"),
        [repr(one) for one in inputs],
        setup.task.name,
        about,
    ]
    steps = min(settings.epochs * len(setup.train), settings.max_steps or 2**62)

    def begin(changed: Setup) -> State:
        trial = changed.settings
        if trial.learning_rate == "find":  # searched for later; any small rate takes as long
            trial = trial.model_copy(update={"learning_rate": 1e-4})
        return start(spec.replace(train=trial), changed, new_model(trial))

    chosen = choose_arithmetic(setup, begin, steps, facts)
    found = {
        "precision": chosen.precision,
        "threads": chosen.threads,
        "side_by_side": chosen.side_by_side,
        "compile": chosen.compiled,
    }
    for name in found:
        if getattr(settings, name) not in ("auto", None):
            continue
        if name == "compile" and not any("compiled" in way for way in chosen.seconds):
            reasons["train.compile"] = "no compiler, or a training too short to win back what compiling costs"
        elif chosen.reason:
            reasons[f"train.{name}"] = chosen.reason
    return found
