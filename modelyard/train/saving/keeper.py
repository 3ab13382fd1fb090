"""Decides when a training is saved, and brings it back to where it was saved last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from modelyard.core.events import EventLog
from modelyard.spec.spec import CheckpointSpec
from modelyard.train.saving.checkpoints import Checkpoints, Snapshot
from modelyard.train.saving.saver import Saver
from modelyard.train.saving.snapshots import take_snapshot
from modelyard.train.state import State

__all__ = ["Keeper"]


class Keeper:
    """Saves one training's state in the background, and synchronously where it must be on the disk before going on.

    Args:
        checkpoints: Where.
        settings: When.
        log: Told of every finished save, and of what could not be read.
        saved: Called after every finished save, in the thread that saved.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        settings: CheckpointSpec,
        log: EventLog,
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        self.checkpoints = checkpoints
        self.settings = settings
        self._log = log
        self._saver = Saver(checkpoints, self._told)
        self._saved = saved
        self._last = time.monotonic()
        self._wanted = False
        self.seconds = 0.0
        """Time that training waited for copies of its state."""

    def _told(self, record: dict[str, Any]) -> None:
        self._log("saved", **record)
        self._saved()

    @property
    def busy(self) -> bool:
        """Whether a save is being written."""
        return self._saver.busy

    def due(self, state: State, epoch_ended: bool = False) -> bool:
        """Say whether a state between two steps is to be saved now. One save at a time: while one is being written, the
        next chance comes after the next step."""
        settings = self.settings
        if epoch_ended:
            self._wanted |= settings.epochs is not None and state.epoch % settings.epochs == 0
        else:
            self._wanted |= settings.steps is not None and state.step % settings.steps == 0
        if settings.minutes is not None and time.monotonic() - self._last >= 60 * settings.minutes:
            self._wanted = True
        return self._wanted and not self.busy

    def save(self, state: State) -> None:
        """Copy a state and have it written in the background."""
        started = time.perf_counter()
        if self._saver.submit(take_snapshot(state)):
            self._wanted = False
            self._last = time.monotonic()
        self.seconds += time.perf_counter() - started

    def now(self, state: State) -> None:
        """Save, and return when it is on the disk."""
        self._saver.save_now(take_snapshot(state))
        self._last = time.monotonic()

    def newest(self) -> Snapshot | None:
        """Return the newest snapshot that is whole, if there is one; each that is not is told of."""
        self._saver.wait()
        found = self.checkpoints.newest()
        for reason in found.passed_over if found is not None else ():
            self._log("passed_over", message=reason)
        return None if found is None else found.snapshot

    def close(self) -> None:
        """Wait for the save that is going on."""
        self._saver.close()
