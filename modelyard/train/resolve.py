"""Decide everything a spec leaves open about model, task and training, each with its reason; then nothing is left to
default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from modelyard.core.device import environment, multiplies_bfloat16, multiplies_float8, pick_device
from modelyard.core.errors import Problem, SpecError, nearest
from modelyard.core.registry import table
from modelyard.data.kinds import Input
from modelyard.data.prepare import Prepared
from modelyard.evaluate.thresholds import check_threshold
from modelyard.models.build import default_family
from modelyard.spec.settings import Choice
from modelyard.spec.spec import Spec, TrainSpec
from modelyard.tasks.base import Task

__all__ = ["check_metrics", "choose_family", "choose_task", "choose_training"]


def choose_task(spec: Spec, targets: Mapping[str, Choice[Any] | None], reasons: dict[str, str]) -> Choice[Any]:
    """Return the spec's task, or the one its targets ask for."""
    if spec.task is not None:
        return spec.task
    names = {choice.name for choice in targets.values() if choice is not None}
    tasks = table("task")
    if not names:
        from_inputs = ", ".join(task for task in tasks if tasks.find(task).from_inputs)
        raise Spec.problem("task", f"there is no target to tell it from; tasks that need none: {from_inputs}")
    learnable = [task for task in tasks if set(tasks.find(task).targets_of[:1]) == names]
    if not learnable:
        raise Spec.problem(
            "task", f"cannot be told from targets of {', '.join(sorted(names))}; say it: {', '.join(tasks)}"
        )
    reasons["task"] = f"the target is of modality {next(iter(names))}"
    return Choice("task", learnable[0], tasks.find(learnable[0]).Settings())


def choose_family(spec: Spec, inputs: Sequence[Input], rows: int, reasons: dict[str, str]) -> Choice[Any]:
    """Return the spec's family of models, or the one that suits its inputs."""
    if spec.model is not None:
        return spec.model
    name, reason = default_family(inputs, rows)
    reasons["model.family"] = reason
    settings = table("family").find(name).Settings
    sizes = getattr(settings, "SIZES", {})
    size = {"size": "small"} if "small" in sizes else {}
    return Choice("family", name, settings(**size), key="family")


def choose_training(settings: TrainSpec, family: str, reasons: dict[str, str]) -> TrainSpec:
    """Return the training settings with everything filled in that follows from rules.

    What has to be measured stays: `learning_rate: find`, `batch_size`, `precision` and `compile: auto`, no `threads`.

    Raises:
        SpecError: The device does not multiply what `precision` asks for.
    """
    changes: dict[str, Any] = {}
    optimizer = settings.optimizer
    if optimizer is None:
        optimizer = Choice("optimizer", "adamw", table("optimizer").find("adamw").Settings())
        changes["optimizer"] = optimizer
        reasons["train.optimizer"] = "a good first choice for every family"
    entry = table("optimizer").find(optimizer.name)
    if settings.learning_rate is None:
        changes["learning_rate"] = entry.learning_rate
        reasons["train.learning_rate"] = f"usual for {optimizer.name}"
    if settings.weight_decay is None:
        changes["weight_decay"] = entry.weight_decay
        reasons["train.weight_decay"] = f"usual for {optimizer.name}"
    if settings.schedule is None:
        changes["schedule"] = Choice("schedule", "constant", table("schedule").find("constant").Settings())
        reasons["train.schedule"] = "none was asked for"
    device = pick_device(settings.device)
    if settings.device == "auto":
        changes["device"] = str(device)
        reasons["train.device"] = "the first accelerator, else the CPU"
    if settings.precision == "float8" and not multiplies_float8(device):
        raise Spec.problem("train.precision", _no_float8(device))
    if settings.precision == "auto":
        reason = _only_float32(device, family)
        if reason:
            changes["precision"], reasons["train.precision"] = "float32", reason
    if settings.workers == "auto":
        on_cpu = device.type == "cpu"
        changes["workers"] = 0 if on_cpu else 2
        reasons["train.workers"] = (
            "the same cores make batches and compute" if on_cpu else "the accelerator never waits"
        )
    return settings.model_copy(update=changes)


def _no_float8(device: torch.device) -> str:
    """Say what a device that does not multiply float8 has instead."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        what = f"{torch.cuda.get_device_name(device)}, compute capability {major}.{minor}"
    else:
        what = environment()["processor"]
    has = "float32 and bfloat16" if multiplies_bfloat16(device.type) else "float32"
    return (
        "float8 needs an accelerator of NVIDIA's of compute capability 8.9 or more (Ada, Hopper, Blackwell); "
        f"this {device} is {what}, and multiplies {has} natively. Use auto, which measures what it has"
    )


def _only_float32(device: torch.device, family: str) -> str:
    """Say why nothing but float32 comes into question; empty when others do, and are to be measured."""
    if not multiplies_bfloat16(device.type):
        return f"this {device.type} does not multiply bfloat16 natively"
    if not table("family").find(family).gains_by_bfloat16:
        return f"family {family} has no products large enough to gain by bfloat16"
    return ""


def check_metrics(spec: Spec, task: Task, prepared: Prepared) -> None:
    """Refuse what cannot be measured in the end, before any time is spent on training.

    Raises:
        SpecError: Lists every metric that the task does not have, every column that the data does not have, and what
            needs rows that are not there.
    """
    problems = _check_from_inputs(spec, task)
    splits = prepared.splits
    settings = spec.evaluate
    if settings.threshold is not None:
        check_threshold(task, settings.threshold, splits)
    asked = {"groups": settings.groups, "slices": settings.slices if isinstance(settings.slices, list) else []}
    for name, columns in asked.items():
        for column in columns:
            if column not in prepared.record.schema:
                listed = ", ".join(prepared.record.schema)
                hint = nearest(column, prepared.record.schema)
                message = f"no column {column!r} in the data{hint}; columns: {listed}"
                problems.append(Problem(f"evaluate.{name}", message))
    if settings.learning_curve and "validation" not in splits:
        message = "is measured on validation rows, and there are none; set data.split.validation"
        problems.append(Problem("evaluate.learning_curve", message))
    stopping = spec.train.early_stopping
    known = ["loss", *task.metrics]
    if stopping is not None and stopping.metric not in known:
        hint = nearest(stopping.metric, known)
        message = f"{task.name} has no metric {stopping.metric!r}{hint}; it has: {', '.join(known)}"
        problems.append(Problem("train.early_stopping.metric", message))
    if stopping is not None and "validation" not in splits:
        problems.append(Problem("train.early_stopping", "needs validation rows; set data.split.validation above 0"))
    if spec.evaluate.require and "test" not in splits:
        message = "judges the test rows, and there are none; set data.split.test above 0 or name a test source"
        problems.append(Problem("evaluate.require", message))
    for metric in spec.evaluate.require or ():
        measured = (*task.metrics, *task.more_metrics)
        if metric not in measured:
            hint = nearest(metric, measured)
            message = f"{task.name} has no metric {metric!r}{hint}; it has: {', '.join(measured)}"
            problems.append(Problem("evaluate.require", message))
    if problems:
        raise SpecError(problems)


def _check_from_inputs(spec: Spec, task: Task) -> list[Problem]:
    """Return what has no meaning for a task that learns from inputs alone, or for one whose batches stay whole."""
    settings, problems = spec.train, []
    if task.from_inputs:
        said = {
            "train.mixup": settings.mixup is not None,
            "train.cutmix": settings.cutmix is not None,
            "train.semi_supervised": settings.semi_supervised is not None,
            "evaluate.cross_validate": spec.evaluate.cross_validate is not None,
        }
        message = f"is about targets, and {task.name} learns from the inputs alone; leave it out"
        problems += [Problem(place, message) for place, is_said in said.items() if is_said]
    if task.whole_batches and settings.accumulate > 1:
        message = f"cuts batches into pieces, and {task.name} tells a row from all others of its batch; set it to 1"
        problems.append(Problem("train.accumulate", message))
    if task.whole_batches and settings.batch_size == "auto":
        message = f"may cut batches into pieces, and {task.name} tells a row from all others of its batch; say a number"
        problems.append(Problem("train.batch_size", message))
    return problems
