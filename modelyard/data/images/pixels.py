"""Numbers that are pictures already: Arrow tensors and lists of pixel values, brought to bytes.

Legend: n rows, h height, w width, c channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = [
    "NOT_NUMBERS",
    "claim_arrays",
    "from_list",
    "from_tensors",
    "lay_out",
    "recolour",
    "tensor_shape",
    "to_bytes",
]

Pixels = npt.NDArray[np.uint8]

_EXPECTED = "whole numbers from 0 to 255 or fractions from 0 to 1 expected"
NOT_NUMBERS = f"a list that holds other things than numbers; {_EXPECTED}"
"""What is wrong with a list of anything else."""
_CHANNELS = (1, 2, 3, 4)
_LUMINANCE = np.array([19595, 38470, 7471], np.uint32)
"""ITU-R BT.601 weights of red, green and blue in units of 2⁻¹⁶, adding up to 65536."""


def tensor_shape(kind: pa.DataType) -> tuple[int, ...] | None:
    """Return the shape of a row of a fixed-size Arrow type (shaped tensor or nested fixed-size lists), else None."""
    if isinstance(kind, pa.FixedShapeTensorType):
        order = kind.permutation or range(len(kind.shape))
        return tuple(kind.shape[axis] for axis in order) if _is_number(kind.value_type) else None
    shape: list[int] = []
    while pa.types.is_fixed_size_list(kind):
        shape.append(kind.list_size)
        kind = kind.value_type
    return tuple(shape) if shape and _is_number(kind) else None


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def claim_arrays(values: pa.Array) -> tuple[float, str, tuple[int, int, int]] | None:
    """Say whether arrays, none null, look like pictures: two or three dimensions, sides of 8 to 4096, fitting values.

    Returns:
        How surely (0 to 1), why, and height, width and channels (1 or 3); None when they do not.
    """
    shape = tensor_shape(values.type)
    laid = None if shape is None else lay_out(shape)
    if laid is None or not all(8 <= side <= 4096 for side in laid[0][:2]):
        return None
    H, W, C = laid[0]
    wanted = (H, W, 1 if C < 3 else 3)
    numbers = values.slice(0, 256)
    numbers = numbers.storage if isinstance(numbers.type, pa.FixedShapeTensorType) else numbers
    while pa.types.is_fixed_size_list(numbers.type):
        numbers = numbers.flatten()
    why = f"arrays of shape {shape} are {H}×{W} pixels"
    if numbers.type == pa.uint8():
        return 0.95, f"{why} of bytes", wanted
    if numbers.null_count or to_bytes(numbers.to_numpy(zero_copy_only=False)[None])[1]:
        return None
    return 0.8, f"{why} with values from 0 to {1 if pa.types.is_floating(numbers.type) else 255}", wanted


def from_tensors(values: pa.Array) -> tuple[Pixels, npt.NDArray[np.int64], dict[int, str]]:
    """Turn an array for which `tensor_shape` is known into bytes.

    Returns:
        uint8 (n, *shape), for the rows that are not null and have no problem; the positions of those rows, int64;
        and what is wrong with the others, by position.
    """
    shape = tensor_shape(values.type)
    assert shape is not None
    positions = np.flatnonzero(np.asarray(values.is_valid()))
    stored = shape
    order: list[int] | None = None
    if isinstance(values.type, pa.FixedShapeTensorType):
        order, stored = values.type.permutation, tuple(values.type.shape)
        values = values.storage
    values = values.flatten()  # leaves out what stands under a null
    holes = np.zeros(len(positions), bool)
    while True:
        if values.null_count:
            missing = np.asarray(values.is_null())
            holes |= missing.reshape(len(positions), -1).any(axis=1)
            # Something must stand in the holes to keep the shape; those rows are left out below.
            values = values.take(pa.array(np.where(missing, np.argmin(missing), np.arange(len(missing)))))
            if values.null_count:
                return np.empty((0, *shape), np.uint8), positions[:0], dict.fromkeys(positions.tolist(), _HOLES)
        if not pa.types.is_fixed_size_list(values.type):
            break
        values = values.flatten()
    numbers = values.to_numpy(zero_copy_only=False).reshape(len(positions), *stored)
    if order is not None:
        numbers = numbers.transpose(0, *(1 + axis for axis in order))
    pixels, wrong = to_bytes(numbers)
    wrong.update(dict.fromkeys(np.flatnonzero(holes).tolist(), _HOLES))
    problems = {int(positions[row]): text for row, text in wrong.items()}
    if problems:
        keep = np.delete(np.arange(len(positions)), list(wrong))
        pixels, positions = pixels[keep], positions[keep]
    return pixels, positions, problems


_HOLES = "some of its numbers are missing"


def from_list(value: Any) -> tuple[Pixels | None, str]:
    """Turn one row's list of numbers, nested or not, into bytes.

    Returns:
        uint8 pixels of whatever dimensions the list has, or None and what is wrong.
    """
    try:
        numbers = np.asarray(value)
    except ValueError:
        return None, "a list whose rows differ in length"
    if numbers.size == 0:
        return None, "an empty list"
    if numbers.dtype.kind not in "biuf":
        return None, NOT_NUMBERS
    pixels, problems = to_bytes(numbers[None])
    return (None, problems[0]) if problems else (pixels[0], "")


def to_bytes(numbers: npt.NDArray[Any]) -> tuple[Pixels, dict[int, str]]:
    """Turn numbers (n, …) into uint8: integers from 0 to 255 stay, fractions are scaled, booleans become 0 or 255.

    Returns:
        The pixels, and what is wrong by row (those rows' pixels are 0); nothing is clipped.
    """
    if numbers.dtype == np.uint8:
        return numbers, {}
    if numbers.dtype == np.bool_:
        return numbers.astype(np.uint8) * np.uint8(255), {}
    if numbers.size == 0:
        return numbers.astype(np.uint8), {}
    top = 255 if numbers.dtype.kind in "iu" else 1
    axes = tuple(range(1, numbers.ndim))
    low, high = numbers.min(axis=axes), numbers.max(axis=axes)
    good = (low >= 0) & (high <= top)  # false for NaN
    problems = {int(row): f"numbers from {low[row]:g} to {high[row]:g}; {_EXPECTED}" for row in np.flatnonzero(~good)}
    if problems:
        numbers = numbers.copy()
        numbers[~good] = 0
    if top == 1:
        numbers = np.rint(numbers * numbers.dtype.type(255))
    return numbers.astype(np.uint8), problems


def lay_out(shape: tuple[int, ...]) -> tuple[tuple[int, int, int], bool] | None:
    """Say how a tensor of this shape is a picture: its (h, w, c), and whether its channels come first.

    Two dimensions are (h, w); of three, the last is the channels when it is 1 to 4, else the first when that is.
    None when it is neither.
    """
    if len(shape) == 2:
        return (shape[0], shape[1], 1), False
    if len(shape) == 3 and shape[2] in _CHANNELS:
        return (shape[0], shape[1], shape[2]), False
    if len(shape) == 3 and shape[0] in _CHANNELS:
        return (shape[1], shape[2], shape[0]), True
    return None


def recolour(pixels: Pixels, channels: int, background: int) -> Pixels:
    """Bring pixels (n, h, w, 1 to 4) to 1 or 3 channels.

    A second or fourth channel is opacity, and what it lets through is the background. Grey is BT.601's luminance.
    """
    count = pixels.shape[3]
    if count in (2, 4):
        opacity = pixels[..., -1:].astype(np.uint32)
        blended = pixels[..., :-1] * opacity + np.uint32(background) * (255 - opacity)
        pixels = ((blended + 127) // 255).astype(np.uint8)
        count -= 1
    if count == channels:
        return pixels
    if count == 1:
        return np.repeat(pixels, 3, axis=3)
    grey = (pixels.astype(np.uint32) @ _LUMINANCE + np.uint32(1 << 15)) >> np.uint32(16)
    return grey.astype(np.uint8)[..., None]
