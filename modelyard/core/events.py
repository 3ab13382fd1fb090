"""What happens in a run, as it happens: small records appended to `events.jsonl` and handed to observers.

Observers get immutable records and cannot change training.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from modelyard.core.files import storage_errors, to_json

__all__ = ["EventLog", "Observer"]

Observer = Callable[[dict[str, Any]], None]
"""Called with each event: `{"event": "epoch", "time": seconds since 1970, …}`."""


class EventLog:
    """Appends events to a JSON Lines file, one line each, flushed at once, and tells the observers.

    Use as a context manager. `path` None keeps no file.
    """

    def __init__(self, path: Path | None, observers: Sequence[Observer] = ()) -> None:
        self.path = path
        self.observers = tuple(observers)
        self._descriptor: int | None = None

    def __enter__(self) -> EventLog:
        if self.path is not None:
            with storage_errors(self.path):
                self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __call__(self, event: str, **fields: Any) -> None:
        """Record that `event` happened, in one write call, so that a crash of this process never tears a line."""
        record = {"event": event, "time": time.time(), **fields}
        if self._descriptor is not None and self.path is not None and event != "progress":
            with storage_errors(self.path):
                os.write(self._descriptor, (to_json(record) + "\n").encode())
        for observer in self.observers:
            observer(record)
