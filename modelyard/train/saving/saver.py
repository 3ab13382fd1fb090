"""Saving beside the training: one snapshot at a time, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from modelyard.train.saving.checkpoints import Checkpoints, Snapshot

__all__ = ["Saver"]


class Saver:
    """Saves snapshots in the background, one at a time.

    An error of a background save is raised by the next call of `submit`, `save_now` or `close`, as it is.

    Args:
        checkpoints: Where.
        told: Called after each save with its path, step, seconds, bytes and the older checkpoints that are unreadable;
            in the thread that saved.
    """

    def __init__(self, checkpoints: Checkpoints, told: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.checkpoints = checkpoints
        self._told = told
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether a save is going on in the background."""
        return self._thread is not None and self._thread.is_alive()

    def submit(self, snapshot: Snapshot) -> bool:
        """Begin to save a snapshot; False, and nothing is done, when another one is still being written."""
        if self.busy:
            return False
        self.wait()
        self._raise()
        # Not a daemon: should this process end by an error elsewhere, the save that has begun is still finished.
        self._thread = threading.Thread(target=self._run, args=(snapshot,), name="checkpoint")
        self._thread.start()
        return True

    def save_now(self, snapshot: Snapshot) -> None:
        """Wait for the save that is going on, then save in this thread.

        An earlier error is raised after this snapshot is saved: it must not cost the state as well.
        """
        self.wait()
        self._save(snapshot)
        self._raise()

    def wait(self) -> None:
        """Wait until nothing is being saved."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """Wait for the save that is going on."""
        self.wait()
        self._raise()

    def _run(self, snapshot: Snapshot) -> None:
        try:
            self._save(snapshot)
        except BaseException as error:
            self._error = error

    def _save(self, snapshot: Snapshot) -> None:
        started = time.perf_counter()
        written = self.checkpoints.write(snapshot)
        if self._told is not None:
            seconds = time.perf_counter() - started
            about = {"path": str(written.path), "step": written.step, "seconds": seconds, "bytes": written.bytes}
            self._told({**about, "unreadable": written.unreadable})

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
