"""Which arithmetic a training runs in, on how many threads, and whether its model is compiled: what was measured to be
the fastest here.

A measurement is kept in the cache, so that the same job on the same machine gets the same answer. One that was made
while other programs used the processors is kept by this process alone.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from modelyard.core.device import cores, environment, multiplies_bfloat16, multiplies_float8
from modelyard.core.errors import DataError
from modelyard.core.files import cache_directory, digest_bytes, read_json, to_json, write_json
from modelyard.core.memory import give_back
from modelyard.core.neighbours import Neighbours
from modelyard.core.records import Record
from modelyard.models.blocks.float8 import large_linears
from modelyard.train.side_by_side import can_be_divided, sharing
from modelyard.train.state import State
from modelyard.train.state import compiled as to_compiled
from modelyard.train.step import Setup, train_step

__all__ = ["Arithmetic", "choose_arithmetic"]

_RULES = 2
"""Of choosing; another number measures anew what was measured under others."""
_WORTH = 1.1
"""How many times as fast an arithmetic must be to take the place of the next more exact one, and all cores to take that
of one."""
_WORTH_BRIEF = 1.5
"""As many times all cores must be as fast as one where a step is brief. Its threads meet every few microseconds, and a
single one never waits for another: what two win in a quiet moment is lost, and more, whenever others use the machine.
"""
_BRIEF = 0.005
"""Seconds of a step up to which it is brief."""
_ROUNDS = 3
"""Turns that each way gets where a step is brief, the best of which counts: a turn is short, and may be disturbed."""
_SECONDS = 2.0
"""Time that one candidate may take, its first steps included; at least one step is timed."""
_ENOUGH = 0.2
"""Seconds of steps after which a candidate is known well enough."""
_STEPS = 7
_SHORT = 0.05
"""Seconds of a step up to which one thread may be as quick as all."""
_ALONE = 0.2
"""Processors that others may keep busy meanwhile, for a measurement to be kept."""
_COMPILE_FROM = 600.0
"""Seconds of training from which compiling is tried: it costs tens of seconds, and gains a part of the rest."""

_Way = tuple[str, int, int]
"""Precision, threads, parts of a batch side by side."""

_in_company: dict[Path, Arithmetic] = {}


@dataclass(frozen=True)
class Arithmetic(Record):
    """What was chosen, and why."""

    precision: str
    threads: int
    side_by_side: int
    """Parts of a batch that are computed at the same time."""
    compiled: bool
    seconds: dict[str, float]
    """Candidate → median seconds of a step; empty where nothing was to be chosen."""
    step: float = 0.0
    """Median seconds of a step in the chosen way, before it is compiled; 0 where nothing was measured."""
    others: float = 0.0
    """Processors that other programs kept busy meanwhile, on average."""

    @property
    def reason(self) -> str:
        """What was measured, in words; empty when nothing was."""
        times = ", ".join(f"{name} {1000 * value:.3g} ms a step" for name, value in self.seconds.items())
        company = f" beside programs that kept {self.others:.1f} processors busy" if self.others > _ALONE else ""
        return f"measured here{company}: {times}" if times else ""


def choose_arithmetic(setup: Setup, begin: Callable[[Setup], State], steps: int, facts: Sequence[Any]) -> Arithmetic:
    """Measure a few steps of the real training in each way that is open, and return the fastest.

    Args:
        setup: The training's setup. Open are its precision when it is `auto`, the number of threads when there is none,
            dividing the batch between them when that is `auto`, and compiling when it is `auto`.
        begin: Makes a training's state for a setup, whose settings name the arithmetic; it is thrown away afterwards.
        steps: Steps of the whole training.
        facts: JSON values that the answer depends on: model, inputs, task, batch size ….
    """
    settings = setup.settings
    kinds = [setup.precision] if setup.precision != "auto" else _kinds(setup.device)
    threads = [settings.threads] if settings.threads else [cores(), 1] if setup.device.type == "cpu" else [cores()]
    threads = list(dict.fromkeys(threads))
    may_divide = settings.side_by_side == "auto" and threads[0] > 1 and _may_divide(setup)
    parts = settings.side_by_side if isinstance(settings.side_by_side, int) else 1
    if len(kinds) == 1 and len(threads) == 1 and settings.compile != "auto" and not may_divide:
        return Arithmetic(kinds[0], threads[0], parts, settings.compile, {})
    machine = [environment()["processor"], environment()["accelerators"], torch.__version__, str(setup.device)]
    key = [_RULES, *machine, threads, kinds, may_divide, settings.compile, *facts]
    found = _kept(key, lambda: _measure(setup, begin, kinds, threads, may_divide))
    if settings.compile == "auto" and found.step * steps > _COMPILE_FROM:
        plain = found
        found = _kept([*key, "compiled", steps.bit_length()], lambda: _try_compiling(setup, begin, steps, plain))
    return found


def _kept(key: Sequence[Any], measure: Callable[[], Arithmetic]) -> Arithmetic:
    """Return what was measured before; else measure, and keep it when nobody else used the processors meanwhile."""
    place = cache_directory() / "measured" / f"{digest_bytes(to_json(key).encode())}.json"
    known = _known(place) or _in_company.get(place)
    if known is not None:
        return known
    neighbours = Neighbours()
    found = measure()
    found = replace(found, others=round(neighbours.cores(), 2))
    if found.others > _ALONE:
        _in_company[place] = found
    else:
        write_json(place, found)
    return found


def _may_divide(setup: Setup) -> bool:
    """Whether the settings allow parts of a batch side by side; whether the model does is seen when there is one."""
    settings = setup.settings
    whole = settings.accumulate == 1 and not settings.memory.fused_backward and settings.compile is not True
    return setup.device.type == "cpu" and whole and setup.semi_supervised is None


def _measure(
    setup: Setup, begin: Callable[[Setup], State], kinds: list[str], threads: list[int], may_divide: bool
) -> Arithmetic:
    before, most = torch.get_num_threads(), threads[0]
    if may_divide or len(kinds) > 1:
        model = begin(_with(setup, "float32", 1)).model
        may_divide = may_divide and can_be_divided(setup.task, model, next(iter(setup.train.epoch(0))))
        if not large_linears(model):
            kinds = [kind for kind in kinds if kind != "float8" or len(kinds) == 1]
    parts = setup.settings.side_by_side if isinstance(setup.settings.side_by_side, int) else 1
    seconds: dict[_Way, float] = {}
    try:
        for kind in kinds:
            ways = [(kind, most, parts)]
            ways += [(kind, most, most)] if may_divide else []
            ways += [(kind, count, 1) for count in threads[1:]]
            for way in ways:
                if way[1] == most or seconds[ways[0]] <= _SHORT:
                    give_back()  # what the way before took comes not on top of this one
                    seconds[way] = _time_of(way, setup, begin)
        best = min(seconds.values())
        again = [way for way, value in seconds.items() if value < 2 * best] if best < _BRIEF else []
        for way in (_ROUNDS - 1) * again if len(again) > 1 else ():
            seconds[way] = min(seconds[way], _time_of(way, setup, begin))
        handicap = {way: _WORTH ** kinds.index(way[0]) for way in seconds}
        for way in seconds if len(seconds) > 1 else ():
            if way[1] > 1:
                handicap[way] *= _WORTH_BRIEF if seconds[way] < _BRIEF else _WORTH
        chosen = min(seconds, key=lambda way: seconds[way] * handicap[way])
        told = {}
        if len(seconds) > 1:
            told = {_name(way, kinds, threads, may_divide): value for way, value in seconds.items()}
        return Arithmetic(*chosen, setup.settings.compile is True, told, seconds[chosen])
    finally:
        torch.set_num_threads(before)
        give_back()


def _time_of(way: _Way, setup: Setup, begin: Callable[[Setup], State]) -> float:
    """Return the seconds of a step this way."""
    kind, threads, parts = way
    torch.set_num_threads(threads)
    changed = _with(setup, kind, parts)
    with sharing(changed.settings):
        return _time(changed, begin)


def _name(way: _Way, kinds: list[str], threads: list[int], divided: bool) -> str:
    """Name a way by what is open."""
    kind, count, parts = way
    words = [kind] if len(kinds) > 1 else []
    if len(threads) > 1 or divided:
        words.append(f"{count} threads" if count > 1 else "1 thread")
    if parts > 1:
        words.append("side by side")
    return " ".join(words) or kind


def _kinds(device: torch.device) -> list[str]:
    """Return the arithmetics that a device has, the most exact first."""
    kinds = ["float32"]
    if multiplies_bfloat16(device.type):
        kinds.append("bfloat16")
    if multiplies_float8(device):
        kinds.append("float8")
    return kinds


def _with(setup: Setup, precision: str, parts: int) -> Setup:
    settings = setup.settings.model_copy(update={"precision": precision, "side_by_side": parts})
    return replace(setup, settings=settings, precision=precision)


def _time(setup: Setup, begin: Callable[[Setup], State], compiled: bool = False) -> float:
    """Return the median seconds of a step, its batch included: what is done in between decides whether threads still
    wait for work or sleep. The first two are not counted, unless they are all there is time for."""
    state = begin(setup)
    if compiled:
        state.runner = to_compiled(state.model)
    state.model.train()
    seconds: list[float] = []
    epochs = (setup.train.epoch(number) for number in itertools.count())
    started = before = time.perf_counter()
    for batch in itertools.chain.from_iterable(epochs):
        loss = train_step(setup, state, batch.to(setup.device)).total
        state.step += 1
        loss.item()  # waits for an accelerator
        now = time.perf_counter()
        seconds.append(now - before)
        before = now
        enough = len(seconds) >= _STEPS + 2 and sum(seconds[2:]) > _ENOUGH
        if enough or (now - started > _SECONDS and len(seconds) >= 2):
            break
    return statistics.median(seconds[2:] or seconds[1:])


def _try_compiling(setup: Setup, begin: Callable[[Setup], State], steps: int, plain: Arithmetic) -> Arithmetic:
    """Compile, time it, and say whether the rest of the training wins back what that took."""
    before = torch.get_num_threads()
    torch.set_num_threads(plain.threads)
    started = time.perf_counter()
    try:
        quick = _time(_with(setup, plain.precision, 1), begin, compiled=True)
    except RuntimeError:  # the compiler's errors: no compiler here, or a model it cannot take
        return plain
    finally:
        torch.set_num_threads(before)
    seconds = {**plain.seconds, f"{plain.precision}, compiled": quick}
    if (plain.step - quick) * steps <= time.perf_counter() - started:
        return replace(plain, seconds=seconds)
    return replace(plain, seconds=seconds, compiled=True, side_by_side=1)


def _known(place: Path) -> Arithmetic | None:
    try:
        return Arithmetic(**read_json(place))
    except (DataError, TypeError):  # not measured yet, or by another release
        return None
