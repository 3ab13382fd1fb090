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
from modelyard.bundle.contents import Contents, make_task, to_files
from modelyard.bundle.format import write_bundle
from modelyard.core.device import environment
from modelyard.core.errors import GateError, ModelyardError, Stopped
from modelyard.core.events import EventLog, Observer
from modelyard.core.files import storage_errors, write_json, write_text
from modelyard.core.registry import table
from modelyard.data.loader import Loader, Mixing
from modelyard.data.passes import DataRecord
from modelyard.data.prepare import Prepared, locate, prepare
from modelyard.evaluate.assess import assess
from modelyard.evaluate.baseline import Baseline, fit_baseline, rows_with_targets
from modelyard.evaluate.mistakes import find_mistakes
from modelyard.evaluate.outputs import collect
from modelyard.evaluate.records import Evaluation
from modelyard.models.base import Family
from modelyard.models.build import build, count_parameters, settle
from modelyard.report.report import render
from modelyard.spec.spec import Spec
from modelyard.tasks.base import Task
from modelyard.train.find_rate import find_rate
from modelyard.train.loop import Setup, fit
from modelyard.train.recipes import open_spec
from modelyard.train.records import RateSearch, RunRecord, TrainingRecord
from modelyard.train.resolve import check_metrics, choose_family, choose_task, choose_training
from modelyard.train.state import Average, Best, State

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
        GateError: The test results miss `evaluate.require`; the bundle was written all the same.
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
    prepared = _prepare(spec, log)
    spec = spec.replace(data=prepared.data)
    spec = spec.replace(task=choose_task(spec, prepared.data.targets or {}, reasons))
    task = make_task(spec, prepared.fitted)
    check_metrics(spec, task, prepared.splits)
    inputs = prepared.fitted.describe()
    family = settle(choose_family(spec, inputs, len(prepared.splits["train"]), reasons), inputs)
    spec = spec.replace(model=family, train=choose_training(spec.train, family.name, reasons))
    setup = _set_up(spec, prepared, task)
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
    state = _start(spec, setup, model)
    with _denormals_flushed():
        ended = fit(setup, state, log)
    kept, kept_epoch = _kept(state)
    training = _training_record(spec, state, kept_epoch, ended, started, reasons, search, count_parameters(model))

    log("evaluating")
    contents = Contents(spec, prepared.fitted, task, kept)
    baseline = fit_baseline(task, setup.train.targets())
    evaluations = [
        _evaluate(contents, prepared, split, setup.device, baseline)
        for split in ("validation", "test")
        if split in prepared.splits
    ]
    log("evaluated", evaluations=[evaluation.as_dict() | {"mistakes": []} for evaluation in evaluations])

    evidence = {
        "data": prepared.record,
        "training": training,
        "metrics": [evaluation.as_dict() for evaluation in evaluations],
        "baseline": baseline,
        "environment": {"modelyard": modelyard.__version__, "created": _now(), **environment()},
    }
    files = to_files(contents, evidence)
    files["report.html"] = render(spec.as_dict(), {name: _plain(value) for name, value in evidence.items()}).encode()
    write_bundle(path / "bundle", spec.name, files)
    return Run(path, path / "bundle", spec, prepared.record, training, evaluations)


# -- the stations -----------------------------------------------------------------------------------------------------


def _prepare(spec: Spec, log: EventLog) -> Prepared:
    accepts = None if spec.model is None else table("family").find(spec.model.name).accepts
    targets_of = None if spec.task is None else table("task").find(spec.task.name).targets_of
    log("preparing", source=str(spec.data.model_dump(include={"source"})["source"]))
    prepared = prepare(spec, accepts, targets_of, lambda what, rows: log("progress", doing=what, rows=rows))
    log("prepared", **prepared.record.as_dict())
    return prepared


def _set_up(spec: Spec, prepared: Prepared, task: Task) -> Setup:
    settings = spec.train
    mixing = None
    if settings.mixup is not None or settings.cutmix is not None:
        if not any(item.kind == "image" for item in prepared.fitted.describe()):
            raise Spec.problem("train.mixup", "mixup and cutmix blend images, and no input is an image; leave them out")
        mixing = Mixing(settings.mixup, settings.cutmix, settings.mix_probability)
    train = Loader(prepared.splits["train"], prepared.fitted, settings.batch_size, spec.seed, True, mixing)
    validation = None
    if "validation" in prepared.splits:
        size = settings.evaluation_batch_size
        validation = Loader(prepared.splits["validation"], prepared.fitted, size, spec.seed, False)
    return Setup(task, train, validation, settings, spec.seed, torch.device(settings.device), settings.precision)


def _start(spec: Spec, setup: Setup, model: Family) -> State:
    settings = spec.train
    assert settings.optimizer is not None and settings.schedule is not None
    rate, decay = float(settings.learning_rate or 0.0), settings.weight_decay or 0.0
    optimizer = table("optimizer").find(settings.optimizer.name).make(model, rate, decay, settings.optimizer.settings)
    per_epoch = len(setup.train)
    steps = per_epoch * settings.epochs
    if settings.max_steps is not None:
        steps = min(steps, settings.max_steps)
    warmup = round(settings.warmup * steps) if settings.warmup < 1 else round(settings.warmup)
    schedule = table("schedule").find(settings.schedule.name)(settings.schedule.settings, steps, per_epoch, warmup)
    best = None
    stopping = settings.early_stopping
    if stopping is not None:
        higher = stopping.metric != "loss" and table("metric").find(stopping.metric).higher_is_better
        best = Best(stopping.metric, higher, stopping.min_delta)
    average = None if settings.ema is None else Average(model, settings.ema)
    return State(model, optimizer, schedule, average, best)


def _kept(state: State) -> tuple[Family, int]:
    """Return the model to keep, with the best weights where they were asked for, and the epoch they are from."""
    model = state.kept
    assert isinstance(model, Family)
    if state.best is not None and state.best.weights:
        model.load_state_dict(state.best.weights)
        return model.eval(), state.best.epoch
    return model.eval(), state.epoch


def _evaluate(
    contents: Contents, prepared: Prepared, split: str, device: torch.device, baseline: Baseline
) -> Evaluation:
    started = time.monotonic()
    spec, store = contents.spec, prepared.splits[split]
    loader = Loader(store, prepared.fitted, spec.train.evaluation_batch_size, spec.seed, False)
    collected = collect(contents.task, contents.model, loader, device)
    output, targets, ids = collected.output(), collected.targets(), collected.ids()
    present = rows_with_targets(targets)
    output, targets, ids = output[present], {name: values[present] for name, values in targets.items()}, ids[present]
    evaluation = assess(
        contents.task,
        output,
        targets,
        baseline,
        split=split,
        seed=spec.seed,
        resamples=spec.evaluate.resamples,
        confidence=spec.evaluate.confidence,
        rows_without_target=int((~present).sum()),
    )
    files, positions = store.columns["row.file"], store.columns["row.position"]
    assert isinstance(files, np.ndarray) and isinstance(positions, np.ndarray)
    places = [(prepared.record.files[files[row]], int(positions[row])) for row in ids]
    sources, _ = locate(spec.data)
    outcome = contents.task.outcome(output, targets)
    mistakes = find_mistakes(contents.task, outcome, places, sources.values(), prepared.fitted, spec.evaluate.mistakes)
    return replace(evaluation, mistakes=mistakes, seconds=time.monotonic() - started)


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


@contextlib.contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Let training treat numbers below about 1e-38 as zero: processors are slow with them. Nowhere else: evaluation
    and prediction compute the same bits."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _finish(record: RunRecord, path: Path, status: str, started: float, message: str) -> None:
    write_json(path / "run.json", replace(record, status=status, seconds=time.monotonic() - started, message=message))


def _plain(value: Any) -> Any:
    return value.as_dict() if hasattr(value, "as_dict") else value
