"""JSON from which every float comes back bit for bit, infinity and NaN with its payload too, and nothing is made up."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

from modelyard.core.errors import DataError

__all__ = ["exact_json", "from_exact_json"]

_FLOAT = "\0float"
"""Key of an object that stands for a number JSON has none for: its 8 bytes in hexadecimal."""


def exact_json(value: Any) -> bytes:
    """Return a value as strict ASCII JSON.

    Args:
        value: Mappings with text keys, lists, text, numbers, truth values and None; tuples become lists.

    Raises:
        TypeError: Something else is in it.
        ValueError: A text is not Unicode.
    """
    return json.dumps(_plain(value), allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        # Of a finite number, Python writes as many digits as bring exactly it back.
        return float(value) if math.isfinite(value) else {_FLOAT: struct.pack(">d", value).hex()}
    if isinstance(value, str):
        value.encode()  # half of a surrogate pair would come back as something else
        return value
    if value is None or isinstance(value, int):
        return value
    raise TypeError(f"expected JSON values (text, numbers, lists, mappings), received {type(value).__name__}")


def _key(key: Any) -> str:
    if not isinstance(key, str) or key == _FLOAT:
        raise TypeError(f"expected text as the key of a mapping, received {key!r}")
    key.encode()
    return key


def from_exact_json(text: bytes) -> Any:
    """Return the value that `exact_json` was given.

    Raises:
        DataError: It is not such a text.
    """
    try:
        return json.loads(text.decode(), object_hook=_number, parse_constant=_refuse)
    except (ValueError, TypeError, RecursionError, struct.error) as error:
        raise DataError(f"is not proper JSON ({error})") from error


def _number(value: dict[str, Any]) -> Any:
    return struct.unpack(">d", bytes.fromhex(value[_FLOAT]))[0] if set(value) == {_FLOAT} else value


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
