"""Which modality a column's values suggest. Number, category, labels and text are weighed here: their claims agree.

A claim of at most 0.1 says that the column is better not used as an input.
"""

from __future__ import annotations

import re
import weakref
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.data.modalities.base import Guess
from modelyard.data.modalities.numerals import parse, typed
from modelyard.data.modalities.reading import MISSING, as_text, flat, is_text, present_text

__all__ = ["category", "labels", "number", "text"]

_MISSING_BUT_DASH = tuple(marker for marker in MISSING if marker != "-")
_UNUSED = 0.05
_ENOUGH = 0.95  # share of the present values that must fit
_CURRENCIES = ("%", "$", "€", "£", "¥", "₹")
_IMAGE = r"(?i)\.(png|jpe?g|gif|bmp|webp|tiff?)$"
_IDENTIFIER = re.compile(
    r"(?i:(^|[_\s.-])(id|ids|uuid|guid|key|index|idx|rowid|row_?(id|number))$)|[a-z]I[Dd]$|^(编号|序号)$"
)
_CODE = re.compile(
    r"(?i)(^|[_\s.-])(zip|zip_?code|post_?code|postal|postal_?code|plz|phone|telephone|fips|isbn)$|^(邮编|电话)$"
)


def number(values: pa.Array, column: str) -> Guess | None:
    """Claim a column for `number`."""
    facts = _Facts.of(values, column)
    if facts is None or facts.numbers is None:
        return None
    return Guess(_weigh_number(facts)[0], facts.numeric_reason, facts.number_settings)


def category(values: pa.Array, column: str) -> Guess | None:
    """Claim a column for `category`."""
    facts = _Facts.of(values, column)
    if facts is None or facts.is_time or facts.present_texts is None:
        return None
    if pa.types.is_dictionary(values.type):
        return Guess(0.97, f"stored as a dictionary of {_count(facts.distinct, 'value')}")
    if facts.numbers is not None:
        return Guess(_weigh_number(facts)[1], facts.numeric_reason)
    settings = {}
    if pc.any(pc.equal(facts.present_texts, "+")).as_py():  # beside "+", "-" is a value
        facts = _Facts.of(values, column, _MISSING_BUT_DASH) or facts
        settings["missing"] = list(_MISSING_BUT_DASH)
    return Guess(_weigh_text(facts)[0], facts.text_reason, settings)


def text(values: pa.Array, column: str) -> Guess | None:
    """Claim a column for `text`."""
    facts = _Facts.of(values, column)
    if facts is None or facts.is_time or facts.numbers is not None or facts.present_texts is None:
        return None
    return Guess(_weigh_text(facts)[1], facts.text_reason)


def labels(values: pa.Array, column: str) -> Guess | None:
    """Claim a column for `labels`: lists, lists written as text, and short values that recombine around a separator."""
    plain = flat(values)
    if pa.types.is_list(plain.type) or pa.types.is_large_list(plain.type) or pa.types.is_fixed_size_list(plain.type):
        inner = flat(plain.flatten())
        if not len(inner) or pa.types.is_floating(inner.type) or as_text(inner)[1]:
            return None
        different = pc.count_distinct(inner).as_py()
        score = 0.95 if different <= max(20, len(inner) // 2) else 0.4
        return Guess(score, f"lists of {_count(different, 'different label')} in {_count(len(values), 'row')}")
    facts = _Facts.of(values, column)
    if facts is None or not is_text(plain.type) or facts.numbers is not None or facts.present_texts is None:
        return None
    texts = facts.present_texts
    listed = _share(pc.match_substring_regex(texts, r"^\[.*\]$"))
    if listed >= _ENOUGH:
        return Guess(0.9, f"{listed:.0%} of the values are written as lists")
    for separator, score, recurring in (("|", 0.92, 0.6), (";", 0.92, 0.5), (",", 0.91, 0.2)):
        found = _recombining(texts, separator, recurring)
        if found is not None:
            reason = (
                f"{_count(found, 'short label')} recombine around {separator!r} in {_count(facts.distinct, 'value')}"
            )
            return Guess(score, reason, {"separator": separator})
    return None


@dataclass(frozen=True)
class _Facts:
    """What the guesses look at, for a column with at least one value."""

    column: str
    rows: int
    values: pa.Array
    texts: pa.Array | None
    """As text, without what counts as missing; None for types that are no text."""

    @classmethod
    def of(cls, values: pa.Array, column: str, missing: tuple[str, ...] = MISSING) -> _Facts | None:
        """Look at a column; the modalities that are asked about it one after the other share what is found."""
        global _latest
        latest = _latest
        if latest is not None and latest[0]() is values and latest[1:3] == (column, missing):
            return latest[3]
        facts = cls._of(values, column, missing)
        _latest = weakref.ref(values), column, missing, facts
        return facts

    @classmethod
    def _of(cls, values: pa.Array, column: str, missing: tuple[str, ...]) -> _Facts | None:
        values = flat(values)
        texts, problems = as_text(values)
        facts = cls(column, len(values), values, None if problems else present_text(texts, missing))
        return facts if facts.present else None

    @cached_property
    def present_texts(self) -> pa.Array | None:
        return None if self.texts is None else self.texts.drop_null()

    @cached_property
    def present(self) -> int:
        values = self.values if self.texts is None else self.texts
        return len(values) - int(values.null_count)

    @cached_property
    def distinct(self) -> int:
        return int(pc.count_distinct(self.values if self.texts is None else self.present_texts).as_py())

    @property
    def unique(self) -> bool:
        return self.distinct == self.present and self.present > 1

    @property
    def is_time(self) -> bool:
        kind = self.values.type
        return bool(pa.types.is_temporal(kind) and not pa.types.is_interval(kind))

    @cached_property
    def _read(self) -> tuple[npt.NDArray[np.float64], dict[str, Any]] | None:
        numbers = typed(self.values)
        if numbers is not None:
            return numbers[np.isfinite(numbers)], {}
        if self.present_texts is None:
            return None
        texts = self.present_texts
        attempts: list[tuple[str, list[str]]] = [(".", []), (",", [])]
        attempts += [(".", [sign]) for sign in _CURRENCIES if _share(pc.match_substring(texts, sign)) >= _ENOUGH]
        head, allowed = texts[: len(texts) // 10], (1 - _ENOUGH) * len(texts) + 1
        for decimal, strip in attempts:
            if np.isnan(parse(head, decimal, strip)).sum() > allowed:
                continue  # whatever the others are, too few can be numbers
            found = parse(texts, decimal, strip)
            if np.isfinite(found).mean() >= _ENOUGH:
                settings = {**({"decimal": decimal} if decimal != "." else {}), **({"strip": strip} if strip else {})}
                return found[np.isfinite(found)], settings
        return None

    @property
    def numbers(self) -> npt.NDArray[np.float64] | None:
        return self._read[0] if self._read is not None and len(self._read[0]) else None

    @property
    def number_settings(self) -> dict[str, Any]:
        return {} if self._read is None else self._read[1]

    @cached_property
    def whole(self) -> bool:
        return self.numbers is not None and bool((self.numbers == np.trunc(self.numbers)).all())

    @property
    def looks_like_identifier(self) -> bool:
        if not self.unique:
            return False
        if _IDENTIFIER.search(self.column):
            return True
        unnamed = self.column in ("", "Unnamed: 0")
        return unnamed and self.whole and self.numbers is not None and bool((np.diff(self.numbers) == 1).all())

    @cached_property
    def has_leading_zeros(self) -> bool:
        if not is_text(self.values.type) or self.present_texts is None:
            return False
        return _share(pc.match_substring_regex(self.present_texts, r"^0\d+$")) > 0.01

    @cached_property
    def words(self) -> float:
        """Mean number of words; in scripts written without spaces every character counts as one."""
        pattern = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[^\s\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]+"
        return float(pc.mean(pc.count_substring_regex(self.present_texts, pattern)).as_py())

    @cached_property
    def length(self) -> float:
        return float(pc.mean(pc.utf8_length(self.present_texts)).as_py())

    @property
    def numeric_reason(self) -> str:
        assert self.numbers is not None
        low, high = self.numbers.min(), self.numbers.max()
        if pa.types.is_boolean(self.values.type):
            return f"true or false, {self.missing_words}"
        what = "whole number" if self.whole else "number"
        if self.is_time:
            return f"{_count(self.distinct, 'different time')}, read as seconds, {self.missing_words}"
        different = len(np.unique(self.numbers))
        said = f"{_count(different, f'different {what}')} from {low:.6g} to {high:.6g}, {self.missing_words}"
        unread = self.present - len(self.numbers)
        if unread:
            return f"{said}, {_count(unread, 'other value')} not readable as one"
        if self.looks_like_identifier:
            return f"{said}, no two alike and named like an identifier: not used as an input"
        if self.has_leading_zeros:
            return f"{said}, some with leading zeros as codes have"
        return said

    @property
    def text_reason(self) -> str:
        assert self.present_texts is not None
        if self.image_share > 0.5:
            return f"{self.image_share:.0%} of the values end like names of pictures"
        said = f"{_count(self.distinct, 'different value')} in {_count(self.rows, 'row')}, {self.words:.1f} words each"
        if self.looks_like_identifier:
            return f"{said}, no two alike and named like an identifier: not used as an input"
        return f"{said}, {self.missing_words}"

    @cached_property
    def image_share(self) -> float:
        return _share(pc.match_substring_regex(self.present_texts, _IMAGE))

    @property
    def missing_words(self) -> str:
        missing = self.rows - self.present
        return f"{missing} missing" if missing else "none missing"


def _weigh_number(facts: _Facts) -> tuple[float, float]:
    """Scores of (number, category) for a column of numbers."""
    assert facts.numbers is not None
    if pa.types.is_boolean(facts.values.type):
        return 0.3, 0.95
    if facts.looks_like_identifier:
        return _UNUSED, _UNUSED
    if facts.is_time:
        return 0.6, 0.0
    if facts.number_settings:
        return 0.9, 0.2
    if facts.has_leading_zeros or (facts.whole and (_CODE.search(facts.column) or _IDENTIFIER.search(facts.column))):
        return 0.3, 0.7
    if facts.whole and facts.distinct <= 2 and facts.present > 2:
        return 0.4, 0.8
    small = np.abs(facts.numbers).max() <= 100
    if facts.whole and facts.distinct <= 10 and facts.present >= 200 and small:
        return 0.5, 0.6
    return (0.95 if not is_text(facts.values.type) else 0.9), 0.2


def _weigh_text(facts: _Facts) -> tuple[float, float]:
    """Scores of (category, text) for a column of text."""
    if facts.image_share > 0.5:
        return 0.1, 0.1
    if facts.looks_like_identifier:
        return _UNUSED, _UNUSED
    share = facts.distinct / facts.present
    written = facts.words >= 4 or facts.length >= 25
    if share <= 0.1 or (facts.distinct <= 10 and share <= 0.5):
        return 0.9, (0.95 if facts.words >= 10 and facts.distinct > 20 else 0.3)
    if share <= 0.5:
        return 0.7, (0.75 if written else 0.3)
    return (0.35, 0.9) if written else (0.35, 0.5)


def _recombining(texts: pa.Array, separator: str, recurring: float) -> int | None:
    """Count the labels when the values are made of few, short ones around the separator; else None."""
    if _share(pc.match_substring(texts, separator)) < 0.05:
        return None
    pieces = pc.utf8_trim_whitespace(pc.split_pattern(texts, separator).flatten())
    pieces = pieces.filter(pc.not_equal(pieces, ""))
    different = pc.unique(pieces)
    if not len(different) or pc.max(pc.utf8_length(different)).as_py() > 40:
        return None
    values = pc.count_distinct(texts).as_py()
    return len(different) if len(different) <= recurring * len(pieces) and len(different) < values else None


def _share(mask: pa.Array) -> float:
    return float(pc.mean(pc.cast(mask, pa.uint8())).as_py() or 0.0)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


_latest: tuple[weakref.ref[pa.Array], str, tuple[str, ...], _Facts | None] | None = None
