"""JSON records one by one, from a stream of bytes: a line each, or the items of one list, in bounded memory."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from modelyard.core.errors import DataError
from modelyard.data.sources.files import Stream, clipped, recognise

__all__ = ["Record", "read_records", "record_lines"]

Record = dict[str, Any] | str
"""A JSON object, or what is wrong with the record."""

_READ = 1 << 20
_LONGEST = 64 << 20  # bytes of one record
_DEEPEST = 100
_SPACE = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_records(stream: Stream) -> Iterator[tuple[int, Record]]:
    """Yield each record with its size in bytes. Empty lines are no records.

    Raises:
        DataError: This is no JSON text, or a list's items cannot be told apart any further; names the place.
    """
    head = stream.read(_READ)
    for mark in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if head.startswith(mark):
            raise DataError(f"{stream.name} is UTF-16 or UTF-32; JSON is UTF-8 (RFC 8259). Convert the file to UTF-8")
    kind = recognise(head)
    if kind is not None:
        raise DataError(f"{stream.name} is not JSON: it looks like {kind}")
    head = head.removeprefix(codecs.BOM_UTF8)
    while not head.strip() and (more := stream.read(_READ)):
        head = more
    if head.lstrip().startswith(b"["):
        yield from _items(stream, head)
    else:
        yield from _lines(stream, head)


def record_lines(stream: Stream, positions: Sequence[int]) -> list[int] | None:
    """Return the line, from 1, of each record (positions rising) in a file of one object a line; None for a list.

    Reads no further than the last of them.
    """
    found: list[int] = []
    line, record, pending = 0, -1, b""
    is_first = True
    while len(found) < len(positions):
        block = stream.read(_READ)
        if is_first:
            block = block.removeprefix(codecs.BOM_UTF8)
        *whole, pending = (pending + block).split(b"\n")
        for text in whole if block else [pending]:
            line += 1
            if not text.strip():
                continue
            if is_first and text.lstrip().startswith(b"["):
                return None
            is_first = False
            record += 1
            if record == positions[len(found)]:
                found.append(line)
                if len(found) == len(positions):
                    return found
        if not block:
            raise DataError(
                f"{stream.name} has {record + 1:,} records; expected more than {positions[-1]:,}. Did it change?"
            )
    return found


class _Decoder:
    """Python's JSON decoder, with an eye on keys that come twice (of which it would silently take the last)."""

    def __init__(self) -> None:
        self._twice: str | None = None
        self._decoder = json.JSONDecoder(object_pairs_hook=self._object)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            self._twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        return found

    def decode(self, text: str, at: int) -> tuple[Any, int]:
        """Return the value at a place of the text and where it ends."""
        self._twice = None
        return self._decoder.raw_decode(text, at)

    def checked(self, value: Any, text: str, at: int, end: int) -> Record:
        """Return the value just decoded from `text[at:end]` if it is a record, else what is wrong with it."""
        if self._twice is not None:
            return f"the key {clipped(self._twice)} occurs twice in one object"
        if not isinstance(value, dict):
            return f"expected an object {{…}}, got {clipped(text[at:end])}"
        if text.find("\\u", at, end) >= 0 and _SURROGATE.search(text, at, end) and not _is_unicode(value):
            return "holds half of a surrogate pair (\\ud800 to \\udfff), which is no character"
        long = end - at > 2 * _DEEPEST
        if long and text.count("[", at, end) + text.count("{", at, end) > _DEEPEST and not _is_shallow(value):
            return f"is nested deeper than {_DEEPEST} levels"
        return value


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    except RecursionError:
        return True  # told by `_is_shallow`
    return True


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for item in level:
            parts = item.values() if isinstance(item, dict) else item
            inner += [part for part in parts if isinstance(part, dict | list)]
        if not inner:
            return True
        level = inner
    return False


# -- one object a line ------------------------------------------------------------------------------------------------


def _lines(stream: Stream, head: bytes) -> Iterator[tuple[int, Record]]:
    decoder = _Decoder()
    number, pending, skipping = 0, b"", False
    block = head
    while block:
        first, *others = block.split(b"\n")
        pending = b"" if skipping else pending + first
        skipping = skipping or len(pending) > _LONGEST
        for line in others:
            number += 1
            if skipping:
                yield 0, f"line {number}: is longer than {_LONGEST >> 20} MiB"
                skipping = False
            elif pending.strip():
                yield len(pending), _line(decoder, pending, number)
            pending = line
        block = stream.read(_READ)
    if skipping:
        yield 0, f"line {number + 1}: is longer than {_LONGEST >> 20} MiB"
    elif pending.strip():
        yield len(pending), _line(decoder, pending, number + 1)


def _line(decoder: _Decoder, line: bytes, number: int) -> Record:
    try:
        text = line.decode("utf-8").strip(" \t\r\n")
        value, end = decoder.decode(text, 0)
        if end < len(text):
            return f"line {number}: more follows behind the value: {clipped(text[end:])}"
        record = decoder.checked(value, text, 0, end)
    except UnicodeDecodeError as error:
        return f"line {number}: is not UTF-8 at byte {error.start} of the line"
    except json.JSONDecodeError as error:
        return f"line {number}: {error.msg} at character {error.pos}: {clipped(text[max(error.pos - 20, 0) :])}"
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; nested thousands of levels deep
        return f"line {number}: {error}"
    return f"line {number}: {record}" if isinstance(record, str) else record


# -- one list of objects ----------------------------------------------------------------------------------------------


class _Text:
    """A growing window on the text of a stream."""

    def __init__(self, stream: Stream, head: bytes) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._bytes = 0
        self._step = _READ
        self.ended = False
        self.text = ""
        self.at = 0
        self._add(head)

    def _add(self, block: bytes) -> None:
        try:
            decoded = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise DataError(f"{self._stream.name} is not UTF-8 near byte {self._bytes}: {error.reason}") from error
        self._bytes += len(block)
        self.ended = not block
        self.text = self.text[self.at :] + decoded
        self.at = 0

    def grow(self) -> None:
        """Read on, twice as much each time in a row, forgetting what stands before `at`."""
        if len(self.text) - self.at > _LONGEST:
            raise self.error(f"one item is longer than {_LONGEST >> 20} MiB, or a quote in it is never closed")
        self._add(self._stream.read(self._step))
        self._step *= 2

    def next(self) -> str:
        """Skip white space; return the character that comes then, empty at the end of the file."""
        while True:
            match = _SPACE.match(self.text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.text) or self.ended:
                self._step = _READ
                return self.text[self.at : self.at + 1]
            self.grow()

    def error(self, message: str, item: int | None = None) -> DataError:
        where = "" if item is None else f", item {item}"
        return DataError(
            f"{self._stream.name}{where}: {message}; expected one list of objects, [{{…}}, {{…}}], or one object a "
            "line. Nothing behind this place can be read"
        )


def _items(stream: Stream, head: bytes) -> Iterator[tuple[int, Record]]:
    window, decoder = _Text(stream, head), _Decoder()
    window.next()
    window.at += 1  # the opening bracket
    item = 0
    while True:
        found = window.next()
        if found == "]" and item == 0:
            break
        value, end = _item(window, decoder, item)
        record = decoder.checked(value, window.text, window.at, end)
        yield end - window.at, f"item {item}: {record}" if isinstance(record, str) else record
        window.at = end
        item += 1
        found = window.next()
        if found == "]":
            break
        if found != ",":
            raise window.error(
                f"got {clipped(window.text[window.at : window.at + 40]) if found else 'the end of the file'}", item
            )
        window.at += 1
    window.at += 1
    if window.next():
        raise window.error(f"more follows behind the list: {clipped(window.text[window.at : window.at + 40])}")


def _item(window: _Text, decoder: _Decoder, item: int) -> tuple[Any, int]:
    """Decode the value at the window, reading on while the text may just be cut."""
    while True:
        try:
            value, end = decoder.decode(window.text, window.at)
            if end < len(window.text) or window.ended:
                return value, end
        except json.JSONDecodeError as error:
            cut = error.pos >= len(window.text) - 16 or error.msg.startswith("Unterminated")
            if window.ended or not cut:
                excerpt = clipped(window.text[max(error.pos - 20, window.at) : error.pos + 40])
                raise window.error(f"{error.msg}: {excerpt}", item) from error
        except (ValueError, RecursionError) as error:
            raise window.error(str(error), item) from error
        window.grow()
