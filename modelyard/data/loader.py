"""Batches out of a split's store: shuffled by a permutation computed in place, gathered as whole arrays.

The order is a function of (seed, epoch): any batch of any epoch can be asked for without those before it, so resuming
needs no saved state. Sequences are bucketed: within a window of batches, rows of similar length share a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from modelyard.core.randomness import Permutation
from modelyard.data.batch import Batch
from modelyard.data.fitted import Fitted
from modelyard.data.images.mixing import mix_batch
from modelyard.data.modalities.base import Draw
from modelyard.data.samplers.base import Order, Sampler
from modelyard.data.samplers.shuffled import Shuffled
from modelyard.data.store import SplitStore

__all__ = ["Loader", "Mixing"]

_AHEAD = 4
"""Batches that the disk may begin to read before they are asked for."""

_WINDOW = 64
"""Batches that are sorted by length together; more means less padding and less randomness."""


class Mixing:
    """How images are blended within a training batch."""

    def __init__(self, mixup: float | None, cutmix: float | None, probability: float) -> None:
        self.mixup = mixup
        self.cutmix = cutmix
        self.probability = probability


class Loader:
    """Yields the batches of one split.

    Args:
        store: The split's columns.
        fitted: The modalities that encoded it.
        batch_size: Rows a batch; the last one of an epoch may be smaller.
        seed: The spec's seed.
        train: Whether to shuffle, augment and mix. Otherwise rows come in order of storage, or of length
            (`ids` says which is which).
        mixing: Blending of images, in training.
        sampler: Which rows come in an epoch of training; every row once, shuffled, when None.
    """

    def __init__(
        self,
        store: SplitStore,
        fitted: Fitted,
        batch_size: int,
        seed: int,
        train: bool,
        mixing: Mixing | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        self.store = store
        self.fitted = fitted
        self.batch_size = batch_size
        self.seed = seed
        self.train = train
        self.mixing = mixing if train else None
        self.sampler = sampler or Shuffled(Shuffled.Settings(), store, (), seed)
        self.rows = len(self.sampler) if train else len(store)
        """Rows in an epoch."""
        self._inputs = [name for name in store.columns if not name.startswith(("target.", "row."))]
        self._targets = [name for name in store.columns if name.startswith("target.")]
        self._images = [item.tensors[0] for item in fitted.describe() if item.kind == "image"]
        self._lengths = self._measure()

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.rows // self.batch_size)

    def _measure(self) -> npt.NDArray[np.int64] | None:
        """Tokens in each row, summed over its texts; None when no input is a sequence."""
        kinds = {item.name: item.kind for item in self.fitted.describe()}
        lengths = [
            self.store.lengths(name)
            for name in self._inputs
            if self.store.is_ragged(name) and kinds.get(name.rpartition(".")[0]) == "tokens"
        ]
        return np.sum(lengths, axis=0) if lengths else None

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from batch `start` on."""
        order = self.sampler.epoch(epoch)
        batch = start
        while batch < len(self):
            window = batch // _WINDOW
            batches = self._window(order, window, epoch)[batch - window * _WINDOW :]
            for rows, coming in itertools.zip_longest(batches, batches[_AHEAD:]):
                if coming is not None:
                    self.store.will_need([*self._inputs, *self._targets], coming)
                yield self.batch(rows, epoch)
            batch = (window + 1) * _WINDOW

    def _window(self, order: Order, window: int, epoch: int) -> list[npt.NDArray[np.int64]]:
        """Return the rows of each batch in a window."""
        size = self.batch_size
        first, last = window * _WINDOW * size, min((window + 1) * _WINDOW * size, self.rows)
        rows = order.slice(first, last) if self.train else np.arange(first, last, dtype=np.int64)
        if self._lengths is not None:
            rows = rows[np.argsort(self._lengths[rows], kind="stable")]
        batches = [rows[at : at + size] for at in range(0, len(rows), size)]
        if self._lengths is not None and self.train:
            shuffled = Permutation(len(batches), self.seed, "buckets", epoch, window).slice(0, len(batches))
            batches = [batches[index] for index in shuffled]
        return batches

    def batch(self, rows: npt.NDArray[np.int64], epoch: int = 0) -> Batch:
        """Return the batch of these rows, augmented and mixed as training of `epoch` would when `train` is set."""
        draw = Draw(self.seed, epoch, rows) if self.train else None
        inputs = self.fitted.collate(self.store.take(self._inputs, rows), draw)
        found = self.store.take(self._targets, rows)
        targets = {name.removeprefix("target."): torch.from_numpy(np.asarray(found[name])) for name in self._targets}
        batch = Batch(inputs, targets, rows)
        if draw is not None and self.mixing is not None and self._images:
            mixing = self.mixing
            return mix_batch(batch, self._images, mixing.mixup, mixing.cutmix, mixing.probability, draw)
        return batch

    def targets(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the whole split's encoded targets, by column."""
        return {name.removeprefix("target."): np.asarray(self.store.whole(name)) for name in self._targets}
