"""Rows in the order of a number, several times faster than by comparing: every metric of ranks begins here.

Legend: n rows, k runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["rising", "runs"]

_PIECE = 16
"""Bits at a time: whole numbers of so many are sorted by numpy without comparing them."""


def rising(values: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the order (n,) in which numbers (n,), whole or float, rise; equal ones stay in the order of their rows.

    The same as `np.argsort(values, kind="stable")` where no value is NaN. A radix sort: floats are compared by their
    bits, and the lowest bits are sorted first.
    """
    if values.dtype.kind == "f":
        bits = (np.asarray(values, np.float64) + 0.0).view(np.int64)  # adding 0 makes -0 the 0 that it equals
        keys = bits >> 63
        keys &= np.iinfo(np.int64).max
        keys ^= bits  # of numbers below 0 larger bits mean less
    else:
        keys = values.astype(np.int64)
    if not len(keys):
        return np.empty(0, np.intp)
    keys -= keys.min()
    above = keys.view(np.uint64).astype("<u8", copy=False)
    pieces = above.view("<u2").reshape(-1, 64 // _PIECE)  # the lowest bits first
    order = np.argsort(pieces[:, 0], kind="stable")
    used = (int(above.max()).bit_length() + _PIECE - 1) // _PIECE
    for piece in pieces.T[1:used]:
        order = order[np.argsort(piece[order], kind="stable")]
    return order


def runs(ordered: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return where each run of equal values of `ordered` (n,) begins, and n at the end, (k + 1,)."""
    begins = np.ones(len(ordered) + 1, np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:-1])
    return np.flatnonzero(begins)
