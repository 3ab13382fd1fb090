"""Reads the image formats that only one family of data sets uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.core.errors import DataError

__all__ = ["read_cifar"]

_PIXELS = 3 * 32 * 32


def read_cifar(paths: Sequence[Path], labels: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Read files of CIFAR's binary version.

    Args:
        labels: How many label bytes stand before each picture: 1 in CIFAR-10, 2 in CIFAR-100.

    Returns:
        Images of shape (rows, 32, 32, 3) and labels of shape (rows, labels), both uint8.

    Raises:
        DataError: A file does not hold a whole number of rows.
    """
    for path in paths:
        if path.stat().st_size % (labels + _PIXELS):
            raise DataError(f"{path.name} does not hold a whole number of pictures")
    table = np.concatenate([np.fromfile(path, np.uint8) for path in paths]).reshape(-1, labels + _PIXELS)
    images = table[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), table[:, :labels]
