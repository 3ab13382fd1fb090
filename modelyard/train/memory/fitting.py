"""How many rows of a batch fit in memory at once, found out without running out of it.

On an accelerator steps are really run, larger and larger. A computer's own memory is no place for that: a process that
takes too much is killed. There, small steps are measured, and what larger ones take is derived from them.
"""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from modelyard.core.errors import ModelyardError
from modelyard.core.records import Record
from modelyard.report.formatting import bytes_
from modelyard.train.profiling.tensor_memory import TensorMemory

__all__ = ["Available", "MicroBatch", "available_memory", "find_micro_batch"]

_SHARE = 0.8
"""Share of the computer's available memory that a step may take by derivation: kernels take some for themselves, and
other processes live here too."""
_ACCELERATOR_SHARE = 0.95
"""Share of an accelerator's free memory that a step may take as measured: later steps divide it up differently."""
_LARGEST_MEASURED = 16
"""Rows of the largest step that is run on a CPU."""
_FIRST = 8
"""Rows of the first step that is run on an accelerator."""
_UNLIMITED = 1 << 60
"""What the first version of Linux's control groups writes where there is no limit is above this."""


@dataclass(frozen=True)
class Available(Record):
    """Memory that this process can still take."""

    bytes: int | None
    """None: nothing says."""
    how: str
    """What says so."""


@dataclass(frozen=True)
class MicroBatch(Record):
    """How a batch is cut so that it fits in memory."""

    size: int
    """Rows of the largest piece."""
    accumulate: int
    """Pieces a batch is cut into."""
    tried: list[tuple[int, int | None]]
    """Rows of each step that was run, and the bytes it took; None: it did not fit."""
    limit_bytes: int | None
    """What a step may take; None: no limit is known."""
    reason: str
    """In words."""


def find_micro_batch(
    try_step: Callable[[int], None],
    rows: int,
    device: torch.device,
    limit_bytes: int | None = None,
    reserve_bytes: int = 0,
) -> MicroBatch:
    """Find the largest piece of a batch that fits in memory, of pieces as equal as can be.

    Args:
        try_step: Runs forward and backward on so many rows, the heaviest there are, and changes nothing.
        rows: Rows of the whole batch.
        device: Where steps run; the model is there.
        limit_bytes: What a step may take beyond what is taken now; None: what is available, less a margin.
        reserve_bytes: What will be taken besides when training runs, such as the optimizer's state.

    Raises:
        ModelyardError: Not even the smallest piece fits.
    """
    if device.type == "cuda":
        return _on_accelerator(try_step, rows, device, limit_bytes, reserve_bytes)
    how = "given"
    if limit_bytes is None:
        available = available_memory()
        how = f"{_SHARE:.0%} of what {available.how}"
        limit_bytes = None if available.bytes is None else int(_SHARE * available.bytes)
    if limit_bytes is None:
        return MicroBatch(rows, 1, [], None, "in one piece: nothing on this machine says how much memory is available")
    return _by_derivation(try_step, rows, limit_bytes - reserve_bytes, how)


# -- in the computer's own memory -------------------------------------------------------------------------------------


def _by_derivation(try_step: Callable[[int], None], rows: int, limit: int, how: str) -> MicroBatch:
    """Measure steps of 2, 4, 8 and 16 rows, as long as they fit, and lengthen the steepest line through them."""
    tried: list[tuple[int, int | None]] = []
    size, slope, line = min(2, rows), 0.0, (0, 0)
    if limit > 0:
        while True:
            with TensorMemory() as memory:
                try_step(size)
            tried.append((size, memory.peak))
            if line[0]:
                slope = max(slope, (memory.peak - line[1]) / (size - line[0]))
            line = (size, memory.peak)
            following = _following(size, rows, memory.peak, slope, limit)
            if following == size:
                break
            size = following
    if not tried or line[1] > limit:
        raise _nothing_fits(size, line[1], limit, how)
    slope = slope or line[1] / line[0]
    fitting = rows if slope <= 0 else min(rows, line[0] + int((limit - line[1]) / slope))
    needed = line[1] + slope * (rows - line[0])
    words = f"all {rows:,} rows would take about {bytes_(int(needed))}, derived from steps of up to {line[0]} rows"
    return _cut(rows, fitting, tried, limit, f"{words}; {bytes_(limit)} may be taken ({how})")


def _following(size: int, rows: int, peak: int, slope: float, limit: int) -> int:
    """Return how many rows to measure next; `size` again when that was enough."""
    following = min(2 * size, rows, _LARGEST_MEASURED)
    if peak + (slope or peak / size) * (following - size) <= limit:
        return following
    # Of a single measured step all seems to grow with the rows, also what does not. One more row tells, within the
    # margin that is kept free.
    following = min(size + 1, rows)
    return following if not slope and peak * following / size <= limit / _SHARE else size


def available_memory(root: Path = Path("/")) -> Available:
    """Return what this process can still take: the least that the system, its control groups and its own limits allow.

    Memory that holds only copies of files counts as available: it is given up when it is asked for.

    Args:
        root: Where `proc` and `sys` stand.
    """
    found = [one for one in (_of_system(root), *_of_control_groups(root), _of_process(root)) if one.bytes is not None]
    if not found:
        return Available(None, "nothing says how much memory is available")
    least = min(found, key=lambda one: one.bytes or 0)
    return Available(max(0, least.bytes or 0), least.how)


def _of_system(root: Path) -> Available:
    values = _table(root / "proc/meminfo")
    kilobytes = values.get("MemAvailable:")
    return Available(None if kilobytes is None else 1024 * kilobytes, "the system has available")


def _of_control_groups(root: Path) -> list[Available]:
    """Return what each control group that this process is in leaves, in either version of them."""
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        home = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        limit_name, usage_name, cached_name = (
            names if controllers else ("memory.max", "memory.current", "inactive_file")
        )
        group = home / path.strip("/")
        for folder in (group, *group.parents):
            limit, usage = _text(folder / limit_name).strip(), _text(folder / usage_name).strip()
            if limit.isdigit() and usage.isdigit() and int(limit) < _UNLIMITED:
                cached = _table(folder / "memory.stat").get(cached_name, 0)
                found.append(Available(int(limit) - int(usage) + cached, f"its control group ({folder}) leaves"))
            if folder == home:
                break
    return found


def _of_process(root: Path) -> Available:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _text(root / "proc/self/statm").split()
    left = None if limit == resource.RLIM_INFINITY or not pages else limit - int(pages[0]) * resource.getpagesize()
    return Available(left, "the limit on this process's address space leaves")


def _table(path: Path) -> dict[str, int]:
    """Return the lines `NAME NUMBER …` of a file by name."""
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) >= 2 and row[1].isdigit()}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # another system, or another version of control groups
        return ""


# -- on an accelerator ------------------------------------------------------------------------------------------------


def _on_accelerator(
    try_step: Callable[[int], None], rows: int, device: torch.device, limit: int | None, reserve: int
) -> MicroBatch:
    tried: list[tuple[int, int | None]] = []
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved(device)
    how = "given"
    if limit is None:
        limit = int(_ACCELERATOR_SHARE * torch.cuda.mem_get_info(device)[0])
        how = f"{_ACCELERATOR_SHARE:.0%} of what is free on {device}"
    allowed = limit - reserve

    def fits(size: int) -> bool:
        torch.cuda.reset_peak_memory_stats(device)
        peak: int | None = None
        try:
            try_step(size)
            torch.cuda.synchronize(device)
            peak = torch.cuda.max_memory_reserved(device) - before
        except torch.OutOfMemoryError:
            pass
        gc.collect()
        torch.cuda.empty_cache()
        tried.append((size, peak))
        return peak is not None and peak <= allowed

    found = largest_fitting(fits, rows)
    if not found:
        size, peak = tried[-1]
        raise _nothing_fits(size, peak, allowed, how)
    return _cut(rows, found, tried, allowed, f"steps were run on {device}; {bytes_(allowed)} may be taken ({how})")


def largest_fitting(fits: Callable[[int], bool], rows: int) -> int:
    """Return the largest size of at most `rows` that fits, to within a sixteenth, by doubling and halving; 0: none."""
    low, high = 0, min(_FIRST, rows)
    while fits(high):
        low = high
        if low == rows:
            return rows
        high = min(2 * high, rows)
    while high - low > max(1, low // 16):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


# -- in both ----------------------------------------------------------------------------------------------------------


def _cut(rows: int, fitting: int, tried: list[tuple[int, int | None]], limit: int, reason: str) -> MicroBatch:
    accumulate = -(-rows // fitting)
    size = -(-rows // accumulate)
    head = f"in one piece of {rows:,} rows" if accumulate == 1 else f"in {accumulate} pieces of up to {size:,} rows"
    return MicroBatch(size, accumulate, tried, limit, f"{head}: {reason}")


def _nothing_fits(size: int, peak: int | None, limit: int, how: str) -> ModelyardError:
    took = "does not fit" if peak is None else f"takes {bytes_(peak)}"
    left = f"{bytes_(limit)} may be taken" if limit > 0 else "what training holds besides leaves nothing"
    return ModelyardError(
        f"not even a step on {size} row{'' if size == 1 else 's'} fits in memory: it {took}, and {left} ({how}). "
        "train.memory has settings that take less; else make the model, its texts or its pictures smaller"
    )
