"""From Python values to Arrow columns, for sources whose cells have no declared type: JSON and objects in memory.

A column is typed by what was seen in it: true and false, whole numbers, numbers, text, or lists of one of these.
A column of anything else, or of several kinds, becomes text: strings stay as they are, all other values become JSON.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from modelyard.data.sources.files import clipped

__all__ = ["Seen", "to_array", "to_text"]

_NONE = type(None)
_EXACT = 2**53  # whole numbers up to here are exact as float64
_DEPTH = 32


class Seen:
    """The kinds of value met in a column so far; `type()` is the Arrow type that holds them all."""

    def __init__(self, depth: int = 0) -> None:
        self._kinds: set[type] = set()
        self._largest = 0
        self._lowest = 0
        self._inner: Seen | None = None
        self._depth = depth

    def add(self, values: Sequence[Any]) -> None:
        """Take note of JSON values: None, bool, int, float, str, list and dict."""
        kinds = set(map(type, values))
        self._kinds |= kinds
        if int in kinds:
            whole = [value for value in values if type(value) is int]
            self._largest, self._lowest = max(self._largest, *whole), min(self._lowest, *whole)
        if list in kinds and self._depth < _DEPTH:
            self._inner = self._inner or Seen(self._depth + 1)
            self._inner.add(list(itertools.chain.from_iterable(value for value in values if type(value) is list)))

    def type(self) -> pa.DataType:
        """Return the column's type; text when nothing but nulls was seen."""
        return self._single() or pa.string()

    def _single(self) -> pa.DataType | None:
        """The type when one kind was seen, else None."""
        kinds = self._kinds - {_NONE}
        if kinds == {bool}:
            return pa.bool_()
        if kinds == {int}:
            return pa.int64() if self._lowest >= -(2**63) and self._largest < 2**63 else None
        if kinds == {float} or (kinds == {int, float} and max(self._largest, -self._lowest) <= _EXACT):
            return pa.float64()
        if kinds in ({str}, set()):
            return pa.string()
        if kinds == {list} and self._inner is not None:
            inner = self._inner._single()
            return None if inner is None else pa.list_(inner)
        return None


def to_text(value: Any) -> str | None:
    """Return a string as it is, None as None, and any other JSON value as JSON."""
    if value is None or type(value) is str:
        return value
    return json.dumps(value, ensure_ascii=False)


def to_array(values: list[Any], kind: pa.DataType) -> tuple[pa.Array, Mapping[int, str]]:
    """Turn JSON values into an array of a type that `Seen` gave.

    Returns:
        The array, and for each position whose value is not of the type (null in the array) what it is.
    """
    array = _whole_column(values, kind)
    if array is not None:
        return array, {}
    if pa.types.is_string(kind):
        values = [to_text(value) for value in values]
    problems = {}
    for position, value in enumerate(values):
        if value is not None and not _fits(value, kind):
            problems[position] = f"{clipped(to_text(value) or '')}, expected {_words(kind)}"
    kept = [None if position in problems else _adapted(value, kind) for position, value in enumerate(values)]
    return pa.array(kept, kind), problems


def _whole_column(values: list[Any], kind: pa.DataType) -> pa.Array | None:
    """The array, if all values are of the type beyond doubt; Arrow itself would cut 2.5 to 2 and take true for 1."""
    kinds = set(map(type, values)) - {_NONE}
    try:
        if pa.types.is_list(kind):
            if kinds - {list}:
                return None
            lengths = [0 if value is None else len(value) for value in values]
            inner = _whole_column(list(itertools.chain.from_iterable(filter(None, values))), kind.value_type)
            if inner is None or len(inner) >= 2**31:
                return None
            offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32)
            mask = pa.array([value is None for value in values], pa.bool_())
            return pa.ListArray.from_arrays(pa.array(offsets), inner, mask=mask)
        if kinds - _PYTHON[str(kind)]:
            return None
        return pa.array(values, kind)
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
        return None


def _fits(value: Any, kind: pa.DataType) -> bool:
    if value is None:
        return True
    if pa.types.is_list(kind):
        return type(value) is list and all(_fits(item, kind.value_type) for item in value)
    if pa.types.is_string(kind):
        return type(value) is str and _is_unicode(value)
    if pa.types.is_boolean(kind):
        return type(value) is bool
    if pa.types.is_integer(kind):
        if type(value) is float:
            return value.is_integer() and abs(value) <= _EXACT
        return type(value) is int and -(2**63) <= value < 2**63
    return type(value) is float or (type(value) is int and abs(value) <= _EXACT)


def _adapted(value: Any, kind: pa.DataType) -> Any:
    if pa.types.is_list(kind) and value is not None:
        return [_adapted(item, kind.value_type) for item in value]
    return int(value) if pa.types.is_integer(kind) and type(value) is float else value


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _words(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"a list, each item {_words(kind.value_type)}"
    if pa.types.is_string(kind):
        return "text of valid Unicode characters"
    if pa.types.is_boolean(kind):
        return "true or false"
    return "a whole number" if pa.types.is_integer(kind) else "a number that float64 holds exactly"


_PYTHON: dict[str, set[type]] = {"bool": {bool}, "int64": {int}, "double": {float, int}, "string": {str}}
