"""Nested values and NumPy arrays in one file, for work that is interrupted and taken up again. No pickles."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.core.errors import DataError
from modelyard.core.files import atomic_file

__all__ = ["read_state", "write_state"]

_ARRAY, _BYTES = "\0array", "\0bytes"
"""Keys no JSON of ours has; what stands under them is the number of an array."""


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state whole or not at all.

    Args:
        path: The file.
        state: Dicts with text keys, lists, text, numbers (also NaN and infinity), truth values, None, bytes, and NumPy
            arrays of numbers or truth values.

    Raises:
        TypeError: Something else is in it.
        StorageError: The disk refuses.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    plain = json.dumps(_pack(state, arrays))
    buffer = io.BytesIO()
    np.savez(buffer, json=np.frombuffer(plain.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    with atomic_file(path) as file:
        file.write(buffer.getbuffer())


def read_state(path: Path) -> dict[str, Any]:
    """Return what `write_state` wrote; lists that were tuples come back as lists.

    Raises:
        DataError: The file is absent or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
            found = _unpack(json.loads(arrays.pop("json").tobytes()), arrays)
    except FileNotFoundError as error:
        raise DataError(f"no such file: {path}") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    assert isinstance(found, dict)
    return found


def _pack(value: Any, arrays: dict[str, npt.NDArray[Any]]) -> Any:
    if isinstance(value, Mapping):
        return {_key(key): _pack(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(item, arrays) for item in value]
    if isinstance(value, np.generic):
        return _pack(value.item(), arrays)
    if isinstance(value, bytes):
        return {_BYTES: _keep(np.frombuffer(value, np.uint8), arrays)}
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("a state holds arrays of numbers, not of Python objects")
        return {_ARRAY: _keep(value, arrays)}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a state holds plain values and arrays, not {type(value).__name__}")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"the keys of a state are text, not {type(key).__name__} ({key!r})")
    return key


def _keep(array: npt.NDArray[Any], arrays: dict[str, npt.NDArray[Any]]) -> str:
    name = f"a{len(arrays)}"
    arrays[name] = array
    return name


def _unpack(value: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            return arrays[value[_ARRAY]]
        if set(value) == {_BYTES}:
            return arrays[value[_BYTES]].tobytes()
        return {key: _unpack(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpack(item, arrays) for item in value]
    return value
