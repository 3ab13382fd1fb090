"""What runs within steps, as torch's profiler sees it: operators, and the modules of the model they belong to.

Profiling slows every call down, so that only kernels are taken at their word here; what a whole step takes is measured
without it (`train/sections.py`).
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, record_function

from modelyard.core.files import copy_file
from modelyard.core.limits import synchronise

__all__ = ["ModuleTime", "OperatorTime", "Operators", "is_product", "read_events", "watch_operators"]

_STEP, _CALLS, _MODULE = "modelyard: step", "modelyard: calls", "modelyard: module "
_BACKWARD = "autograd::engine::evaluate_function: "
"""What the autograd engine calls each node of a backward pass."""
_CALIBRATION = 100
"""Calls of small operators whose time says what a call costs under the profiler."""
_PRODUCT = re.compile(
    r"aten::(_?(mm|bmm|addmm|baddbmm|addbmm|addmv|mv|dot)(_out)?$|.*conv.*|.*scaled_mm|.*attention.*|.*_rnn.*|.*lstm.*|.*gru.*"
    r"|mkldnn_linear.*|_embedding_bag(_forward_only|_backward|_dense_backward)?$)"
)


@dataclass(frozen=True)
class OperatorTime:
    """An operator, in a step: medians over the watched steps, so that what disturbed one of them is not seen."""

    calls: float
    seconds: float
    """Without the operators it calls: on the accelerator where it runs kernels there, else on the CPU."""
    kernel_seconds: float
    """The same without what the calls themselves cost."""
    kernels: list[str]
    """Kernels of the accelerator that it runs, the longest first."""


@dataclass(frozen=True)
class ModuleTime:
    """A module, in a step, without the modules inside it: medians over the watched steps."""

    forward: float
    backward: float


@dataclass(frozen=True)
class Operators:
    """What was seen in some steps."""

    operators: dict[str, OperatorTime]
    modules: dict[str, ModuleTime]
    """Dotted path → time, on the CPU or, where the steps run on one, the accelerator."""

    @property
    def products(self) -> float:
        """Seconds a step in kernels of products."""
        return sum(one.kernel_seconds for name, one in self.operators.items() if is_product(name))

    @property
    def traffic(self) -> float:
        """Seconds a step in other kernels."""
        return sum(one.kernel_seconds for name, one in self.operators.items() if not is_product(name))

    @property
    def calls(self) -> float:
        """Operator calls a step."""
        return sum(one.calls for one in self.operators.values())


def is_product(name: str) -> bool:
    """Whether an operator is a product, or made of such: convolution, attention, recurrence, sum of embeddings."""
    return _PRODUCT.match(name) is not None


def watch_operators(
    step: Callable[[], object], steps: int, model: nn.Module | None, device: torch.device, trace: Path | None = None
) -> Operators:
    """Take some steps under torch's profiler.

    Args:
        step: Takes one step.
        steps: How many to take.
        model: Whose modules the operators are sorted by; None: by none.
        device: What the steps run on.
        trace: Where to write a trace that Chrome's `about://tracing` and Perfetto open; None: nowhere.

    Raises:
        StorageError: The trace cannot be written.
    """
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with _quiet(), _named(model), torch.profiler.profile(activities=activities, acc_events=True) as profiler:
        for _ in range(steps):
            with record_function(_STEP):
                step()
                synchronise(device)
        with record_function(_CALLS):
            _call_small_operators()
    if trace is not None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "trace.json")
            profiler.export_chrome_trace(str(file))
            copy_file(file, trace)
    return read_events(list(profiler.events() or []), device.type == "cuda")


def _call_small_operators() -> None:
    """Call operators whose work is next to nothing."""
    square = torch.ones(2, 2)
    for _ in range(_CALIBRATION):
        torch.add(square, square)
        torch.mm(square, square)
        torch.sum(square)
        torch.relu(square)


# -- reading the profiler's events ------------------------------------------------------------------------------------


def read_events(events: Sequence[Any], accelerator: bool) -> Operators:
    """Sort the profiler's events by operator and by module.

    Args:
        events: `torch.autograd.profiler_util.FunctionEvent`s of steps and of the calls that say what one costs.
        accelerator: Whether to count the time of an accelerator's kernels instead of the CPU's.
    """
    # An accelerator's own track repeats the names of ranges; they are counted once, where they were called.
    here = [one for one in events if one.device_type.name == "CPU"]
    here.sort(key=lambda one: one.time_range.start)
    spans = [one.time_range for one in here if one.name == _STEP]
    calibration = next(one for one in here if one.name == _CALLS)
    small = defaultdict(list)
    for one in calibration.cpu_children:
        small[one.name].append(one.self_cpu_time_total)
    call = float(np.mean([np.median(seconds) for seconds in small.values()])) * 1e-6
    steps = [
        _read_step(
            [one for one in here if span.start <= one.time_range.start <= span.end], calibration.thread, accelerator
        )
        for span in spans
    ]
    kernels: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for step in steps:
        for name, durations in step.kernels.items():
            for kernel, seconds in durations.items():
                kernels[name][kernel] += seconds
    operators = {}
    for name in dict.fromkeys(name for step in steps for name in step.calls):
        calls = float(np.mean([step.calls[name] for step in steps]))
        seconds = float(np.median([step.seconds[name] for step in steps]))
        kernel_seconds = seconds if accelerator else max(0.0, seconds - calls * call)
        longest = sorted(kernels[name], key=lambda kernel: -kernels[name][kernel])
        operators[name] = OperatorTime(calls, seconds, kernel_seconds, longest)
    modules = {
        name: ModuleTime(
            max(0.0, float(np.median([step.forward[name] for step in steps]))),
            float(np.median([step.backward[name] for step in steps])),
        )
        for name in dict.fromkeys(name for step in steps for name in step.forward)
    }
    return Operators(operators, modules)


class _Step:
    """The sums of one step's events: operator → calls and seconds, module → seconds."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, float] = defaultdict(float)
        self.kernels: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.forward: dict[str, float] = defaultdict(float)
        self.backward: dict[str, float] = defaultdict(float)


def _read_step(events: list[Any], thread: int, accelerator: bool) -> _Step:
    step = _Step()
    made_by: dict[int, str | None] = {}
    """Number of a node of the backward pass → the module whose forward pass made it."""
    for event in events:
        whole = (event.device_time_total if accelerator else event.cpu_time_total) * 1e-6
        if _is_operator(event):
            step.calls[event.name] += 1
            step.seconds[event.name] += (
                event.self_device_time_total if accelerator else event.self_cpu_time_total
            ) * 1e-6
            for kernel in event.kernels:
                step.kernels[event.name][kernel.name] += kernel.duration * 1e-6
            if event.sequence_nr >= 0 and event.thread == thread:
                # Operators show the number of the node to come; the last one to show it has made it.
                made_by[event.sequence_nr] = _module_of(event)
        elif event.name.startswith(_MODULE):
            step.forward[event.name.removeprefix(_MODULE)] += whole
            around = _module_of(event)
            if around is not None:
                step.forward[around] -= whole
        elif event.name.startswith(_BACKWARD):
            module = made_by.get(event.sequence_nr)
            if module is not None:
                step.backward[module] += whole
    return step


def _is_operator(event: Any) -> bool:
    """Whether an event is an operator, not a range around operators."""
    return bool(event.name.startswith(("aten::", "triton_")) or "cpp_fused" in event.name)


def _module_of(event: Any) -> str | None:
    """Return the innermost module around an event; None outside the model's forward pass."""
    around = event.cpu_parent
    while around is not None:
        if around.name.startswith(_MODULE):
            return str(around.name.removeprefix(_MODULE))
        around = around.cpu_parent
    return None


@contextlib.contextmanager
def _named(model: nn.Module | None) -> Iterator[None]:
    """Have every module of a model name itself around its forward pass."""
    handles, running = [], []

    def enter(name: str) -> Callable[..., None]:
        def before(*_: Any) -> None:
            running.append(record_function(_MODULE + name))
            running[-1].__enter__()  # type: ignore[no-untyped-call]

        return before

    def leave(*_: Any) -> None:
        running.pop().__exit__(None, None, None)

    for name, module in () if model is None else model.named_modules():
        handles.append(module.register_forward_pre_hook(enter(name)))
        handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the profiler's own library from writing to the terminal; it asks for this once, when it is first used."""
    name = "KINETO_LOG_LEVEL"
    before: Mapping[str, str] = {name: os.environ[name]} if name in os.environ else {}
    os.environ.setdefault(name, "99")
    try:
        yield
    finally:
        os.environ.pop(name)
        os.environ.update(before)
