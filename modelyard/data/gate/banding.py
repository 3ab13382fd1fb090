"""The pairs of MinHash signatures that nearly agree, found without comparing all pairs.

Signatures that agree in all lanes of a band are compared (Indyk and Motwani 1998; Leskovec, Rajaraman and Ullman 2014).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from modelyard.data.gate.minhash import LANES
from modelyard.data.gate.near_rows import NearPairs

__all__ = ["near_signatures"]

Bytes = npt.NDArray[np.uint8]
Keys = npt.NDArray[np.uint64]

_LANES_A_BAND, _BANDS = 6, 10
"""Texts with a similarity of 0.8 share at least one band with a probability of 0.95, with one of 0.9 with 0.9995, with
one of 0.3 with 0.007."""
_NEIGHBOURS, _CROWD = 6, 64
_SLOTS = 22
_BAND = np.uint64((1 << 8 * _LANES_A_BAND) - 1)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_ONES = np.uint64(0x0101010101010101)
_AT_A_TIME = 1 << 14


def near_signatures(values: Bytes, kinds: Bytes, threshold: float) -> NearPairs:
    """Find the pairs of signatures whose estimated similarity is at least `threshold`.

    Texts of equal bands are compared with the six before them and with the first of them; among more than 64 that share
    a band, with the one before and the first. So a text that has near ones is found, though not each of its pairs.

    Args:
        values: (m, L), at most 2²⁴ of them, in order of first occurrence.
        kinds: (m,).
        threshold: 0 to 1.
    """
    count = len(values)
    bits = np.uint64(max(count - 1, 1).bit_length())
    low = (np.uint64(1) << bits) - np.uint64(1)
    found, similar = np.empty(0, np.uint64), np.empty(0, np.float32)
    keys, counts = np.empty(count, np.uint64), np.zeros(1 << _SLOTS, np.int32)  # used again by each band
    ones = np.ones(_AT_A_TIME, np.int32)  # of the counts' own type, which is ten times as fast
    for band in range(_BANDS if count > 1 else 0):
        counts.fill(0)
        for start in range(0, count, _AT_A_TIME):
            part = keys[start : start + _AT_A_TIME]
            _fill(part, values[start : start + _AT_A_TIME], kinds[start : start + _AT_A_TIME], band)
            np.add.at(counts, _slots(part), ones[: len(part)])
        # Most stand alone in the table of counts, and need not be sorted.
        shared = np.concatenate(
            [
                np.flatnonzero(counts[_slots(keys[start : start + _AT_A_TIME])] > 1) + start
                for start in range(0, count, _AT_A_TIME)
            ]
        )
        ordered = np.sort((keys[shared] & ~low) | shared.astype(np.uint64))
        first, second = _neighbours(ordered >> bits, ordered & low)
        pairs = _different((first << np.uint64(32)) | second)
        near, similarity = _agreeing(pairs, values, threshold)
        # Most near pairs share several bands.
        found, chosen = np.unique(np.concatenate([found, near]), return_index=True)
        similar = np.concatenate([similar, similarity])[chosen]
    return NearPairs(
        (found >> np.uint64(32)).astype(np.int64), (found & np.uint64(0xFFFFFFFF)).astype(np.int64), similar
    )


def _fill(keys: Keys, values: Bytes, kinds: Bytes, band: int) -> None:
    """Write each signature's key in a band: scrambled, so that any of its bits will do."""
    eights = np.ndarray((len(values),), "<u8", values, band * _LANES_A_BAND, (values.strides[0],))
    np.bitwise_and(eights, _BAND, out=keys)
    keys ^= kinds.astype(np.uint64) << np.uint64(56)
    keys *= _SPREAD
    keys ^= keys >> np.uint64(32)
    keys *= _SPREAD


def _slots(keys: Keys) -> npt.NDArray[np.int64]:
    return (keys >> np.uint64(64 - _SLOTS)).astype(np.int64)


def _neighbours(keys: Keys, places: Keys) -> list[Keys]:
    """Return the pairs (earlier, later) of places to compare, of sorted keys that are equal."""
    same = keys[1:] == keys[:-1]
    starts = np.flatnonzero(np.concatenate([[True], ~same])) if len(keys) else np.empty(0, np.int64)
    sizes = np.diff(np.append(starts, len(keys)))
    rank = np.arange(len(keys)) - np.repeat(starts, sizes)
    crowded = np.repeat(sizes > _CROWD, sizes)
    later = [np.flatnonzero(rank > 0)]
    earlier = [np.repeat(starts, sizes)[later[0]]]
    for back in range(1, _NEIGHBOURS + 1):
        at = np.flatnonzero((rank > back) & ~crowded) if back > 1 else np.flatnonzero(rank > 1)
        if not len(at):
            break
        later.append(at)
        earlier.append(at - back)
    return [places[np.concatenate(earlier)], places[np.concatenate(later)]]


def _different(values: Keys) -> Keys:
    ordered = np.sort(values)
    fresh = np.ones(len(ordered), bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    return np.asarray(ordered[fresh])


def _agreeing(pairs: Keys, values: Bytes, threshold: float) -> tuple[Keys, npt.NDArray[np.float32]]:
    """Return the pairs whose lanes agree often enough, less what agrees by chance."""
    near, similar = [np.empty(0, np.uint64)], [np.empty(0, np.float32)]
    for start in range(0, len(pairs), _AT_A_TIME):
        part = pairs[start : start + _AT_A_TIME]
        first, second = (part >> np.uint64(32)).astype(np.int64), (part & np.uint64(0xFFFFFFFF)).astype(np.int64)
        equal = (values[first] == values[second]).view("<u8").sum(axis=1)  # at most 8 in each of its bytes
        share = ((equal * _ONES) >> np.uint64(56)).astype(np.float32) / LANES
        similarity = (share - np.float32(1 / 255)) / np.float32(254 / 255)
        good = similarity >= threshold
        near.append(part[good])
        similar.append(similarity[good])
    return np.concatenate(near), np.concatenate(similar)
