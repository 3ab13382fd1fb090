"""Every row once an epoch, in a new order each time."""

from __future__ import annotations

from modelyard.core.randomness import Permutation
from modelyard.data.samplers.base import Order, Sampler
from modelyard.spec.settings import Settings

__all__ = ["Shuffled"]


class ShuffledSettings(Settings):
    """There is nothing to set."""


class Shuffled(Sampler):
    """A permutation of all rows, computed at any place in constant memory: uniform over the whole set."""

    Settings = ShuffledSettings
    name = "shuffled"
    has_every_row_once = True

    def epoch(self, epoch: int) -> Order:
        return Permutation(len(self.store), self.seed, "order", epoch)
