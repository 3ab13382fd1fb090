"""`train`: the whole line, from a spec to a bundle: data → model → loop → evaluation → report → bundle."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import modelyard
from modelyard.bundle.contents import make_task, to_files
from modelyard.bundle.format import write_bundle
from modelyard.core.device import environment, pick_device
from modelyard.core.energy import EnergyMeter
from modelyard.core.errors import GateError, ModelyardError, Stopped
from modelyard.core.events import EventLog, Observer
from modelyard.core.files import copy_file, storage_errors, write_json, write_text
from modelyard.core.registry import table
from modelyard.data.prepare import Prepared, prepare
from modelyard.data.records import DataRecord
from modelyard.evaluate.baseline import fit_baseline
from modelyard.evaluate.records import Evaluation
from modelyard.models.build import build, count_parameters, settle
from modelyard.report.card import card
from modelyard.report.report import render
from modelyard.spec.spec import Spec
from modelyard.tasks.base import Task
from modelyard.train.cost import measure_cost
from modelyard.train.cross_validate import cross_validate
from modelyard.train.find_rate import find_rate
from modelyard.train.judge import judge
from modelyard.train.learning_curve import learning_curve
from modelyard.train.loop import fit
from modelyard.train.portions import assign_folds, find_units
from modelyard.train.recipes import open_spec
from modelyard.train.records import RateSearch, RunRecord, TrainingRecord
from modelyard.train.resolve import check_metrics, choose_family, choose_task, choose_training
from modelyard.train.start import denormals_flushed, kept, set_up, start
from modelyard.train.state import State

__all__ = ["Run", "train"]


@dataclass(frozen=True)
class Run:
    """A finished training."""

    path: Path
    """The run's folder."""
    bundle: Path
    """The bundle in it."""
    spec: Spec
    """The resolved spec."""
    data: DataRecord
    training: TrainingRecord
    evaluations: list[Evaluation]
    """Of the validation and the test split, where there are such."""

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the test split, or of the validation split when there is no test split."""
        return {metric.name: metric.value for metric in self.evaluations[-1].metrics} if self.evaluations else {}

    def as_dict(self) -> dict[str, Any]:
        """Return the run as nested plain values."""
        return {
            "path": str(self.path),
            "bundle": str(self.bundle),
            "spec": self.spec.as_dict(),
            "data": self.data.as_dict(),
            "training": self.training.as_dict(),
            "evaluations": [evaluation.as_dict() for evaluation in self.evaluations],
        }


def train(spec: Spec | str | Path, runs: str | Path = "runs", observers: Sequence[Observer] = ()) -> Run:
    """Carry out a spec.

    Args:
        spec: What is asked for: a spec, a YAML file's path, or a recipe's name.
        runs: Folder in which the run's own folder is made.
        observers: Called with every event (`core.events`); they cannot change the training.

    Returns:
        The finished run, with its bundle.

    Raises:
        SpecError: The spec does not fit the data, the task or itself; nothing was trained.
        DataError: The data is missing, empty or unreadable.
        GateError: The data gate refuses the data, and nothing was trained; or the test results miss `evaluate.require`,
            and the bundle was written all the same.
        Stopped: Interrupted from the keyboard; no bundle was written.
        StorageError: The disk is full or cannot be written to.
    """
    started = time.monotonic()
    if not isinstance(spec, Spec):
        spec = open_spec(spec)
    path = _make_folder(Path(runs), spec.name)
    named = _make_observers(spec, path)
    record = RunRecord(spec.name, path, "running", _now(), 0.0, {}, "")
    with EventLog(path / "events.jsonl", [*observers, *named]) as log, _cpu_settings(spec):
        try:
            write_json(path / "run.json", record)
            run = _carry_out(spec, path, log)
        except KeyboardInterrupt:
            message = "interrupted from the keyboard"
            _finish(record, path, "stopped", started, message)
            log("stopped", message=message)
            raise Stopped(
                f"{message}; no bundle was written. What happened until then is in {path}/events.jsonl. "
                "The prepared data is kept: the same command starts at once"
            ) from None
        except BaseException as error:
            with contextlib.suppress(ModelyardError, OSError):  # the first error matters, not one about noting it
                _finish(record, path, "failed", started, str(error))
                log("failed", error=type(error).__name__, message=str(error))
            raise
        seconds = time.monotonic() - started
        split = run.evaluations[-1].split if run.evaluations else ""
        write_json(
            path / "run.json", replace(record, status="finished", seconds=seconds, metrics=run.metrics, split=split)
        )
        log("finished", seconds=seconds, bundle=str(run.bundle), metrics=run.metrics)
    _quality_gate(run)
    return run


def _carry_out(spec: Spec, path: Path, log: EventLog) -> Run:
    log("started", name=spec.name, path=str(path))
    reasons: dict[str, str] = {}
    with EnergyMeter(str(pick_device(spec.train.device))) as meter:
        with meter.stage("data"):
            prepared = _prepare(spec, path, log)
        spec = spec.replace(data=prepared.data)
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
        model = build(family, inputs, task.output_size, spec.seed).to(setup.device)
        search = None
        if spec.train.learning_rate == "find":
            log("finding_rate")
            search = find_rate(setup, model)
            reasons["train.learning_rate"] = "the steepest fall of the loss in the range test"
            spec = spec.replace(train=spec.train.model_copy(update={"learning_rate": search.suggestion}))
            setup = replace(setup, settings=spec.train)
        write_text(path / "spec.yaml", spec.to_yaml())
        log("training", parameters=count_parameters(model), family=family.name, epochs=spec.train.epochs,
            batches=len(setup.train), rows={name: len(split) for name, split in prepared.splits.items()},
            precision=setup.precision, device=str(setup.device), choices=reasons)  # fmt: skip

        started = time.monotonic()
        state = start(spec, setup, model)
        with meter.stage("training"), denormals_flushed():
            ended = fit(setup, state, log)
        best, best_epoch = kept(state)
        training = _training_record(spec, state, best_epoch, ended, started, reasons, search, count_parameters(model))

        log("evaluating")
        baseline = fit_baseline(task, setup.train.targets())
        with meter.stage("evaluation"):
            contents, evaluations = judge(spec, prepared, task, best, baseline, setup.device, log)
        log("evaluated", evaluations=[_without_rows(evaluation) for evaluation in evaluations])
        spec = contents.spec
        evidence: dict[str, Any] = {
            "data": prepared.record,
            "training": training,
            "metrics": [evaluation.as_dict() for evaluation in evaluations],
            "baseline": baseline,
        }
        evidence |= _further(spec, prepared, task, evaluations, best_epoch, training.seconds, log)
    evidence["cost"] = measure_cost(meter, setup, state.model, state.step)
    evidence["environment"] = {"modelyard": modelyard.__version__, "created": _now(), **environment()}

    files = to_files(contents, evidence)
    plain = {name: _plain(value) for name, value in evidence.items()}
    files["report.html"] = render(spec.as_dict(), plain).encode()
    files["card.md"] = card(spec.as_dict(), plain).encode()
    write_bundle(path / "bundle", spec.name, files)
    return Run(path, path / "bundle", spec, prepared.record, training, evaluations)


def _without_rows(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation without the rows it shows, which may be large: for the log of events."""
    return evaluation.as_dict() | {"mistakes": [], "suspects": []}


# -- the stations -----------------------------------------------------------------------------------------------------


def _prepare(spec: Spec, path: Path, log: EventLog) -> Prepared:
    accepts = None if spec.model is None else table("family").find(spec.model.name).accepts
    targets_of = None if spec.task is None else table("task").find(spec.task.name).targets_of
    log("preparing", source=str(spec.data.model_dump(include={"source"})["source"]))
    prepared = prepare(spec, accepts, targets_of, lambda what, rows: log("progress", doing=what, rows=rows))
    if prepared.record.quarantine:
        copy_file(Path(prepared.record.quarantine), path / "quarantine.jsonl")
    log("prepared", **prepared.record.as_dict())
    return prepared


def _further(
    spec: Spec,
    prepared: Prepared,
    task: Task,
    evaluations: Sequence[Evaluation],
    epochs: int,
    seconds: float,
    log: EventLog,
) -> dict[str, Any]:
    """Train again on parts of the training rows, where the spec asks for it."""
    found: dict[str, Any] = {}
    settings = spec.evaluate
    if settings.learning_curve:
        whole = next(one for one in evaluations if one.split == "validation")
        found["learning_curve"] = learning_curve(spec, prepared, task, settings.learning_curve, whole, seconds, log)
    if settings.cross_validate is not None:
        found["cross_validation"] = cross_validate(spec, prepared, task, settings.cross_validate, log, epochs)
    return found


def _training_record(
    spec: Spec,
    state: State,
    kept_epoch: int,
    ended: str | None,
    started: float,
    reasons: dict[str, str],
    search: RateSearch | None,
    parameters: int,
) -> TrainingRecord:
    settings = spec.train
    assert spec.model is not None and settings.optimizer is not None
    speeds = [epoch.rows_per_second for epoch in state.history]
    return TrainingRecord(
        epochs=state.history,
        kept_epoch=kept_epoch,
        stopped_early=ended,
        steps=state.step,
        seconds=time.monotonic() - started,
        rows_per_second=float(np.median(speeds)) if speeds else 0.0,
        parameters=parameters,
        family=spec.model.name,
        family_reason=reasons.get("model.family", "as the spec says"),
        precision=settings.precision,
        device=settings.device,
        threads=settings.threads or torch.get_num_threads(),
        optimizer=settings.optimizer.name,
        learning_rate=float(settings.learning_rate or 0.0),
        weight_decay=settings.weight_decay or 0.0,
        rate_search=search,
        choices=reasons,
    )


def _quality_gate(run: Run) -> None:
    required = run.spec.evaluate.require or {}
    if not required or not run.evaluations:
        return
    evaluation = run.evaluations[-1]
    missed = []
    for measured in evaluation.metrics:
        wanted = required.get(measured.name)
        if wanted is None:
            continue
        reached = measured.value >= wanted if measured.higher_is_better else measured.value <= wanted
        if not reached:
            bound = "at least" if measured.higher_is_better else "at most"
            missed.append(f"{measured.name} is {measured.value:.4f}, required {bound} {wanted:g}")
    if missed:
        raise GateError(
            f"the quality gate refuses: on {evaluation.split}, {'; '.join(missed)}. "
            f"The bundle is in {run.bundle}; to accept it, change evaluate.require"
        )


# -- small things -----------------------------------------------------------------------------------------------------


def _now() -> str:
    """The time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _make_observers(spec: Spec, path: Path) -> list[Observer]:
    """Return the observers a spec names; when one cannot be had, the run's folder, still empty, goes again."""
    try:
        return [table("observer").find(choice.name)(choice.settings, path) for choice in spec.train.observers]
    except ModelyardError:
        shutil.rmtree(path)
        raise


def _make_folder(runs: Path, name: str) -> Path:
    """Make and return a new folder `runs/NAME-DATE-TIME`, numbered when that one exists already."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    with storage_errors(runs):
        runs.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            path = runs / (f"{name}-{stamp}" + (f"-{number}" if number > 1 else ""))
            try:
                path.mkdir()
                return path
            except FileExistsError:
                number += 1


@contextlib.contextmanager
def _cpu_settings(spec: Spec) -> Iterator[None]:
    """Use the asked number of threads, and put it and torch's random state back afterwards."""
    threads = torch.get_num_threads()
    state = torch.random.get_rng_state()
    if spec.train.threads is not None:
        torch.set_num_threads(spec.train.threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(state)


def _finish(record: RunRecord, path: Path, status: str, started: float, message: str) -> None:
    write_json(path / "run.json", replace(record, status=status, seconds=time.monotonic() - started, message=message))


def _plain(value: Any) -> Any:
    return value.as_dict() if hasattr(value, "as_dict") else value
