"""What the tasks share about their targets: which ones fit, their labels, and batches whose rows were blended.

Legend: B batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import numpy.typing as npt
import torch
from torch import Tensor

from modelyard.core.errors import DataError, NoTargets, Problem, SpecError
from modelyard.data.batch import Batch
from modelyard.data.modalities.base import Modality

__all__ = ["check_targets", "constant", "labels_of", "shares", "weighted_mean"]


class _Labelled(Protocol):
    labels: tuple[str, ...]


def check_targets(task: str, targets: Sequence[Modality], modalities: Sequence[str], several: bool) -> None:
    """Check that a task can learn these targets.

    Raises:
        SpecError: There is none, there are too many, or one is of another modality than `modalities`.
    """
    wanted = " or ".join(modalities)
    problems = [
        Problem(
            f"data.targets.{target.column}",
            f"{task} learns a target of modality {wanted}, and this one is {target.name}; "
            "choose another modality for it, or another task",
        )
        for target in targets
        if target.name not in modalities
    ]
    if not targets or (len(targets) > 1 and not several):
        names = ", ".join(target.column for target in targets) or "none"
        count = "one or more targets" if several else "exactly one target"
        problems.append(Problem("data.targets", f"{task} learns {count}, and the spec names {names}"))
    if problems:
        raise SpecError(problems)


def labels_of(target: Modality, at_least: int) -> tuple[str, ...]:
    """Return the labels a fitted target knows, by id.

    Raises:
        DataError: There are fewer than `at_least`.
    """
    labels = tuple(cast(_Labelled, target).labels)
    if len(labels) < at_least:
        found = ", ".join(repr(label) for label in labels) or "none"
        raise DataError(
            f"target {target.column!r} has {len(labels)} label(s) in the training split ({found}), "
            f"and at least {at_least} are needed; check the column, the filter and the split"
        )
    return labels


def shares(batch: Batch) -> list[tuple[Mapping[str, Tensor], Tensor]]:
    """Return the targets that the rows are learned towards, by column, each with how much it counts, float32 (B,).

    One pair, or two for rows that were blended (mixup, Zhang et al. 2018; cutmix, Yun et al. 2019): their own targets,
    and those of the rows they were blended with.
    """
    if batch.mix is None:
        first = next(iter(batch.targets.values()))
        return [(batch.targets, torch.ones(len(first), device=first.device))]
    share = batch.mix.share.float()
    return [(batch.targets, share), (batch.mix.targets, 1 - share)]


def constant(values: npt.NDArray[Any], device: torch.device, known: Tensor | None) -> Tensor:
    """Return values as float32 on `device`: `known` when it already stands there, so that they are copied once."""
    if known is not None and known.device == device:
        return known
    # made outside inference mode, or a first use in validation would make them unusable in training
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=torch.float32, device=device)


def weighted_mean(terms: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return (Σ loss·weight / Σ weight, Σ weight) over pairs of float32 tensors of one shape.

    Where a weight is 0 the loss plays no part. On an accelerator, where looking at the sum of weights would mean
    waiting for it, a mean over nothing is NaN instead of an error.

    Raises:
        NoTargets: All weights are 0: no row has a target.
    """
    weight = torch.stack([weights.sum() for _, weights in terms]).sum()
    if weight.device.type == "cpu" and not bool(weight > 0):
        raise NoTargets(
            "no targets: every row of this batch lacks its target, so there is nothing to learn from it; "
            "drop rows without a target, or use larger batches"
        )
    zero = torch.zeros((), device=weight.device)
    total = torch.stack([torch.where(weights > 0, losses * weights, zero).sum() for losses, weights in terms]).sum()
    return total / weight, weight
