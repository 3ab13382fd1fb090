"""Batches out of a split's store: shuffled by a permutation computed in place, gathered as whole arrays.

The order is a function of (seed, epoch): any batch of any epoch can be asked for without those before it, so resuming
needs no saved state. Sequences are bucketed: within a window of batches, rows of similar length share a batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from modelyard.core.randomness import Permutation
from modelyard.data.batch import Batch
from modelyard.data.fitted import Fitted
from modelyard.data.images.mixing import mix_batch
from modelyard.data.modalities.base import Column, Draw
from modelyard.data.samplers.base import Order, Sampler
from modelyard.data.samplers.shuffled import Shuffled
from modelyard.data.store import SplitStore, cut

__all__ = ["Loader", "Mixing"]

Rows = npt.NDArray[np.int64]
"""Positions in the store."""

_TOGETHER = 1 << 19
"""Bytes of rows, as stored and of average length, that are gathered at once and then cut into batches. It is at least
one batch and at most a window of them: a few MiB as tensors."""
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
        workers: Threads that make batches ahead of time; 0: each is made when it is asked for.
        pin: Whether batches lie in memory that an accelerator copies from by itself.
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
        workers: int = 0,
        pin: bool = False,
    ) -> None:
        self.store = store
        self.fitted = fitted
        self.batch_size = batch_size
        self.seed = seed
        self.train = train
        self.workers = workers
        self.pin = pin
        self.mixing = mixing if train else None
        self.sampler = sampler or Shuffled(Shuffled.Settings(), store, (), seed)
        self.rows = len(self.sampler) if train else len(store)
        """Rows in an epoch."""
        self._inputs = [name for name in store.columns if not name.startswith(("target.", "row."))]
        self._targets = [name for name in store.columns if name.startswith("target.")]
        self._images = [item.tensors[0] for item in fitted.describe() if item.kind == "image"]
        self._lengths = self._measure()
        self._columns = [*self._inputs, *self._targets]
        size = sum(store.row_bytes(name) for name in self._columns) * batch_size
        self._together = max(1, min(_WINDOW, _TOGETHER // max(size, 1)))
        """Batches that are gathered at once."""
        self._apart = self._lengths is not None or bool(self._images)
        """Whether gathered rows become tensors batch by batch: sequences are padded to their batch's longest, and
        pictures, many times larger as tensors, had better stay in the processor's cache."""
        once = self.sampler.has_every_row_once or not train
        self._is_only = len(self) == 1 < self._together and once and not self._apart
        self._only: Batch | None = None
        """The batch of all rows, where an epoch is that one batch and the same every time."""

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.rows // self.batch_size)

    def _measure(self) -> Rows | None:
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
        if self._only is not None and start == 0:
            # A task may draw by the epoch.
            yield replace(self._only, draw=self._only.draw and Draw(self.seed, epoch, self._only.ids))
            return
        units = self._units(self.sampler.epoch(epoch), epoch, start)
        if not self.workers:
            for unit in units:
                yield from self._make(unit, epoch)
            return
        # Made ahead of time by threads, handed out in order; an error comes out where its batch would have.
        coming: deque[Future[list[Batch]]] = deque()
        with ThreadPoolExecutor(self.workers, "loader") as pool:
            try:
                for unit in units:
                    coming.append(pool.submit(self._make, unit, epoch))
                    if len(coming) > self.workers:
                        yield from coming.popleft().result()
                while coming:
                    yield from coming.popleft().result()
            finally:
                for future in coming:
                    future.cancel()

    def _units(self, order: Order, epoch: int, start: int) -> Iterator[list[Rows]]:
        """Yield the rows of batches that are made at once."""
        batch = start
        while batch < len(self):
            window = batch // _WINDOW
            batches = self._window(order, window, epoch)[batch - window * _WINDOW :]
            units = [batches[at : at + self._together] for at in range(0, len(batches), self._together)]
            ahead = -(-_AHEAD // self._together)
            for at, unit in enumerate(units):
                for rows in units[at + ahead] if at + ahead < len(units) else ():
                    self.store.will_need(self._columns, rows)
                yield unit
            batch = (window + 1) * _WINDOW

    def _make(self, unit: list[Rows], epoch: int) -> list[Batch]:
        """Make some batches at once: calls on few rows take about as long as those on many."""
        rows = unit[0] if len(unit) == 1 else np.concatenate(unit)
        if len(unit) == 1:
            batches = [self._batch(rows, epoch)]
        elif not self._apart:
            batches = self._batch(rows, epoch).cut([len(part) for part in unit])
        else:
            columns = self.store.take(self._columns, rows)
            batches, start = [], 0
            for part in unit:
                found = {name: cut(column, start, start + len(part)) for name, column in columns.items()}
                batches.append(self._collated(found, part, epoch))
                start += len(part)
        if self.mixing is not None:
            batches = [self._mixed(batch, epoch) for batch in batches]
        if self.pin:
            batches = [batch.pinned() for batch in batches]
        if self._is_only:
            self._only = batches[0]
        return batches

    def _window(self, order: Order, window: int, epoch: int) -> list[Rows]:
        """Return the rows of each batch in a window."""
        size = self.batch_size
        first, last = window * _WINDOW * size, min((window + 1) * _WINDOW * size, self.rows)
        # All rows in one batch need no order: their gradient is the same.
        everything = len(self) == 1 and self.sampler.has_every_row_once
        is_shuffled = self.train and not everything
        rows = order.slice(first, last) if is_shuffled else np.arange(first, last, dtype=np.int64)
        if self._lengths is not None:
            rows = rows[np.argsort(self._lengths[rows], kind="stable")]
        batches = [rows[at : at + size] for at in range(0, len(rows), size)]
        if self._lengths is not None and self.train:
            shuffled = Permutation(len(batches), self.seed, "buckets", epoch, window).slice(0, len(batches))
            batches = [batches[index] for index in shuffled]
        return batches

    def batch(self, rows: Rows, epoch: int = 0) -> Batch:
        """Return the batch of these rows, augmented and mixed as training of `epoch` would when `train` is set."""
        return self._mixed(self._batch(rows, epoch), epoch)

    def _batch(self, rows: Rows, epoch: int) -> Batch:
        return self._collated(self.store.take(self._columns, rows), rows, epoch)

    def _collated(self, columns: Mapping[str, Column], rows: Rows, epoch: int) -> Batch:
        """Return the batch of some gathered rows, before they are mixed."""
        draw = Draw(self.seed, epoch, rows) if self.train else None
        inputs = self.fitted.collate({name: columns[name] for name in self._inputs}, draw)
        targets = {name.removeprefix("target."): torch.from_numpy(np.asarray(columns[name])) for name in self._targets}
        return Batch(inputs, targets, rows, draw=draw)

    def _mixed(self, batch: Batch, epoch: int) -> Batch:
        if self.mixing is None or not self._images:
            return batch
        mixing, draw = self.mixing, Draw(self.seed, epoch, batch.ids)
        return mix_batch(batch, self._images, mixing.mixup, mixing.cutmix, mixing.probability, draw)

    def targets(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the whole split's encoded targets, by column."""
        return {name.removeprefix("target."): np.asarray(self.store.whole(name)) for name in self._targets}
