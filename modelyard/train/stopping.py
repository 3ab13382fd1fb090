"""Being asked to stop: by a signal, by the keyboard, or by a time limit. Whoever trains looks between two steps."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from modelyard.core.errors import UsageError

__all__ = ["Stopping", "listening", "parse_duration"]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Stopping:
    """Whether and why the work is to stop.

    Args:
        max_seconds: From now on; None: no limit.
    """

    def __init__(self, max_seconds: float | None = None) -> None:
        self._deadline = None if max_seconds is None else time.monotonic() + max_seconds
        self._max_seconds = max_seconds
        self._signal = ""
        self._held = 0

    @property
    def reason(self) -> str:
        """Why the work is to stop; empty when it is not."""
        if self._signal:
            return self._signal
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return f"the time limit of {self._max_seconds:g} s is over"
        return ""

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While this stands, a signal is only noted: whoever holds looks at `reason` and ends in good order."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    def ask(self, reason: str) -> None:
        """Ask to stop.

        Raises:
            KeyboardInterrupt: At once, when nobody holds.
        """
        self._signal = self._signal or reason
        if not self._held:
            raise KeyboardInterrupt(reason)


@contextlib.contextmanager
def listening(stopping: Stopping) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into a request to stop; the second SIGINT interrupts at once.

    Only the main thread of a process gets signals; in another one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupts = 0

    def terminated(number: int, frame: FrameType | None) -> None:
        stopping.ask("terminated by a signal (SIGTERM)")

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts > 1:
            raise KeyboardInterrupt("interrupted twice from the keyboard")
        stopping.ask("interrupted from the keyboard")

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def parse_duration(text: str) -> float:
    """Return seconds: `90`, `90s`, `45m`, `2h`, `1h30m`, `1d`.

    Raises:
        UsageError: It is not a duration, or not above zero.
    """
    compact = text.replace(" ", "").lower()
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        seconds = float(compact)
    elif re.fullmatch(r"(\d+(\.\d+)?[smhd])+", compact):
        seconds = sum(float(count) * _UNITS[unit] for count, _, unit in re.findall(r"(\d+(\.\d+)?)([smhd])", compact))
    else:
        seconds = 0.0
    if seconds <= 0:
        raise UsageError(f"not a duration: {text!r}; write seconds, or such as 90s, 45m, 2h, 1h30m")
    return seconds
