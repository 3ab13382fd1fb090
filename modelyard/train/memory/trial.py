"""What a training will take: steps to try memory with, and what stays in memory between steps."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from modelyard.core.errors import NoTargets
from modelyard.data.loader import Loader
from modelyard.spec.spec import TrainSpec
from modelyard.train.memory.settings import make_optimizer
from modelyard.train.profiling.tensor_memory import tensor_bytes
from modelyard.train.step import Setup

__all__ = ["heaviest_rows", "optimizer_bytes", "standing_bytes", "trial_step"]


def trial_step(setup: Setup, model: nn.Module) -> Callable[[int], None]:
    """Return a function that runs forward and backward on so many of the heaviest training rows, as `train_step` would,
    and leaves weights, running statistics, gradients and torch's generators as they were.

    Gradients are there from the beginning, as they are for all but the first piece of a batch.
    """
    loader, device = setup.train, setup.device
    rows = heaviest_rows(loader)

    def run(size: int) -> None:
        batch = loader.batch(np.resize(rows, size)).to(device)
        buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        training = model.training
        model.train()
        try:
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                for parameter in model.parameters():
                    parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
                with setup.arithmetic():
                    try:
                        loss = setup.task.forward(model, batch)["loss"]
                    except NoTargets:  # as much memory without them
                        loss = model(batch.inputs).float().sum()
                loss.backward()  # type: ignore[no-untyped-call]
        finally:
            model.train(training)
            model.zero_grad(set_to_none=True)
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)

    return run


def heaviest_rows(loader: Loader) -> npt.NDArray[np.int64]:
    """Return the rows of a loader's split, those with the most tokens first, int64."""
    store = loader.store
    ragged = [name for name in store.columns if store.is_ragged(name) and not name.startswith(("target.", "row."))]
    if not ragged:
        return np.arange(len(store), dtype=np.int64)
    lengths = np.sum([store.lengths(name) for name in ragged], axis=0)
    return np.argsort(-lengths, kind="stable").astype(np.int64)


def standing_bytes(settings: TrainSpec, model: nn.Module) -> dict[str, int]:
    """Return what a training with resolved settings holds between its steps besides the weights, derived, in bytes.

    Only what stands where the weights do: an offloaded optimizer takes nothing of an accelerator's memory, and a
    checkpoint that is being written takes only the computer's.
    """
    on_cpu = next(model.parameters()).device.type == "cpu"
    weights = tensor_bytes([*model.parameters(), *model.buffers()])
    held = {}
    if on_cpu or settings.memory.offload == "none":
        held["optimizer"] = optimizer_bytes(settings, model)
    if settings.ema is not None:
        held["average"] = weights
    if on_cpu:
        held["checkpoint"] = weights + sum(held.values())
    if settings.early_stopping is not None:
        held["best"] = weights
    return held


def optimizer_bytes(settings: TrainSpec, model: nn.Module) -> int:
    """Return what the optimizer of resolved settings keeps of a model's weights, in bytes: it takes a step on tensors
    without content."""
    empty: dict[int, Tensor] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        empty[id(tensor)] = torch.empty_like(tensor, device="meta", requires_grad=tensor.requires_grad)
        if isinstance(tensor, nn.Parameter):
            empty[id(tensor)] = nn.Parameter(empty[id(tensor)].detach(), tensor.requires_grad)
    hollow = copy.deepcopy(model, dict(empty))
    optimizer = make_optimizer(settings, hollow)
    for parameter in hollow.parameters():
        parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
    optimizer.step()
    return tensor_bytes(
        value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)
    )
