"""Run a model over a split and keep its outputs with the true answers, in the order of the rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from modelyard.data.batch import Batch
from modelyard.data.loader import Loader
from modelyard.evaluate.baseline import rows_with_targets
from modelyard.evaluate.order import rising
from modelyard.tasks.base import Outcome, Task

__all__ = ["Collected", "collect"]


class Collected:
    """Outputs and targets of many batches. Stays on the device until it is read."""

    def __init__(self) -> None:
        self._outputs: list[Tensor] = []
        self._targets: list[dict[str, Tensor]] = []
        self._ids: list[npt.NDArray[np.int64]] = []
        self._sorted: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self.loss = math.nan
        """Mean loss over all rows, set by `collect`."""

    def add(self, output: Tensor, batch: Batch) -> None:
        """Keep a batch's outputs (B, O) with its targets."""
        self._outputs.append(output)
        self._targets.append(dict(batch.targets))
        self._ids.append(batch.ids)

    def __len__(self) -> int:
        return sum(len(ids) for ids in self._ids)

    def joined(self) -> tuple[Tensor, dict[str, Tensor], npt.NDArray[np.int64]]:
        """Return outputs (n, O), encoded targets by column and row ids (n,), in the order they came in."""
        targets = {name: torch.cat([part[name] for part in self._targets]) for name in self._targets[0]}
        return torch.cat(self._outputs), targets, np.concatenate(self._ids)

    def ids(self) -> npt.NDArray[np.int64]:
        """Return the rows' positions in the store, rising."""
        return np.sort(np.concatenate(self._ids))

    def output(self) -> npt.NDArray[np.float32]:
        """Return outputs (n, O), in the order of the store."""
        return torch.cat(self._outputs).float().cpu().numpy().take(self._order(), axis=0)

    def targets(self) -> dict[str, npt.NDArray[Any]]:
        """Return encoded targets by column, in the order of the store."""
        order = self._order()
        names = self._targets[0]
        return {
            name: torch.cat([part[name] for part in self._targets]).cpu().numpy().take(order, axis=0) for name in names
        }

    def outcome(self, task: Task) -> Outcome:
        """Return what the metrics take, rows without a target left out."""
        output, targets = self.output(), self.targets()
        present = rows_with_targets(targets, len(output))
        if present.all():
            return task.outcome(output, targets)
        return task.outcome(output[present], {name: target[present] for name, target in targets.items()})

    def _order(self) -> npt.NDArray[np.int64]:
        if len(self._sorted) != len(self):  # more has come
            self._sorted = rising(np.concatenate(self._ids))
        return self._sorted


def collect(
    task: Task,
    model: nn.Module,
    loader: Loader,
    device: torch.device,
    between: Callable[[], None] = lambda: None,
) -> Collected:
    """Run a model in evaluation mode, in float32, over all rows of a loader, and put it back in the mode it was in.

    `between` is called after every batch; what it raises ends the work.
    """
    collected = Collected()
    training = model.training
    model.eval()
    weighted = torch.zeros((), dtype=torch.float64, device=device)
    weight = torch.zeros((), dtype=torch.float64, device=device)
    try:
        with torch.inference_mode():
            for batch in loader.epoch(0):
                targets = {name: target.numpy() for name, target in batch.targets.items()}
                if not rows_with_targets(targets, len(batch)).any():
                    # Labels that training never saw: there is an output, but no loss to speak of.
                    collected.add(model(batch.to(device).inputs), batch)
                    continue
                out = task.forward(model, batch.to(device))
                weighted += out["loss"].double() * out["weight"]
                weight += out["weight"]
                collected.add(out["output"], batch)
                between()
    finally:
        model.train(training)
    collected.loss = float(weighted / weight)
    return collected
