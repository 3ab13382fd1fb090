"""A batch: tensors for the model, tensors for the task, and the ids of the rows they came from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
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
        for start, stop in itertools.pairwise(bounds):
            yield self.rows(int(start), int(stop))

    def rows(self, start: int, stop: int) -> Batch:
        """Return samples `start` to `stop - 1`; nothing is copied."""
        part = slice(start, stop)
        inputs: dict[str, Tensor] = {}
        for key, tensor in self.inputs.items():
            bag = key.rpartition(".")[0]
            offsets = self.inputs.get(f"{bag}.offsets")
            if offsets is None:
                inputs[key] = tensor[part]
                continue
            # A bag's ids and weights lie end to end; its offsets say where each row's begin.
            begin = int(offsets[start])
            end = int(offsets[stop]) if stop < len(offsets) else len(self.inputs[f"{bag}.ids"])
            inputs[key] = offsets[part] - begin if key.endswith(".offsets") else tensor[begin:end]
        mix = None
        if self.mix is not None:
            mix = Mix({key: target[part] for key, target in self.mix.targets.items()}, self.mix.share[part])
        draw = None if self.draw is None else replace(self.draw, ids=self.draw.ids[part])
        targets = {key: target[part] for key, target in self.targets.items()}
        return Batch(inputs, targets, self.ids[part], mix, draw)
