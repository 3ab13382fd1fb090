"""A new model for a task: the family, and the head of its own that the task may bring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from modelyard.core.randomness import derive
from modelyard.data.kinds import Input
from modelyard.models.base import Family
from modelyard.models.build import build
from modelyard.spec.settings import Choice
from modelyard.tasks.base import Task

__all__ = ["build_model"]


def build_model(task: Task, choice: Choice[Any], inputs: Sequence[Input], seed: int) -> Family:
    """Return a new module for a task, in train mode, on the CPU. Equal arguments give equal weights.

    Raises:
        SpecError: The family does not take these inputs, or the task cannot learn with it.
    """
    model = build(choice, inputs, task.output_size, seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "initialise.head"))
        task.equip(model)
    return model.train()
