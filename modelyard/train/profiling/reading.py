"""From what was measured of training steps to the record of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from modelyard.core.limits import MachineLimits
from modelyard.train.profiling.operators import Operators
from modelyard.train.profiling.records import (
    Account,
    ModuleCost,
    OperatorCost,
    Part,
    Projection,
    Spread,
    StepWork,
)
from modelyard.train.profiling.sections import PARTS, StepTimes
from modelyard.train.step import Setup

__all__ = [
    "EVERYTHING",
    "account_of",
    "modules_of",
    "notes_of",
    "operators_of",
    "parts_of",
    "projection_of",
    "spread",
    "work_of",
]

EVERYTHING = " "
"""Stands for all of a step among the paths of modules."""
_KEPT = 40
"""Modules and operators that are kept in the record."""
_STRETCHES = 5
"""The steps are cut into so many stretches, to see what a batch costs on average: some are made many at once, so that
most cost nothing; and an average over all would see what disturbed a single one."""
Counts = Mapping[str, Mapping[str, float]]
"""Module → operator → floating-point operations of a step; `""` is the model."""


def spread(seconds: Sequence[float]) -> Spread:
    """Return median and quartiles."""
    low, middle, high = (float(one) for one in np.quantile(seconds, [0.25, 0.5, 0.75]))
    return Spread(middle, low, high)


def parts_of(steps: Sequence[StepTimes]) -> list[Part]:
    """Return what the parts of these steps take, and their shares."""
    spent = {name: float(np.median([step.seconds[name] for step in steps])) for name in PARTS}
    waits = np.array_split([step.seconds["data"] for step in steps], min(_STRETCHES, len(steps)))
    spent["data"] = float(np.median([stretch.mean() for stretch in waits]))
    whole = sum(spent.values())
    return [Part(name, seconds, seconds / whole) for name, seconds in spent.items()]


def account_of(step: float, parts: Sequence[Part], watched: Operators, accelerator: bool) -> Account:
    """Divide a step's time: kernels as the profiler saw them, input as the loop waited, fixed costs for the rest."""
    products, traffic = watched.products, watched.traffic
    asked = sum(part.seconds for part in parts if part.name in ("data", "transfer"))
    if accelerator:  # kernels run while the loop waits for a batch: only what is left of the step can be waiting
        products, traffic = _at_most(step, products, traffic)
        waiting = min(asked, step - products - traffic)
    else:
        waiting = min(asked, step)
        products, traffic = _at_most(step - waiting, products, traffic)
    fixed = max(0.0, step - waiting - products - traffic)  # which rounding would make less
    shares = {"compute": products, "memory traffic": traffic, "fixed costs": fixed, "input": waiting}
    return Account(products, traffic, fixed, waiting, watched.calls, max(shares, key=lambda name: shares[name]))


def _at_most(bound: float, *seconds: float) -> list[float]:
    """Return the times, made smaller in proportion where together they are above a bound."""
    whole = sum(seconds)
    return [one * min(1.0, bound / whole) if whole else 0.0 for one in seconds]


def work_of(flops: Counts, step: float, limits: MachineLimits, setup: Setup) -> StepWork:
    """Set the counted operations of a step beside the machine's limits."""
    everything = flops.get(EVERYTHING, {})
    model = sum(flops.get("", {}).values())
    whole = sum(everything.values())
    convolved = sum(count for name, count in everything.items() if "conv" in name)
    least = {}
    for precision, products in limits.products.items():
        convolutions = limits.convolutions[_of_convolutions(precision, setup)]
        least[precision] = (whole - convolved) / products.value + convolved / convolutions.value
    return StepWork(model, whole - model, whole / step, least, least[setup.precision] / step)


def _of_convolutions(precision: str, setup: Setup) -> str:
    """Return the precision that convolutions have where matrix products have this one."""
    if precision == "float8":
        return "bfloat16"
    relaxed = setup.device.type == "cuda" and torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]
    return "tf32" if precision == "float32" and relaxed else precision


def modules_of(model: nn.Module, watched: Operators, flops: Counts, parts: Sequence[Part]) -> list[ModuleCost]:
    """Return the costliest modules, their times scaled to the forward and backward parts of a step."""
    named = dict(model.named_modules())
    scale = {}
    for name, part in (("forward", "forward"), ("backward", "backward")):
        seen = sum(getattr(one, name) for one in watched.modules.values())
        spent = next(one.seconds for one in parts if one.name == part)
        scale[name] = spent / seen if seen else 0.0
    own = {path: sum(counts.values()) for path, counts in flops.items() if path != EVERYTHING}
    for path in list(own):
        inside = [other for other in own if other != path and _parent(other, own) == path]
        own[path] = sum(flops[path].values()) - sum(sum(flops[other].values()) for other in inside)
    found = [
        ModuleCost(
            name=path,
            kind=type(module).__name__,
            parameters=sum(parameter.numel() for parameter in module.parameters(recurse=False)),
            forward_seconds=watched.modules[path].forward * scale["forward"],
            backward_seconds=watched.modules[path].backward * scale["backward"],
            flops=own.get(path, 0.0),
        )
        for path, module in named.items()
        if path in watched.modules
    ]
    found.sort(key=lambda one: -(one.forward_seconds + one.backward_seconds))
    return found[:_KEPT]


def _parent(path: str, known: dict[str, float]) -> str | None:
    """Return the nearest module around a module that is known; None for the model itself."""
    while path:
        path = path.rpartition(".")[0]
        if path in known:
            return path
    return None


def operators_of(watched: Operators, step: float) -> list[OperatorCost]:
    """Return the costliest operators, scaled where the profiler slowed them down beyond the step."""
    whole = sum(one.seconds for one in watched.operators.values())
    scale = min(1.0, step / whole) if whole else 0.0
    ordered = sorted(watched.operators.items(), key=lambda item: -item[1].seconds)
    return [
        OperatorCost(
            name=name.removeprefix("aten::"),
            calls=one.calls,
            seconds=one.seconds * scale,
            share=one.seconds / whole if whole else 0.0,
            kernels=one.kernels[:3],
        )
        for name, one in ordered[:_KEPT]
    ]


def projection_of(setup: Setup, step: float, rows: int) -> Projection:
    """Return how long an epoch and the whole training take."""
    loader, settings = setup.train, setup.settings
    per_epoch = len(loader)
    steps = per_epoch * settings.epochs
    if settings.max_steps is not None:
        steps = min(steps, settings.max_steps)
    epoch = step * loader.rows / rows  # the last batch of an epoch may be smaller
    return Projection(per_epoch, settings.epochs, steps, epoch, epoch * steps / per_epoch)


def notes_of(setup: Setup, rows: int, load: float, cores: int) -> list[str]:
    """Return what a reader of the profile should know.

    Args:
        setup: What was profiled.
        rows: Of a batch.
        load: Processes that wanted to run in the minute before, on average.
        cores: For them to run on.
    """
    notes = []
    if load > cores:
        notes.append(
            f"others kept this machine busy (a load of {load:.1f} on {cores} {'core' if cores == 1 else 'cores'}): the "
            "times are longer, and the shares others, than they would be on a calm one"
        )
    asked = setup.settings.batch_size
    if rows != asked:
        notes.append(f"train.batch_size is {asked}, and there are {rows} training rows: every step takes them all")
    if setup.settings.semi_supervised is not None:
        notes.append(
            "with train.semi_supervised the losses count to the backward part, and rows a second are labelled ones"
        )
    if setup.settings.compile is True:
        notes.append("the modules of a compiled model are not told apart; train.compile=false shows them")
    if setup.settings.memory.fused_backward:
        notes.append("with train.memory.fused_backward the optimizer steps within the backward part")
    return notes
