"""What the tensors of a training step take, by what they are for."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from modelyard.core.device import environment
from modelyard.data.batch import Batch
from modelyard.train.cost import peak_memory
from modelyard.train.profiling.records import MemoryUse
from modelyard.train.profiling.sections import Between, Called
from modelyard.train.profiling.tensor_memory import TensorMemory, tensor_bytes
from modelyard.train.state import State
from modelyard.train.step import Setup, train_step

__all__ = ["measure_memory"]


def measure_memory(setup: Setup, state: State, batch: Batch) -> MemoryUse:
    """Take a step and see what its tensors take.

    On a CPU tensors are counted as they are made and freed; an accelerator's allocator keeps the account itself.

    Args:
        setup: The training's setup.
        state: At least one step old, so that the optimizer's state is there. It is moved along.
        batch: On the device.
    """
    model, optimizer, average = state.model, state.optimizer, state.average
    weights = tensor_bytes([*model.parameters(), *model.buffers()])
    averaged = 0 if average is None else tensor_bytes([*average.model.parameters(), *average.model.buffers()])
    held = tensor_bytes(_tensors(list(optimizer.state.values())))
    batch_bytes = tensor_bytes([*batch.inputs.values(), *batch.targets.values()])
    lasting = weights + averaged + held + batch_bytes
    seen = {"activations": 0, "gradients": 0}
    cuda = setup.device.type == "cuda"
    memory = None if cuda else TensorMemory()
    if cuda:
        torch.cuda.synchronize(setup.device)
        torch.cuda.reset_peak_memory_stats(setup.device)
    before = _allocated(setup.device, memory)

    def noted(result: Any) -> Any:
        seen["activations"] = max(seen["activations"], _allocated(setup.device, memory) - before)
        return result

    def forward(model: Any, batch: Batch) -> Any:
        return noted(setup.task.forward(model, batch))

    def backward(model: Any, *args: Any) -> Any:
        return method.backward(Called(model, lambda *given: noted(model(*given))), *args)

    def step(*args: Any, **kwargs: Any) -> Any:
        grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        seen["gradients"] = tensor_bytes(grads)
        return optimizer.step(*args, **kwargs)

    method: Any = setup.semi_supervised
    watched = replace(
        setup,
        task=_as(Between(setup.task, {"forward": forward})),
        semi_supervised=None if method is None else _as(Between(method, {"backward": backward})),
    )
    state.optimizer = _as(Between(optimizer, {"step": step}))
    try:
        with nullcontext() if memory is None else memory:
            train_step(watched, state, batch)
    finally:
        state.optimizer = optimizer
    state.step += 1
    return MemoryUse(
        weights=weights,
        gradients=seen["gradients"],
        optimizer=held,
        average=averaged,
        activations=seen["activations"],
        batch=batch_bytes,
        peak_step=torch.cuda.max_memory_allocated(setup.device) if memory is None else lasting + memory.peak,
        peak_process=peak_memory(),
        device_total=_total(setup.device),
    )


def _as(between: Between) -> Any:
    return between


def _allocated(device: torch.device, memory: TensorMemory | None) -> int:
    return torch.cuda.memory_allocated(device) if memory is None else memory.now


def _total(device: torch.device) -> int | None:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    found = environment()["memory_bytes"]
    return None if found is None else int(found)


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    """Return all tensors in nested plain values, and in the attributes of the objects among them."""
    found = []
    for leaf in tree_leaves(values):
        if isinstance(leaf, Tensor):
            found.append(leaf)
        elif hasattr(leaf, "__dict__"):
            found.extend(_tensors(list(vars(leaf).values())))
    return found
