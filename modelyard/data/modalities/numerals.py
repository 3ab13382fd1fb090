"""Numbers out of Arrow columns of any type: typed, dated, or written as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.data.modalities.reading import is_text, quote
from modelyard.data.modalities.scaling import LARGEST

__all__ = ["describe_unreadable", "parse", "plain_numbers", "typed"]

Floats = npt.NDArray[np.float64]

_GROUPS = {".": (",", " ", "\u00a0", "\u202f", "'", "\u2019"), ",": (".", " ", "\u00a0", "\u202f", "'", "\u2019")}
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_BEGINS, _ENDS = (np.isin(np.arange(256), list(signs)) for signs in (b"0123456789+-.", b"0123456789"))
_SIGNS = "%€$£¥₽₹"


def typed(values: pa.Array) -> Floats | None:
    """Return a typed column as float64, NaN for null, or None when its type holds no numbers.

    Truth values become 0 and 1; dates and timestamps seconds since 1970 (UTC); times and durations seconds.
    """
    kind = values.type
    if pa.types.is_date(kind):
        values, kind = values.cast(pa.timestamp("ms")), pa.timestamp("ms")
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind):
        width = pa.int32() if pa.types.is_time32(kind) else pa.int64()
        return _array(values.cast(width).cast(pa.float64(), safe=False)) / _PER_SECOND[kind.unit]
    if pa.types.is_boolean(kind):
        return _array(values.cast(pa.uint8()).cast(pa.float64()))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _array(values.cast(pa.float64(), safe=False))
    return None


def plain_numbers(values: pa.Array) -> pa.Array | None:
    """Return a column that holds nothing but plain numbers, written or typed, and nulls as float64; None for any other.

    It takes one pass. No marker of a missing value is plain, no infinity, and nothing that a 32-bit float cannot hold.
    """
    kind = values.type
    if not (is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    try:
        numbers = pc.cast(values, pa.float64(), safe=is_text(kind))
    except pa.ArrowInvalid:
        return None
    known = pc.fill_null(numbers, 0.0) if numbers.null_count else numbers
    return numbers if (np.abs(known.to_numpy()) <= LARGEST).all() else None  # NaN is not smaller than anything


def oddly_written(texts: pa.Array) -> npt.NDArray[np.bool_]:
    """Mark the strings that do not begin with a digit, a sign or a point, or do not end with a digit."""
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, offsets, content = texts.buffers()
    if not len(texts) or content is None or not content.size:
        return np.ones(len(texts), np.bool_)
    edges = np.frombuffer(offsets, width)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(content, np.uint8)
    begins, ends = data[np.minimum(edges[:-1], len(data) - 1)], data[edges[1:] - 1]
    odd: npt.NDArray[np.bool_] = (edges[1:] == edges[:-1]) | ~_BEGINS[begins] | ~_ENDS[ends]
    return odd


def without(texts: pa.Array, marked: npt.NDArray[np.bool_]) -> pa.Array:
    """Return strings with the marked ones as null, without a copy of their text."""
    valid = ~marked & np.asarray(texts.is_valid())
    _, offsets, content = texts.buffers()
    start = np.zeros(texts.offset, np.bool_)
    bits = pa.py_buffer(np.packbits(np.concatenate([start, valid]), bitorder="little"))
    missing = len(valid) - int(valid.sum())
    return pa.Array.from_buffers(texts.type, len(texts), [bits, offsets, content], missing, texts.offset)


def _array(values: pa.Array) -> Floats:
    return np.array(values.to_numpy(zero_copy_only=False), np.float64)


def parse(texts: pa.Array, decimal: str = ".", strip: Sequence[str] = ()) -> Floats:
    """Read written numbers, without surrounding blanks.

    Digits may be grouped in threes: by a blank, an apostrophe, or the comma or point that is not the decimal sign.

    Args:
        texts: Strings, nulls possible.
        decimal: The decimal sign, `.` or `,`.
        strip: Signs that may stand before or after the number, such as `%`.

    Returns:
        float64, NaN where there is null or no number; infinity where infinity is written.
    """
    if decimal == "." and not strip:
        try:
            return _array(pc.cast(texts, pa.float64()))
        except pa.ArrowInvalid:
            pass
    plain, grouped = _patterns(decimal)
    texts = pc.replace_substring(texts, "\u2212", "-")
    for sign in strip:
        literal = re.escape(sign)
        texts = pc.replace_substring_regex(texts, rf"^([+-]?)\s*{literal}\s*|\s*{literal}$", r"\1")
    is_grouped = pc.match_substring_regex(texts, grouped)
    if pc.any(is_grouped).as_py():
        apart = "[^0-9+.-]" if decimal == "." else "[^0-9+,-]"
        texts = pc.if_else(is_grouped, pc.replace_substring_regex(texts, apart, ""), texts)
    written = pc.match_substring_regex(texts, plain)
    texts = pc.if_else(written, texts, pa.scalar(None, texts.type))
    if decimal == ",":
        texts = pc.replace_substring(texts, ",", ".")
    return _array(pc.cast(texts, pa.float64()))


@cache
def _patterns(decimal: str) -> tuple[str, str]:
    """Patterns (RE2) of a plain number, infinity included, and of one whose digits are grouped."""
    point = re.escape(decimal)
    plain = rf"^[+-]?(?:\d+{point}?\d*|{point}\d+)(?:[eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"
    threes = "|".join(rf"(?:{re.escape(sign)}\d{{3}})+" for sign in _GROUPS[decimal])
    return plain, rf"^[+-]?[1-9]\d{{0,2}}(?:{threes})(?:{point}\d*)?$"


def describe_unreadable(text: str, decimal: str) -> str:
    """Say that a text is no number, and which setting would make it one."""
    message = f"{quote(text)} is not a number"
    other = "," if decimal == "." else "."
    for sign in _SIGNS:
        if sign in text and _reads(text, decimal, [sign]):
            return f'{message}; with strip: ["{sign}"] the sign is left out'
    if _reads(text, other, []):
        return f'{message} with the decimal sign "{decimal}"; set decimal: "{other}" if that is meant'
    return message


def _reads(text: str, decimal: str, strip: Sequence[str]) -> bool:
    return bool(np.isfinite(parse(pa.array([text]), decimal, strip))[0])
