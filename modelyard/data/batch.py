"""A batch: tensors for the model, tensors for the task, and the ids of the rows they came from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modelyard.data.modalities.base import Draw

__all__ = ["Batch", "Mix"]


@dataclass(frozen=True)
class Mix:
    """Rows blended pairwise (mixup, cutmix): row i counts `share[i]`, and the row it was blended with the rest."""

    targets: Mapping[str, Tensor]
    """The targets of the row that each row was blended with, shaped like `Batch.targets`."""
    share: Tensor
    """float32 (B,), each in [0, 1]."""


@dataclass(frozen=True)
class Batch:
    """What the loader yields. `ids[i]` is the position in its split's store of the row behind sample i."""

    inputs: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]
    ids: npt.NDArray[np.int64]
    mix: Mix | None = None
    draw: Draw | None = None
    """Where a training batch stands, for tasks that hide or vary parts of their inputs; None outside training."""

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on `device`."""
        if device.type == "cpu":
            return self
        move: dict[str, Any] = {"device": device, "non_blocking": True}
        mix = self.mix
        if mix is not None:
            mix = Mix({key: target.to(**move) for key, target in mix.targets.items()}, mix.share.to(**move))
        return replace(
            self,
            inputs={key: value.to(**move) for key, value in self.inputs.items()},
            targets={key: value.to(**move) for key, value in self.targets.items()},
            mix=mix,
        )

    def pinned(self) -> Batch:
        """Return the batch in page-locked memory."""
        mix = self.mix
        if mix is not None:
            mix = Mix({key: target.pin_memory() for key, target in mix.targets.items()}, mix.share.pin_memory())
        return replace(
            self,
            inputs={key: value.pin_memory() for key, value in self.inputs.items()},
            targets={key: value.pin_memory() for key, value in self.targets.items()},
            mix=mix,
        )

    def pieces(self, count: int) -> Iterator[Batch]:
        """Cut the batch into `count` nearly equal micro-batches, in order; fewer when there are fewer rows."""
        bounds = np.linspace(0, len(self), min(count, len(self)) + 1).astype(int)
        yield from self.cut(np.diff(bounds).tolist())

    def rows(self, start: int, stop: int) -> Batch:
        """Return samples `start` to `stop - 1`; nothing is copied."""
        return self.cut([start, stop - start, len(self) - stop])[1]

    def cut(self, sizes: list[int]) -> list[Batch]:
        """Cut the batch into batches of so many samples each, all of them together; nothing is copied."""
        bounds = list(itertools.accumulate(sizes, initial=0))
        inputs, targets = _transposed(self._cut_inputs(sizes, bounds), sizes), _cut(self.targets, sizes)
        mixes: list[Mix | None] = [None] * len(sizes)
        if self.mix is not None:
            mixed = zip(_cut(self.mix.targets, sizes), self.mix.share.split_with_sizes(sizes), strict=True)
            mixes = [Mix(others, share) for others, share in mixed]
        batches = []
        for at, (start, stop) in enumerate(itertools.pairwise(bounds)):
            draw = self.draw and Draw(self.draw.seed, self.draw.epoch, self.draw.ids[start:stop])
            batches.append(Batch(inputs[at], targets[at], self.ids[start:stop], mixes[at], draw))
        return batches

    def _cut_inputs(self, sizes: list[int], bounds: list[int]) -> dict[str, Sequence[Tensor]]:
        parts: dict[str, Sequence[Tensor]] = {}
        begins: dict[str, list[int]] = {}
        for key, tensor in self.inputs.items():
            bag = key.rpartition(".")[0]
            offsets = self.inputs.get(f"{bag}.offsets")
            if offsets is None:
                parts[key] = tensor.split_with_sizes(sizes)
                continue
            # A bag's ids and weights lie end to end; its offsets say where each row's begin.
            if bag not in begins:
                inside = [bound for bound in bounds if bound < len(offsets)]
                beyond = [len(self.inputs[f"{bag}.ids"])] * (len(bounds) - len(inside))
                begins[bag] = offsets[inside].tolist() + beyond
            if key.endswith(".offsets"):
                pieces = zip(tensor.split_with_sizes(sizes), begins[bag], strict=False)
                parts[key] = [piece - begin for piece, begin in pieces]
            else:
                parts[key] = tensor.split_with_sizes([stop - start for start, stop in itertools.pairwise(begins[bag])])
        return parts


def _cut(tensors: Mapping[str, Tensor], sizes: list[int]) -> list[dict[str, Tensor]]:
    return _transposed({key: tensor.split_with_sizes(sizes) for key, tensor in tensors.items()}, sizes)


def _transposed(parts: Mapping[str, Sequence[Tensor]], sizes: list[int]) -> list[dict[str, Tensor]]:
    """Return a dictionary for each part, from the parts of each key."""
    return [{key: found[at] for key, found in parts.items()} for at in range(len(sizes))]
