"""What to say when memory runs out: what it was used for, and which settings help."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from modelyard.core.device import multiplies_bfloat16
from modelyard.core.errors import ModelyardError
from modelyard.data.batch import Batch
from modelyard.models.blocks.checkpointing import blocks
from modelyard.report.formatting import bytes_
from modelyard.spec.spec import TrainSpec
from modelyard.train.memory.fitting import available_memory
from modelyard.train.memory.trial import optimizer_bytes
from modelyard.train.profiling.tensor_memory import tensor_bytes

__all__ = ["explain_out_of_memory", "is_out_of_memory"]

_REQUEST = re.compile(r"[Tt]r(?:ied|ying) to allocate ([\d.]+) ?(bytes|KiB|MiB|GiB|TiB)")
_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_LOW_BIT = ("adam", "adamw", "sgd")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out, on an accelerator or in the computer itself."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # On a CPU torch raises a plain RuntimeError, told apart by its words alone.
    words = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in words)


def explain_out_of_memory(
    error: BaseException,
    settings: TrainSpec,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    others: tuple[nn.Module, ...] = (),
) -> ModelyardError:
    """Return the error to raise from one that `is_out_of_memory` knows, which happened while a step was taken.

    Args:
        error: What was raised.
        settings: The training's resolved settings.
        model: The model, on its device.
        optimizer: Its optimizer, stepped or not.
        batch: The batch that was learned from, whole.
        others: Other modules that are held, such as the average of the weights.
    """
    device = next(model.parameters()).device
    optimizer_name = settings.optimizer.name if settings.optimizer is not None else "the optimizer"
    used = _used(settings, model, optimizer, batch, others, optimizer_name)
    known = sum(size for _, size, _ in used)
    rest, whole, how = _everything(device)
    if whole is not None:
        used.append((rest, max(0, whole - known), f"derived: {how}, less the above"))
    asked = _REQUEST.search(str(error))
    request = ""
    if asked is not None:
        request = f", asking for {bytes_(int(float(asked[1]) * _UNITS[asked[2]]))} more"
    pieces = f" in {settings.accumulate} pieces" if settings.accumulate > 1 else ""
    width = max(len(name) for name, _, _ in used)
    lines = [
        f"memory ran out on {device} while training on {len(batch):,} rows at a time{pieces}{request}. It held:",
        *(f"  {name:<{width}}  {bytes_(size):>9}  ({how})" for name, size, how in used),
    ]
    if device.type == "cpu":
        available = available_memory()
        if available.bytes is not None:
            lines.append(f"Now, {available.how} {bytes_(available.bytes)}.")
    lines += [
        "What helps, the cheapest first:",
        *(f"  {line}" for line in _advice(settings, model, batch, used, device)),
    ]
    return ModelyardError("\n".join(lines))


def _used(
    settings: TrainSpec,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    others: tuple[nn.Module, ...],
    optimizer_name: str,
) -> list[tuple[str, int, str]]:
    """Return what is known to be held: its name, its bytes, and how they are known."""
    device = next(model.parameters()).device
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    used = [("weights", tensor_bytes([*model.parameters(), *model.buffers()]), "measured")]
    there = [parameter.grad for parameter in learned if parameter.grad is not None]
    if settings.memory.fused_backward or len(there) == len(learned):
        used.append(("gradients", tensor_bytes(there), "measured"))
    else:
        used.append(("gradients", tensor_bytes(learned), "derived: as large as the weights, when all are there"))
    state = [value for one in optimizer.state.values() for value in one.values() if isinstance(value, Tensor)]
    if any(value.ndim for value in state):
        here = [value for value in state if value.device.type == device.type]
        used.append((f"state of {optimizer_name}", tensor_bytes(here), "measured"))
    elif settings.memory.offload == "none" or device.type == "cpu":
        found = optimizer_bytes(settings, model)
        used.append((f"state of {optimizer_name}", found, "derived: it comes with the first step"))
    for other in others:
        held = tensor_bytes([*other.parameters(), *other.buffers()])
        used.append((f"another {type(other).__name__.lower()} of averaged weights", held, "measured"))
    used.append(("batch", tensor_bytes([*batch.inputs.values(), *batch.targets.values()]), "measured"))
    return used


def _everything(device: torch.device) -> tuple[str, int | None, str]:
    """Return a name for what is not known one by one, all that is held in bytes, and how that is known."""
    if device.type == "cuda":
        return "results of layers", torch.cuda.max_memory_allocated(device), "the most that torch held here"
    name = "results of layers, and the program itself"
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return name, None, ""
    row = next((line.split() for line in lines if line.startswith("VmRSS:")), None)
    return name, None if row is None else 1024 * int(row[1]), "what this process holds"


def _advice(
    settings: TrainSpec, model: nn.Module, batch: Batch, used: list[tuple[str, int, str]], device: torch.device
) -> list[str]:
    """Return the settings that would help and are not in use, one a line."""
    sizes = {name.partition(" of ")[0]: size for name, size, _ in used}
    state, memory, advice = sizes.get("state", 0), settings.memory, []
    optimizer = settings.optimizer.name if settings.optimizer is not None else ""
    rows = -(-len(batch) // settings.accumulate)
    if rows > 1 and not memory.fused_backward:
        advice.append(
            f"train.accumulate={2 * settings.accumulate}: the same step, in pieces of {-(-rows // 2):,} rows; "
            "train.batch_size=auto finds the largest pieces that fit"
        )
    elif rows > 1:
        advice.append(
            f"train.batch_size={max(1, rows // 2)}: fewer rows a step (fused_backward takes them in one piece)"
        )
    found = len(blocks(model))
    if not memory.activation_checkpointing and found > 1:
        advice.append(
            f"train.memory.activation_checkpointing=true: of {found} blocks only what enters them is kept; the rest is "
            "computed again, which takes about a third more time"
        )
    if memory.optimizer_bits == 32 and optimizer in _LOW_BIT and state:
        advice.append(
            f"train.memory.optimizer_bits=8: saves up to {bytes_(int(0.75 * state))} of the optimizer's state"
        )
    if device.type != "cpu" and memory.offload == "none" and state:
        advice.append(f"train.memory.offload=optimizer: moves {bytes_(state)} to the computer's memory; slower")
    if not memory.fused_backward and settings.gradient_clip is None and settings.accumulate == 1:
        advice.append(f"train.memory.fused_backward=true: saves up to {bytes_(sizes['gradients'])} of gradients")
    if settings.precision == "float32" and multiplies_bfloat16(device.type):
        advice.append("train.precision=bfloat16: results of the large products take half")
    advice.append("a smaller model, shorter texts (max_length) or smaller pictures")
    return advice
