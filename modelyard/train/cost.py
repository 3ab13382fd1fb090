"""What a training cost: time by stage, floating-point operations, energy and memory, each with how it is known."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry, shape_wrapper

from modelyard.core.energy import EnergyMeter
from modelyard.core.records import Record
from modelyard.data.batch import Batch
from modelyard.data.loader import Loader
from modelyard.tasks.base import Task
from modelyard.train.step import Setup

__all__ = ["Cost", "Flops", "count_flops", "flop_counter", "measure_cost", "peak_memory"]

_BATCHES = 4
"""Batches that are looked at when rows differ in length."""


@dataclass(frozen=True)
class Cost(Record):
    """What it took to make a bundle."""

    seconds: dict[str, float]
    """`data`, `training` and `evaluation`, wall time."""
    flops_per_row_forward: float | None
    """Floating-point operations of one row's answer; None when nothing countable was found."""
    flops_per_step: float | None
    """Of one optimizer step on a whole batch: forward and backward."""
    flops_training: float | None
    """Of all training steps."""
    flops_how: str
    energy_joules: float | None
    """None when it could be neither read nor estimated."""
    energy_how: str
    peak_memory_bytes: int
    """The most main memory this process has held at once since it began."""
    peak_accelerator_bytes: int | None = None
    """The most memory torch has held on the accelerator; None on a CPU."""


@dataclass(frozen=True)
class Flops(Record):
    """Floating-point operations of a model on real batches; a multiplication with its addition counts 2."""

    forward: float | None
    """Of a forward pass, per row; None when nothing countable ran."""
    training: float | None
    """Of a forward and a backward pass, per row."""
    rows: int
    """Rows they were counted on."""

    @property
    def how(self) -> str:
        """What was counted, in words."""
        if self.forward is None:
            return (
                "not counted: the model does no matrix product, convolution, attention, recurrence or sum of embeddings"
            )
        return (
            f"counted while {self.rows} training rows ran: matrix products, convolutions, attention (masked places "
            "included), recurrent layers and sums of embeddings, 2 for a multiplication with its addition; "
            "elementwise work and the optimizer's own are not counted"
        )


def measure_cost(meter: EnergyMeter, setup: Setup, model: nn.Module, steps: int) -> Cost:
    """Return what a training cost.

    Args:
        meter: Has measured the stages `data`, `training` and `evaluation`.
        setup: What was trained with.
        model: The trained model itself, not an average of its weights, which has no gradients. It stays as it is.
        steps: Optimizer steps that were taken.
    """
    loader = setup.train
    flops = count_flops(setup.task, model, _batches(loader), setup.device)
    full, rest = divmod(steps, len(loader))
    rows = full * loader.rows + rest * loader.batch_size
    cuda = setup.device.type == "cuda"
    return Cost(
        seconds={stage: meter.seconds.get(stage, 0.0) for stage in ("data", "training", "evaluation")},
        flops_per_row_forward=flops.forward,
        flops_per_step=None if flops.training is None else flops.training * min(loader.batch_size, loader.rows),
        flops_training=None if flops.training is None else flops.training * rows,
        flops_how=flops.how,
        energy_joules=meter.joules,
        energy_how=meter.how,
        peak_memory_bytes=peak_memory(),
        peak_accelerator_bytes=torch.cuda.max_memory_allocated(setup.device) if cuda else None,
    )


def peak_memory() -> int:
    """Return the most memory this process has held at once since it began (resident set), in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes everywhere else


def count_flops(task: Task, model: nn.Module, batches: Iterable[Batch], device: torch.device) -> Flops:
    """Count the operations of forward and backward passes as they run; weights, gradients and buffers stay as they are.

    Method: torch's formulas for dispatched operations, with some added for the fused kernels it has none for.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    forward = backward = rows = 0
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            # Evaluation mode leaves running statistics alone; cuDNN's recurrent layers have gradients in training only.
            module.training = isinstance(module, nn.RNNBase)
        for batch in batches:
            batch = batch.to(device)
            with torch.enable_grad():
                with _Total() as counted:
                    loss = task.forward(model, batch)["loss"]
                forward += counted.operations
                if loss.requires_grad:
                    with _Total() as counted:
                        torch.autograd.grad(loss, parameters, allow_unused=True)
                    backward += counted.operations
            rows += len(batch)
    finally:
        for module, training in modes:
            module.training = training
    if not forward:
        return Flops(None, None, rows)
    return Flops(forward / rows, (forward + backward) / rows if parameters else None, rows)


def _batches(loader: Loader) -> Iterator[Batch]:
    """Yield the batches to count on: one where all rows are of one size, several out of the whole epoch otherwise."""
    ragged = any(loader.store.is_ragged(name) for name in loader.store.columns)
    count = min(_BATCHES if ragged else 1, len(loader))
    for place in range(count):
        yield next(loader.epoch(0, place * len(loader) // count))


# -- operations that torch's counter has no formula for ---------------------------------------------------------------

Shape = Sequence[int]


def flop_counter() -> FlopCounterMode:
    """Return torch's counter of dispatched operations, with formulas added for the fused kernels it has none for."""
    return FlopCounterMode(display=False, custom_mapping=_FORMULAS)


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Scores and weighted values: (…, T, K) · (…, K, S) and (…, T, S) · (…, S, V)."""
    rows, places = math.prod(query[:-1]), key[-2]
    return 2 * rows * places * (query[-1] + value[-1])


def _attention_backward(_: Shape, query: Shape, key: Shape, value: Shape, *rest: Any, **__: Any) -> int:
    """Five products of the size of the forward's two: the scores once more, and four gradients."""
    return _attention(query, key, value) * 5 // 2


def _lstm(x: Shape, w: Shape, u: Shape, *_: Any, **__: Any) -> int:
    """x (T, B, D) by w (4 S, D), and the state by u (4 S, S), at each step."""
    return 2 * x[0] * x[1] * (math.prod(w) + math.prod(u))


def _cudnn_recurrence(x: Shape, weights: Sequence[Shape], *_: Any, **__: Any) -> int:
    """Each matrix of each layer and direction, once for every step of every row."""
    return 2 * x[0] * x[1] * sum(math.prod(weight) for weight in weights if len(weight) == 2)


def _embedding_bag(weight: Shape, ids: Shape, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """A weight times a row of the table, added up, for each id."""
    return 2 * math.prod(ids) * weight[1]


def _embedding_bag_backward(gradient: Shape, ids: Shape, *_: Any, **__: Any) -> int:
    return 2 * math.prod(ids) * gradient[1]


def _twice(formula: Callable[..., int]) -> Callable[..., int]:
    """A product's backward pass is two products of its size: one for each factor's gradient."""
    return lambda *args, **kwargs: 2 * formula(*args, **kwargs)


_FORMULAS: dict[Any, Callable[..., int]] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    torch.ops.aten.mkldnn_rnn_layer: _lstm,
    torch.ops.aten.mkldnn_rnn_layer_backward: _twice(_lstm),
    torch.ops.aten._cudnn_rnn: _cudnn_recurrence,
    torch.ops.aten._cudnn_rnn_backward: _twice(_cudnn_recurrence),
    torch.ops.aten._embedding_bag: _embedding_bag,
    torch.ops.aten._embedding_bag_forward_only: _embedding_bag,
    torch.ops.aten._embedding_bag_backward: _embedding_bag_backward,
}


class _Total(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds operations up. torch's own counter also tells modules apart, and to do so brings in the compiler."""

    _formulas: ClassVar[dict[Any, Callable[..., int]]] = {
        **flop_registry,
        **{operator: shape_wrapper(formula) for operator, formula in _FORMULAS.items()},  # type: ignore[no-untyped-call]
    }

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or torch would import its compiler, to keep it from looking into this class

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        formula = self._formulas.get(function._overloadpacket)
        if formula is not None:
            self.operations += int(formula(*args, **(kwargs or {}), out_val=result))
        return result
