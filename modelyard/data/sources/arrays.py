"""NumPy arrays as Arrow columns: one dimension as plain values, more as tensors of one fixed shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.core.errors import DataError

__all__ = ["array_column", "array_type", "tensor_column"]


def array_type(dtype: np.dtype[Any], shape: tuple[int, ...], what: str) -> pa.DataType:
    """Return the Arrow type of a column whose cells have this dtype and shape; `()` and `(1,)` are plain values.

    Raises:
        DataError: The dtype has no meaning as a column, such as Python objects, complex numbers or records.
    """
    if dtype.kind == "O":
        raise DataError(
            f"{what} holds Python objects, which are never unpickled; expected numbers, booleans or text. Save it with "
            "a plain dtype"
        )
    if dtype.kind == "U":
        value = pa.string()
    elif dtype.kind == "S":
        value = pa.binary()
    else:
        try:
            value = pa.from_numpy_dtype(dtype.newbyteorder("="))
        except (pa.ArrowNotImplementedError, TypeError, ValueError) as error:
            raise DataError(f"{what} is of dtype {dtype}; expected numbers, booleans, times or text") from error
    if shape in ((), (1,)):
        return value
    if dtype.kind not in "iufb" or 0 in shape:
        raise DataError(
            f"{what} has cells of shape {shape} and dtype {dtype}; expected numbers, and no empty dimension"
        )
    if dtype.kind == "b":
        value = pa.uint8()  # tensors of single bits are of use to nobody
    if math.prod(shape) >= 2**31:
        raise DataError(f"{what} has cells of shape {shape}; expected fewer than 2^31 values a row")
    return pa.fixed_shape_tensor(value, shape)


def array_column(values: npt.NDArray[Any], what: str) -> pa.Array:
    """Return an array of shape (rows, …) as a column: plain for (rows,) and (rows, 1), else tensors, row-major.

    Raises:
        DataError: As `array_type`; or a text cannot be read.
    """
    kind = array_type(values.dtype, values.shape[1:], what)
    values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    if isinstance(kind, pa.FixedShapeTensorType):
        flat = values.reshape(-1)
        return tensor_column(pa.array(flat.astype(np.uint8) if flat.dtype.kind == "b" else flat), kind)
    try:
        return pa.array(values.reshape(-1), kind)
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise DataError(f"{what} cannot be read: {error}") from error


def tensor_column(flat: pa.Array, kind: pa.FixedShapeTensorType) -> pa.Array:
    """Return a column of tensors over values laid out row after row."""
    storage = pa.FixedSizeListArray.from_arrays(flat, kind.storage_type.list_size)
    return pa.ExtensionArray.from_storage(kind, storage)
