"""How much of the processors others take while something is measured: what was measured in company says little."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Neighbours"]

_STAT = Path("/proc/stat")


@dataclass
class Neighbours:
    """Watches from its making on.

    Linux tells the time of all processors, in all states together; other systems do not, and nobody is seen there.
    """

    stat: Path = _STAT
    """The kernel's count of processor time."""
    _before: tuple[float, float] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._before = _busy(self.stat)
        self._own = _own()

    def cores(self) -> float:
        """Return how many processors others have kept busy on average, from 0; a host's other guests count too."""
        now = _busy(self.stat)
        if now is None or self._before is None or now[1] <= self._before[1]:
            return 0.0
        busy, seconds = now[0] - self._before[0], now[1] - self._before[1]
        return max(0.0, busy - (_own() - self._own)) / seconds


def _own() -> float:
    """Return the processor time of this process and the children it has waited for, in seconds."""
    return sum(os.times()[:4])


def _busy(stat: Path) -> tuple[float, float] | None:
    """Return (busy time of all processors together, time passed for each of them), in seconds; None where it is not
    told."""
    try:
        lines = stat.read_text("ascii").splitlines()
    except OSError:
        return None
    processors = sum(line.startswith("cpu") for line in lines) - 1
    # user nice system idle iowait irq softirq steal: jiffies of a hundredth of a second, see proc_stat(5)
    user, nice, system, idle, waiting, interrupts, soft, stolen = map(int, lines[0].split()[1:9])
    ticks = os.sysconf("SC_CLK_TCK")
    busy = user + nice + system + interrupts + soft + stolen
    return busy / ticks, (busy + idle + waiting) / ticks / max(1, processors)
