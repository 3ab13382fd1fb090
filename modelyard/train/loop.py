"""The training loop: epochs of steps, until they are done or something ends them. It knows neither modality nor family
nor task, and it loses nothing: between any two steps its state can be saved, and taken up again bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from torch import nn

from modelyard.core.errors import NoTargets, Stopped
from modelyard.core.events import EventLog
from modelyard.data.batch import Batch
from modelyard.evaluate.assess import measure
from modelyard.evaluate.outputs import collect
from modelyard.train.divergence import Divergence
from modelyard.train.memory.out_of_memory import explain_out_of_memory, is_out_of_memory
from modelyard.train.pretrained import thaw
from modelyard.train.records import EpochRecord
from modelyard.train.saving.checkpoints import Snapshot
from modelyard.train.saving.keeper import Keeper
from modelyard.train.side_by_side import sharing
from modelyard.train.state import State, UnderWay
from modelyard.train.step import Setup, train_step
from modelyard.train.stopping import Stopping

__all__ = ["fit", "set_rate", "validate"]

_MEASURED = 1_000_000
"""Training metrics of an epoch come from at most this many of its rows: every batch, or every second, third … one. The
loss comes from all."""


def fit(
    setup: Setup,
    state: State,
    log: EventLog,
    begin: Callable[[], Snapshot],
    keeper: Keeper | None = None,
    stopping: Stopping | None = None,
) -> str | None:
    """Train until the epochs are done or early stopping ends it; `state` is moved along in place.

    Args:
        setup: What stays the same.
        state: Where the training stands: at its beginning, or where it was saved.
        log: Told of epochs, progress, saves and trouble.
        begin: Returns the state before the first step, to go back to when there is no checkpoint.
        keeper: Saves the state; None: nobody does.
        stopping: Asked after every step; None: nobody asks.

    Returns:
        Why training ended early, or None.

    Raises:
        DivergedError: The loss or a gradient left all bounds and `train.divergence` says stop; names step and rows.
        Stopped: It was asked to stop; the state is saved where there is a keeper.
    """
    return _Fit(setup, state, log, begin, keeper, stopping or Stopping()).run()


class _Fit:
    """One training under way."""

    def __init__(
        self,
        setup: Setup,
        state: State,
        log: EventLog,
        begin: Callable[[], Snapshot],
        keeper: Keeper | None,
        stopping: Stopping,
    ) -> None:
        self.setup = setup
        self.state = state
        self.log = log
        self.keeper = keeper
        self.stopping = stopping
        self.divergence = Divergence(setup, state, log, begin if keeper is None else lambda: keeper.newest() or begin())

    def run(self) -> str | None:
        state, keeper = self.state, self.keeper
        self._began = time.monotonic() - state.seconds
        with self.stopping.held():
            ended = self._ended()
            while ended is None and state.epoch < self.setup.settings.epochs:
                record = self._epoch()
                if record is None:  # the state went back; so does the epoch
                    continue
                self.log("epoch", **record.as_dict())
                if keeper is not None and keeper.due(state, epoch_ended=True):
                    keeper.save(state)
                self._stop_if_asked()
                ended = self._ended()
            if keeper is not None:
                keeper.now(state)
            if self.stopping.reason:
                raise Stopped(self.stopping.reason)
        return ended

    def _ended(self) -> str | None:
        """Say why no further epoch comes although some are left; None when nothing speaks against one."""
        state, settings = self.state, self.setup.settings
        if settings.max_steps is not None and state.step >= settings.max_steps:
            return f"max_steps ({settings.max_steps}) reached in epoch {state.epoch}"
        best, stopping = state.best, settings.early_stopping
        if best is not None and stopping is not None and best.waited > stopping.patience:
            return f"{best.metric} has not improved since epoch {best.epoch}"
        return None

    def _epoch(self) -> EpochRecord | None:
        """Take the rest of an epoch's steps and measure it. None: the loss left all bounds and the state went back."""
        setup, state = self.setup, self.state
        loader, under_way = setup.train, state.under_way
        started = time.perf_counter() - under_way.seconds
        state.model.train()
        if setup.settings.pretrained is not None:
            thaw(state.model, setup.settings.pretrained, state.epoch)
            if state.fused is not None:
                state.fused.attach()
        with sharing(setup.settings):
            ended = self._steps(loader.epoch(state.epoch, under_way.batch), started)
        return self._close_epoch() if ended and self.divergence.in_bounds() else None

    def _steps(self, batches: Iterator[Batch], started: float) -> bool:
        """Take the steps of some batches; false when the loss left all bounds and the state went back."""
        setup, state, keeper = self.setup, self.state, self.keeper
        under_way, every = state.under_way, -(-setup.train.rows // _MEASURED)
        for batch in batches:
            rate = set_rate(state)
            if not self._step(batch.to(setup.device), measured=under_way.batch % every == 0):
                return False
            under_way.seconds = time.perf_counter() - started
            state.seconds = time.monotonic() - self._began
            self.log("progress", epoch=state.epoch + 1, batch=under_way.batch, batches=len(setup.train), rate=rate)
            if keeper is not None and keeper.due(state):
                if not self.divergence.in_bounds():
                    return False
                keeper.save(state)
            self._stop_if_asked()
            if state.step == setup.settings.max_steps:
                break
        return True

    def _step(self, batch: Batch, measured: bool) -> bool:
        """Take one step, or leave its batch out; false when the loss left all bounds and the state went back."""
        state, under_way = self.state, self.state.under_way
        self.divergence.before(batch)
        state.note(batch)
        if state.step not in state.skipped:
            try:
                taken = train_step(self.setup, state, batch)
            except (RuntimeError, MemoryError) as error:
                if is_out_of_memory(error):
                    kept = () if state.average is None else (state.average.model,)
                    settings = self.setup.settings
                    raise explain_out_of_memory(error, settings, state.model, state.optimizer, batch, kept) from error
                raise
            except NoTargets as error:
                state.without_targets += 1
                self.log("no_targets", step=state.step + 1, rows=len(batch), message=str(error))
            else:
                under_way.loss.add(taken.loss, taken.weight)
                if measured and batch.mix is None:
                    under_way.seen.add(taken.output, batch)
                state.watch.add(state.step, taken.total)
        under_way.rows += len(batch)
        under_way.batch += 1
        state.step += 1
        return self.divergence.after(batch)

    def _close_epoch(self) -> EpochRecord:
        """Measure an epoch whose steps are all taken, and begin the next one."""
        setup, state = self.setup, self.state
        task, under_way = setup.task, state.under_way
        train = {"loss": under_way.loss.value()}
        if len(under_way.seen):
            train.update(measure(task, under_way.seen.outcome(task), task.metrics))
        # The state is still that of the last step: asked to stop in between, it is saved, and the epoch measured later.
        validation = {} if setup.validation is None else validate(setup, state.kept, self._stop_if_asked)
        state.epoch += 1
        state.seconds = time.monotonic() - self._began
        state.under_way = UnderWay()
        guessed = under_way.guesses.record(getattr(task, "labels", ())) if setup.semi_supervised is not None else None
        improved = False
        if state.best is not None:
            improved = state.best.consider({**train, **validation}[state.best.metric], state.epoch, state.kept)
        record = EpochRecord(
            epoch=state.epoch,
            step=state.step,
            learning_rate=state.optimizer.param_groups[-1]["initial_lr"] * state.schedule(max(0, state.step - 1)),
            train=train,
            validation=validation,
            seconds=under_way.seconds,
            rows_per_second=under_way.rows / max(under_way.seconds, 1e-9),
            best=improved,
            unlabelled=guessed.as_dict() if guessed is not None else {},
        )
        state.history.append(record)
        state.schedule.observe(validation.get("loss", train["loss"]))
        return record

    def _stop_if_asked(self) -> None:
        reason = self.stopping.reason
        if not reason:
            return
        if self.keeper is not None and self.divergence.in_bounds():  # otherwise it went back to what is saved already
            self.keeper.now(self.state)
        raise Stopped(reason)


def validate(setup: Setup, model: nn.Module, between: Callable[[], None] = lambda: None) -> dict[str, float]:
    """Return `loss` and the task's metrics on the validation rows, in float32; `between` comes after every batch."""
    assert setup.validation is not None
    collected = collect(setup.task, model, setup.validation, setup.device, between)
    outcome = collected.outcome(setup.task)
    return {"loss": collected.loss, **measure(setup.task, outcome, setup.task.metrics)}


def set_rate(state: State) -> float:
    """Set the learning rates for the coming step; return that of the last group."""
    factor = state.schedule(state.step)
    rate = 0.0
    for group in state.optimizer.param_groups:
        group["lr"] = rate = group["initial_lr"] * factor
    return rate
