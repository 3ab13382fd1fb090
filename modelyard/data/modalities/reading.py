"""What all readings share: any Arrow type brought to text, markers of missing values, and how a bad value is quoted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["MISSING", "MISSING_TEXT", "as_text", "flat", "is_text", "present_text", "quote", "quote_where"]

MISSING_TEXT = ("", "na", "n/a", "#n/a", "<na>", "nan", "null", "none")
"""Markers that no written text consists of."""
MISSING = (*MISSING_TEXT, "nat", "nil", "-", "--", "?", ".")
"""Markers of a missing value in a table's cell; compared without surrounding blanks and without regard to case."""

_LARGEST_STRING_ARRAY = 2**31 - 1
_LARGEST_EXACT_WHOLE = 2.0**53


def flat(values: pa.Array) -> pa.Array:
    """Undo what only concerns storage: dictionaries, run lengths, views, extension types, needless 64-bit offsets."""
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    if pa.types.is_run_end_encoded(values.type):
        values = pc.run_end_decode(values)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    fits = values.nbytes <= _LARGEST_STRING_ARRAY
    if pa.types.is_string_view(kind) or (pa.types.is_large_string(kind) and fits):
        return values.cast(pa.string() if fits else pa.large_string())
    if pa.types.is_binary_view(kind) or (pa.types.is_large_binary(kind) and fits):
        return values.cast(pa.binary() if fits else pa.large_binary())
    if pa.types.is_fixed_size_binary(kind):
        return values.cast(pa.binary())
    return values


def is_text(kind: pa.DataType) -> bool:
    """Say whether a type, after `flat`, holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def as_text(values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Write values of any type as text: whole numbers without a fraction, `true` and `false`, ISO dates.

    Returns:
        Strings of the same length, null where there was nothing or nothing readable, and the problems by position.
    """
    values = flat(values)
    kind = values.type
    if is_text(kind):
        return values, {}
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.string()), {}
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return _decoded(values)
    if pa.types.is_floating(kind):
        return _floats_as_text(values)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        values = values.cast(pa.timestamp(kind.unit))  # the instant in UTC: needs no table of time zones
    scalar = pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    if scalar or (pa.types.is_temporal(kind) and not pa.types.is_interval(kind)):
        return values.cast(pa.string()), {}
    present = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
    problems = {int(at): f"a value of type {kind} where one plain value was expected" for at in present}
    return pa.nulls(len(values), pa.string()), problems


def _decoded(values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    try:
        return values.cast(pa.large_string() if pa.types.is_large_binary(values.type) else pa.string()), {}
    except pa.ArrowInvalid:
        pass
    texts: list[str | None] = []
    problems = {}
    for at, value in enumerate(values.to_pylist()):
        try:
            texts.append(None if value is None else value.decode("utf-8"))
        except UnicodeDecodeError:
            texts.append(None)
            problems[at] = f"{quote(value)} is not UTF-8 text"
    return pa.array(texts, pa.string()), problems


def _floats_as_text(values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    if values.type == pa.float16():
        values = values.cast(pa.float32())
    numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    endless = np.isinf(numbers)
    whole = np.isfinite(numbers) & (np.abs(numbers) < _LARGEST_EXACT_WHOLE)
    whole[whole] = numbers[whole] == np.trunc(numbers[whole])
    texts = values.cast(pa.string())
    if whole.any():
        integers = pa.array(np.where(whole, numbers, 0).astype(np.int64)).cast(pa.string())
        texts = pc.if_else(pa.array(whole), integers, texts)
    texts = pc.if_else(pa.array(np.isfinite(numbers)), texts, pa.scalar(None, pa.string()))
    return texts, {int(at): f"{numbers[at]} is not a finite number" for at in np.flatnonzero(endless)}


def present_text(texts: pa.Array, markers: Sequence[str], trim: bool = True) -> pa.Array:
    """Return the texts with markers of missing values as null; without surrounding blanks when `trim` is set."""
    if not trim and pa.types.is_string(texts.type):
        candidates = _short_or_padded(texts, 2 * max((len(marker.strip().encode()) for marker in markers), default=0))
        if len(candidates) < len(texts):
            missing = _marked(texts.take(pa.array(candidates)), markers)
            if not missing.any():
                return texts
            valid = np.asarray(texts.is_valid())
            valid[candidates[missing]] = False
            return pc.if_else(pa.array(valid), texts, pa.scalar(None, texts.type))
    trimmed = pc.utf8_trim_whitespace(texts)
    folded = sorted({marker.strip().lower() for marker in markers})
    longest = max((len(marker.encode()) for marker in folded), default=0) * 2  # folding case can change the length
    short = pc.less_equal(pc.binary_length(trimmed), longest)
    # Only short values are folded: a column may hold whole documents.
    candidates = pc.utf8_lower(pc.if_else(short, trimmed, pa.scalar("\0", trimmed.type)))
    missing = pc.is_in(candidates, value_set=pa.array(folded, trimmed.type))
    return pc.if_else(missing, pa.scalar(None, texts.type), trimmed if trim else texts)


def _short_or_padded(texts: pa.Array, longest: int) -> npt.NDArray[np.int64]:
    """Return the rows whose text is no longer than so many bytes, or may begin or end with a blank."""
    _, offset_buffer, data = texts.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32, count=texts.offset + len(texts) + 1)[texts.offset :]
    starts, ends = offsets[:-1], offsets[1:]
    found = ends - starts <= longest
    if data is not None and data.size:
        content = np.frombuffer(data, np.uint8)
        for at in (starts, ends - 1):
            byte = content[np.clip(at, 0, len(content) - 1)]
            found |= (byte <= 32) | (byte >= 127)
    return np.flatnonzero(found)


def _marked(texts: pa.Array, markers: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Whether each text is a marker of a missing value."""
    present = present_text(texts, markers)
    marked: npt.NDArray[np.bool_] = np.asarray(present.is_null()) & np.asarray(texts.is_valid())
    return marked


def quote(value: Any, limit: int = 40) -> str:
    """Return a value as a message quotes it: on one line, shortened."""
    if isinstance(value, str) and len(value) > limit:
        cut = repr(value[:limit])
        return f"{cut[:-1]}…{cut[-1]}"
    text = repr(value[:limit] if isinstance(value, bytes) else value)
    return text if len(text) <= limit + 20 else f"{text[:limit]}…"


def quote_where(values: pa.Array, where: npt.NDArray[np.bool_], message: str) -> dict[int, str]:
    """Return a problem for each marked value: the value quoted, then the message."""
    positions = np.flatnonzero(where)
    found = values.take(pa.array(positions)).to_pylist()
    return {int(at): f"{quote(value)} {message}" for at, value in zip(positions, found, strict=True)}
