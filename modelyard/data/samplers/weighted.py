"""Rows drawn as often as a column of the data says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from modelyard.core.errors import DataError
from modelyard.core.randomness import derive, mix
from modelyard.data.samplers.base import Order, Sampler
from modelyard.data.store import SplitStore
from modelyard.spec.settings import Settings

__all__ = ["Weighted", "WeightedSettings"]


class WeightedSettings(Settings):
    """By what, and how many."""

    by: str
    """Column of numbers, 0 or more: a row of weight 2 is drawn twice as often as one of weight 1. It is no input."""
    rows: Annotated[int, Field(ge=1)] | None = None
    """Draws an epoch has; as many as there are rows when unsaid."""


class Weighted(Sampler):
    """Independent draws with replacement, by inversion of the cumulative weights (8 bytes a row)."""

    Settings = WeightedSettings
    name = "weighted"
    settings: WeightedSettings

    def __init__(self, settings: WeightedSettings, store: SplitStore, files: Sequence[str], seed: int) -> None:
        super().__init__(settings, store, files, seed)
        weights = np.asarray(store.whole(f"row.{settings.by}"), np.float64)
        bad = int((~(weights >= 0)).sum())
        if bad:
            raise DataError(
                f"{bad} training rows have a weight {settings.by!r} below 0; a weight is a number from 0 on"
            )
        self._cumulative = np.cumsum(weights)
        if not self._cumulative[-1] > 0:
            raise DataError(f"all {len(weights)} training rows have weight {settings.by!r} 0; nothing can be drawn")

    @classmethod
    def columns(cls, settings: Any) -> list[str]:
        return [settings.by]

    def __len__(self) -> int:
        return self.settings.rows or len(self.store)

    def epoch(self, epoch: int) -> Order:
        return _Draws(self._cumulative, len(self), derive(self.seed, "weighted", epoch))


class _Draws:
    def __init__(self, cumulative: npt.NDArray[np.float64], rows: int, key: int) -> None:
        self.cumulative = cumulative
        self.rows = rows
        self.key = np.uint64(key)

    def slice(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        places = np.arange(start, min(stop, self.rows), dtype=np.uint64)
        uniform = (mix(mix(places) ^ self.key) >> np.uint64(11)) * 2.0**-53
        drawn = np.searchsorted(self.cumulative, uniform * self.cumulative[-1], side="right")
        rows: npt.NDArray[np.int64] = np.minimum(drawn, len(self.cumulative) - 1).astype(np.int64)
        return rows
