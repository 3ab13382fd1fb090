"""When the loss leaves all bounds: find the step and the rows, and stop, or go back and leave that batch out.

The loss is looked at some steps late, when the weights may be gone already. So the state goes back to where it was
saved, and the same way is taken again (it is the same, bit for bit) with the weights looked at after every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from modelyard.core.errors import DivergedError
from modelyard.core.events import EventLog
from modelyard.data.batch import Batch
from modelyard.data.lookup import Places
from modelyard.train.saving.checkpoints import Snapshot
from modelyard.train.saving.snapshots import restore_snapshot
from modelyard.train.state import State
from modelyard.train.step import Setup
from modelyard.train.watch import Trouble

__all__ = ["Divergence"]

_NAMED = 8
"""Rows of a batch that a message names."""


class Divergence:
    """Looks after the bounds of one training.

    Args:
        setup: The training's setup.
        state: Its state, moved back in place.
        log: Told of spikes, of going back and of batches left out.
        newest: Returns the newest snapshot there is.
    """

    def __init__(self, setup: Setup, state: State, log: EventLog, newest: Callable[[], Snapshot]) -> None:
        self.setup = setup
        self.state = state
        self.settings = setup.settings.divergence
        self._log = log
        self._newest = newest
        self._replay: Trouble | None = None
        """What was found on a way that is being taken again."""

    def before(self, batch: Batch) -> None:
        """Look at a batch before its step; it may be left out from now on.

        Raises:
            DivergedError: Its loss is known to be no number, and the policy is to stop.
        """
        replay, state = self._replay, self.state
        if replay is not None and state.step >= replay.step and state.step not in state.skipped:
            self._replay = None
            if replay.kind == "not_finite":  # every weight on the way here is a number: it is this batch
                self._leave_out(replay, state.step, batch)
            else:
                self._log("not_again", step=state.step + 1)

    def after(self, batch: Batch) -> bool:
        """Look at what is known after a step. False when the state went back.

        Raises:
            DivergedError: Something left its bounds, and the policy is to stop.
        """
        step = self.state.step - 1
        if self._replay is not None and step not in self.state.skipped and not _all_finite(self.state.model):
            trouble, self._replay = self._replay, None
            self._leave_out(trouble, step, batch)
            self._go_back()
            return False
        return self._handle(self.state.watch.take())

    def in_bounds(self) -> bool:
        """Read every loss and look at the weights: whether the state may be saved, measured and kept. False when it was
        not, and the state went back."""
        if not self._handle(self.state.watch.look()):
            return False
        if _all_finite(self.state.model):
            return True
        return self._handle([Trouble(self.state.step, "weights", math.nan, math.nan)])

    def _handle(self, troubles: list[Trouble]) -> bool:
        for trouble in troubles:
            if trouble.kind == "spike":
                batch = self._batch_of(trouble.step)
                if self.settings.spike == "note":
                    named = self._name(batch)
                    self._log("spike", step=trouble.step + 1, loss=trouble.loss, usual=trouble.usual, rows=named)
                    continue
                self._leave_out(trouble, trouble.step, batch)
                self._go_back()
                return False
            self._replay = trouble
            self._go_back()
            return False
        return True

    def _leave_out(self, trouble: Trouble, step: int, batch: Batch) -> None:
        """Take a step's batch out of this training.

        Raises:
            DivergedError: The policy is to stop, or too many were taken out already.
        """
        state, settings = self.state, self.settings
        named = self._name(batch)
        if trouble.kind == "spike":
            what = f"the loss of step {step + 1} is {trouble.loss:.4g}, the usual one {trouble.usual:.4g}"
            policy, setting = settings.spike, "spike"
        else:
            what = f"the loss or its gradient is not a number from step {step + 1} on"
            policy, setting = settings.not_finite, "not_finite"
        where = f"{what} (epoch {state.epoch + 1}); rows of its batch: {'; '.join(named)}"
        if policy == "stop":
            raise DivergedError(
                f"training diverged: {where}. No bundle was written; the last checkpoint before it is kept. A smaller "
                f"train.learning_rate (now {state.optimizer.param_groups[-1]['lr']:.3g}), train.gradient_clip=1 or "
                "train.warmup=0.1 usually helps; look for extreme numbers in these rows; or leave such batches out: "
                f"train.divergence.{setting}=skip"
            )
        if len(state.skipped) >= settings.most:
            raise DivergedError(
                f"training diverged: {where}. {len(state.skipped)} batches were left out before it, as many as "
                "train.divergence.most allows; a smaller train.learning_rate or train.gradient_clip=1 usually helps"
            )
        state.skipped.append(step)
        self._log("skipped", step=step + 1, message=where, rows=named)

    def _go_back(self) -> None:
        state = self.state
        skipped, step, seconds = list(state.skipped), state.step, state.seconds
        restore_snapshot(state, self._newest())
        state.skipped, state.seconds = skipped, seconds
        self._log("went_back", from_step=step, to_step=state.step, epoch=state.epoch)

    def _batch_of(self, step: int) -> Batch:
        """Return the batch of a step that is not long ago."""
        loader, state = self.setup.train, self.state
        number = state.under_way.batch - (state.step - step)
        epoch = state.epoch
        while number < 0:
            epoch, number = epoch - 1, number + len(loader)
        return next(iter(loader.epoch(epoch, number)))

    def _name(self, batch: Batch) -> list[str]:
        """Name the rows with values that are no numbers, where there are such; else the batch's first rows."""
        rows = _broken_rows(batch)
        of = rows if len(rows) else np.arange(len(batch))
        ids = batch.ids[of[:_NAMED]]
        found = self.setup.train.store.take(["row.file", "row.position"], ids)
        places = Places(self.setup.files, np.asarray(found["row.file"]), np.asarray(found["row.position"]))
        named = [f"{file}, row {position + 1}" for file, position in places]
        return named + ([f"and {len(of) - _NAMED} more"] if len(of) > _NAMED else [])


def _broken_rows(batch: Batch) -> npt.NDArray[np.int64]:
    """Return the samples of a batch whose inputs or targets are infinite or not numbers."""
    broken = np.zeros(len(batch), bool)
    for tensor in [*batch.inputs.values(), *batch.targets.values()]:
        if tensor.is_floating_point() and tensor.ndim and len(tensor) == len(batch):
            broken |= ~torch.isfinite(tensor).reshape(len(batch), -1).all(1).cpu().numpy()
    return np.flatnonzero(broken)


def _all_finite(model: nn.Module) -> bool:
    """Whether every weight and buffer is a number; one pass, one answer."""
    tensors = [tensor for tensor in model.state_dict().values() if tensor.is_floating_point() and tensor.numel()]
    # A sum over numbers that are all finite may overflow to infinity, a maximum cannot.
    norms = [norm.float() for norm in torch._foreach_norm(tensors, math.inf)] if tensors else []
    return not norms or bool(torch.isfinite(torch.stack(norms)).all())
