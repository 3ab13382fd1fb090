"""A small training whose parts can be asked for again: a resolved spec, its prepared data and its task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import modelyard
from modelyard.bundle.contents import make_task
from modelyard.core.events import EventLog
from modelyard.data.prepare import Prepared, prepare
from modelyard.spec.spec import Spec
from modelyard.tasks.base import Task
from modelyard.train.run import Run


@dataclass
class Small:
    run: Run
    spec: Spec
    prepared: Prepared
    task: Task
    events: list[dict[str, Any]]
    log: EventLog


def small_training(data: dict[str, Any], runs, **parts: Any) -> Small:
    """Train a linear model on some rows and return everything that training again takes."""
    train = {"epochs": 8, "batch_size": 16, "learning_rate": 0.1, "threads": 1, **parts.pop("train", {})}
    evaluate = {"resamples": 50, "robustness": False, "slices": None, **parts.pop("evaluate", {})}
    run = modelyard.train(
        Spec.parse({"name": "small", "data": data, "model": "linear", "train": train, "evaluate": evaluate, **parts}),
        runs,
    )
    prepared = prepare(run.spec)
    task = make_task(run.spec, prepared.fitted)
    task.prepare({target.column: np.asarray(values) for target, values in _targets(prepared)})
    events: list[dict[str, Any]] = []
    return Small(run, run.spec, prepared, task, events, EventLog(None, [events.append]))


def _targets(prepared: Prepared):
    store = prepared.splits["train"]
    return [(target, store.whole(f"target.{target.column}")) for target in prepared.fitted.targets]


def blobs(rows: int, seed: int = 0) -> dict[str, Any]:
    """Two clouds of points far apart, each with its label."""
    rng = np.random.default_rng(seed)
    side = np.arange(rows) % 2
    return {
        "x": (rng.normal(size=rows) + 6 * side).tolist(),
        "y": (rng.normal(size=rows) - 6 * side).tolist(),
        "side": ["right" if one else "left" for one in side],
    }
