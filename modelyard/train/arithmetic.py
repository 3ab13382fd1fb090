"""Which arithmetic a training runs in, and whether its model is compiled: what was measured to be the fastest here.

A measurement is kept in the cache, so that the same job on the same machine gets the same answer.
"""

from __future__ import annotations

import copy
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from modelyard.core.device import environment, multiplies_bfloat16
from modelyard.core.errors import DataError
from modelyard.core.files import cache_directory, digest_bytes, read_json, to_json, write_json
from modelyard.core.records import Record
from modelyard.data.batch import Batch
from modelyard.train.state import State
from modelyard.train.state import compiled as to_compiled
from modelyard.train.step import Setup, train_step

__all__ = ["Arithmetic", "choose_arithmetic"]

_WORTH = 1.1
"""How many times as fast another arithmetic must be to take the place of float32."""
_SECONDS = 2.0
"""Time that one candidate may take, its first steps included; at least one step is timed."""
_STEPS = 7
_COMPILE_FROM = 600.0
"""Seconds of training from which compiling is tried: it costs tens of seconds, and gains a part of the rest."""


@dataclass(frozen=True)
class Arithmetic(Record):
    """What was chosen, and why."""

    precision: str
    compiled: bool
    seconds: dict[str, float]
    """Candidate → median seconds of a step; empty where nothing was to be chosen."""
    reason: str


def choose_arithmetic(setup: Setup, begin: Callable[[Setup], State], steps: int, facts: Sequence[Any]) -> Arithmetic:
    """Measure a few steps of the real training in each arithmetic that the device has, and return the fastest.

    Args:
        setup: The training's setup; its precision is `auto`, or what the spec asks for.
        begin: Makes a training's state for a setup; it is thrown away afterwards.
        steps: Steps of the whole training.
        facts: JSON values that the answer depends on: model, inputs, task, batch size ….
    """
    asked_compile = setup.settings.compile
    kinds = [setup.precision] if setup.precision != "auto" else _kinds(setup.device)
    key = [environment()["processor"], environment()["accelerators"], torch.__version__, torch.get_num_threads(),
           str(setup.device), kinds, asked_compile, *facts]  # fmt: skip
    place = cache_directory() / "measured" / f"{digest_bytes(to_json(key).encode())}.json"
    known = _known(place)
    if known is not None:
        return known
    if len(kinds) == 1 and asked_compile != "auto":
        return Arithmetic(kinds[0], bool(asked_compile), {}, _only(setup))
    batches = list(itertools.islice(setup.train.epoch(0), 2))
    seconds: dict[str, float] = {}
    if len(kinds) > 1:
        seconds = {kind: _time(_with(setup, kind), begin, batches) for kind in kinds}
    kind = min(seconds, key=lambda one: seconds[one] * (1.0 if one == "float32" else _WORTH)) if seconds else kinds[0]
    compiled = bool(asked_compile) if asked_compile != "auto" else False
    if asked_compile == "auto":
        plain = seconds.get(kind) or _time(_with(setup, kind), begin, batches)
        if plain * steps > _COMPILE_FROM:
            compiled = _compiling_pays(_with(setup, kind), begin, batches, plain, steps, seconds)
    found = Arithmetic(kind, compiled, seconds, _reason(setup, seconds))
    write_json(place, found)
    return found


def _kinds(device: torch.device) -> list[str]:
    kinds = ["float32"]
    if multiplies_bfloat16(device.type):
        kinds.append("bfloat16")
    return kinds


def _only(setup: Setup) -> str:
    if setup.precision != "auto":
        return "as the spec says"
    return f"this {setup.device.type} multiplies nothing else natively"


def _reason(setup: Setup, seconds: dict[str, float]) -> str:
    if not seconds:
        return _only(setup)
    return "measured here: " + ", ".join(f"{name} {1000 * value:.3g} ms a step" for name, value in seconds.items())


def _with(setup: Setup, precision: str) -> Setup:
    changed = copy.copy(setup)
    object.__setattr__(changed, "precision", precision)
    return changed


def _time(setup: Setup, begin: Callable[[Setup], State], batches: Sequence[Batch], compiled: bool = False) -> float:
    """Return the median seconds of a step; the first two are not counted, unless they are all there is time for."""
    state = begin(setup)
    if compiled:
        state.runner = to_compiled(state.model)
    state.model.train()
    seconds: list[float] = []
    started = time.perf_counter()
    for step in range(_STEPS + 2):
        batch = batches[step % len(batches)].to(setup.device)
        before = time.perf_counter()
        loss = train_step(setup, state, batch).total
        state.step += 1
        loss.item()  # waits for an accelerator
        seconds.append(time.perf_counter() - before)
        if time.perf_counter() - started > _SECONDS and step >= 1:
            break
    return statistics.median(seconds[2:] or seconds[1:])


def _compiling_pays(
    setup: Setup,
    begin: Callable[[Setup], State],
    batches: Sequence[Batch],
    plain: float,
    steps: int,
    seconds: dict[str, float],
) -> bool:
    """Compile, time it, and say whether the rest of the training wins back what that took."""
    started = time.perf_counter()
    try:
        quick = _time(setup, begin, batches, compiled=True)
    except RuntimeError:  # the compiler's errors: no compiler here, or a model it cannot take
        return False
    cost = time.perf_counter() - started
    seconds[f"{setup.precision}, compiled"] = quick
    return (plain - quick) * steps > cost


def _known(place: Any) -> Arithmetic | None:
    try:
        return Arithmetic(**read_json(place))
    except (DataError, TypeError):  # not measured yet, or by another release
        return None
