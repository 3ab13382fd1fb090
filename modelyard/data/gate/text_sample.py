"""A column's texts, or a sample of them that keeps near duplicates together, on their way to signatures.

Until they take more memory than their signatures would, or these are asked for, the texts themselves are kept: most
that the sample leaves out in the end are then never signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.data.gate.fingerprints import Fingerprints, places_again
from modelyard.data.gate.minhash import LANES, signatures
from modelyard.data.gate.text_keys import text_keys
from modelyard.data.rowhash import row_hashes

__all__ = ["TextSample"]

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

_UNSIGNED = 2
"""Kind of the entry of a text that is too short for a signature."""


class TextSample:
    """Texts to compare: all of them up to `limit` different ones, then one in two by their keys, one in four …

    Args:
        limit: How many different texts are kept. Texts of under eleven bytes never are.
    """

    def __init__(self, limit: int) -> None:
        self.prints = Fingerprints(LANES, limit, each=2)
        self._waiting: list[tuple[pa.Array, Hashes, Hashes]] = []
        """Texts, the hashes of their contents, their keys."""
        self._bytes = 0
        self._most_bytes = LANES * (limit + self.prints.spare)  # what the signatures would take
        self._room = self.prints.room

    def add(self, texts: pa.Array, numbers: Numbers) -> None:
        """Take in a chunk of rows.

        Args:
            texts: string or large_string without nulls.
            numbers: Each row's number, rising.
        """
        keys = text_keys(texts)
        kept = np.flatnonzero(self.prints.keeps(keys))
        if not len(kept):
            return
        texts, keys = texts.take(pa.array(kept)), keys[kept]  # a copy: a slice would keep the whole chunk in memory
        contents = row_hashes(pa.record_batch([texts], names=["text"]))
        self.prints.add_rows(contents, keys, numbers[kept])
        self._waiting.append((texts, contents, keys))
        self._bytes += texts.nbytes
        self._room -= len(texts)
        if self._room < 0 or self._bytes > self._most_bytes:
            self._settle()
            if self._bytes > self._most_bytes // 2:
                self._sign()

    def finish(self) -> Fingerprints:
        """Return the signatures of all texts of the sample that have one, and the rows that hold them."""
        self._settle()
        self._sign()
        self.prints.leave_out(_UNSIGNED)
        return self.prints

    def state(self) -> dict[str, Any]:
        """Return all of it, as plain values and arrays."""
        self._settle()
        self._sign()
        return self.prints.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self.prints.restore(state)
        self._waiting, self._bytes = [], 0
        self._settle()

    def _settle(self) -> None:
        """Leave out texts that are there twice, then as many as the limit asks for."""
        contents = np.concatenate([self.prints.contents, *(part[1] for part in self._waiting)])
        fresh = np.ones(len(contents), bool)
        fresh[places_again(contents)] = False
        end = len(self.prints.contents)
        keys = np.concatenate([np.empty(0, np.uint64), *(part[2] for part in self._waiting)])
        self.prints.settle(keys[fresh[end:]])
        fresh[end:] &= self.prints.keeps(keys)
        waiting = []
        for texts, own_contents, own_keys in self._waiting:
            kept = np.flatnonzero(fresh[end : end + len(texts)])
            end += len(texts)
            if len(kept) == len(texts):
                waiting.append((texts, own_contents, own_keys))
            elif len(kept):
                waiting.append((texts.take(pa.array(kept)), own_contents[kept], own_keys[kept]))
        self._waiting = waiting
        self._bytes = sum(texts.nbytes for texts, _, _ in waiting)
        self._room = self.prints.room - sum(len(texts) for texts, _, _ in waiting)

    def _sign(self) -> None:
        """Turn what waits into signatures."""
        for texts, contents, keys in self._waiting:
            signed = signatures(texts)
            self.prints.add(contents[signed.rows], keys[signed.rows], signed.kinds, signed.values)
            rest = np.delete(np.arange(len(texts)), signed.rows)
            kinds = np.full(len(rest), _UNSIGNED, np.uint8)
            self.prints.add(contents[rest], keys[rest], kinds, np.zeros((len(rest), LANES), np.uint8))
        self._waiting, self._bytes = [], 0
