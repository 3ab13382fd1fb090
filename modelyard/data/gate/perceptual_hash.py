"""Perceptual hashes of pictures and the pairs among them that nearly agree, computed as whole arrays.

The hash has 64 bits: the signs of a picture's lowest frequencies, by the cosine transform of its 32×32 thumbnail,
about their median. Resizing, recompressing and a change of brightness turn few of them. Pairs whose hashes differ in
few bits are found by their parts, without comparing all pairs, and verified by the correlation of the thumbnails: two
digits or two clear skies may share a hash, but not the picture.

Sources: Zauner 2010 (perceptual hashes by the cosine transform); Norouzi, Punjani and Fleet 2012 (multi-index hashing).

Legend: n pictures, H height, W width, C channels, S side of the thumbnail.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.core.randomness import mix
from modelyard.data.gate.near_rows import NearPairs

__all__ = ["SIDE", "hashes_of", "near_pictures", "sampling_keys", "thumbnails"]

Bytes = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

SIDE = 32
_LUMINANCE = (0.299, 0.587, 0.114)
"""ITU-R BT.601."""
_AT_ONCE = 1 << 22  # pixels

_FREQUENCIES = 8
_angles = np.pi * np.outer(np.arange(1, _FREQUENCIES + 1), 2 * np.arange(SIDE) + 1) / (2 * SIDE)
_COSINES = np.cos(_angles).astype(np.float32)
"""(8, S): the lowest frequencies of the cosine transform without the mean, which brightness alone decides."""
_SLACK = 0.02
_SAMPLING = np.uint64(0x0000000000030303)
"""The bits of the lowest frequencies, which change last: six of the 64."""


def thumbnails(pixels: Bytes) -> Bytes:
    """Shrink (or enlarge) pictures to grey ones of 32×32 by averaging areas.

    Args:
        pixels: uint8 (n, H, W, C), C 1 or 3.

    Returns:
        uint8 (n, S, S).
    """
    n, H, W, C = pixels.shape
    colours = _LUMINANCE if C == 3 else (1.0,)
    across = np.kron(_areas(W), np.array(colours, np.float32)).T  # (W·C, S): areas and luminance in one product
    down = _areas(H)
    found = np.empty((n, SIDE, SIDE), np.uint8)
    block = max(1, _AT_ONCE // max(H * W * C, 1))
    for start in range(0, n, block):
        part = pixels[start : start + block].reshape(-1, W * C).astype(np.float32)
        narrow = (part @ across).reshape(-1, H, SIDE)
        found[start : start + block] = np.rint(np.clip(down @ narrow, 0, 255)).astype(np.uint8)
    return found


def _areas(size: int) -> Floats:
    """Return the matrix (S, size) that averages pixels over S areas of equal width."""
    edges = np.arange(SIDE + 1) * size / SIDE
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.maximum(overlap, 0) * SIDE / size, np.float32)


def hashes_of(small: Bytes) -> Hashes:
    """Return the hash of each thumbnail (n, S, S): uint64 (n,)."""
    found = np.empty(len(small), np.uint64)
    block = _AT_ONCE // SIDE**2
    for start in range(0, len(small), block):
        part = small[start : start + block].astype(np.float32)
        values = (_COSINES @ part @ _COSINES.T).reshape(len(part), _FREQUENCIES**2)
        bits = values > np.median(values, axis=1, keepdims=True)
        found[start : start + block] = np.packbits(bits, axis=1, bitorder="little").view("<u8")[:, 0]
    return found


def sampling_keys(hashes: Hashes) -> Hashes:
    """Return keys to sample by; pictures that are nearly the same mostly share theirs."""
    return mix(hashes & _SAMPLING)


def near_pictures(hashes: Hashes, small: Bytes, most_bits: int, correlation: float) -> NearPairs:
    """Find pairs of pictures whose hashes differ in few bits and whose thumbnails correlate.

    Args:
        hashes: uint64 (n,).
        small: uint8 (n, S, S).
        most_bits: In how many bits hashes may differ, at most 7. Pairs of pictures one of whose hash parts is shared by
            thousands are only looked for by parts that agree exactly: up to 3 bits they are all found, above most.
        correlation: The smallest correlation of the thumbnails, −1 to 1.
    """
    found, similar = np.empty(0, np.uint64), np.empty(0, np.float32)
    coarse = _centred(small.reshape(-1, 8, SIDE // 8, 8, SIDE // 8).mean(axis=(2, 4), dtype=np.float32).reshape(-1, 64))
    for first, second in _alike(hashes, most_bits):
        # Most pairs that only share a hash are told apart at 8×8 already; a little slack loses none of the others.
        close = np.einsum("ij,ij->i", coarse[first], coarse[second]) >= correlation - _SLACK
        first, second = first[close], second[close]
        pairs = (np.minimum(first, second).astype(np.uint64) << np.uint64(32)) | np.maximum(first, second).astype(
            np.uint64
        )
        pairs = np.setdiff1d(pairs, found)
        values = _correlations(small, (pairs >> np.uint64(32)).astype(np.int64), _low(pairs))
        good = values >= correlation
        found, similar = np.concatenate([found, pairs[good]]), np.concatenate([similar, values[good]])
    return NearPairs((found >> np.uint64(32)).astype(np.int64), _low(found), similar)


def _low(pairs: Hashes) -> Numbers:
    return (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


_PARTS, _PART_BITS = 4, 16
_AT_A_TIME = 1 << 19  # pairs
_CROWD = 512


def _alike(hashes: Hashes, most_bits: int) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield pairs of places whose hashes differ in at most `most_bits` bits, some of them several times.

    Hashes that differ in at most 7 bits differ in at most one bit in one of four parts.
    """
    for part in range(_PARTS):
        keys = ((hashes >> np.uint64(part * _PART_BITS)) & np.uint64((1 << _PART_BITS) - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        sizes = np.bincount(keys, minlength=1 << _PART_BITS)
        starts = np.cumsum(sizes) - sizes
        for flip in (0, *(1 << bit for bit in range(_PART_BITS))):
            partner = keys[order] ^ flip
            counts = sizes[partner]
            if flip:
                # Each pair once; crowds by exact parts alone.
                counts = np.where((partner > keys[order]) & (counts * sizes[keys[order]] <= _CROWD**2), counts, 0)
                begins = starts[partner]
            else:
                begins = np.arange(len(order)) + 1
                counts = starts[partner] + counts - begins
            yield from _joined(hashes, order, begins, counts, most_bits)


def _joined(
    hashes: Hashes, order: Numbers, begins: Numbers, counts: Numbers, most_bits: int
) -> Iterator[tuple[Numbers, Numbers]]:
    """Compare `order[i]` with `order[begins[i]:begins[i] + counts[i]]` for each i, a bounded number at a time."""
    total = np.concatenate([[0], np.cumsum(counts)])
    start = 0
    while start < len(order):
        stop = int(np.searchsorted(total, total[start] + _AT_A_TIME, side="right")) - 1
        stop = max(stop, start + 1)
        sizes = counts[start:stop]
        if sizes.any():
            ramp = np.arange(int(sizes.sum())) - np.repeat(total[start:stop] - total[start], sizes)
            first = np.repeat(order[start:stop], sizes)
            second = order[np.repeat(begins[start:stop], sizes) + ramp]
            near = np.flatnonzero(_bits_set(hashes[first] ^ hashes[second]) <= most_bits)
            if len(near):
                yield first[near], second[near]
        start = stop


def _bits_set(words: Hashes) -> Numbers:
    """Count the bits that are set in each word."""
    words = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    words = (words & np.uint64(0x3333333333333333)) + ((words >> np.uint64(2)) & np.uint64(0x3333333333333333))
    words = (words + (words >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((words * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.int64)


def _correlations(small: Bytes, first: Numbers, second: Numbers) -> Floats:
    """Return the correlation of each pair of thumbnails."""
    flat = small.reshape(len(small), -1)
    found = np.empty(len(first), np.float32)
    block = 4096
    for start in range(0, len(first), block):
        one, other = (_centred(flat[places[start : start + block]]) for places in (first, second))
        found[start : start + block] = np.einsum("ij,ij->i", one, other)
    return found


def _centred(values: npt.NDArray[Any]) -> Floats:
    numbers = values.astype(np.float32)
    numbers -= numbers.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("ij,ij->i", numbers, numbers))
    return np.asarray(numbers / np.maximum(length, 1e-6)[:, None], np.float32)
