"""A stable 64-bit hash for every row: the same content gives the same number on every machine, in every file format.

Duplicates, leaks between splits and the splits themselves rest on it. Text hashes alike as string, large_string or
dictionary; whole numbers alike in any width; missing values have a hash of their own. The columns' names take part,
their order does not. Good against accidents, not against an adversary: it has no secret.

Method: each value is cut into 64-bit words; each word is scrambled together with its place by the finaliser of
SplitMix64 (Steele et al. 2014) and the words of a value, like the columns of a row, are added modulo 2^64.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.core.errors import DataError
from modelyard.core.randomness import mix
from modelyard.data.byte_hash import PLACE, byte_hashes, constant, mix_in_place, sums

__all__ = ["column_hashes", "joined_hashes", "row_hashes"]

Hashes = npt.NDArray[np.uint64]

_CACHE = 1 << 19  # bytes hashed at a time

_NULL, _FLOAT, _INT, _BOOL, _LIST, _STRUCT = (
    constant(f"modelyard row hash: {kind}") for kind in ("null", "float", "int", "bool", "list", "struct")
)


def row_hashes(batch: pa.RecordBatch | pa.Table, columns: Sequence[str] | None = None) -> Hashes:
    """Hash every row.

    Args:
        batch: Rows of any Arrow types, sliced and chunked as they may be.
        columns: The columns that count; all of them by default.

    Returns:
        uint64 array of shape (rows,). A row's hash depends on its own cells alone.

    Raises:
        DataError: A column is missing, or is of a type that has no content to hash (a union).
    """
    names = list(batch.schema.names if columns is None else columns)
    if isinstance(batch, pa.Table):
        result = np.empty(batch.num_rows, dtype=np.uint64)
        done = 0
        for part in batch.to_batches():
            result[done : done + part.num_rows] = row_hashes(part, names)
            done += part.num_rows
        return result
    positions = range(batch.num_columns) if columns is None else [_position(batch.schema, name) for name in names]
    parts = (column_hashes(name, batch.column(position)) for name, position in zip(names, positions, strict=True))
    return joined_hashes(parts, batch.num_rows)


def column_hashes(name: str, column: pa.Array) -> Hashes:
    """Hash one column's values, name included, shape (rows,): what `joined_hashes` makes a row's hash of."""
    key = constant(f"column {name}")
    result = np.empty(len(column), np.uint64)
    # A dictionary is hashed once for all rows; anything else in blocks that stay in the processor's cache.
    block = len(column) if pa.types.is_dictionary(column.type) else _CACHE * len(column) // max(column.nbytes, 1)
    block = max(block, 64)
    for start in range(0, len(column), block):
        part = result[start : start + block]
        np.bitwise_xor(_hash(column.slice(start, block)), key, out=part)
        mix_in_place(part)
    return result


def joined_hashes(parts: Iterable[Hashes], rows: int) -> Hashes:
    """Return the rows' hashes from their columns' ones, uint64 (rows,); the order of the columns does not matter."""
    total = np.zeros(rows, np.uint64)
    for part in parts:
        total += part
    mix_in_place(total)
    return total


def _position(schema: pa.Schema, name: str) -> int:
    found = schema.get_all_field_indices(name)
    if len(found) != 1:
        raise DataError(
            f"expected one column {name!r} to hash, found {len(found)}; there are: {', '.join(schema.names)}"
        )
    return int(found[0])


# -- one column -------------------------------------------------------------------------------------------------------


def _hash(array: pa.Array) -> Hashes:
    """Hash each value of a column, shape (rows,)."""
    kind = array.type
    if len(array) == 0:
        return np.empty(0, dtype=np.uint64)
    if isinstance(array, pa.ExtensionArray):
        return _hash(array.storage)
    if pa.types.is_null(kind):
        return np.full(len(array), _NULL)
    if pa.types.is_dictionary(kind):
        return _dictionary(array)
    hashes = _values(array)
    if array.null_count:
        hashes[~_valid(array)] = _NULL
    return hashes


def _values(array: pa.Array) -> Hashes:
    """Hash each value; what is given for a null does not matter."""
    kind, types = array.type, pa.types
    if types.is_string(kind) or types.is_binary(kind):
        return _spans(array, np.int32)
    if types.is_large_string(kind) or types.is_large_binary(kind):
        return _spans(array, np.int64)
    if types.is_boolean(kind):
        return mix(_bits(array.buffers()[1], array.offset, len(array)).astype(np.uint64) ^ _BOOL)
    if types.is_floating(kind):
        return _floats(_fixed(array).astype(np.float64))
    if types.is_integer(kind):
        return _whole(_fixed(array))
    if types.is_temporal(kind) and not types.is_interval(kind):
        return _times(array)
    if types.is_fixed_size_list(kind):
        return _fixed_lists(array)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind):
        return _lists(array)
    if types.is_struct(kind):
        return _structs(array)
    return _other(array)


def _fixed(array: pa.Array) -> npt.NDArray[Any]:
    """The numbers of a column of fixed width, as they stand in memory; what stands under a null is anything."""
    dtype = np.dtype(array.type.to_pandas_dtype())
    return np.frombuffer(array.buffers()[1], dtype, count=array.offset + len(array))[array.offset :]


def _whole(values: npt.NDArray[Any]) -> Hashes:
    return mix(values.astype(np.int64, copy=False).view(np.uint64) ^ _INT)


def _floats(values: npt.NDArray[np.float64]) -> Hashes:
    """A float without a fraction hashes like its whole number: tools turn one into the other where values miss."""
    whole = (np.abs(values) < 2.0**63) & (np.floor(values) == values)
    bits = np.where(np.isnan(values), np.nan, values).view(np.uint64)
    hashes = mix(bits ^ _FLOAT)
    if whole.any():
        hashes[whole] = _whole(values[whole].astype(np.int64))
    return hashes


def _times(array: pa.Array) -> Hashes:
    """Points in time and durations as seconds and nanoseconds, so that the unit of storage does not matter."""
    kind = array.type
    values = np.frombuffer(array.buffers()[1], f"<i{kind.bit_width // 8}", count=array.offset + len(array))
    ticks = values[array.offset :].astype(np.int64)
    if pa.types.is_date(kind):
        day = 1 if pa.types.is_date32(kind) else 86_400_000
        major, minor, word = ticks // day, ticks % day, "date"
    else:
        second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        major, minor = ticks // second, ticks % second * (10**9 // second)
        zoned = pa.types.is_timestamp(kind) and kind.tz is not None
        word = "instant" if zoned else str(kind).partition("[")[0].rstrip("3264")
    return mix(_whole(major) + mix(minor.view(np.uint64) ^ constant(word)))


def _spans(array: pa.Array, offset_type: type[np.signedinteger[Any]]) -> Hashes:
    """Hash texts and bytes."""
    _, offset_buffer, data = array.buffers()
    offsets = np.frombuffer(offset_buffer, offset_type, count=array.offset + len(array) + 1)[array.offset :]
    content = np.empty(0, np.uint8) if data is None or offsets[-1] == 0 else np.frombuffer(data, np.uint8)
    return byte_hashes(content, offsets)


def _lists(array: pa.Array) -> Hashes:
    offsets = array.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
    first, length = int(offsets[0]), int(offsets[-1] - offsets[0])
    if pa.types.is_map(array.type):
        inner = _hash(array.keys.slice(first, length)) + mix(_hash(array.items.slice(first, length)) ^ _STRUCT)
    else:
        inner = _hash(array.values.slice(first, length))
    return _listed(inner, offsets - first)


def _listed(inner: Hashes, offsets: npt.NDArray[np.int64]) -> Hashes:
    lengths = np.diff(offsets)
    place = (np.arange(len(inner), dtype=np.int64) - np.repeat(offsets[:-1], lengths)).view(np.uint64)
    return mix(sums(mix(inner + place * PLACE), offsets[:-1], offsets[1:]) ^ mix(lengths.view(np.uint64) ^ _LIST))


def _fixed_lists(array: pa.Array) -> Hashes:
    """Lists of one length, tensors among them: plain numbers by their bytes, anything else value by value."""
    size, child = array.type.list_size, array.type.value_type
    inner = array.values.slice(array.offset * size, len(array) * size)
    if not (pa.types.is_integer(child) or pa.types.is_floating(child)) or size == 0:
        return _listed(_hash(inner), np.arange(len(array) + 1, dtype=np.int64) * size)
    numbers = _fixed(inner)
    if inner.null_count:
        numbers = np.where(_valid(inner), numbers, 0).astype(numbers.dtype)
    width = size * numbers.dtype.itemsize
    padded = np.zeros((len(array), -(-width // 8) * 8), dtype=np.uint8)
    padded[:, :width] = numbers.view(np.uint8).reshape(len(array), width)
    words = padded.view("<u8")
    words += np.arange(words.shape[1], dtype=np.uint64) * PLACE
    total = mix(words).sum(axis=1, dtype=np.uint64)
    if inner.null_count:
        missing = np.where(
            _valid(inner), np.uint64(0), mix(_NULL + np.arange(len(inner), dtype=np.uint64) % np.uint64(size))
        )
        total += missing.reshape(len(array), size).sum(axis=1, dtype=np.uint64)
    return mix(total ^ constant(f"list of {size} {child}"))


def _structs(array: pa.Array) -> Hashes:
    total = np.full(len(array), _STRUCT)
    for position, part in enumerate(array.type):
        total += mix(_hash(array.field(position)) ^ constant(f"column {part.name}"))
    return mix(total)


def _dictionary(array: pa.Array) -> Hashes:
    indices = array.indices
    valid = _valid(indices)
    hashes = np.append(_hash(array.dictionary), _NULL)  # the last one for rows without a value
    return hashes[np.where(valid, _fixed(indices).astype(np.int64), len(hashes) - 1)]


def _other(array: pa.Array) -> Hashes:
    """Decimals by their digits, fixed-size bytes as bytes, views as what they view."""
    kind, types = array.type, pa.types
    try:
        if types.is_decimal(kind):
            return mix(_hash(array.cast(pa.string())) ^ _INT)
        if types.is_fixed_size_binary(kind) or types.is_binary_view(kind):
            return _hash(array.cast(pa.large_binary()))
        if types.is_string_view(kind):
            return _hash(array.cast(pa.large_string()))
        if types.is_run_end_encoded(kind):
            return _hash(pc.run_end_decode(array))
        return _hash(array.cast(pa.string()))
    except (pa.ArrowException, NotImplementedError) as error:
        raise DataError(
            f"a column of type {kind} cannot be hashed; convert it to text, numbers or lists ({error})"
        ) from error


def _valid(array: pa.Array) -> npt.NDArray[np.bool_]:
    return _bits(array.buffers()[0], array.offset, len(array))


def _bits(buffer: pa.Buffer | None, offset: int, count: int) -> npt.NDArray[np.bool_]:
    """The bits `offset` to `offset + count` of a bitmap; no bitmap means that all are set."""
    if buffer is None:
        return np.ones(count, dtype=bool)
    first = offset >> 3
    part = np.frombuffer(buffer, np.uint8)[first : (offset + count + 7) >> 3]
    start = offset - (first << 3)
    return np.unpackbits(part, bitorder="little")[start : start + count].astype(bool)
