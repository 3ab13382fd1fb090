"""`profile`: where the time and the memory of a training step go, how near to the machine's limit it runs, and what to
change. The data is prepared and the steps are taken as `train` does; nothing is kept of what was learned."""

from __future__ import annotations

import copy
import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from modelyard.core.device import cores, environment
from modelyard.core.errors import DataError, ModelyardError, UsageError
from modelyard.core.events import EventLog
from modelyard.core.limits import machine_limits
from modelyard.core.registry import table
from modelyard.data.batch import Batch
from modelyard.data.chunks import Progress
from modelyard.data.prepare import prepare
from modelyard.models.build import count_parameters
from modelyard.spec.spec import DivergenceSpec, Spec, TrainSpec
from modelyard.train.cost import flop_counter
from modelyard.train.job import make_job
from modelyard.train.loop import fit
from modelyard.train.pretrained import adopt, inherited, open_parent
from modelyard.train.profiling.advice import advise
from modelyard.train.profiling.memory import measure_memory
from modelyard.train.profiling.operators import watch_operators
from modelyard.train.profiling.reading import (
    EVERYTHING,
    account_of,
    modules_of,
    notes_of,
    operators_of,
    parts_of,
    projection_of,
    spread,
    work_of,
)
from modelyard.train.profiling.records import Profile
from modelyard.train.profiling.sections import Clock, Sections
from modelyard.train.recipes import open_spec
from modelyard.train.saving.checkpoints import Snapshot
from modelyard.train.start import cpu_settings, denormals_flushed
from modelyard.train.state import State
from modelyard.train.step import Setup, train_step

__all__ = ["profile"]

_WARM = 5
"""Steps before the measured ones: caches, allocators and the optimizer's state come to be in them."""
_FEWEST, _USUAL, _MOST = 3, 20, 300
"""Steps that are measured: as many as take `_SECONDS`, between usual and most; fewer where they would take longer than
`_PATIENCE`."""
_SECONDS, _PATIENCE = 2.0, 20.0
_STRETCH, _STRETCHES, _LOADING = 64, 9, 1.0
"""Batches that are made one after the other, how often at most, and seconds after which it is enough."""
_PROFILED = (3, 20)
"""Steps under torch's profiler, at least and at most; in between, as many as take a second."""
_RATE = 1e-3
"""Learning rate where the spec leaves it to a search; no time depends on it."""


def profile(
    spec: Spec | str | Path,
    overrides: Sequence[str] = (),
    *,
    steps: int | None = None,
    trace: str | Path | None = None,
    refresh: bool = False,
    progress: Progress = lambda what, rows: None,
) -> Profile:
    """Measure the training steps of a spec.

    Args:
        spec: What is to be trained: a spec, a YAML file's path, or a recipe's name.
        overrides: Dotted assignments to a spec that is read.
        steps: Steps to measure; None: as many as take some seconds.
        trace: Where to write a trace of some steps that Chrome and Perfetto open; None: nowhere.
        refresh: Measure the machine's limits anew, though they are known.
        progress: Called as rows go through, and as steps are taken.

    Raises:
        SpecError: The spec does not fit the data, the task or itself.
        DataError: The data is missing, empty or unreadable, or no batch of it has a target.
        GateError: The data gate refuses the data.
        UsageError: Too few steps, or overrides beside a spec that was not read from a file.
        ModelyardError: The loss left all bounds.
        StorageError: The trace or what is prepared cannot be written.
    """
    if steps is not None and steps < _FEWEST:
        raise UsageError(f"steps={steps}: a spread needs at least {_FEWEST} steps")
    if isinstance(spec, Spec):
        if overrides:
            raise UsageError("overrides are for a spec that is read from a file; change this one with spec.replace(…)")
    else:
        spec = open_spec(spec, overrides)
    with cpu_settings(spec), denormals_flushed():
        return _Profiling.of(spec, progress).run(steps, None if trace is None else Path(trace), refresh)


@dataclass
class _Profiling:
    """A training made ready, and the passes that measure it."""

    spec: Spec
    """Resolved."""
    setup: Setup
    state: State
    asked: TrainSpec
    """The settings with what they left to measurement."""
    progress: Progress

    @classmethod
    def of(cls, spec: Spec, progress: Progress) -> _Profiling:
        """Make a training ready as `train` does."""
        if spec.train.learning_rate == "find":
            spec = spec.replace(train=spec.train.model_copy(update={"learning_rate": _RATE}))
        parent = None if spec.train.pretrained is None else open_parent(spec.train.pretrained)
        named = spec if parent is None else adopt(spec, parent)
        accepts = None if named.model is None else table("family").find(named.model.name).accepts
        targets_of = None if named.task is None else table("task").find(named.task.name).targets_of
        prepared = prepare(named, accepts, targets_of, progress, None if parent is None else inherited(parent))
        progress("choosing what the spec leaves open, for", len(prepared.splits["train"]))
        job = make_job(spec, prepared, parent, None, EventLog(None))
        asked = job.spec.train.model_copy(update={"precision": spec.train.precision, "compile": spec.train.compile})
        return cls(job.spec, job.setup, job.begin(), asked, progress)

    def run(self, asked: int | None, trace: Path | None, refresh: bool) -> Profile:
        """Measure everything."""
        setup, state, settings = self.setup, self.state, self.spec.train
        load = os.getloadavg()[0]
        self.progress("steps: warming up,", _WARM)
        warm = self._loop(_WARM)
        steps = _enough(float(np.median(warm))) if asked is None else asked
        self.progress("steps: measuring", steps)
        sections = Sections(setup.device)
        times = self._loop(steps, sections)
        if (
            setup.device.type != "cpu"
        ):  # which is never waited for; an accelerator is not in training, but is by sections
            times = self._loop(steps)
        step = spread(times)
        profiled = min(max(int(1 / step.median), _PROFILED[0]), _PROFILED[1])
        self.progress("steps: profiling", profiled)
        batch = self._batch()
        memory = measure_memory(setup, state, batch)
        flops = self._flops(batch)
        # What names the modules would be compiled with them, and change what runs.
        named = None if settings.compile is True else state.model
        watched = watch_operators(lambda: self._step(batch), profiled, named, setup.device, trace)
        loading = self._loading()
        self.progress("limits of the machine after", steps)
        limits = machine_limits(setup.device, refresh=refresh)

        rows = max(one.rows for one in sections.steps)
        full = [one for one in sections.steps if one.rows == rows]
        parts = parts_of(full)
        assert settings.optimizer is not None and self.spec.model is not None, "the spec is resolved"
        found = Profile(
            name=self.spec.name,
            family=self.spec.model.name,
            parameters=count_parameters(state.model),
            device=str(setup.device),
            processor=str(environment()["processor"]),
            threads=torch.get_num_threads(),
            precision=setup.precision,
            optimizer=settings.optimizer.name,
            batch_size=rows,
            accumulate=settings.accumulate,
            steps=len(times),
            step=step,
            rows_per_second=rows / step.median,
            parts_seconds=sum(part.seconds for part in parts),
            parts=parts,
            loading_seconds=loading,
            account=account_of(step.median, parts, watched, setup.device.type == "cuda"),
            work=work_of(flops, step.median, limits, setup),
            limits=limits,
            modules=modules_of(state.model, watched, flops, parts),
            operators=operators_of(watched, step.median),
            memory=memory,
            projection=projection_of(setup, step.median, rows),
            advice=[],
            notes=notes_of(setup, rows, load, cores()),
            trace=None if trace is None else str(trace),
        )
        return replace(found, advice=advise(found, self.asked, cores()))

    # -- passes -------------------------------------------------------------------------------------------------------

    def _loop(self, steps: int, sections: Sections | None = None) -> list[float]:
        """Let the loop take some steps; return the seconds of each, from one batch to the next."""
        setup, state = self.setup, self.state
        changes = {
            "epochs": 1 << 40,
            "max_steps": state.step + steps,
            "early_stopping": None,
            "divergence": DivergenceSpec(),
        }
        setup = replace(setup, validation=None, settings=setup.settings.model_copy(update=changes))
        clock = sections or Clock(setup.device)
        optimizer, average = state.optimizer, state.average
        if sections is not None:
            method = sections.semi_supervised(setup.semi_supervised)
            setup = replace(setup, task=sections.task(setup.task), semi_supervised=method)
            state.optimizer, state.average = sections.optimizer(optimizer), sections.average(average)
        setup = replace(setup, train=clock.loader(setup.train))
        state.watch = type(state.watch)(DivergenceSpec())
        try:
            fit(setup, state, EventLog(None, [clock.end]), _diverged)
        finally:
            state.optimizer, state.average = optimizer, average
        if not clock.steps:
            raise DataError("no step was taken: no batch has a row with a target; see the targets in data.targets")
        full = max(one.rows for one in clock.steps)
        return [one.whole for one in clock.steps if one.rows == full]

    def _batch(self) -> Batch:
        """Return a whole batch, on the device."""
        return next(iter(self.setup.train.epoch(0))).to(self.setup.device)

    def _step(self, batch: Batch) -> None:
        train_step(self.setup, self.state, batch)
        self.state.step += 1

    def _loading(self) -> float:
        """Return the seconds that a batch takes to make, by itself: the median over stretches of their mean."""
        loader = copy.copy(self.setup.train)
        loader.workers = 0
        means: list[float] = []
        spent, epoch = 0.0, 0
        while len(means) < _STRETCHES and (spent < _LOADING or len(means) < 2):
            started, made = time.perf_counter(), 0
            while made < _STRETCH:
                made += sum(1 for _ in itertools.islice(loader.epoch(epoch), _STRETCH - made))
                epoch += 1
            seconds = time.perf_counter() - started
            means.append(seconds / made)
            spent += seconds
        return float(np.median(means))

    def _flops(self, batch: Batch) -> dict[str, dict[str, float]]:
        """Return module → operator → operations of a step; the module `""` is the model, `None` everything."""
        runner, self.state.runner = self.state.runner, None  # operators are counted where none is compiled away
        try:
            with flop_counter() as counter:
                self._step(batch)
        finally:
            self.state.runner = runner
        found: dict[str, dict[str, float]] = {}
        for name, counts in counter.get_flop_counts().items():
            path = EVERYTHING if name == "Global" else name.partition(".")[2]
            found[path] = {str(operator): float(count) for operator, count in counts.items()}
        return found


def _enough(step: float) -> int:
    """Return how many steps of so many seconds are to be measured."""
    count = min(max(int(_SECONDS / step), _USUAL), _MOST)
    return count if count * step <= _PATIENCE else max(_FEWEST, int(_PATIENCE / step))


def _diverged() -> Snapshot:
    """Stand for the state to go back to: there is none when nothing is kept."""
    raise ModelyardError(
        "the loss left all bounds within the profiled steps; a smaller train.learning_rate, train.gradient_clip=1 or "
        "train.warmup=0.1 usually helps"
    )
