"""A column of texts as the bytes Arrow holds, so that checks can scan them as whole arrays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["FOLD", "LONGEST", "OTHERS", "clipped", "per_row", "text_blocks", "text_bytes"]

LONGEST = 1 << 18
"""Bytes of a text that count where texts are compared."""
_BLOCK = 1 << 17
_ROWS = 63 << 6  # not a power of two: columns that far apart would share a few lines of the cache

_letter = [chr(byte).isalnum() if byte < 128 else True for byte in range(256)]
FOLD = bytes(ord(chr(byte).lower()) if byte < 128 and _letter[byte] else byte * _letter[byte] for byte in range(256))
"""What each byte becomes where texts are compared: small letters, and 0 for blanks, punctuation and marks."""
OTHERS = bytes(byte for byte in range(256) if not _letter[byte])
"""The bytes that become 0."""


def text_bytes(texts: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the UTF-8 bytes of all texts, without a copy, and where each begins.

    Args:
        texts: string or large_string without nulls, sliced as it may be.

    Returns:
        uint8 (bytes,), and int64 (texts + 1,) starting at 0: text i is `data[offsets[i]:offsets[i + 1]]`.
    """
    count, width = len(texts), np.int64 if pa.types.is_large_string(texts.type) else np.int32
    if not count:
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    _, offset_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offset_buffer, width, count=texts.offset + count + 1)[texts.offset :].astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    if last == first:
        return np.empty(0, np.uint8), offsets - first
    return np.frombuffer(data_buffer, np.uint8, count=last)[first:], offsets - first


def clipped(texts: pa.Array) -> pa.Array:
    """Cut texts off after 256 KiB, within a character if need be."""
    if not len(texts) or int(pc.max(pc.binary_length(texts)).as_py()) <= LONGEST:
        return texts
    binary = pa.large_binary() if pa.types.is_large_string(texts.type) else pa.binary()
    texts = pc.binary_slice(texts.cast(binary), 0, LONGEST)
    return texts.view(pa.large_string() if pa.types.is_large_binary(texts.type) else pa.string())


def text_blocks(offsets: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut texts that begin at `offsets` into runs of about 128 KiB, which stay in the processor's cache."""
    first = 0
    while first < len(offsets) - 1:
        last = int(np.searchsorted(offsets, offsets[first] + _BLOCK, side="right")) - 1
        last = min(max(last, first + 1), first + _ROWS)
        yield first, last
        first = last


def per_row(marks: npt.NDArray[np.bool_], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count the marked bytes of each text: int64 (texts,). Quick when few are marked."""
    at = np.flatnonzero(marks)
    rows = len(offsets) - 1
    if len(at) < rows >> 2:
        return np.bincount(np.searchsorted(offsets, at, side="right") - 1, minlength=rows)
    return np.diff(np.searchsorted(at, offsets))
