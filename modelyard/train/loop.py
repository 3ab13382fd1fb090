"""The training loop: forward, loss, backward, step. It knows neither modality nor family nor task."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modelyard.core.errors import ModelyardError
from modelyard.core.events import EventLog
from modelyard.core.randomness import derive
from modelyard.data.batch import Batch
from modelyard.data.loader import Loader
from modelyard.evaluate.assess import measure
from modelyard.evaluate.outputs import Collected, collect
from modelyard.spec.spec import TrainSpec
from modelyard.tasks.base import Task
from modelyard.train.records import EpochRecord
from modelyard.train.state import State

__all__ = ["Setup", "fit", "train_step", "validate"]

_MEASURED = 1_000_000
"""Training metrics of an epoch come from at most this many of its rows: every batch, or every second, third … one. The
loss comes from all."""


@dataclass(frozen=True)
class Setup:
    """What stays the same from the first step to the last."""

    task: Task
    train: Loader
    validation: Loader | None
    settings: TrainSpec
    seed: int
    device: torch.device
    precision: str
    """`float32` or `bfloat16`, resolved."""

    def arithmetic(self) -> AbstractContextManager[object]:
        """Return the context in which the forward pass of training runs."""
        if self.precision == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()


def fit(setup: Setup, state: State, log: EventLog) -> str | None:
    """Train until the epochs are done or early stopping ends it; `state` is moved along in place.

    Returns:
        Why training ended early, or None.

    Raises:
        ModelyardError: The loss is no longer a finite number; says at which epoch and what helps.
    """
    settings = setup.settings
    while state.epoch < settings.epochs:
        record = _epoch(setup, state, log)
        state.history.append(record)
        log("epoch", **record.as_dict())
        state.schedule.observe(record.validation.get("loss", record.train["loss"]))
        if settings.max_steps is not None and state.step >= settings.max_steps:
            return f"max_steps ({settings.max_steps}) reached in epoch {state.epoch}"
        best, stopping = state.best, settings.early_stopping
        if best is not None and stopping is not None and best.waited > stopping.patience:
            return f"{best.metric} has not improved since epoch {best.epoch}"
    return None


def _epoch(setup: Setup, state: State, log: EventLog) -> EpochRecord:
    task, loader, settings = setup.task, setup.train, setup.settings
    started = time.perf_counter()
    state.model.train()
    losses, seen = _Mean(), Collected()
    rows = 0
    every = -(-loader.rows // _MEASURED)
    for number, batch in enumerate(loader.epoch(state.epoch)):
        rate = _set_rate(state)
        batch = batch.to(setup.device)
        loss, weight, output = train_step(setup, state, batch)
        losses.add(loss, weight)
        if batch.mix is None and number % every == 0:
            seen.add(output, batch)
        rows += len(batch)
        state.step += 1
        log("progress", epoch=state.epoch + 1, batch=-(-rows // settings.batch_size), batches=len(loader), rate=rate)
        if state.step == settings.max_steps:
            break
    mean = losses.value()
    seconds = time.perf_counter() - started
    if not math.isfinite(mean):
        raise ModelyardError(
            f"training diverged: the loss of epoch {state.epoch + 1} is {mean}. No bundle was written. A smaller "
            f"train.learning_rate (now {rate:g}), train.gradient_clip=1 or train.warmup=0.1 usually helps; "
            "also look for extreme numbers in the inputs."
        )
    train = {"loss": mean}
    if len(seen):
        train.update(measure(task, seen.outcome(task), task.metrics))
    validation = {} if setup.validation is None else validate(setup, state.kept)
    state.epoch += 1
    improved = False
    if state.best is not None:
        improved = state.best.consider({**train, **validation}[state.best.metric], state.epoch, state.kept)
    return EpochRecord(
        epoch=state.epoch,
        step=state.step,
        learning_rate=rate,
        train=train,
        validation=validation,
        seconds=seconds,
        rows_per_second=rows / seconds,
        best=improved,
    )


def validate(setup: Setup, model: nn.Module) -> dict[str, float]:
    """Return `loss` and the task's metrics on the validation rows, in float32."""
    assert setup.validation is not None
    collected = collect(setup.task, model, setup.validation, setup.device)
    outcome = collected.outcome(setup.task)
    return {"loss": collected.loss, **measure(setup.task, outcome, setup.task.metrics)}


def _set_rate(state: State) -> float:
    factor = state.schedule(state.step)
    rate = 0.0
    for group in state.optimizer.param_groups:
        group["lr"] = rate = group["initial_lr"] * factor
    return rate


def train_step(setup: Setup, state: State, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Take one optimizer step on a batch, in `accumulate` pieces.

    Returns:
        The batch's mean loss (scalar), its denominator (scalar), and the outputs (B, O), none with a gradient.
    """
    settings, model = setup.settings, state.model
    _seed_dropout(setup, state.step)
    if settings.accumulate == 1:
        with setup.arithmetic():
            out = setup.task.forward(model, batch)
        out["loss"].backward()  # type: ignore[no-untyped-call]
        loss, weight, output = out["loss"].detach(), out["weight"], out["output"].detach()
    else:
        loss, weight, output = _accumulate(setup, model, batch)
    _regularise(settings, model)
    if settings.gradient_clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    if state.average is not None:
        state.average.update(state.step)
    return loss, weight, output


def _seed_dropout(setup: Setup, step: int) -> None:
    """Dropout draws from torch's generators; seeding them by the step makes it a function of (seed, step).

    Not `torch.manual_seed`: it formats three stack traces a call for accelerators that are not there.
    """
    key = derive(setup.seed, "dropout", step)
    torch.default_generator.manual_seed(key)
    if setup.device.type == "cuda":
        torch.cuda.manual_seed(key)


def _accumulate(setup: Setup, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Gather the gradient of a batch piece by piece; it equals the gradient of the batch in one piece."""
    losses, weights, outputs = [], [], []
    for piece in batch.pieces(setup.settings.accumulate):
        with setup.arithmetic():
            out = setup.task.forward(model, piece)
        # Weighted by its number of targets, a piece adds exactly its share of the whole batch's mean.
        (out["loss"] * out["weight"]).backward()  # type: ignore[no-untyped-call]
        losses.append(out["loss"].detach() * out["weight"])
        weights.append(out["weight"])
        outputs.append(out["output"].detach())
    weight = torch.stack(weights).sum()
    torch._foreach_div_([parameter.grad for parameter in model.parameters() if parameter.grad is not None], weight)
    return torch.stack(losses).sum() / weight, weight, torch.cat(outputs)


@torch.no_grad()
def _regularise(settings: TrainSpec, model: nn.Module) -> None:
    """Add the gradients of the L1 and L2 penalties, on matrices and kernels."""
    if not (settings.l1 or settings.l2):
        return
    for parameter in model.parameters():
        if parameter.grad is not None and parameter.ndim >= 2:
            if settings.l1:
                parameter.grad.add_(parameter.sign(), alpha=settings.l1)
            if settings.l2:
                parameter.grad.add_(parameter, alpha=settings.l2)


class _Mean:
    """A running weighted mean that stays on the device until it is asked for."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._weight: Tensor | None = None

    def add(self, mean: Tensor, weight: Tensor) -> None:
        weighted = mean * weight
        self._sum = weighted if self._sum is None else self._sum + weighted
        self._weight = weight if self._weight is None else self._weight + weight

    def value(self) -> float:
        if self._sum is None or self._weight is None:
            return math.nan
        return float(self._sum.double() / self._weight.double())
