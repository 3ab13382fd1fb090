"""`train`: the whole line, from a spec to a bundle: data → model → loop → evaluation → report → bundle."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import modelyard
from modelyard.bundle.contents import to_files
from modelyard.bundle.format import write_bundle
from modelyard.core.device import environment, pick_device
from modelyard.core.energy import EnergyMeter
from modelyard.core.errors import GateError, ModelyardError, Stopped, StorageError
from modelyard.core.events import EventLog, Observer
from modelyard.core.files import copy_file
from modelyard.core.memory import freed_memory_kept, without_pandas
from modelyard.core.registry import table
from modelyard.data.prepare import Prepared, prepare
from modelyard.data.records import DataRecord
from modelyard.evaluate.baseline import fit_baseline
from modelyard.evaluate.records import Evaluation
from modelyard.models.build import count_parameters
from modelyard.report.card import card
from modelyard.report.report import render
from modelyard.spec.spec import Spec
from modelyard.tasks.base import Task
from modelyard.train.cost import measure_cost
from modelyard.train.cross_validate import cross_validate
from modelyard.train.folder import RunFolder, now
from modelyard.train.job import Job, make_job
from modelyard.train.judge import judge
from modelyard.train.learning_curve import learning_curve
from modelyard.train.loop import fit
from modelyard.train.pretrained import Parent, adopt, inherited, open_parent
from modelyard.train.recipes import open_spec
from modelyard.train.records import TrainingRecord
from modelyard.train.runs import read_run
from modelyard.train.saving.checkpoints import Checkpoints
from modelyard.train.saving.keeper import Keeper
from modelyard.train.saving.snapshots import restore_snapshot, take_snapshot
from modelyard.train.start import cpu_settings, denormals_flushed, kept_model
from modelyard.train.state import State
from modelyard.train.stopping import Stopping, listening

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


def train(
    spec: Spec | str | Path,
    runs: str | Path = "runs",
    observers: Sequence[Observer] = (),
    *,
    new: bool = False,
    resume: str | Path | None = None,
    max_time: float | None = None,
) -> Run:
    """Carry out a spec, or go on with it: a run of the same spec that was interrupted is continued, bit for bit.

    Args:
        spec: What is asked for: a spec, a YAML file's path, a recipe's name; or the folder of a run to continue.
        runs: Folder in which the run's own folder is made.
        observers: Called with every event (`core.events`); they cannot change the training.
        new: Begin a new run even where one of this spec was interrupted.
        resume: Folder of the run to continue, for data that was given from Python.
        max_time: Seconds after which to save and stop, as if asked to.

    Returns:
        The finished run, with its bundle.

    Raises:
        SpecError: The spec does not fit the data, the task or itself; nothing was trained.
        DataError: The data is missing, empty or unreadable.
        CheckpointError: The run to continue is of other data or another spec.
        GateError: The data gate refuses the data, and nothing was trained; or the test results miss `evaluate.require`,
            and the bundle was written all the same.
        DivergedError: The loss left all bounds and `train.divergence` says stop.
        Stopped: Asked to stop from the keyboard, by SIGTERM or by `max_time`; what was trained is saved.
        StorageError: The disk is full or cannot be written to; what was saved before is kept.
    """
    folder, spec = _find_folder(spec, Path(runs), new, None if resume is None else Path(resume))
    stopping = Stopping(max_time)
    with folder.held(), listening(stopping), cpu_settings(spec), without_pandas():
        named = _make_observers(spec, folder.path)
        with EventLog(folder.path / "events.jsonl", [*observers, *named]) as log:
            run = _recorded(spec, folder, log, stopping)
    _quality_gate(run)
    return run


def _find_folder(spec: Spec | str | Path, runs: Path, new: bool, resume: Path | None) -> tuple[RunFolder, Spec]:
    """Return the folder of the run to continue, or a new one, and what is asked for."""
    if not isinstance(spec, Spec) and (Path(spec) / "run.json").is_file():
        return RunFolder.open(Path(spec))
    if not isinstance(spec, Spec):
        spec = open_spec(spec)
    if resume is not None:
        return RunFolder(resume, read_run(resume)), spec
    found = None if new else RunFolder.unfinished(runs, spec)
    return found or RunFolder.begin(runs, spec), spec


def _recorded(spec: Spec, folder: RunFolder, log: EventLog, stopping: Stopping) -> Run:
    """Carry out a spec and keep the run's record true, whatever happens."""
    started, before = time.monotonic(), folder.record.seconds

    def tell(status: str, message: str = "", **results: Any) -> float:
        seconds = before + time.monotonic() - started
        folder.tell(status, seconds, message, **results)
        return seconds

    try:
        tell("running")
        run = _carry_out(spec, folder, log, stopping)
    except (KeyboardInterrupt, Stopped) as error:
        message = str(error) or "interrupted from the keyboard"
        tell("stopped", message)
        log("stopped", message=message)
        raise Stopped(f"{message}; nothing is lost. Continue with: modelyard train {folder.path}") from None
    except BaseException as error:
        with contextlib.suppress(ModelyardError, OSError):  # the first error matters, not one about noting it
            # What the machine lacked may be there the next time; what the spec or the data lack will not.
            tell("stopped" if isinstance(error, StorageError | MemoryError) else "failed", str(error))
            log("failed", error=type(error).__name__, message=str(error))
        raise
    split = run.evaluations[-1].split if run.evaluations else ""
    seconds = tell("finished", metrics=run.metrics, split=split)
    log("finished", seconds=seconds, bundle=str(run.bundle), metrics=run.metrics)
    return run


def _carry_out(spec: Spec, folder: RunFolder, log: EventLog, stopping: Stopping) -> Run:
    path = folder.path
    log("started", name=spec.name, path=str(path))
    with EnergyMeter(str(pick_device(spec.train.device))) as meter:
        folder.take_spent(meter)
        parent = None if spec.train.pretrained is None else open_parent(spec.train.pretrained)
        if parent is not None:
            spec = adopt(spec, parent)
        with meter.stage("data"):
            prepared = _prepare(spec, path, log, parent)
        with meter.stage("training"):
            resolved = folder.resolved(prepared.record.fingerprint)
            job = make_job(spec, prepared, parent, resolved, log)
            if resolved is None:
                folder.keep_resolved(job.resolved())
        try:
            with meter.stage("training"), denormals_flushed(), freed_memory_kept():
                state, ended = _fit(job, folder, log, stopping, meter)
        finally:
            folder.keep_spent(meter)
        spec, task, setup = job.spec, job.task, job.setup
        best, best_epoch = kept_model(state)
        training = _training_record(spec, state, best_epoch, ended, job)

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
        if job.loaded is not None:
            evidence["pretrained"] = job.loaded
        evidence |= _further(spec, prepared, task, evaluations, best_epoch, training.seconds, log)
    evidence["cost"] = measure_cost(meter, setup, state.model, state.step)
    evidence["environment"] = {"modelyard": modelyard.__version__, "created": now(), **environment()}

    files = to_files(contents, evidence)
    plain = {name: _plain(value) for name, value in evidence.items()}
    files["report.html"] = render(spec.as_dict(), plain).encode()
    files["card.md"] = card(spec.as_dict(), plain).encode()
    write_bundle(path / "bundle", spec.name, files, None if parent is None else [parent.digest])
    return Run(path, path / "bundle", spec, prepared.record, training, evaluations)


def _without_rows(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation without the rows it shows, which may be large: for the log of events."""
    return evaluation.as_dict() | {"mistakes": [], "suspects": []}


# -- the stations -----------------------------------------------------------------------------------------------------


def _fit(
    job: Job, folder: RunFolder, log: EventLog, stopping: Stopping, meter: EnergyMeter
) -> tuple[State, str | None]:
    """Train, from the beginning or from where it was saved; returns the state at the end and why it ended early."""
    spec, setup, prepared = job.spec, job.setup, job.prepared
    state = job.begin()
    log("training", parameters=count_parameters(state.model), family=state.model.name, epochs=spec.train.epochs,
        batches=len(setup.train), rows={name: len(split) for name, split in prepared.splits.items()},
        precision=setup.precision, device=str(setup.device), choices=dict(job.reasons))  # fmt: skip
    for notice in state.notices:
        log("notice", message=notice)
    checkpoints = Checkpoints(folder.checkpoints, spec.train.checkpoint.keep)
    keeper = Keeper(checkpoints, spec.train.checkpoint, log, lambda: folder.keep_spent(meter))
    saved = keeper.newest()
    if saved is not None:
        restore_snapshot(state, saved)
        state.continued += 1
        log("continued", epoch=state.epoch, step=state.step, batch=state.under_way.batch)
    try:
        return state, fit(setup, state, log, lambda: take_snapshot(job.begin()), keeper, stopping)
    finally:
        keeper.close()


def _prepare(spec: Spec, path: Path, log: EventLog, parent: Parent | None) -> Prepared:
    accepts = None if spec.model is None else table("family").find(spec.model.name).accepts
    targets_of = None if spec.task is None else table("task").find(spec.task.name).targets_of
    log("preparing", source=str(spec.data.model_dump(include={"source"})["source"]))
    prepared = prepare(
        spec,
        accepts,
        targets_of,
        lambda what, rows: log("progress", doing=what, rows=rows),
        None if parent is None else inherited(parent),
    )
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


def _training_record(spec: Spec, state: State, kept_epoch: int, ended: str | None, job: Job) -> TrainingRecord:
    settings, reasons = spec.train, dict(job.reasons)
    assert spec.model is not None and settings.optimizer is not None
    speeds = [epoch.rows_per_second for epoch in state.history]
    return TrainingRecord(
        epochs=state.history,
        kept_epoch=kept_epoch,
        stopped_early=ended,
        steps=state.step,
        seconds=state.seconds,
        rows_per_second=float(np.median(speeds)) if speeds else 0.0,
        parameters=count_parameters(state.model),
        family=spec.model.name,
        family_reason=reasons.get("model.family", "as the spec says"),
        precision=settings.precision,
        device=settings.device,
        threads=settings.threads or torch.get_num_threads(),
        optimizer=settings.optimizer.name,
        learning_rate=float(settings.learning_rate or 0.0),
        weight_decay=settings.weight_decay or 0.0,
        rate_search=job.search,
        choices=reasons,
        samples=state.samples,
        skipped=[step + 1 for step in state.skipped],
        without_targets=state.without_targets,
        continued=state.continued,
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


def _make_observers(spec: Spec, path: Path) -> list[Observer]:
    """Return the observers a spec names; when one cannot be had, the run's folder, still empty, goes again."""
    try:
        return [table("observer").find(choice.name)(choice.settings, path) for choice in spec.train.observers]
    except ModelyardError:
        shutil.rmtree(path)
        raise


def _plain(value: Any) -> Any:
    return value.as_dict() if hasattr(value, "as_dict") else value
