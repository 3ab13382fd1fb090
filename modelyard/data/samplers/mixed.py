"""Several files in stated proportions, whatever their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Annotated

import numpy as np
from pydantic import Field

from modelyard.core.errors import Problem, SpecError
from modelyard.data.samplers.base import Groups, Order, Sampler, quotas
from modelyard.data.store import SplitStore
from modelyard.spec.settings import Settings

__all__ = ["Mixed", "MixedSettings"]

_BLOCK = 1000
"""Draws among which the shares hold exactly, to a thousandth."""


class MixedSettings(Settings):
    """How much of what."""

    shares: Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)]
    """File, or pattern such as `*/reviews-*.csv` → its part of the draws; every training file must fit one of them."""
    rows: Annotated[int, Field(ge=1)] | None = None
    """Draws an epoch has; as many as there are rows when unsaid."""


class Mixed(Sampler):
    """Each thousand draws holds each share's part; the rows of a share take turns, small files come more often."""

    Settings = MixedSettings
    name = "mixed"
    settings: MixedSettings

    def __init__(self, settings: MixedSettings, store: SplitStore, files: Sequence[str], seed: int) -> None:
        super().__init__(settings, store, files, seed)
        of_file = np.array([self._share(file) for file in files], np.int64)
        groups = of_file[np.asarray(store.whole("row.file"))]
        members = [np.flatnonzero(groups == share).astype(np.int64) for share in range(len(settings.shares))]
        for pattern, rows in zip(settings.shares, members, strict=True):
            if not len(rows):
                listed = ", ".join(files[:5])
                message = f"no training row is in a file like {pattern!r}; files: {listed}"
                raise SpecError([Problem("train.sampler.shares", message)])
        self._groups = Groups(members, quotas(settings.shares, _BLOCK), len(self), seed, "mixed")

    def _share(self, file: str) -> int:
        for share, pattern in enumerate(self.settings.shares):
            if file == pattern or fnmatch(file, pattern) or file.endswith("/" + pattern):
                return share
        message = f"says nothing about {file}; give it a share, or a pattern that it fits"
        raise SpecError([Problem("train.sampler.shares", message)])

    def __len__(self) -> int:
        return self.settings.rows or len(self.store)

    def epoch(self, epoch: int) -> Order:
        return self._groups.epoch(epoch)
