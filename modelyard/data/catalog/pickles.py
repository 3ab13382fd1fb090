"""Reads the pickles that some public data sets were published as, without ever running what a pickle can ask for.

Every name in a pickle is answered by an inert stand-in made here: neither NumPy, nor pandas, nor any other code is
called while reading. Known are plain values, NumPy arrays of numbers, text and objects, and pandas data frames.
Any other name is an error. A file is read only after its digest was found right.
"""

from __future__ import annotations

import io
import pickle
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.core.errors import DataError

__all__ = ["read_arrays", "read_frame", "read_plain"]

_NUMBERS = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248])")


def read_plain(content: bytes) -> Any:
    """Return what a pickle of plain values holds: None, numbers, text, bytes, lists, tuples, sets and dicts.

    Raises:
        DataError: The pickle names anything at all, or is broken.
    """
    return _load(content, {})


def read_arrays(content: bytes) -> Any:
    """Return what a pickle of plain values and NumPy arrays holds.

    Raises:
        DataError: The pickle names anything but NumPy's array reconstruction, or is broken.
    """
    try:
        return _values(_load(content, _numpy_names()))
    except RecursionError as error:
        raise DataError("a pickle holds itself, without end") from error


def read_frame(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of a pickled pandas data frame, by name and in order.

    Raises:
        DataError: The pickle names anything but a data frame of NumPy arrays, or is broken.
    """
    frame = _load(content, {**_numpy_names(), **_pandas_names()})
    try:
        manager = frame.state["_mgr"]
        blocks, axes = manager.arguments
        names = [str(name) for name in _values(axes[0].arguments[1]["data"])]
        columns: dict[str, npt.NDArray[Any]] = {}
        for block in blocks:
            values, placement, _ = block.arguments
            places = range(len(names))[_slice(placement)] if _is_slice(placement) else _values(placement).tolist()
            for place, column in zip(places, _values(values), strict=True):
                columns[names[place]] = column
        return {name: columns[name] for name in names}
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"a pickle does not hold a data frame of the known layout: {error!r}") from error


def _load(content: bytes, names: dict[tuple[str, str], Any]) -> Any:
    try:
        return _Unpickler(content, names).load()
    except DataError:
        raise
    except Exception as error:  # a broken pickle can raise nearly anything; nothing of it has run
        raise DataError(f"a pickle is broken: {error!r}") from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, names: dict[tuple[str, str], Any]) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._names = names

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._names[module, name]
        except KeyError:
            raise DataError(
                f"a pickle asks for {module}.{name}, which is not data. Nothing of it was run, and it will not be read."
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        raise DataError("a pickle refers to something outside itself. It will not be read.")


class _Made:
    """What a pickle built from one of the known names: the arguments it was called with and the state it was given."""

    __slots__ = ("arguments", "kind", "state")

    def __init__(self, kind: str, arguments: tuple[Any, ...]) -> None:
        self.kind, self.arguments = kind, arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Maker:
    """Stands in for a function or class that a pickle may name. It holds no attribute that a pickle could set."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, *arguments: Any) -> _Made:
        return _Made(self.kind, arguments)


def _class_stand_in(kind: str) -> type[_Made]:
    """A stand-in where pickle insists on a class; a fresh one for each reading, so nothing outlives it."""

    class StandIn(_Made):
        __slots__ = ()

        def __new__(cls, *arguments: Any) -> StandIn:
            made = object.__new__(cls)
            _Made.__init__(made, kind, arguments)
            return made

        def __init__(self, *arguments: Any) -> None:
            """Pickle may make an instance without calling this, so `__new__` has done the work."""

    return StandIn


class _Encode:
    """Stands in for `_codecs.encode`, by which Python 3 writes bytes into old pickles."""

    __slots__ = ()

    def __call__(self, text: Any, encoding: Any = "latin1") -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise DataError("a pickle asks for an encoding other than latin1")
        return text.encode("latin1")


def _numpy_names() -> dict[tuple[str, str], Any]:
    names: dict[tuple[str, str], Any] = {
        ("numpy", "dtype"): _Maker("dtype"),
        ("numpy", "ndarray"): _Maker("ndarray"),
        ("_codecs", "encode"): _Encode(),
    }
    for core in ("core", "_core"):
        names[f"numpy.{core}.multiarray", "_reconstruct"] = _Maker("array")
        names[f"numpy.{core}.multiarray", "scalar"] = _Maker("scalar")
        names[f"numpy.{core}.numeric", "_frombuffer"] = _Maker("buffer")
    return names


def _pandas_names() -> dict[tuple[str, str], Any]:
    return {
        ("pandas.core.frame", "DataFrame"): _class_stand_in("frame"),
        ("pandas.core.internals.managers", "BlockManager"): _class_stand_in("manager"),
        ("pandas._libs.internals", "_unpickle_block"): _Maker("block"),
        ("pandas.core.indexes.base", "_new_Index"): _Maker("index"),
        ("pandas.core.indexes.base", "Index"): _Maker("Index"),
        ("pandas.core.indexes.range", "RangeIndex"): _Maker("RangeIndex"),
        ("builtins", "slice"): _Maker("slice"),
    }


def _values(thing: Any) -> Any:
    """Turn the stand-ins inside plain containers into NumPy arrays."""
    if isinstance(thing, _Made):
        return _array(thing)
    if isinstance(thing, list | tuple):
        return type(thing)(_values(item) for item in thing)
    if isinstance(thing, dict):
        return {key: _values(item) for key, item in thing.items()}
    return thing


def _array(made: _Made) -> Any:
    try:
        if made.kind == "array":
            _, shape, kind, fortran, data = made.state
            return _filled(data, kind, shape, "F" if fortran else "C")
        if made.kind == "buffer":
            data, kind, shape, order = made.arguments
            return _filled(data, kind, shape, order)
        if made.kind == "scalar":
            kind, data = made.arguments
            return _filled(data, kind, (1,), "C")[0]
    except (TypeError, ValueError, IndexError) as error:
        raise DataError(f"a pickle holds an array of an unknown layout: {error!r}") from error
    raise DataError(f"a pickle holds a bare {made.kind}, which is not a value")


def _filled(data: Any, kind: Any, shape: Any, order: Any) -> npt.NDArray[Any]:
    code = _type_code(kind)
    shape = tuple(int(size) for size in shape)
    if any(size < 0 for size in shape):
        raise ValueError(f"an array of shape {shape}")
    order = "F" if order in ("F", b"F") else "C"
    if code == "O":
        flat = np.empty(len(data), dtype=object)
        for place, item in enumerate(data):
            flat[place] = _array(item) if isinstance(item, _Made) else item
        return flat.reshape(shape, order=order)
    if not isinstance(data, bytes | bytearray):
        raise ValueError(f"an array made of {type(data).__name__}")
    values = np.frombuffer(data, dtype=code)
    return values.astype(values.dtype.newbyteorder("="), copy=False).reshape(shape, order=order)


def _type_code(kind: Any) -> str:
    """The type of an array's elements, from the arguments and the state of a stand-in for `numpy.dtype`."""
    if not isinstance(kind, _Made) or kind.kind != "dtype":
        raise ValueError("an array without a type")
    code = kind.arguments[0]
    code = code.decode("ascii") if isinstance(code, bytes) else str(code)
    if code in ("O8", "O4", "O", "|O"):
        return "O"
    order = kind.state[1] if kind.state is not None else "|"
    order = order.decode("ascii") if isinstance(order, bytes) else str(order)
    full = (order if order in "<>" else "") + code.lstrip("<>|=")
    if not _NUMBERS.fullmatch(full):
        raise ValueError(f"an array of type {full!r}")
    return full


def _is_slice(thing: Any) -> bool:
    return isinstance(thing, _Made) and thing.kind == "slice"


def _slice(thing: _Made) -> slice:
    return slice(*(None if part is None else int(part) for part in thing.arguments))
