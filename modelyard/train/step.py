"""One optimizer step: forward, loss, backward, step. It knows neither modality nor family nor task."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modelyard.core.errors import NoTargets
from modelyard.core.randomness import derive
from modelyard.data.batch import Batch
from modelyard.data.loader import Loader
from modelyard.spec.spec import TrainSpec
from modelyard.tasks.base import Task
from modelyard.train.semi_supervised.base import SemiSupervised
from modelyard.train.side_by_side import team
from modelyard.train.state import State

__all__ = ["Setup", "Taken", "backward", "train_step", "update"]


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
    """`float32`, `bfloat16` or `float8`, resolved: the same as in `settings`."""
    files: Sequence[str] = ()
    """Names of the files that `row.file` of the training store counts."""
    semi_supervised: SemiSupervised | None = None
    """How rows without a target are learned from."""

    def arithmetic(self) -> AbstractContextManager[object]:
        """Return the context in which the forward pass of training runs.

        In `float8` it is that of bfloat16: the model's large linear layers, changed by `lean_model`, go further in it.
        """
        if self.precision in ("bfloat16", "float8"):
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()


@dataclass(frozen=True)
class Taken:
    """What a step came to; no tensor has a gradient."""

    loss: Tensor
    """Scalar, mean loss of the batch's targets."""
    weight: Tensor
    """Scalar, the denominator of that mean."""
    output: Tensor
    """(B, O), the model's outputs."""
    total: Tensor
    """Scalar, what the gradients are of: the loss, with that of rows without a target where these are learned from."""


def train_step(setup: Setup, state: State, batch: Batch) -> Taken:
    """Take one optimizer step on a batch, in `accumulate` pieces.

    Raises:
        NoTargets: No row of the batch has a target; nothing was changed.
    """
    taken = backward(setup, state, batch)
    update(setup, state)
    return taken


def backward(setup: Setup, state: State, batch: Batch) -> Taken:
    """Run forward and backward on a batch, in `accumulate` pieces; the weights stay. Raises as `train_step`."""
    settings: TrainSpec = setup.settings
    model: nn.Module = state.model if state.runner is None else state.runner
    _seed_dropout(setup, state.step)
    if setup.semi_supervised is not None:
        method = setup.semi_supervised
        others = method.batch(state.step).to(setup.device)
        learned = method.backward(model, batch, others, state.step, setup.arithmetic, settings.accumulate)
        state.under_way.guesses.add(learned)
        return Taken(learned.loss, learned.weight, learned.output, learned.total)
    if isinstance(settings.side_by_side, int) and settings.side_by_side > 1:
        loss, weight, output = team(settings.side_by_side).backward(setup.task, model, batch, setup.arithmetic)
        return Taken(loss, weight, output, loss)
    if settings.accumulate == 1:
        with setup.arithmetic():
            out = setup.task.forward(model, batch)
        out["loss"].backward()  # type: ignore[no-untyped-call]
        loss = out["loss"].detach()
        return Taken(loss, out["weight"], out["output"].detach(), loss)
    return _accumulate(setup, model, batch)


def update(setup: Setup, state: State) -> None:
    """Move the weights by their gradients, and the average of the weights after them."""
    settings, model = setup.settings, state.model
    _regularise(settings, model)
    if settings.gradient_clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    if state.average is not None:
        state.average.update(state.step)


def _seed_dropout(setup: Setup, step: int) -> None:
    """Dropout draws from torch's generators; seeding them by the step makes it a function of (seed, step).

    Not `torch.manual_seed`: it formats three stack traces a call for accelerators that are not there.
    """
    key = derive(setup.seed, "dropout", step)
    torch.default_generator.manual_seed(key)
    if setup.device.type == "cuda":
        torch.cuda.manual_seed(key)


def _accumulate(setup: Setup, model: nn.Module, batch: Batch) -> Taken:
    """Gather the gradient of a batch piece by piece; it equals the gradient of the batch in one piece."""
    losses, weights, outputs = [], [], []
    for piece in setup.task.pose(batch).pieces(setup.settings.accumulate):
        with setup.arithmetic():
            try:
                out = setup.task.forward(model, piece)
            except NoTargets:  # of these rows; the others of the batch may have some
                outputs.append(model(piece.inputs).detach())
                continue
        # Weighted by its number of targets, a piece adds exactly its share of the whole batch's mean.
        (out["loss"] * out["weight"]).backward()  # type: ignore[no-untyped-call]
        losses.append(out["loss"].detach() * out["weight"])
        weights.append(out["weight"])
        outputs.append(out["output"].detach())
    if not weights:
        raise NoTargets(f"no targets: all {len(batch)} rows of this batch lack theirs, in each of its pieces")
    weight = torch.stack(weights).sum()
    torch._foreach_div_([parameter.grad for parameter in model.parameters() if parameter.grad is not None], weight)
    loss = torch.stack(losses).sum() / weight
    return Taken(loss, weight, torch.cat(outputs), loss)


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
