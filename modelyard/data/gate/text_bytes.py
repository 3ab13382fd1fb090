"""A column of texts as the bytes Arrow holds, so that checks can scan them as whole arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["per_row", "text_bytes"]


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


def per_row(marks: npt.NDArray[np.bool_], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count the marked bytes of each text: int64 (texts,). Quick when few are marked."""
    at = np.flatnonzero(marks)
    rows = len(offsets) - 1
    if len(at) < rows >> 2:
        return np.bincount(np.searchsorted(offsets, at, side="right") - 1, minlength=rows)
    return np.diff(np.searchsorted(at, offsets))
