"""Each label as often as any other, however rare it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from modelyard.core.errors import Problem, SpecError
from modelyard.data.samplers.base import Groups, Order, Sampler
from modelyard.data.store import SplitStore
from modelyard.spec.settings import Settings

__all__ = ["Balanced", "BalancedSettings"]


class BalancedSettings(Settings):
    """By what, and how many."""

    by: str | None = None
    """Target whose labels are balanced; the first one when unsaid."""
    rows: Annotated[int, Field(ge=1)] | None = None
    """Draws an epoch has; as many as there are rows when unsaid."""


class Balanced(Sampler):
    """As many draws stand side by side as there are labels, one of each; a label's rows take turns."""

    Settings = BalancedSettings
    name = "balanced"
    settings: BalancedSettings

    def __init__(self, settings: BalancedSettings, store: SplitStore, files: Sequence[str], seed: int) -> None:
        super().__init__(settings, store, files, seed)
        targets = [name.removeprefix("target.") for name in store.columns if name.startswith("target.")]
        by = settings.by or targets[0]
        if by not in targets:
            raise SpecError([Problem("train.sampler.by", f"{by!r} is no target; targets: {', '.join(targets)}")])
        labels = np.asarray(store.whole(f"target.{by}"))
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            message = f"{by!r} has no labels to balance; leave the sampler out, or use weighted"
            raise SpecError([Problem("train.sampler", message)])
        order = np.argsort(labels, kind="stable").astype(np.int64)
        _, starts = np.unique(labels[order], return_index=True)
        members = np.split(order, starts[1:])
        self._groups = Groups(members, [1] * len(members), len(self), seed, "balanced")

    def __len__(self) -> int:
        return self.settings.rows or len(self.store)

    def epoch(self, epoch: int) -> Order:
        return self._groups.epoch(epoch)
