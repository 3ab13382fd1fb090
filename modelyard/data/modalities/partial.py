"""What an unfinished fit has gathered, as arrays in one file: saved, and taken up again by another process."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.core.errors import DataError
from modelyard.data.modalities.base import State

__all__ = ["Arrays", "load_texts", "packed", "refusal", "save_texts", "unpacked"]

Arrays = Mapping[str, npt.NDArray[Any]]
"""Named arrays of numbers."""

_FILE = "partial.npz"


def packed(name: str, parts: Mapping[str, Arrays]) -> State:
    """Put arrays of several parts into a state.

    Args:
        name: What the state is of; `unpacked` expects the same.
        parts: Part → name → array of numbers.
    """
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {f"{part}/{key}": array for part, held in parts.items() for key, array in held.items()}
    np.savez(buffer, **arrays)
    return State({"partial": name}, {_FILE: buffer.getvalue()})


def unpacked(name: str, state: State, column: str) -> dict[str, dict[str, npt.NDArray[Any]]]:
    """Return the parts that `packed` put into a state. No object is unpickled.

    Raises:
        DataError: The state is of something else, or damaged.
    """
    if dict(state.json) != {"partial": name} or set(state.files) != {_FILE}:
        raise refusal(column, f"expected {name!r}, got {dict(state.json)!r} with files {sorted(state.files)}")
    parts: dict[str, dict[str, npt.NDArray[Any]]] = {}
    try:
        with np.load(io.BytesIO(state.files[_FILE]), allow_pickle=False) as arrays:
            for key in arrays.files:
                part, _, place = key.partition("/")
                parts.setdefault(part, {})[place] = arrays[key]
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise refusal(column, str(error)) from error
    return parts


def refusal(column: str, what: str) -> DataError:
    """Return the error for a partial state that is damaged or of something else."""
    return DataError(f"what was gathered so far about column {column!r} cannot be taken up: {what}; begin anew")


def save_texts(texts: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Return texts as two arrays, for `load_texts`."""
    sizes = np.fromiter((len(text.encode()) for text in texts), np.int64, len(texts))
    return {"sizes": sizes, "content": np.frombuffer("".join(texts).encode(), np.uint8)}


def load_texts(saved: Arrays) -> list[str]:
    """Return the texts of `save_texts`."""
    edges = np.append(0, np.cumsum(saved["sizes"])).astype(np.int64)
    buffers = pa.py_buffer(edges), pa.py_buffer(saved["content"].tobytes())
    found: list[str] = pa.LargeStringArray.from_buffers(len(edges) - 1, *buffers).to_pylist()
    return found
