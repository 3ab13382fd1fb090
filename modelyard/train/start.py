"""The beginning of a training: what stays the same in it, its state before the first step, and which weights are kept.

Shared by `train` itself and by those that train again on some of the rows: cross-validation and learning curve.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from modelyard.bundle.contents import make_task
from modelyard.core.events import EventLog
from modelyard.core.registry import table
from modelyard.data.fitted import Fitted
from modelyard.data.loader import Loader, Mixing
from modelyard.data.prepare import Prepared
from modelyard.data.store import SplitStore
from modelyard.evaluate.outputs import Collected, collect
from modelyard.models.base import Family
from modelyard.spec.spec import Spec
from modelyard.tasks.base import Task
from modelyard.tasks.model import build_model
from modelyard.train.loop import fit
from modelyard.train.memory.settings import lean_model, lean_optimizer, make_optimizer
from modelyard.train.pretrained import layer_wise
from modelyard.train.saving.snapshots import take_snapshot
from modelyard.train.state import Average, Best, State, compiled
from modelyard.train.step import Setup
from modelyard.train.watch import Watch

__all__ = ["Trained", "announcing", "cpu_settings", "denormals_flushed", "kept_model", "set_up", "start", "train_again"]


def set_up(spec: Spec, splits: Mapping[str, SplitStore], fitted: Fitted, task: Task, files: Sequence[str]) -> Setup:
    """Return what stays the same through a training on the split `train`, watched on `validation` when there is one.

    Args:
        spec: The resolved spec.
        splits: Prepared rows by split.
        fitted: The modalities that encoded them.
        task: The task.
        files: Names of the files that the stores' `row.file` counts.

    Raises:
        SpecError: Images are to be blended, and no input is an image.
    """
    settings = spec.train
    mixing = None
    if settings.mixup is not None or settings.cutmix is not None:
        if not any(item.kind == "image" for item in fitted.describe()):
            raise Spec.problem("train.mixup", "mixup and cutmix blend images, and no input is an image; leave them out")
        mixing = Mixing(settings.mixup, settings.cutmix, settings.mix_probability)
    store, sampler = splits["train"], None
    if settings.sampler is not None:
        entry = table("sampler").find(settings.sampler.name)
        sampler = entry(settings.sampler.settings, store, files, spec.seed)
    device = torch.device(settings.device)
    assert isinstance(settings.workers, int), "the spec is resolved"
    pin = device.type == "cuda"
    train = Loader(
        store, fitted, settings.step_rows, spec.seed, True, mixing, sampler, workers=settings.workers, pin=pin
    )
    validation = None
    if "validation" in splits:
        validation = Loader(splits["validation"], fitted, settings.evaluation_batch_size, spec.seed, False)
    method = None
    if settings.semi_supervised is not None:
        choice, steps = settings.semi_supervised, len(train) * settings.epochs
        method = table("semi_supervised").find(choice.name)(
            choice.settings,
            task,
            fitted,
            splits["unlabelled"],
            train.batch_size,
            spec.seed,
            min(steps, settings.max_steps or steps),
        )
    return Setup(
        task, train, validation, settings, spec.seed, device, settings.precision, tuple(files), semi_supervised=method
    )


def start(spec: Spec, setup: Setup, model: Family) -> State:
    """Return the state before the first step of a resolved spec's training."""
    settings = spec.train
    assert settings.optimizer is not None and settings.schedule is not None, "the spec is resolved"
    optimizer = make_optimizer(settings, model)
    if settings.pretrained is not None:
        layer_wise(optimizer, model, settings.pretrained.layer_decay)
    fused, notices = lean_optimizer(settings, optimizer)
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
    runner = compiled(model) if settings.compile is True else None
    return State(
        model,
        optimizer,
        schedule,
        Watch(settings.divergence),
        average,
        best,
        fused=fused,
        notices=notices,
        runner=runner,
    )


def kept_model(state: State) -> tuple[Family, int]:
    """Return the model to keep, with the best weights where they were asked for, and the epoch they are from."""
    model = state.kept
    assert isinstance(model, Family)
    if state.best is not None and state.best.weights:
        model.load_state_dict(state.best.weights)
        return model.eval(), state.best.epoch
    return model.eval(), state.epoch


@contextlib.contextmanager
def cpu_settings(spec: Spec) -> Iterator[None]:
    """Use the asked number of threads, and put it and torch's random state back afterwards."""
    threads, random = torch.get_num_threads(), torch.random.get_rng_state()
    if spec.train.threads is not None:
        torch.set_num_threads(spec.train.threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(random)


@contextlib.contextmanager
def denormals_flushed() -> Iterator[None]:
    """Let training treat numbers below about 1e-38 as zero: processors are slow with them. Nowhere else: evaluation
    and prediction compute the same bits."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@dataclass(frozen=True)
class Trained:
    """A model trained again, and what to run it with."""

    task: Task
    """Prepared on its own training rows; the caller's task is untouched."""
    model: Family
    setup: Setup

    def answer(self, store: SplitStore, fitted: Fitted, batch_size: int) -> Collected:
        """Return the model's outputs on a store's rows, in their order."""
        loader = Loader(store, fitted, batch_size, self.setup.seed, False)
        return collect(self.task, self.model, loader, self.setup.device)


def train_again(
    spec: Spec,
    prepared: Prepared,
    rows: npt.NDArray[np.int64],
    log: EventLog,
    *,
    epochs: int | None = None,
    watched: bool,
) -> Trained:
    """Train a fresh model of a resolved spec on some rows of the training split.

    Args:
        spec: Resolved, with a learning rate that is a number.
        prepared: The data; its columns stay fitted on the whole training split.
        rows: Positions in the training split, int64.
        log: Told of this training's epochs.
        epochs: Stop after this many, on the schedule of all the spec's epochs; None: run as the spec says.
        watched: Whether the validation split is measured each epoch and may stop the training early.
    """
    family = spec.model
    assert family is not None, "the spec is resolved"
    task = make_task(spec, prepared.fitted)
    splits = {"train": prepared.splits["train"].subset(rows)}
    splits |= {name: store for name, store in prepared.splits.items() if name == "unlabelled"}
    if watched and "validation" in prepared.splits:
        splits["validation"] = prepared.splits["validation"]
    else:
        spec = spec.replace(train=spec.train.model_copy(update={"early_stopping": None}))
    setup = set_up(spec, splits, prepared.fitted, task, prepared.record.files)
    task.prepare(setup.train.targets())

    def begin() -> State:
        model = build_model(task, family, prepared.fitted.describe(), spec.seed)
        lean_model(spec.train, model)
        model = model.to(setup.device)
        return start(spec, setup, model)

    state = begin()
    if epochs is not None:
        setup = replace(setup, settings=setup.settings.model_copy(update={"epochs": epochs}))
    with denormals_flushed():
        fit(setup, state, log, lambda: take_snapshot(begin()))
    return Trained(task, kept_model(state)[0], setup)


def announcing(log: EventLog, doing: str, batch_size: int) -> EventLog:
    """Return a log for a training within another: it keeps no file, and its progress goes to `log` under `doing`."""

    def tell(event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            log("progress", doing=f"{doing}, epoch {event['epoch']}", rows=event["batch"] * batch_size)

    return EventLog(None, [tell])
