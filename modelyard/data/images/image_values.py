"""The raw values of an image column, whatever they are: paths, URLs, bytes, arrays, lists → pixels of one frame.

Legend: n readable rows, H height, W width, C channels.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.core.errors import DataError
from modelyard.data.images.cell_files import load_bytes, short_name
from modelyard.data.images.decode import ENDINGS, Header, decode, is_image, look
from modelyard.data.images.frame import Frame, fit_pixels
from modelyard.data.images.pixels import NOT_NUMBERS, from_list, from_tensors, lay_out, recolour, tensor_shape

__all__ = ["Found", "Origin", "Proposal", "is_array", "propose", "read_images", "share_of_images"]

Pixels = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]

_LARGEST_PROPOSED = 224
"""The side most vision models are trained at; files are not proposed to be stored any larger."""
_LOOKED_AT = 64
"""Headers that are read to propose a size."""
_BYTES_PER_PIXEL = 8
"""No sane encoding takes more: 16 bit in four channels."""
_BLOCK = 16
"""Images a thread takes at a time."""
_TRIED = 4
"""Images that are timed before threads are started."""
_WORTH_A_THREAD = 0.0002
"""Seconds an image must take: tiny ones mostly hold the interpreter's lock, and threads slow them down."""


@dataclass(frozen=True)
class Origin:
    """Where files are, and what may be loaded."""

    folder: str = ""
    """Where relative paths stand; a local folder or a URL."""
    max_pixels: int = 64_000_000
    urls: bool = False
    """Whether values that are URLs are fetched."""


@dataclass(frozen=True)
class Found:
    """What was read from a chunk of values."""

    positions: Positions
    """Where the readable rows stand in the chunk, ascending, (n,)."""
    pixels: Pixels
    """(n, H, W, C)."""
    problems: Mapping[int, str]
    """Position → what is wrong."""
    notes: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Position → what was converted on the way, for readable rows of which something was."""


@dataclass(frozen=True)
class Proposal:
    """A size that suits what was seen."""

    height: int
    width: int
    channels: int
    why: str


# -- a look before reading --------------------------------------------------------------------------------------------


def share_of_images(values: pa.Array) -> tuple[float, str]:
    """Say which part of a sample without nulls is encoded images or their paths, and what they are in words."""
    kind = values.type
    if _is_text(kind):
        anywhere = "(?i)(?:" + "|".join(re.escape(ending) for ending in sorted(ENDINGS)) + ")"
        candidates = values.filter(pc.match_substring_regex(values, anywhere)).to_pylist()
        return sum(_ending(value) in ENDINGS for value in candidates) / len(values), "paths of images"
    if _is_binary(kind):
        known = [is_image(value) for value in values.to_pylist()]
        return sum(known) / len(known), "encoded images"
    if _is_file_struct(kind):
        known = []
        for value in _file_struct(values).to_pylist():
            content, path = value.get("bytes"), value.get("path")
            known.append(is_image(content) if isinstance(content, bytes) else _ending(path) in ENDINGS)
        return sum(known) / len(known), "encoded images or their paths"
    return 0.0, "no images"


def _ending(path: object) -> str:
    return PurePath(path.partition("?")[0]).suffix.lower() if isinstance(path, str) else ""


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_binary(kind: pa.DataType) -> bool:
    variable = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return bool(variable or pa.types.is_fixed_size_binary(kind))


def _is_file_struct(kind: pa.DataType) -> bool:
    """Whether values are structs of bytes and a path, or of one of these, as Hugging Face datasets store images."""
    if not pa.types.is_struct(kind):
        return False
    named = [part.type for part in kind if part.name in ("bytes", "path")]
    return bool(named) and all(_is_text(part) or _is_binary(part) or pa.types.is_null(part) for part in named)


def _file_struct(values: pa.Array) -> pa.Array:
    """Return structs of bytes and path alone: what else stands beside them may be no Python value."""
    if not _is_file_struct(values.type):
        return values
    fields = [part for part in values.type if part.name in ("bytes", "path")]
    parts = [pc.struct_field(values, part.name) for part in fields]
    return pa.StructArray.from_arrays(parts, fields=fields, mask=values.is_null())


def is_array(kind: pa.DataType) -> bool:
    """Say whether values of this type are pixels themselves, not encoded and not paths."""
    return tensor_shape(kind) is not None or _is_list(kind)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _holds_numbers(kind: pa.DataType) -> bool:
    """Whether lists, possibly of lists, hold numbers or nothing."""
    while _is_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_null(kind) or tensor_shape(pa.list_(kind, 1)))


def propose(values: pa.Array, origin: Origin, sides: tuple[int, int] | None = None) -> Proposal | None:
    """Propose a size: an array's own, or the commonest of up to 64 images, at most 224 a side.

    Args:
        values: Raw values.
        origin: Where files are.
        sides: Height and width when they are settled, so that flat lists of numbers tell their channels.
    """
    shape = tensor_shape(values.type)
    values = _file_struct(values)
    if shape is None and _is_list(values.type):
        if not _holds_numbers(values.type):
            return None
        pixels = (from_list(item.as_py())[0] for item in values if item.is_valid)
        shape = next((found.shape for found in pixels if found is not None), None)
        if shape is None:
            return None
    if shape is not None:
        laid = _shape_of(shape, sides)
        return None if laid is None else Proposal(laid[0], laid[1], 1 if laid[2] < 3 else 3, f"arrays of shape {shape}")
    headers = _headers(values, origin)
    if not headers:
        return None
    (height, width), often = Counter((header.height, header.width) for header in headers).most_common(1)[0]
    why = f"{often} of {len(headers)} looked at have {height}×{width} (height×width) pixels"
    if max(height, width) > _LARGEST_PROPOSED:
        height = width = _LARGEST_PROPOSED
        why += f"; {height}×{width} is proposed, as most vision models take (a smaller size trains faster)"
    channels = 1 if all(header.grey for header in headers) else 3
    return Proposal(height, width, channels, f"{why}; {'all grey' if channels == 1 else 'in colour'}")


def _shape_of(shape: tuple[int, ...], sides: tuple[int, int] | None) -> tuple[int, int, int] | None:
    if len(shape) == 1 and sides is not None:
        H, W = sides
        return next(((H, W, C) for C in (1, 3) if shape[0] == H * W * C), None)
    laid = lay_out(shape)
    return None if laid is None else laid[0]


def _headers(values: pa.Array, origin: Origin) -> list[Header]:
    """Read the headers of some images, evenly spread; unreadable ones are passed over for others."""
    spread = np.linspace(0, len(values) - 1, min(len(values), _LOOKED_AT)).astype(np.int64)
    headers: list[Header] = []
    for row in dict.fromkeys([*spread.tolist(), *range(len(values))]):
        try:
            content, _ = _content(values[row], origin)
            if content is not None:
                headers.append(look(content, origin.max_pixels))
        except DataError:
            continue  # reading names it as its row's problem
        if len(headers) == _LOOKED_AT:
            break
    return headers


# -- reading ----------------------------------------------------------------------------------------------------------


def read_images(values: pa.Array, frame: Frame, origin: Origin) -> Found:
    """Read raw values of any Arrow type. Nulls are neither found nor problems."""
    shape = tensor_shape(values.type)
    if shape is not None:
        return _read_tensors(values, shape, frame)
    if _is_list(values.type):
        lengths = pc.list_value_length(values)
        flat = not pa.types.is_nested(values.type.value_type) and not values.null_count and len(lengths.unique()) == 1
        if flat and lengths[0].as_py() and tensor_shape(pa.list_(values.type.value_type, 1)):
            size = lengths[0].as_py()
            return _read_tensors(pa.FixedSizeListArray.from_arrays(values.flatten(), size), (size,), frame)
        return _read_lists(values, frame) if _holds_numbers(values.type) else _no_images(values, NOT_NUMBERS, frame)
    return _read_encoded(_file_struct(values), frame, origin)


def _no_images(values: pa.Array, what: str, frame: Frame) -> Found:
    """Every value is the same problem."""
    present = np.flatnonzero(np.asarray(values.is_valid()))
    return Found(present[:0], np.empty((0, *frame.shape), np.uint8), dict.fromkeys(present.tolist(), what))


def _wanted(frame: Frame) -> str:
    H, W, C = frame.shape
    return f"expected (height, width), (height, width, channels) or {H}·{W}·{C} = {H * W * C} numbers"


def _layout(shape: tuple[int, ...], frame: Frame) -> tuple[tuple[int, int, int], bool] | None:
    if len(shape) != 1:
        return lay_out(shape)
    H, W, C = frame.shape
    return next((((H, W, c), False) for c in (C, 1, 3) if shape[0] == H * W * c), None)


def _read_tensors(values: pa.Array, shape: tuple[int, ...], frame: Frame) -> Found:
    pixels, positions, problems = from_tensors(values)
    layout = _layout(shape, frame)
    if layout is None:
        what = f"an array of shape {shape}; {_wanted(frame)}"
        return Found(
            positions[:0], np.empty((0, *frame.shape), np.uint8), dict.fromkeys(positions.tolist(), what) | problems
        )
    laid, channels_first = layout
    shaped = pixels.transpose(0, 2, 3, 1) if channels_first else pixels.reshape(len(pixels), *laid)
    coloured = recolour(shaped, frame.channels, frame.background)
    if laid[:2] == (frame.height, frame.width):
        return Found(positions, coloured, problems)
    fitted = np.empty((len(pixels), *frame.shape), np.uint8)

    def fit(row: int) -> None:
        fitted[row] = fit_pixels(coloured[row], frame)

    _in_threads(len(pixels), fit)
    return Found(positions, fitted, problems)


def _read_lists(values: pa.Array, frame: Frame) -> Found:
    """Lists that are nested, uneven or missing here and there, row by row."""
    positions: list[int] = []
    fitted: list[Pixels] = []
    problems: dict[int, str] = {}
    for row, item in enumerate(values.to_pylist()):
        if item is None:
            continue
        pixels, what = from_list(item)
        layout = None if pixels is None else _layout(pixels.shape, frame)
        if pixels is None or layout is None:
            problems[row] = what if pixels is None else f"a list of shape {pixels.shape}; {_wanted(frame)}"
            continue
        shaped = pixels.transpose(1, 2, 0) if layout[1] else pixels.reshape(layout[0])
        fitted.append(fit_pixels(recolour(shaped[None], frame.channels, frame.background)[0], frame))
        positions.append(row)
    stacked = np.stack(fitted) if fitted else np.empty((0, *frame.shape), np.uint8)
    return Found(np.array(positions, np.int64), stacked, problems)


def _read_encoded(values: pa.Array, frame: Frame, origin: Origin) -> Found:
    """Decode in threads: Pillow lets go of the interpreter's lock while it decodes and resizes."""
    pixels = np.zeros((len(values), *frame.shape), np.uint8)
    present = np.zeros(len(values), bool)
    problems: dict[int, str] = {}
    notes: list[tuple[str, ...]] = [()] * len(values)

    def work(row: int) -> None:
        try:
            content, name = _content(values[row], origin)
            if content is None:
                return
            pixels[row], notes[row] = _decode(content, name, frame, origin.max_pixels)
            present[row] = True
        except DataError as error:
            problems[row] = str(error)

    _in_threads(len(values), work)
    positions = np.flatnonzero(present)
    complete = len(positions) == len(values)
    noted = {row: said for row, said in enumerate(notes) if said}
    return Found(positions, pixels if complete else pixels[positions], dict(sorted(problems.items())), noted)


def _decode(content: bytes, name: str, frame: Frame, max_pixels: int) -> tuple[Pixels, tuple[str, ...]]:
    try:
        decoded = decode(content, frame, max_pixels)
    except DataError as error:
        raise DataError(f"{short_name(name) or f'{len(content)} bytes'}: {error}") from error
    promised = ENDINGS.get(_ending(name), decoded.format)
    mislabelled = () if promised == decoded.format else (f"named {promised}, is {decoded.format}",)
    return decoded.pixels, decoded.notes + mislabelled


def _content(value: pa.Scalar, origin: Origin) -> tuple[bytes | None, str]:
    """Return the encoded image behind a raw value, and its path if it has one; None when there is none.

    Raises:
        DataError: Its file cannot be read, or it is no kind of value that has one.
    """
    expected = f"({value.type}); expected an image file's path, its bytes, or an array of pixels"
    try:
        item, name = value.as_py(), ""
    except (OverflowError, ValueError) as error:  # a moment before the year 1 or after 9999, text that is not UTF-8
        raise DataError(f"got a value that cannot be shown {expected}") from error
    if isinstance(item, dict) and {"bytes", "path"} & item.keys():
        name = str(item.get("path") or "")
        item = item["bytes"] if item.get("bytes") is not None else item.get("path")
    if item is None or isinstance(item, bytes):
        return item, name
    if isinstance(item, str):
        return load_bytes(item, origin.folder, origin.max_pixels * _BYTES_PER_PIXEL, origin.urls), item
    shown = repr(item)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}…"
    raise DataError(f"got {shown} {expected}")


def _in_threads(count: int, work: Callable[[int], None]) -> None:
    """Call `work` with 0 … count − 1, in as many threads as there are cores when a call takes long enough to gain."""

    def block(start: int) -> None:
        for row in range(start, min(start + _BLOCK, count)):
            work(row)

    tried = min(_TRIED, count)
    started = time.perf_counter()
    for row in range(tried):
        work(row)
    slow = time.perf_counter() - started > tried * _WORTH_A_THREAD
    starts = range(tried, count, _BLOCK)
    threads = min(os.cpu_count() or 1, len(starts))
    if threads > 1 and slow:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(block, starts):
                pass
        return
    for start in starts:
        block(start)
