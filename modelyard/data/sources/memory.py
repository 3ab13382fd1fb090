"""Rows that are already in memory: data frames, Arrow tables, lists of dicts, dicts of columns."""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from modelyard.core.errors import DataError
from modelyard.data.rowhash import row_hashes
from modelyard.data.sources.arrays import array_column
from modelyard.data.sources.base import Rows, Source
from modelyard.data.sources.files import clipped, listed
from modelyard.data.sources.rows import among, check_columns, empty_batch, in_chunks
from modelyard.data.sources.values import Seen, to_array
from modelyard.spec.settings import Settings

__all__ = ["Memory", "MemorySettings", "column_of"]

_JSON = {bool, int, float, str, list, dict}
_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"}


class MemorySettings(Settings):
    """Objects in memory leave nothing to set."""


class Memory(Source):
    """A pandas (or polars, …) data frame, an Arrow table, a list of dicts, or a dict of columns.

    Cells may be None, booleans, numbers, text, bytes, dates, lists, dicts, NumPy arrays and PIL images (which become
    encoded bytes). Columns of mixed values become text, as in JSON.
    """

    Settings = MemorySettings
    name = "memory"

    def __init__(self, location: Any, settings: MemorySettings) -> None:
        super().__init__(location, settings)
        self._converted: tuple[pa.Table, dict[int, str]] | None = None

    @classmethod
    def claims(cls, location: Any) -> bool:
        if isinstance(location, str | bytes | os.PathLike):
            return False
        if isinstance(location, list | tuple):
            return bool(location) and not any(isinstance(item, str | os.PathLike) for item in location)
        return isinstance(location, Mapping) or hasattr(location, "__arrow_c_stream__") or _is_pandas(location)

    def files(self) -> list[str]:
        return [self._label()]

    def schema(self) -> pa.Schema:
        return self._content()[0].schema

    def read(self, columns: Sequence[str] | None = None, chunk: int = 65536) -> Iterator[Rows]:
        table, unreadable = self._content()
        wanted = check_columns(columns, table.schema.names, self._label())
        table, start = table.select(wanted), 0
        for batch in table.to_batches(max_chunksize=chunk):
            here, stop = among(unreadable, start, batch.num_rows)
            yield from in_chunks(batch, self._label(), start, chunk, here)
            start = stop
        rest = {position: reason for position, reason in unreadable.items() if position >= start}
        if rest:
            yield from in_chunks(empty_batch(table.schema), self._label(), start, chunk, rest)

    def fingerprint(self) -> str:
        table, _ = self._content()
        digest = hashlib.sha256("\0".join(table.schema.names).encode("utf-8", "surrogatepass"))
        digest.update(row_hashes(table).astype("<u8").tobytes())
        return digest.hexdigest()

    def _label(self) -> str:
        return f"<{type(self.location).__name__}>"

    def _content(self) -> tuple[pa.Table, dict[int, str]]:
        """The rows as a table, and position → what is wrong for those left out of it."""
        if self._converted is None:
            try:
                self._converted = _tabulate(_to_columns(self.location), self._label())
            except RecursionError as error:
                raise DataError(
                    f"{self._label()} holds lists or dicts that are nested too deeply, or hold themselves"
                ) from error
        return self._converted


_Problems = Mapping[int, str]


def _to_columns(location: Any) -> list[tuple[str, pa.Array | pa.ChunkedArray, _Problems]]:
    if isinstance(location, pa.Table | pa.RecordBatch):
        return [(name, location.column(position), {}) for position, name in enumerate(location.schema.names)]
    if _is_pandas(location) and hasattr(location, "columns"):
        return [_named(name, location.iloc[:, position]) for position, name in enumerate(location.columns)]
    if isinstance(location, Mapping):
        return [_named(name, values) for name, values in location.items()]
    if isinstance(location, list | tuple):
        return _from_rows(location)
    if hasattr(location, "__arrow_c_stream__") and not _is_pandas(location):
        try:
            return _to_columns(pa.table(location))
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise DataError(f"a {type(location).__name__} cannot be read as an Arrow table: {error}") from error
    raise DataError(
        f"rows cannot be read from a {type(location).__name__}; expected a data frame, an Arrow table, a list of dicts "
        "or a dict of columns"
    )


def _tabulate(
    columns: list[tuple[str, pa.Array | pa.ChunkedArray, _Problems]], label: str
) -> tuple[pa.Table, dict[int, str]]:
    names = [name for name, _, _ in columns]
    lengths = {name: len(array) for name, array, _ in columns}
    if not columns:
        raise DataError(f"{label} has no columns")
    if len(lengths) < len(names):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        raise DataError(f"{label} has more than one column called {listed(twice)}; expected different names")
    if len(set(lengths.values())) > 1:
        given = ", ".join(f"{clipped(name)}: {length}" for name, length in lengths.items())
        raise DataError(f"the columns of {label} are not of one length ({given})")
    unreadable: dict[int, str] = {}
    for name, _, problems in columns:
        for row, problem in problems.items():
            unreadable.setdefault(row, f"{clipped(name)} is {problem}")
    table = pa.table([array for _, array, _ in columns], names=names)
    if unreadable:
        keep = np.ones(table.num_rows, dtype=bool)
        keep[list(unreadable)] = False
        table = table.filter(pa.array(keep))
    return table, dict(sorted(unreadable.items()))


def _from_rows(rows: Sequence[Any]) -> list[tuple[str, pa.Array | pa.ChunkedArray, _Problems]]:
    names: dict[Any, None] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(
                f"row {number} is a {type(row).__name__}; expected a dict of column names and values in every row"
            )
        names.update(dict.fromkeys(row))
    return [_named(name, [row.get(name) for row in rows]) for name in names]


def _named(name: Any, values: Any) -> tuple[str, pa.Array | pa.ChunkedArray, _Problems]:
    if isinstance(name, str):
        label = name
    elif isinstance(name, int | tuple):  # data frames often number their columns
        label = str(name)
    else:
        raise DataError(f"a column is called {name!r}, a {type(name).__name__}; expected text")
    array, problems = column_of(values, f"column {clipped(label)}")
    return label, array, problems


def column_of(values: Any, what: str) -> tuple[pa.Array | pa.ChunkedArray, _Problems]:
    """Turn one column of values into an Arrow array.

    Args:
        values: A list, NumPy array (further dimensions make tensors), Arrow array, pandas Series or torch tensor.
        what: What to call it in errors.

    Returns:
        The array, and row → what is wrong for values that no column can hold (null in the array).
    """
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values, {}
    if _is_pandas(values):
        return _series(values, what)
    if isinstance(values, np.ma.MaskedArray):
        return _cells(values.tolist(), what)
    if hasattr(values, "__array__"):
        array = _numpy(values, what)
        if array.ndim == 0:
            raise DataError(f"{what} is the single value {array!r}; expected one for each row")
        return _cells(array.tolist(), what) if array.dtype.kind == "O" else (array_column(array, what), {})
    if isinstance(values, Sequence) and not isinstance(values, str | bytes | bytearray):
        return _cells(list(values), what)
    raise DataError(f"{what} is a {type(values).__name__}; expected a list or an array with a value for each row")


def _series(series: Any, what: str) -> tuple[pa.Array | pa.ChunkedArray, _Problems]:
    if series.dtype != object:
        try:
            return pa.Array.from_pandas(series), {}
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            pass  # types that Arrow does not know, such as intervals: by their values, below
    return _cells(
        [None if missing else value for value, missing in zip(series.tolist(), series.isna(), strict=True)], what
    )


def _cells(values: list[Any], what: str) -> tuple[pa.Array | pa.ChunkedArray, _Problems]:
    kinds = set(map(type, values)) - {type(None)}
    if not kinds <= _JSON:
        values = [_cell(value, what) for value in values]
        kinds = set(map(type, values)) - {type(None)}
    if kinds <= _JSON:
        if kinds & {list, dict}:
            values = [_json(value, what) for value in values]
        seen = Seen()
        seen.add(values)
        return to_array(values, seen.type())
    if kinds == {np.ndarray}:
        return _arrays(values, what)
    if kinds == {bytes}:
        return pa.array(values, pa.large_binary()), {}
    if len(kinds) == 1:
        try:
            return pa.array(values), {}
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise DataError(
                f"{what} holds values of type {_type_names(kinds)}, which have no column type: {error}"
            ) from error
    raise DataError(f"{what} mixes values of the types {_type_names(kinds)}; expected one kind of value")


def _arrays(values: list[Any], what: str) -> tuple[pa.Array, _Problems]:
    """Arrays of one shape and dtype become tensors, others lists."""
    arrays = [value for value in values if value is not None]
    if len({(array.shape, array.dtype) for array in arrays}) > 1 or arrays[0].dtype.kind == "O" or 0 in arrays[0].shape:
        return _cells([None if value is None else value.tolist() for value in values], what)
    filler = np.zeros_like(arrays[0])
    column = array_column(np.stack([filler if value is None else value for value in values]), what)
    if len(arrays) == len(values):
        return column, {}
    missing = pa.array([value is None for value in values])
    if not isinstance(column, pa.ExtensionArray):
        return pc.if_else(missing, pa.scalar(None, column.type), column), {}
    size = column.type.storage_type.list_size
    storage = pa.FixedSizeListArray.from_arrays(column.storage.values, size, mask=missing)
    return pa.ExtensionArray.from_storage(column.type, storage), {}


def _cell(value: Any, what: str) -> Any:
    """Bring one value to None, a JSON value, bytes, or a NumPy array; leave other types as they are."""
    if value is None or type(value) in _JSON or isinstance(value, bytes):
        return value
    if isinstance(value, Image.Image):
        return _encoded(value, what)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple):
        return list(value)
    if type(value).__name__ in ("NAType", "NaTType") and _is_pandas(value):
        return None
    if hasattr(value, "__array__"):
        array = _numpy(value, what)
        return array if array.ndim else array.item()
    return value


def _json(value: Any, what: str) -> Any:
    """Bring what stands inside lists and dicts to JSON values."""
    value = _cell(value, what)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _json(item, what) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item, what) for item in value]
    if value is not None and type(value) not in _JSON:
        raise DataError(
            f"{what} holds a {type(value).__name__} inside a list or dict; expected numbers, text, lists and dicts"
        )
    return value


def _encoded(image: Image.Image, what: str) -> bytes:
    """The picture as PNG, or as TIFF when PNG has no such pixels (CMYK, float); lossless, orientation kept."""
    buffer = io.BytesIO()
    try:
        if image.mode in _PNG_MODES:
            image.save(buffer, "PNG", compress_level=1, exif=image.getexif())
        else:
            image.save(buffer, "TIFF", exif=image.getexif())
    except (OSError, ValueError, KeyError, SyntaxError) as error:
        raise DataError(f"{what} holds an image of mode {image.mode} that cannot be read: {error}") from error
    return buffer.getvalue()


def _numpy(value: Any, what: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{what} holds a {type(value).__name__} that does not become a NumPy array: {error}") from error


def _is_pandas(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "pandas"


def _type_names(kinds: set[type]) -> str:
    return ", ".join(sorted(kind.__name__ for kind in kinds))
