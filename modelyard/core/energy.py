"""How much energy a stretch of work took: read from the machine's own counters where it lets us, otherwise estimated
from processor time, and always said which."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from modelyard.core.errors import MissingExtraError
from modelyard.core.optional import require

__all__ = ["POWERCAP", "WATTS_PER_CORE", "EnergyMeter"]

WATTS_PER_CORE = 10.0
"""What a busy core is taken to draw when no counter can be read; server processors are rated at 5 to 15 W a core."""
POWERCAP = Path("/sys/class/powercap")
_SAMPLE_SECONDS = 60.0
"""RAPL counters start again from 0 after some minutes under load; read this often, no turn is missed."""


class EnergyMeter:
    """Measures time and energy from its start to its end, and the time of named stages in between.

        with EnergyMeter("cpu") as meter:
            with meter.stage("data"):
                ...
        meter.seconds["data"], meter.joules, meter.how

    Processor: Intel's and AMD's running average power limit (RAPL) counters, which cover the whole package with all
    that runs on it; where they cannot be read, processor time of this process times `WATTS_PER_CORE`.
    Accelerator: the driver's energy counter through pynvml, when it is installed.

    Args:
        device: What the work runs on: `cpu`, `cuda`, `cuda:1` ….
        counters: Folder of the RAPL counters.
    """

    def __init__(self, device: str = "cpu", counters: Path = POWERCAP) -> None:
        self.seconds: dict[str, float] = {}
        """Stage → seconds, added up when a stage is entered again."""
        self._device = device
        self._zones = [_Zone(folder) for folder in _packages(counters)]
        self._accelerator = _Accelerator(device) if device.startswith("cuda") else None
        self._before: float | None = 0.0
        self._open: tuple[str, float] | None = None
        self._cpu_start = self._cpu_end = 0.0
        self._running = False
        self._done = threading.Event()
        self._sampler: threading.Thread | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> EnergyMeter:
        self._sample()
        for zone in self._zones:
            zone.joules = 0.0
        if self._accelerator is not None:
            self._accelerator.start()
        self._cpu_start = _cpu_seconds()
        self._running = True
        if self._zones:
            self._sampler = threading.Thread(target=self._keep_sampling, name="energy", daemon=True)
            self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._update()
        self._running = False
        self._done.set()
        if self._sampler is not None:
            self._sampler.join()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of what is done inside to `seconds[name]`."""
        self._open = (name, time.monotonic())
        try:
            yield
        finally:
            self.seconds, self._open = self.so_far(), None

    def so_far(self) -> dict[str, float]:
        """Return the seconds of each stage, that of the one that is going on included."""
        seconds = dict(self.seconds)
        if self._open is not None:
            name, started = self._open
            seconds[name] = seconds.get(name, 0.0) + time.monotonic() - started
        return seconds

    def begin_with(self, seconds: Mapping[str, float], joules: float | None) -> None:
        """Add what was spent before an interruption: seconds by stage, and joules (None: nobody could tell)."""
        for stage, value in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + value
        self._before = joules

    @property
    def joules(self) -> float | None:
        """Energy since the start, in joules, up to now or the end; None when nobody can tell."""
        now = self._joules()
        return None if now is None or self._before is None else self._before + now

    def _joules(self) -> float | None:
        self._update()
        processor = sum(zone.joules for zone in self._zones) if self._zones else self._estimate()
        if self._accelerator is None:
            return processor
        return None if self._accelerator.problem else processor + self._accelerator.joules

    @property
    def how(self) -> str:
        """Where `joules` comes from, in words for the reader of a report."""
        self._update()
        if self._accelerator is not None and self._accelerator.problem:
            return f"unknown: the energy of {self._device} could not be read ({self._accelerator.problem})"
        if self._zones:
            count = len({zone.package for zone in self._zones})
            packages = "1 package" if count == 1 else f"{count} packages"
            text = (
                f"measured by the processor's own counters (RAPL, {packages}); they include whatever else ran on the "
                "machine"
            )
        else:
            hours = (self._cpu_end - self._cpu_start) / 3600
            text = (
                f"an estimate, not a measurement: {hours:.3g} core hours of processor time at an assumed "
                f"{WATTS_PER_CORE:g} W per busy core; no energy counter can be read on this machine"
            )
        if self._accelerator is not None:
            text = f"accelerator: measured by the driver's counter (NVML); processor: {text}"
        return text

    def _estimate(self) -> float:
        return (self._cpu_end - self._cpu_start) * WATTS_PER_CORE

    def _update(self) -> None:
        if self._running:
            self._sample()
            self._cpu_end = _cpu_seconds()
            if self._accelerator is not None:
                self._accelerator.read()

    def _keep_sampling(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        with self._lock:
            readable = [zone for zone in self._zones if zone.read()]
            # A counter that can no longer be read would leave a sum that is part measured, part missing.
            self._zones = readable if len(readable) == len(self._zones) else []


class _Zone:
    """One RAPL counter: a package, or the memory beside it."""

    def __init__(self, folder: Path) -> None:
        self.package = ":".join(folder.name.split(":")[:2])
        self.joules = 0.0
        self._path = folder / "energy_uj"
        self._range = _number(folder / "max_energy_range_uj")
        self._last: int | None = None

    def read(self) -> bool:
        """Add what was used since the last reading; False when the counter cannot be read."""
        now = _number(self._path)
        if now is None:
            return False
        if self._last is not None:
            used = now - self._last
            if used < 0:  # it went past its largest value and began again
                if self._range is None:
                    return False
                used += self._range + 1
            self.joules += used / 1e6
        self._last = now
        return True


def _packages(counters: Path) -> list[Path]:
    """Return the folders of the readable package counters and of their memory (`dram`), which they do not include.

    Cores and graphics are parts of their package; `psys` and the `-mmio` twins count the same energy again.
    """
    found = []
    for folder in sorted(counters.glob("intel-rapl:*")):
        name = _text(folder / "name") or ""
        parts = folder.name.count(":")
        if (parts == 1 and name.startswith("package")) or (parts == 2 and name == "dram"):
            found.append(folder)
    return found if found and all(_number(folder / "energy_uj") is not None for folder in found) else []


class _Accelerator:
    """An NVIDIA device's energy counter, which counts from the loading of its driver."""

    def __init__(self, device: str) -> None:
        self.joules = 0.0
        self.problem: str | None = None
        self._index = int(device.partition(":")[2] or 0)
        self._nvml: Any = None
        self._handle: Any = None
        self._first = 0

    def start(self) -> None:
        try:
            self._nvml = require("pynvml", "energy")
        except MissingExtraError:
            self.problem = "the package nvidia-ml-py is not installed"
            return
        try:
            self._nvml.nvmlInit()
            self._handle = self._nvml.nvmlDeviceGetHandleByIndex(self._visible())
            self._first = self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)
        except self._nvml.NVMLError as error:
            self.problem = str(error)

    def read(self) -> None:
        if self.problem is not None:
            return
        try:
            now = self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)
        except self._nvml.NVMLError as error:
            self.problem = str(error)
            return
        self.joules = (now - self._first) / 1e3  # the counter is in millijoules

    def _visible(self) -> int:
        """NVML counts all devices of the machine, torch those that CUDA_VISIBLE_DEVICES leaves."""
        visible = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
        if self._index < len(visible) and visible[self._index].isdigit():
            return int(visible[self._index])
        return self._index


def _cpu_seconds() -> float:
    """Processor time of this process and of its ended children, over all threads."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _text(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.isdigit() else None
