"""Personal data in texts: addresses, phone, card and identity numbers, counted and located, never shown.

Three sieves, each finer: bytes counted as whole arrays (an @, enough digits, dots or colons), then patterns run by
Arrow over the texts that are left, then patterns and checksums one text at a time over what is left of those.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.data.gate.check import Check, Found, RowIndex
from modelyard.data.gate.examined import Examined, Subject
from modelyard.data.gate.finding import Finding, Policy
from modelyard.data.gate.identity_numbers import IDENTITY_NUMBERS
from modelyard.data.gate.text_bytes import per_row, text_bytes
from modelyard.data.gate.words import count, rows_of
from modelyard.data.split import SPLITS

__all__ = ["KINDS", "PersonalData", "find_personal"]

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

_KEPT = 100_000
_NAMED = 100

_EMAIL = re.compile(
    r"(?<![\w.+%-])[A-Za-z0-9_%+-][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}"
    r"[A-Za-z]{2,24}(?![\w-])",
    re.ASCII,
)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])", re.ASCII)
_VERSION = re.compile(r"(?:\bv|version|release|build|firmware)[ .:=]{0,3}$", re.IGNORECASE)

_BEFORE, _AFTER = r"(?<![\w.,+/-])", r"(?![\w/]|[.,-]\d)"
_PHONES = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        # International: + and 8 to 15 digits.
        r"(?<![\w+])\+[1-9](?:[ .()/-]{0,2}\d){7,14}(?![\d])",
        r"(?<![\w+.,-])00[1-9]\d{0,2}[ ./-]\(?\d{1,4}\)?(?:[ ./-]\d{2,5}){2,4}(?![\w])",
        # North America: 212-555-0123, (212) 555-0123, 1.212.555.0123; neither part begins with 0 or 1.
        rf"{_BEFORE}(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d(?P<n>[ .-]))[2-9]\d\d(?(n)(?P=n)|[ .-])\d{{4}}{_AFTER}",
        # France, Belgium and others: 01 23 45 67 89.
        rf"{_BEFORE}0[1-9](?P<f>[ .-])\d\d(?P=f)\d\d(?P=f)\d\d(?P=f)\d\d{_AFTER}",
        # United Kingdom, Italy, Australia and others: 020 7946 0958, 07700 900123, (02) 1234 5678.
        rf"{_BEFORE}(?:0[1-9]\d{{1,3}}|\(0[1-9]\d{{0,3}}\)) \d{{3,4}} \d{{3,4}}{_AFTER}",
        rf"{_BEFORE}0[1-9]\d{{3}} \d{{6}}{_AFTER}",
        # Germany, Austria: 030/1234567, 0171 1234567.
        rf"{_BEFORE}0[1-9]\d{{1,3}} ?[/ -] ?\d{{6,8}}{_AFTER}",
        # Japan: 03-1234-5678, 090-1234-5678.
        rf"{_BEFORE}0\d{{1,3}}-\d{{3,4}}-\d{{4}}{_AFTER}",
        # China: mobile numbers, 138 1234 5678 or without blanks.
        rf"{_BEFORE}1[3-9]\d(?P<c>[ -]?)\d{{4}}(?P=c)\d{{4}}{_AFTER}",
        # Brazil: (11) 91234-5678. India: 98765 43210.
        rf"{_BEFORE}\(\d\d\) ?9?\d{{4}}-\d{{4}}{_AFTER}",
        rf"{_BEFORE}[6-9]\d{{4}} \d{{5}}{_AFTER}",
    )
)
_NUMBERS = len(IDENTITY_NUMBERS)
KINDS: tuple[tuple[str, str], ...] = (
    *((number.name, number.plural) for number in IDENTITY_NUMBERS),
    ("e-mail address", "e-mail addresses"),
    ("IP address", "IP addresses"),
    ("phone number", "phone numbers"),
)
"""All that is looked for, one and several of it."""
_MAIL, _IP, _PHONE = _NUMBERS, _NUMBERS + 1, _NUMBERS + 2

# What the second sieve, which has neither lookaround nor checksums, lets through.
_MAYBE_MAIL = r"[A-Za-z0-9_%+-]@[A-Za-z0-9-]+\.[A-Za-z0-9]"
_MAYBE_IP = r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*[0-9]|::[0-9A-Fa-f]"
_MAYBE_NUMBER = r"(?:[0-9][ .()/-]{0,3}){7}|[A-Z]{6}[0-9]{2}[A-Z][0-9]{2}[A-Z]|[0-9]{2} ?[A-Z]{2,6}(?: ?[0-9]){6}"

_MARKS = str.maketrans("", "", " .-/")


def find_personal(text: str) -> list[int]:
    """Return the kind (a position in `KINDS`) of each piece of personal data in a text, by kind."""
    return _pieces(text, mails=True, addresses=True, numbers=True)


def _pieces(text: str, mails: bool, addresses: bool, numbers: bool) -> list[int]:
    """Return the kind of each piece; a place in the text counts for the first kind that fits it."""
    taken = bytearray(len(text))
    pieces = []
    for kind, (start, end) in _candidates(text, mails, addresses, numbers):
        if not any(taken[start:end]):
            taken[start:end] = b"\1" * (end - start)
            pieces.append(kind)
    return sorted(pieces)


def _candidates(text: str, mails: bool, addresses: bool, numbers: bool) -> Iterator[tuple[int, tuple[int, int]]]:
    if mails:
        for match in _EMAIL.finditer(text):
            if ".." not in match[0] and ".@" not in match[0]:
                yield _MAIL, match.span()
    if numbers:
        for kind, number in enumerate(IDENTITY_NUMBERS):
            for match in number.pattern.finditer(text):
                if number.valid(match[0].translate(_MARKS)):
                    yield kind, match.span()
    if addresses:
        for pattern in (_IPV4, _IPV6):
            for match in pattern.finditer(text):
                before = text[max(match.start() - 12, 0) : match.start()]
                if _is_address(match[0]) and not _VERSION.search(before):
                    yield _IP, match.span()
    if numbers:
        for phone in _PHONES:
            for match in phone.finditer(text):
                digits = [character for character in match[0] if character.isdigit()]
                if 8 <= len(digits) <= 15 and len(set(digits)) > 2:
                    yield _PHONE, match.span()


def _is_address(text: str) -> bool:
    """Leave out what is no address of anybody: not valid, this machine, nobody, everybody."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.version == 6 and not any(character.isdigit() for character in text):
        return False  # names of program code, such as a::b
    return not (address.is_loopback or address.is_unspecified or address.is_multicast or text == "255.255.255.255")


@dataclass
class _Column:
    """What was found in one column."""

    rows: int = 0
    by_split: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(SPLITS), np.int64))
    rows_with: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(KINDS), np.int64))
    """Rows, by kind."""
    pieces: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(KINDS), np.int64))
    """Pieces, by kind."""
    numbers: list[Numbers] = field(default_factory=list)
    """Numbers of the rows: the first of them, or all when they are to be dropped."""
    words: dict[int, str] = field(default_factory=dict)


class PersonalData(Check):
    """E-mail and IP addresses, phone, card and identity numbers in columns of text."""

    name = "personal_data"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "drop", "error")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        columns = [modality.column for modality in subject.modalities if modality.name == "text"]
        self._columns = {column: _Column() for column in columns}
        self._all = subject.spec.data.checks.get(self.name) == "drop"

    def observe(self, chunk: Examined) -> None:
        for column, state in self._columns.items():
            texts = chunk.read[column]
            rows = np.flatnonzero((chunk.codes >= 0) & np.asarray(texts.is_valid()))
            if len(rows) < len(texts):
                texts = texts.take(pa.array(rows))
            self._look(state, texts, rows, chunk)

    def _look(self, state: _Column, texts: pa.Array, rows: Numbers, chunk: Examined) -> None:
        mails, addresses, numbers = _suspects(texts)
        suspects = np.flatnonzero(mails | addresses | numbers)
        found: list[int] = []
        for at, text in zip(suspects.tolist(), texts.take(pa.array(suspects)).to_pylist(), strict=True):
            pieces = _pieces(text, bool(mails[at]), bool(addresses[at]), bool(numbers[at]))
            if not pieces:
                continue
            counts = np.bincount(pieces, minlength=len(KINDS))
            state.pieces += counts
            state.rows_with += counts > 0
            found.append(int(rows[at]))
            if len(state.words) < _NAMED:
                state.words[int(rows[at]) + chunk.number] = _said(counts.tolist())
        if not found:
            return
        chosen = np.array(found)
        before = state.rows
        state.rows += len(chosen)
        state.by_split += np.bincount(chunk.codes[chosen], minlength=len(SPLITS))
        kept = chosen if self._all else chosen[: max(_KEPT - before, 0)]
        state.numbers.append(kept + chunk.number)

    def finish(self, index: RowIndex) -> list[Found]:
        return [self._found(column, state, index) for column, state in self._columns.items() if state.rows]

    def _found(self, column: str, state: _Column, index: RowIndex) -> Found:
        used = int((np.asarray(index.codes) >= 0).sum())
        kinds = {
            KINDS[kind][0]: {"rows": int(state.rows_with[kind]), "pieces": int(state.pieces[kind])}
            for kind in np.flatnonzero(state.pieces).tolist()
        }
        finding = Finding(
            self.name,
            "note",
            f"{rows_of(state.rows, used)} of {column!r} hold personal data: {_said(state.pieces.tolist())}",
            "A model may repeat what it was trained on, and whoever gets the data or the model gets these too. Numbers "
            "are told by their form and, where they have one, their checksum.",
            state.rows,
            [column],
            setting=f"data.checks.{self.name}={'keep' if self._all else 'drop'}",
            details={
                "kinds": kinds,
                **{split: int(state.by_split[code]) for code, split in enumerate(SPLITS) if state.by_split[code]},
            },
        )
        numbers = np.concatenate(state.numbers)
        complete = len(numbers) == state.rows
        return Found(finding, numbers[:_KEPT], numbers if complete else None, dict(state.words))

    def state(self) -> Mapping[str, Any]:
        return {
            column: {
                "rows": found.rows,
                "by_split": found.by_split.copy(),
                "rows_with": found.rows_with.copy(),
                "pieces": found.pieces.copy(),
                "numbers": np.concatenate([np.empty(0, np.int64), *found.numbers]),
                "words": [[number, words] for number, words in found.words.items()],
            }
            for column, found in self._columns.items()
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        for column in self._columns:
            given = state[column]
            self._columns[column] = _Column(
                int(given["rows"]),
                np.array(given["by_split"], np.int64),
                np.array(given["rows_with"], np.int64),
                np.array(given["pieces"], np.int64),
                [np.asarray(given["numbers"], np.int64)],
                {int(number): str(words) for number, words in given["words"]},
            )


def _said(counts: Sequence[int]) -> str:
    """Return `2 e-mail addresses, 1 phone number`, the most frequent first."""
    order = sorted((kind for kind, number in enumerate(counts) if number), key=lambda kind: (-counts[kind], kind))
    return ", ".join(count(counts[kind], *KINDS[kind]) for kind in order)


def _suspects(texts: pa.Array) -> tuple[Mask, Mask, Mask]:
    """Return which texts may hold e-mail addresses, IP addresses, and numbers."""
    data, offsets = text_bytes(texts)
    rows = len(texts)
    mails, addresses, numbers = (np.zeros(rows, bool) for _ in range(3))
    if not len(data):
        return mails, addresses, numbers
    digit = (data - np.uint8(48)) < 10  # wraps around below "0"
    mails = _matching(texts, per_row(data == ord("@"), offsets) > 0, _MAYBE_MAIL)
    dotted = np.zeros(len(data), bool)
    dotted[1:-1] = (data[1:-1] == ord(".")) & digit[:-2] & digit[2:]
    colons = data == ord(":")
    double = np.zeros(len(data), bool)
    double[1:] = colons[1:] & colons[:-1]
    some = (per_row(dotted, offsets) >= 3) | (per_row(double, offsets) > 0) | (per_row(colons, offsets) >= 7)
    addresses = _matching(texts, some, _MAYBE_IP)
    numbers = _matching(texts, per_row(digit, offsets) >= 7, _MAYBE_NUMBER)
    return mails, addresses, numbers


def _matching(texts: pa.Array, mask: Mask, pattern: str) -> Mask:
    """Return which of the marked texts match as well."""
    at = np.flatnonzero(mask)
    if len(at):
        matched = pc.match_substring_regex(texts.take(pa.array(at)), pattern)
        mask[at] = matched.to_numpy(zero_copy_only=False)
    return mask
