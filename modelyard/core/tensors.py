"""Tensors in safetensors files: written without a copy in memory, read into place, the digest computed on the way.

A file is 8 bytes with the length of the header, the header (JSON: dtype, shape and place of every tensor), and the
bytes of the tensors without a gap. https://huggingface.co/docs/safetensors describes it. Nothing in a file is trusted:
each number of the header is checked before memory is taken for it.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modelyard.core.digests import CHUNK, FileDigest, plain_file, read_digest
from modelyard.core.errors import DataError

__all__ = ["TensorFile", "lay_out", "read_tensors"]

_TIED = "tied"
"""Key of the header's metadata: JSON object, from a name that stands for the same tensor as another to that other."""

_LONGEST_HEADER = 8 << 20
_MOST_TENSORS = 60_000
"""Above what the largest models have in one file, and below what takes long to look at."""
_MOST_DIMENSIONS = 64

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True)
class TensorFile:
    """A safetensors file that is not written yet."""

    header: bytes
    tensors: tuple[Tensor, ...]
    """In the order of the file."""
    size: int
    """Bytes of the whole file."""

    def pieces(self) -> Iterator[bytes | memoryview]:
        """Yield the file's bytes, for `core.files.write_pieces`. Only a tensor that is not contiguous is copied, and
        only while its piece is in use."""
        yield self.header
        for tensor in self.tensors:
            if tensor.numel():
                plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
                # A single item counts as contiguous whatever its stride; `view` wants the stride to be 1.
                yield plain.as_strided((plain.numel(),), (1,)).view(torch.uint8).numpy().data


def lay_out(tensors: Mapping[str, Tensor]) -> TensorFile:
    """Return the file that holds these CPU tensors, of any shape, whose bits come back as they are.

    Names of one and the same tensor (tied weights) are stored once and come back as one tensor. Tensors that share
    memory in any other way come back apart.

    Raises:
        TypeError: A tensor is not a dense one on the CPU, or of a dtype that the format does not have.
        ValueError: A name, or the number of tensors, does not fit the format.
    """
    kept: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, tensor in tensors.items():
        _check(name, tensor)
        memory = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), tensor.is_conj(), tensor.is_neg())
        if tensor.numel() and memory in first:
            tied[name] = first[memory]
        else:
            first[memory] = name
            kept[name] = tensor
    # Wide numbers first: every tensor then starts at a multiple of its item's size. The header keeps the given order.
    order = sorted(kept, key=lambda name: (-kept[name].dtype.itemsize, name))
    places, end = {}, 0
    for name in order:
        start, end = end, end + kept[name].nbytes
        places[name] = [start, end]
    entries: dict[str, Any] = {"__metadata__": {_TIED: json.dumps(tied)}} if tied else {}
    for name, tensor in kept.items():
        entries[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": places[name]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _LONGEST_HEADER or len(tensors) > _MOST_TENSORS:
        raise ValueError(
            f"{len(tensors)} tensors with {len(text)} bytes of names and shapes are too many for one file; at most "
            f"{_MOST_TENSORS} tensors and {_LONGEST_HEADER} bytes fit"
        )
    return TensorFile(len(text).to_bytes(8, "little") + text, tuple(kept[name] for name in order), 8 + len(text) + end)


def _check(name: str, tensor: Tensor) -> None:
    if tensor.device.type != "cpu" or tensor.layout is not torch.strided or tensor.is_quantized:
        raise TypeError(f"{name} is a {tensor.layout} tensor on {tensor.device}; a file takes dense ones on the CPU")
    if tensor.dtype not in _NAMES:
        raise TypeError(f"{name} is {tensor.dtype}; a file takes {', '.join(str(dtype) for dtype in _NAMES)}")
    if tensor.ndim > _MOST_DIMENSIONS:
        raise ValueError(f"{name} has {tensor.ndim} dimensions; a file takes at most {_MOST_DIMENSIONS}")
    if name == "__metadata__" or not _is_text(name):
        raise ValueError(f"{name!r} cannot be the name of a tensor in a file")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # half of a pair that only together means a character
        return False
    return True


class _Malformed(Exception):
    """What is wrong with a file."""


def read_tensors(path: Path, expected: FileDigest | None = None) -> dict[str, Tensor]:
    """Read a safetensors file, once, each tensor into memory of its own.

    Args:
        path: The file.
        expected: What the file must be; it is proven while it is read.

    Returns:
        The tensors in the header's order; tied names, which come last, share one tensor.

    Raises:
        DataError: The file is missing, is not the expected one, or is no safetensors file.
    """
    with plain_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if expected is not None and size != expected.size:
            raise DataError(f"{path.name} has {size} bytes, expected {expected.size}")
        digest = hashlib.sha256()
        try:
            tensors = _read(file, size, digest)
        except _Malformed as error:
            # That it was altered says more than which of its parts no longer makes sense.
            if expected is None or read_digest(path) == expected:
                raise DataError(f"{path.name} is no safetensors file: {error}") from error
            tensors = {}
            digest.update(b"malformed")
    if expected is not None and digest.hexdigest() != expected.sha256:
        raise DataError(f"{path.name} was altered (digest differs)")
    return tensors


@dataclass(frozen=True)
class _Place:
    name: str
    dtype: torch.dtype
    shape: list[int]
    start: int
    end: int


def _read(file: io.BufferedReader, size: int, digest: Any) -> dict[str, Tensor]:
    head = file.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > min(size - 8, _LONGEST_HEADER):
        raise _Malformed(f"its header would have {length} bytes, in a file of {size}; {_LONGEST_HEADER} are the most")
    text = file.read(length)
    digest.update(head)
    digest.update(text)
    places, tied = _header(text, size - 8 - length)
    tensors: dict[str, Tensor] = {place.name: torch.empty(place.shape, dtype=place.dtype) for place in places}
    for place in sorted(places, key=lambda place: (place.start, place.end)):
        if place.start == place.end:
            continue
        view = tensors[place.name].reshape(-1).view(torch.uint8).numpy().data
        for start in range(0, len(view), CHUNK):
            chunk = view[start : start + CHUNK]
            if file.readinto(chunk) != len(chunk):
                raise _Malformed("it ends early")
            digest.update(chunk)
        if place.dtype == torch.bool and int(tensors[place.name].view(torch.uint8).max()) > 1:
            raise _Malformed(f"{place.name[:80]!r} holds truth values other than 0 and 1")
    for name, same in tied.items():
        tensors[name] = tensors[same]
    return tensors


def _header(text: bytes, room: int) -> tuple[list[_Place], dict[str, str]]:
    """Check a header against the number of bytes that follow it."""
    count = text.count(b'"data_offsets"')
    if count > _MOST_TENSORS:
        raise _Malformed(f"it lists {count} tensors; {_MOST_TENSORS} are the most")
    entries = _object(text)
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _Malformed("its metadata is not text by name")
    places = [_place(name, entry) for name, entry in entries.items()]
    end = 0
    for place in sorted(places, key=lambda place: (place.start, place.end)):
        if place.start != end:
            raise _Malformed(f"{place.name[:80]!r} starts at byte {place.start}, where {end} was expected")
        end = place.end
    if end != room:
        raise _Malformed(f"its tensors take {end} bytes, and {room} follow the header")
    tied = _object(metadata[_TIED].encode()) if _TIED in metadata else {}
    for name, same in tied.items():
        if not isinstance(same, str) or same not in entries or name in entries:
            raise _Malformed(f"{name[:80]!r} is tied to a tensor that is not in it")
    return places, tied


def _place(name: str, entry: Any) -> _Place:
    what = f"the entry of {name[:80]!r}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _Malformed(f"{what} has no dtype, shape and data_offsets")
    dtype = _DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise _Malformed(f"{what} has a dtype that is not known: {str(entry['dtype'])[:80]!r}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _counts(shape) or len(shape) > _MOST_DIMENSIONS or not _counts(offsets) or len(offsets) != 2:
        raise _Malformed(f"{what} has a shape or data_offsets that are not lists of sizes")
    # A shape with a 0 in it takes no memory, yet torch multiplies the rest.
    if math.prod(max(length, 1) for length in shape) * dtype.itemsize >= 1 << 63:
        raise _Malformed(f"{what} has a shape that no memory holds")
    start, end = offsets
    if end - start != math.prod(shape) * dtype.itemsize:
        raise _Malformed(f"{what} has {end - start} bytes, which is not what its shape and dtype take")
    return _Place(name, dtype, shape, start, end)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 63 for item in value)


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_refuse)
    except (ValueError, RecursionError) as error:
        raise _Malformed(f"its header is not proper JSON ({error})") from error
    if not isinstance(value, dict):
        raise _Malformed("its header is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands in it twice")
    return value


def _refuse(text: str) -> Any:
    raise ValueError(f"{text[:80]} is not a whole number")
