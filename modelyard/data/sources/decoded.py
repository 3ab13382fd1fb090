"""A text file as a stream of valid UTF-8, whatever its encoding; bytes that are no text are marked where they stand."""

from __future__ import annotations

import codecs

import numpy as np

from modelyard.core.errors import DataError
from modelyard.data.sources.files import Stream, recognise

__all__ = ["NO_TEXT", "Decoded", "check_encoding", "visible"]

NO_TEXT = "\0\x1a\0"
"""Stands in the stream for bytes that mean nothing in the file's encoding; no text holds it."""

_LF = 10
_BYTE_ORDER_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return NO_TEXT, error.end


codecs.register_error("modelyard.mark", _mark)


def visible(text: str) -> str:
    """Return text with the sign that Unicode has for unreadable bytes (U+FFFD) in place of `NO_TEXT`."""
    return text.replace(NO_TEXT, "\ufffd")


def check_encoding(name: str) -> str:
    """Return the name when Python knows a text encoding of that name.

    Raises:
        ValueError: It does not.
    """
    try:
        info = codecs.lookup(name)
        "".encode(name)  # LookupError for codecs between bytes, such as base64
    except (LookupError, UnicodeError, ValueError) as error:
        raise ValueError(f"unknown text encoding {name!r}; such as utf-8, latin-1, cp1252, gb18030, utf-16") from error
    if info.name in ("idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"):
        raise ValueError(f"{name!r} is not an encoding of text files; such as utf-8, latin-1, cp1252, gb18030, utf-16")
    return name


class Decoded:
    """The text behind a stream, as UTF-8 bytes without a byte order mark. What `push_back` was given is read again."""

    def __init__(self, stream: Stream, encoding: str | None) -> None:
        """Store the file's bytes and their encoding (None means UTF-8); reads nothing."""
        self._stream = stream
        self.encoding = encoding or "UTF-8"
        self._checks_mark = encoding is None
        self._decoder = codecs.getincrementaldecoder(encoding or "utf-8")("modelyard.mark")
        self._utf8 = codecs.lookup(encoding or "utf-8").name in ("utf-8", "utf-8-sig")
        self._pending = b""
        self._tail = b""
        self._bytes = 0
        self._ended = False
        self.has_nul = False
        """Whether a NUL character, and so perhaps `NO_TEXT`, was among what was read so far."""
        self.line_ends = 0
        """How many LF were read so far, what was pushed back counted again."""
        self.has_lone_returns = False
        """Whether a CR may have stood without an LF behind it."""
        self.ends_with_line_end = False
        """Whether LF was the last character of the file, as far as it was read."""
        self.closed = False

    def push_back(self, data: bytes) -> None:
        """Put bytes in front of what comes next."""
        self._pending = data + self._pending

    def append(self, tail: bytes) -> None:
        """Set what follows after the file's last byte."""
        self._tail = tail

    def readable(self) -> bool:
        """True: for callers that treat this as a Python file."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes of UTF-8, fewer only at the end (a character may be cut: the rest comes next).

        Raises:
            DataError: The file is damaged, or not in the encoding from its very start.
        """
        parts, have = [self._pending], len(self._pending)
        while have < size and not self._ended:
            part = self._next(size - have)  # no more: most often nothing is left over, and nothing is copied
            parts.append(part)
            have += len(part)
        if have < size:
            parts.append(self._tail)
            self._tail = b""
        filled = [part for part in parts if part]
        data = filled[0] if len(filled) == 1 else b"".join(filled)
        self._pending = data[size:]
        data = data[:size]
        # NumPy counts faster than `bytes.count`, and lets other threads run.
        self.line_ends += int(np.count_nonzero(np.frombuffer(data, np.uint8) == _LF))
        if b"\r" in data and not self.has_lone_returns:
            self.has_lone_returns = data.count(b"\r") != data.count(b"\r\n")
        return data

    def _next(self, size: int) -> bytes:
        raw = self._stream.read(size)
        if self._bytes == 0:
            self._check_mark(raw)
        plain = self._utf8 and raw.isascii() and not self._decoder.getstate()[0]
        data = raw if plain else self._decode(raw)
        if self._bytes == 0 and data.startswith(codecs.BOM_UTF8):
            data = data[len(codecs.BOM_UTF8) :]
        self._bytes += len(raw)
        self.has_nul = self.has_nul or b"\0" in data
        self._ended = not raw
        if data:
            self.ends_with_line_end = data.endswith(b"\n")
        return data

    def _decode(self, raw: bytes) -> bytes:
        try:
            return self._decoder.decode(raw, final=not raw).encode("utf-8")
        except UnicodeError as error:
            raise DataError(
                f"{self._stream.name} is not {self.encoding}: {error}. Say how the text is encoded with "
                "data.options.encoding (such as cp1252, latin-1, gb18030, utf-16), or convert the file to UTF-8"
            ) from error

    def _check_mark(self, raw: bytes) -> None:
        if not self._checks_mark:
            return
        mark = next((name for mark, name in _BYTE_ORDER_MARKS.items() if raw.startswith(mark)), None)
        if mark is not None:
            raise DataError(f"{self._stream.name} is {mark}, not UTF-8: set data.options.encoding: {mark}")
        kind = recognise(raw)
        if kind is not None and b"\0" in raw:
            raise DataError(f"{self._stream.name} is no text: it looks like {kind}")
