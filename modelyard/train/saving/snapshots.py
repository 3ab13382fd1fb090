"""From a training's state to a snapshot that can be written, and back, bit for bit.

Tensors are named by what they are: `model/NAME`, `average/NAME`, `optimizer/PARAMETER/KEY`, `under_way/…`. What follows
from the spec alone (settings of optimizer and schedule, order of the rows, dropout) is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from modelyard.core.errors import CheckpointError
from modelyard.data.batch import Batch
from modelyard.train.records import EpochRecord
from modelyard.train.saving.checkpoints import Snapshot
from modelyard.train.state import Mean, State, UnderWay

__all__ = ["restore_snapshot", "take_snapshot"]


def take_snapshot(state: State) -> Snapshot:
    """Copy a state between two steps into the computer's memory. The losses that wait to be looked at must be read."""
    tensors = {f"model/{name}": tensor for name, tensor in state.model.state_dict().items()}
    if state.average is not None:
        tensors |= {f"average/{name}": tensor for name, tensor in state.average.model.state_dict().items()}
    plain: dict[str, Any] = {}
    names = {id(parameter): name for name, parameter in state.model.named_parameters()}
    for parameter, found in state.optimizer.state.items():
        for key, value in found.items():
            name = f"optimizer/{names[id(parameter)]}/{key}"
            (tensors if isinstance(value, Tensor) else plain)[name] = value
    under_way = state.under_way
    if under_way.loss.sum is not None and under_way.loss.weight is not None:
        tensors |= {"under_way/loss/sum": under_way.loss.sum, "under_way/loss/weight": under_way.loss.weight}
    if len(under_way.seen):
        output, targets, ids = under_way.seen.joined()
        tensors |= {"under_way/seen/output": output, "under_way/seen/ids": torch.from_numpy(ids)}
        tensors |= {f"under_way/seen/target/{name}": target for name, target in targets.items()}
    tensors |= {f"under_way/guesses/{name}": value for name, value in under_way.guesses.sums.items()}
    values: dict[str, Any] = {
        "epoch": state.epoch,
        "step": state.step,
        "history": [asdict(record) for record in state.history],
        "schedule": dict(state.schedule.state()),
        "watch": dict(state.watch.state()),
        "skipped": state.skipped,
        "without_targets": state.without_targets,
        "samples": state.samples,
        "continued": state.continued,
        "seconds": state.seconds,
        "optimizer": plain,
        "under_way": {"batch": under_way.batch, "rows": under_way.rows, "seconds": under_way.seconds},
    }
    best, best_epoch = None, 0
    if state.best is not None:
        values["best"] = {"value": state.best.value, "epoch": state.best.epoch, "waited": state.best.waited}
        if state.best.weights:
            best = {name: tensor.cpu() for name, tensor in state.best.weights.items()}  # written to by nobody
            best_epoch = state.best.epoch
    return Snapshot(state.step, {name: _copied(tensor) for name, tensor in tensors.items()}, values, best, best_epoch)


def restore_snapshot(state: State, snapshot: Snapshot) -> None:
    """Bring a state to where a snapshot was taken. `state` was begun by the same spec on the same data.

    Raises:
        CheckpointError: The snapshot is of another model or optimizer.
    """
    tensors, values = snapshot.tensors, snapshot.values
    try:
        _load(state.model, _below(tensors, "model/"))
        if state.average is not None:
            _load(state.average.model, _below(tensors, "average/"))
        _restore_optimizer(state, tensors, values["optimizer"])
        state.epoch, state.step = values["epoch"], values["step"]
        state.history = [EpochRecord(**record) for record in values["history"]]
        state.schedule.restore(values["schedule"])
        state.watch.restore(values["watch"])
        state.skipped, state.without_targets = list(values["skipped"]), values["without_targets"]
        state.samples = values["samples"]
        state.continued, state.seconds = values["continued"], values["seconds"]
        state.under_way = _under_way(tensors, values["under_way"], next(state.model.parameters()).device)
        if state.best is not None:
            best = values["best"]
            state.best.value, state.best.epoch, state.best.waited = best["value"], best["epoch"], best["waited"]
            device = next(state.model.parameters()).device
            state.best.weights = {name: tensor.to(device) for name, tensor in (snapshot.best or {}).items()}
    except (KeyError, TypeError, RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"the checkpoint of step {snapshot.step} does not fit this training ({type(error).__name__}: {error}); "
            "it is of another spec or another release. Begin a new run"
        ) from error


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@torch.no_grad()
def _load(model: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors into a module's own, in place: optimizers and averages hold on to those."""
    model.load_state_dict(tensors)


def _restore_optimizer(state: State, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Fill an optimizer's state without its `load_state_dict`, which would turn integers into floats."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in [*_below(tensors, "optimizer/").items(), *plain.items()]:
        of, _, key = name.removeprefix("optimizer/").rpartition("/")
        found.setdefault(of, {})[key] = value
    parameters = dict(state.model.named_parameters())
    fused = any(group.get("fused") or group.get("capturable") for group in state.optimizer.param_groups)
    state.optimizer.state.clear()
    for of, entries in found.items():
        parameter = parameters[of]
        # As torch has it: the count of steps stays on the CPU unless the whole step is one kernel.
        devices = {"step": parameter.device if fused else torch.device("cpu")}
        state.optimizer.state[parameter] = {
            key: _placed(value, parameter, devices.get(key, parameter.device)) if isinstance(value, Tensor) else value
            for key, value in entries.items()
        }


def _placed(value: Tensor, parameter: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of an optimizer's state on its device, laid out in memory as its parameter is: one kernel goes
    through both."""
    if value.shape != parameter.shape:
        return value.to(device)
    return torch.empty_like(parameter, dtype=value.dtype, device=device, requires_grad=False).copy_(value)


def _under_way(tensors: Mapping[str, Tensor], values: Mapping[str, Any], device: torch.device) -> UnderWay:
    under_way = UnderWay(values["batch"], values["rows"], values["seconds"], Mean())
    if "under_way/loss/sum" in tensors:
        under_way.loss.sum = tensors["under_way/loss/sum"].to(device)
        under_way.loss.weight = tensors["under_way/loss/weight"].to(device)
    if "under_way/seen/output" in tensors:
        targets = {name: value.to(device) for name, value in _below(tensors, "under_way/seen/target/").items()}
        ids = tensors["under_way/seen/ids"].numpy()
        under_way.seen.add(tensors["under_way/seen/output"].to(device), Batch({}, targets, ids))
    under_way.guesses.restore(_below(tensors, "under_way/guesses/"), device)
    return under_way
