"""What this machine can do at most, measured: products and convolutions by precision, memory, the cost of a call.

A share of a limit says how much there is to gain; a limit from a data sheet would not say it of this machine.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from modelyard.core.device import environment, multiplies_float8
from modelyard.core.errors import DataError, UsageError
from modelyard.core.files import cache_directory, digest_bytes, read_json, to_json, write_json
from modelyard.core.records import Record

__all__ = ["MachineLimits", "Rate", "machine_limits", "measure_limits", "median_seconds", "synchronise", "time_repeats"]

_VERSION = 1
"""Of what is measured and how: a file of another version is measured anew."""
_REPEATS = 5
_CALM = 0.9
"""How near the quartiles of a calm measurement are to each other."""
_STEADY = 0.75
"""How near they must be for a measurement to be kept."""
_ATTEMPTS = 3
_WORK = {"cpu": 0.02, "cuda": 0.004}
"""Seconds that one measured piece of work should take about: long against a timer's grain, short against patience."""
_LARGEST = {"cpu": 2048, "cuda": 8192}
"""Side of the largest square matrices that are multiplied."""
_COPIED = {"cpu": 1 << 27, "cuda": 1 << 30}
"""Bytes of the array that is copied: more than caches hold."""
_CALLS = 500
"""Calls that are timed together, to say what one costs."""


@dataclass(frozen=True)
class Rate(Record):
    """A measured rate."""

    value: float
    """Median, per second."""
    low: float
    """First quartile of the repeats."""
    high: float
    """Third quartile of the repeats."""
    repeats: int
    what: str
    """What was run."""


@dataclass(frozen=True)
class MachineLimits(Record):
    """What a device did at most, while this process used so many threads."""

    device: str
    """`cpu`, or the accelerator's name."""
    processor: str
    threads: int
    """Threads that torch used on the CPU."""
    torch: str
    quick: bool
    products: dict[str, Rate]
    """Precision → floating-point operations a second of large matrix products."""
    convolutions: dict[str, Rate]
    """Precision → floating-point operations a second of 3×3 convolutions, channels last, forward."""
    memory: Rate
    """Bytes a second of a large copy, each byte counted when it is read and when it is written."""
    call: Rate
    """Calls a second of an operator on one number: the fixed cost that every call has."""
    to_device: Rate | None = None
    """Bytes a second from pinned host memory to the accelerator; None on a CPU."""

    @property
    def rates(self) -> list[Rate]:
        """All rates."""
        found = [*self.products.values(), *self.convolutions.values(), self.memory, self.call]
        return found if self.to_device is None else [*found, self.to_device]

    @property
    def call_seconds(self) -> float:
        """Seconds that a call of an operator costs, however small its work."""
        return 1 / self.call.value


def machine_limits(device: torch.device, quick: bool = True, refresh: bool = False) -> MachineLimits:
    """Return the limits of a device with the threads that torch uses now; measured once, then kept in the cache.

    What others on the machine disturbed too much is not kept, and measured anew the next time.

    Args:
        device: The CPU or a CUDA device.
        quick: Measure for about a second; False repeats everything four times as often.
        refresh: Measure anew, and keep that.

    Raises:
        UsageError: The device is neither a CPU nor a CUDA device.
        StorageError: The cache cannot be written to.
    """
    key = _key(device, quick)
    path = cache_directory() / "limits" / f"{digest_bytes(to_json(key).encode())[:16]}.json"
    if not refresh:
        kept = _read(path, key)
        if kept is not None:
            return kept
    limits = measure_limits(device, quick)
    if all(rate.low >= _STEADY * rate.high for rate in limits.rates):
        write_json(path, {"version": _VERSION, **limits.as_dict()})
    return limits


def measure_limits(device: torch.device, quick: bool = True) -> MachineLimits:
    """Measure the limits of a device now; what was disturbed by others on the machine is measured up to three times.

    Raises as `machine_limits`.
    """
    key = _key(device, quick)
    repeats = _REPEATS if quick else 4 * _REPEATS
    with torch.inference_mode():
        products = {name: _product(device, name, repeats) for name in _precisions(device)}
        convolutions = {name: _convolution(device, name, repeats) for name in _precisions(device) if name != "float8"}
        memory = _copy(device, repeats)
        call = _call(device, repeats)
        to_device = _transfer(device, repeats) if device.type == "cuda" else None
    return MachineLimits(
        **{name: value for name, value in key.items() if name != "version"},
        products=products,
        convolutions=convolutions,
        memory=memory,
        call=call,
        to_device=to_device,
    )


# -- timing -----------------------------------------------------------------------------------------------------------


def synchronise(device: torch.device) -> None:
    """Wait until everything that was asked of the device is done; a CPU has nothing to wait for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_repeats(work: Callable[[], object], repeats: int, device: torch.device, warm: int = 1) -> list[float]:
    """Return the seconds that each of `repeats` runs took, after `warm` runs that are not counted."""
    for _ in range(warm):
        work()
    seconds = []
    for _ in range(repeats):
        synchronise(device)
        started = time.perf_counter()
        work()
        synchronise(device)
        seconds.append(time.perf_counter() - started)
    return seconds


def median_seconds(work: Callable[[], object], repeats: int, device: torch.device, warm: int = 1) -> float:
    """Return the median of `repeats` runs in seconds, after `warm` runs that are not counted."""
    return float(np.median(time_repeats(work, repeats, device, warm)))


def _rate(amount: float, work: Callable[[], object], repeats: int, device: torch.device, what: str) -> Rate:
    found: list[Rate] = []
    while len(found) < _ATTEMPTS and not (found and found[-1].low > _CALM * found[-1].high):
        slow, middle, quick = (
            float(one) for one in np.quantile(time_repeats(work, repeats, device), [0.75, 0.5, 0.25])
        )
        found.append(Rate(amount / middle, amount / slow, amount / quick, repeats, what))
    return max(found, key=lambda rate: rate.value)


# -- what is run ------------------------------------------------------------------------------------------------------


def _precisions(device: torch.device) -> list[str]:
    if device.type == "cpu":
        return ["float32", "bfloat16"]
    found = ["float32", "tf32", "float16", "bfloat16"]
    if torch.cuda.get_device_capability(device) < (8, 0):
        found.remove("tf32")
    if multiplies_float8(device):
        found.append("float8")
    return found


_DTYPES = {"tf32": torch.float32, "float8": torch.float8_e4m3fn}


@contextlib.contextmanager
def _float32_as(precision: str) -> Iterator[None]:
    """Let products and convolutions of float32 run as this precision says: in full, or as tf32."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.fp32_precision = value


def _product(device: torch.device, precision: str, repeats: int) -> Rate:
    """Square matrices, the largest that take about `_WORK` seconds each."""
    side = 256
    with _float32_as(precision):
        seconds = min(time_repeats(_multiply(device, precision, side), 3, device, warm=2))
        while side < _LARGEST[device.type] and seconds * 8 < 1.5 * _WORK[device.type]:
            side, seconds = side * 2, seconds * 8
        what = f"({side} × {side}) by ({side} × {side})"
        return _rate(2 * side**3, _multiply(device, precision, side), repeats, device, what)


def _multiply(device: torch.device, precision: str, side: int) -> Callable[[], object]:
    dtype = _DTYPES.get(precision) or getattr(torch, precision)
    left, right = (torch.full((side, side), 0.5, device=device).to(dtype) for _ in range(2))
    if precision != "float8":
        return lambda: left @ right
    one = torch.ones((), device=device)
    whole = functional.ScalingType.TensorWise  # one scale for the whole matrix
    columns = right.t().contiguous().t()  # the second factor is taken by columns
    return lambda: functional.scaled_mm(left, columns, one, whole, one, whole, output_dtype=torch.bfloat16)


def _convolution(device: torch.device, precision: str, repeats: int) -> Rate:
    """64 channels to 64 over 32×32 places, on as many pictures as take about `_WORK` seconds."""
    dtype = _DTYPES.get(precision) or getattr(torch, precision)
    channels, places = 64, 32
    kernel = torch.full((channels, channels, 3, 3), 0.01, device=device, dtype=dtype)
    kernel = kernel.to(memory_format=torch.channels_last)

    def convolve(pictures: int) -> Callable[[], object]:
        x = torch.full((pictures, channels, places, places), 0.5, device=device, dtype=dtype)
        x = x.to(memory_format=torch.channels_last)
        return lambda: functional.conv2d(x, kernel, padding=1)

    with _float32_as(precision):
        pictures = 4
        seconds = min(time_repeats(convolve(pictures), 3, device, warm=2))
        while pictures < 1024 and seconds * 2 < 1.5 * _WORK[device.type]:
            pictures, seconds = pictures * 2, seconds * 2
        flops = 2 * pictures * places**2 * channels**2 * 9
        what = f"3×3, {channels} to {channels} channels, {pictures} pictures of {places}×{places}"
        return _rate(flops, convolve(pictures), repeats, device, what)


def _copy(device: torch.device, repeats: int) -> Rate:
    count = _COPIED[device.type] // 4
    source, target = torch.ones(count, device=device), torch.zeros(count, device=device)
    return _rate(8 * count, lambda: target.copy_(source), repeats, device, f"a copy of {4 * count >> 20} MiB")


def _call(device: torch.device, repeats: int) -> Rate:
    one = torch.ones(1, device=device)

    def calls() -> None:
        for _ in range(_CALLS):
            torch.add(one, one)

    return _rate(_CALLS, calls, repeats, device, "an addition of two numbers")


def _transfer(device: torch.device, repeats: int) -> Rate:
    count = 1 << 26
    source = torch.ones(count, dtype=torch.uint8).pin_memory()
    target = torch.empty(count, dtype=torch.uint8, device=device)
    work = lambda: target.copy_(source, non_blocking=True)  # noqa: E731
    return _rate(count, work, repeats, device, f"{count >> 20} MiB from pinned memory")


# -- what is kept -----------------------------------------------------------------------------------------------------


def _key(device: torch.device, quick: bool) -> dict[str, Any]:
    """All that the limits depend on."""
    if device.type not in _WORK:
        raise UsageError(f"the limits of a device of kind {device.type!r} cannot be measured; expected cpu or cuda")
    name = "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)
    return {
        "version": _VERSION,
        "device": name,
        "processor": environment()["processor"],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "quick": quick,
    }


def _read(path: Any, key: dict[str, Any]) -> MachineLimits | None:
    """Return what was kept for this key; None when there is none, or a file that could not have been written here."""
    try:
        values = read_json(path)
        if not isinstance(values, dict) or {name: values.pop(name, None) for name in key} != key:
            return None
        record = MachineLimits(
            **{name: value for name, value in key.items() if name != "version"},
            products={str(name): _parse(rate) for name, rate in dict(values.pop("products")).items()},
            convolutions={str(name): _parse(rate) for name, rate in dict(values.pop("convolutions")).items()},
            memory=_parse(values.pop("memory")),
            call=_parse(values.pop("call")),
            to_device=None if values.get("to_device") is None else _parse(values["to_device"]),
        )
    except (DataError, KeyError, TypeError, ValueError):
        return None
    return record if "float32" in record.products and "float32" in record.convolutions else None


def _parse(values: Any) -> Rate:
    """Return a rate as it was written; raises `ValueError` when it is none."""
    if not isinstance(values, dict) or set(values) != {field.name for field in fields(Rate)}:
        raise ValueError("not a rate")
    numbers = [float(values[name]) for name in ("low", "value", "high")]
    if not 0 < numbers[0] <= numbers[1] <= numbers[2] < float("inf"):
        raise ValueError("not a rate")
    return Rate(numbers[1], numbers[0], numbers[2], int(values["repeats"]), str(values["what"]))
