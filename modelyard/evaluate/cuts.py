"""Ways to cut rows by the values of one column: by value, by quantile, by length, by word, by brightness, by date.

Which way follows from the Arrow type of the values, as a modality reads them or, for columns that are no input, as the
file has them: numbers, text, sets of labels, pixels, times. Other types (bytes, structs, vectors) are not cut.

Legend: n rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.data.modalities.base import Modality
from modelyard.data.modalities.numerals import parse
from modelyard.data.modalities.reading import MISSING, as_text, flat, is_text, present_text

__all__ = ["MISSING_VALUE", "Cut", "cut", "keep_for_cuts"]

MISSING_VALUE = "missing"
_BINS = 5
_FEW_NUMBERS = 12
_MOST_VALUES = 50
_MOST_WORDS = 200
_LONGEST_TEXT = 400
_LONGEST_VALUE = 60
_WORD = re.compile(r"[^\W\d_\u3040-\u30ff\u3400-\u9fff]{2,}|[\u3040-\u30ff\u3400-\u9fff]")

Codes = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Cut:
    """Disjoint sets of rows."""

    column: str
    codes: Codes
    """The number of each row's set, (n,); -1 where it is in none."""
    values: tuple[str, ...]
    """The sets as a person reads them."""


def keep_for_cuts(modality: Modality | None) -> Callable[[pa.Array, str], pa.Array]:
    """Return what brings a chunk of a column to the little that `cut` needs.

    Args:
        modality: Reads the values; None for a column that is neither input nor target.
    """

    def keep(raw: pa.Array, folder: str) -> pa.Array:
        if modality is not None:
            return _reduced(modality.read(raw, folder).values, read=True)
        return _reduced(flat(raw), read=False)

    return keep


def cut(column: str, kept: pa.Array, at_least: int = 1) -> list[Cut]:
    """Return the ways to cut rows by a column; none for a column whose type is not cut.

    Args:
        column: Its name.
        kept: What `keep_for_cuts` kept of it, (n,).
        at_least: Words and rare values that fewer rows have are not looked at.
    """
    kind = kept.type
    if pa.types.is_floating(kind):
        return [_by_number(column, kept.to_numpy(zero_copy_only=False))]
    if pa.types.is_timestamp(kind):
        return _by_date(column, kept)
    if pa.types.is_list(kind):
        return _by_label(column, kept, at_least)
    if pa.types.is_struct(kind) and kind.num_fields and kind.field(0).name == "brightness":
        return [
            Cut(column, codes.codes, tuple(f"{name} {value}" for value in codes.values))
            for name in ("brightness", "contrast")
            for codes in [_by_number(column, _numbers(pc.struct_field(kept, name)))]
        ]
    if pa.types.is_struct(kind):
        texts, lengths = kept.flatten()
        found = _by_meaning(column, texts) if kind.field(0).name == "written" else []
        return found or _by_text(column, texts, lengths, at_least)
    return []


def _reduced(values: pa.Array, read: bool) -> pa.Array:
    """Numbers as float64; times as seconds; text as its beginning and its length; pixels as brightness and contrast."""
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType):
        return pa.nulls(len(values))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return values.cast(pa.float64(), safe=False)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return values.cast(pa.timestamp("us")).cast(pa.timestamp("s"), safe=False)
    if read and pa.types.is_fixed_size_list(kind) and kind.value_type == pa.uint8() and kind.list_size:
        return _light(values)
    if pa.types.is_list(kind) and is_text(kind.value_type):
        return values
    if is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind):
        texts = present_text(as_text(values)[0], MISSING)
        head = pc.utf8_slice_codeunits(texts, 0, _LONGEST_TEXT).cast(pa.string())
        # what a modality reads as text is meant as text, though its words may look like numbers
        names = ["text" if read else "written", "length"]
        return pa.StructArray.from_arrays([head, pc.utf8_length(texts).cast(pa.int64())], names)
    return pa.nulls(len(values))


def _light(values: pa.Array) -> pa.Array:
    mean = np.full(len(values), np.nan)
    deviation = np.full(len(values), np.nan)
    present = np.flatnonzero(np.asarray(values.is_valid()))
    block = max(1, (1 << 24) // values.type.list_size)
    for start in range(0, len(present), block):
        rows = present[start : start + block]
        pixels = values.take(pa.array(rows)).flatten().to_numpy().reshape(len(rows), -1)
        mean[rows], deviation[rows] = pixels.mean(axis=1), pixels.std(axis=1)
    parts = [pa.array(part, from_pandas=True) for part in (mean, deviation)]
    return pa.StructArray.from_arrays(parts, ["brightness", "contrast"])


# -- numbers ----------------------------------------------------------------------------------------------------------


def _by_number(column: str, numbers: npt.NDArray[np.float64]) -> Cut:
    """By value when few differ, else by quantiles; missing ones on their own."""
    present = np.isfinite(numbers)
    distinct = np.unique(numbers[present])
    if len(distinct) <= _FEW_NUMBERS:
        codes = np.searchsorted(distinct, np.where(present, numbers, 0)).astype(np.int16)
        values = [_written(value) for value in distinct]
    else:
        edges = np.unique(np.quantile(numbers[present], np.linspace(0, 1, _BINS + 1)[1:-1], method="lower"))
        codes = np.searchsorted(edges, np.where(present, numbers, 0), side="left").astype(np.int16)
        values = _ranges(distinct, edges)
    codes[~present] = len(values) if len(distinct) else 0
    return Cut(column, codes, (*values, MISSING_VALUE))


def _ranges(distinct: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> list[str]:
    """Name each bin by the smallest and the largest number in it."""
    starts = np.concatenate([[0], np.searchsorted(distinct, edges, side="right")])
    stops = np.concatenate([starts[1:], [len(distinct)]])
    named = []
    for start, stop in zip(starts, stops, strict=True):
        low, high = distinct[min(start, len(distinct) - 1)], distinct[max(stop - 1, 0)]
        named.append(_written(low) if low == high else f"{_written(low)} … {_written(high)}")
    return named


def _written(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"


def _numbers(values: pa.Array) -> npt.NDArray[np.float64]:
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)


# -- text -------------------------------------------------------------------------------------------------------------


def _by_meaning(column: str, texts: pa.Array) -> list[Cut]:
    """By number or by date, where a file's text is nearly all numbers, or all dates."""
    present = len(texts) - texts.null_count
    if pc.count_distinct(texts).as_py() <= _FEW_NUMBERS:
        return []
    numbers = parse(texts)
    if np.isfinite(numbers).sum() >= 0.95 * present:
        return [_by_number(column, numbers)]
    times = _times(texts)
    return [] if times is None else _by_date(column, times)


def _by_text(column: str, texts: pa.Array, lengths: pa.Array, at_least: int) -> list[Cut]:
    """By value; and by length and by the words in them, where most values do not repeat."""
    encoded = texts.dictionary_encode()
    count = len(encoded.dictionary)
    present = len(texts) - texts.null_count
    codes = np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
    by_value = _most_frequent(column, codes, encoded.dictionary.to_pylist(), at_least)
    if count <= _MOST_VALUES or present <= 2 * _repeats(codes, at_least):
        return [by_value]
    length = _by_number(column, _numbers(lengths.cast(pa.float64())))
    named = tuple(value if value == MISSING_VALUE else f"{value} characters" for value in length.values)
    return [by_value, Cut(column, length.codes, named), *_by_word(column, texts, at_least)]


def _repeats(codes: npt.NDArray[np.int64], at_least: int) -> int:
    """Return how many rows have a value that at least so many rows share."""
    counts = np.bincount(codes[codes >= 0])
    return int(counts[counts >= max(at_least, 2)].sum())


def _most_frequent(column: str, codes: npt.NDArray[np.int64], names: Sequence[str], at_least: int) -> Cut:
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    chosen = np.argsort(-counts, kind="stable")[:_MOST_VALUES]
    chosen = chosen[counts[chosen] >= at_least]
    place = np.full(len(names) + 1, -1, np.int16)
    place[chosen] = np.arange(len(chosen))
    place[-1] = len(chosen)  # code -1 is a missing value
    shown = [
        names[code] if len(names[code]) <= _LONGEST_VALUE else names[code][:_LONGEST_VALUE] + "…" for code in chosen
    ]
    return Cut(column, place[codes], (*shown, MISSING_VALUE))


def _by_word(column: str, texts: pa.Array, at_least: int) -> list[Cut]:
    """One cut for each frequent word (in scripts without spaces: each character) that not most of the texts have."""
    known: dict[str, int] = {}
    ids, sizes = [], []
    for text in texts.to_pylist():
        words = set(_WORD.findall(text.lower())) if text else set()
        ids.extend([known.setdefault(word, len(known)) for word in words])
        sizes.append(len(words))
    if not known:
        return []
    return _by_member(column, np.array(ids), np.array(sizes), list(known), at_least, "contains “{}”")


def _by_label(column: str, lists: pa.Array, at_least: int) -> list[Cut]:
    encoded = lists.flatten().dictionary_encode()
    sizes = _numbers(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
    ids = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)
    members = _by_member(column, ids, sizes, encoded.dictionary.to_pylist(), at_least, "has “{}”") if len(ids) else []
    empty = np.where(np.asarray(lists.is_null()), 1, np.where(sizes == 0, 0, -1)).astype(np.int16)
    return [Cut(column, empty, ("no label", MISSING_VALUE)), *members]


def _by_member(
    column: str,
    ids: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    names: Sequence[str],
    at_least: int,
    words: str,
) -> list[Cut]:
    rows = np.repeat(np.arange(len(sizes)), sizes)
    counts = np.bincount(ids, minlength=len(names))
    order = sorted(range(len(names)), key=lambda index: (-counts[index], names[index]))
    chosen = [index for index in order if at_least <= counts[index] <= len(sizes) // 2][:_MOST_WORDS]
    by_id = np.argsort(ids, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)])
    cuts = []
    for index in chosen:
        codes = np.full(len(sizes), -1, np.int16)
        codes[rows[by_id[starts[index] : starts[index + 1]]]] = 0
        cuts.append(Cut(column, codes, (words.format(names[index]),)))
    return cuts


# -- times ------------------------------------------------------------------------------------------------------------


def _times(texts: pa.Array) -> pa.Array | None:
    """Return texts that are all ISO dates or times as such."""
    if not pc.all(pc.match_substring_regex(texts, r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?$")).as_py():
        return None
    try:
        return texts.cast(pa.timestamp("s"))
    except pa.ArrowInvalid:  # such as the 31st of February: no date after all
        return None


_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _by_date(column: str, times: pa.Array) -> list[Cut]:
    """By year, month and weekday, and by hour when there is any but 0."""
    parts: list[tuple[pa.Array, Callable[[int], str]]] = [
        (pc.year(times), lambda year: f"year {year}"),
        (pc.month(times), lambda month: f"month {month}"),
        (pc.day_of_week(times), lambda day: _WEEKDAYS[day]),
        (pc.hour(times), lambda hour: f"hour {hour}"),
    ]
    cuts = []
    for values, name in parts:
        numbers = _numbers(values.cast(pa.float64()))
        present = np.isfinite(numbers)
        distinct = np.unique(numbers[present])
        if len(distinct) < 2:
            continue
        codes = np.searchsorted(distinct, np.where(present, numbers, 0)).astype(np.int16)
        codes[~present] = len(distinct)
        cuts.append(Cut(column, codes, (*(name(int(value)) for value in distinct), MISSING_VALUE)))
    return cuts
