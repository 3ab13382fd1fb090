"""The words of a PDF that Chromium printed: enough of the format (ISO 32000) to read its own pages back."""

from __future__ import annotations

import re
import zlib

__all__ = ["words"]

_OBJECT = re.compile(rb"(\d+) 0 obj\b(.*?)endobj", re.DOTALL)
_STREAM = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.DOTALL)
_FONT = re.compile(rb"/(\w+) (\d+) 0 R")
_SHOWN = re.compile(rb"/(\w+) [\d.]+ Tf|<([0-9A-Fa-f]+)> Tj|\[(.*?)\] TJ", re.DOTALL)


def words(pdf: bytes) -> str:
    """Return the letters of all pages in the order they are drawn, without spaces: gaps are places, not letters."""
    objects = {int(number): body for number, body in _OBJECT.findall(pdf)}
    letters = []
    for body in objects.values():
        if b"/Type /Page\n" not in body and not re.search(rb"/Type\s*/Page\b", body):
            continue
        fonts = _fonts(body, objects)
        for number in _contents(body):
            letters.append(_shown(_unpacked(objects[number]), fonts))
    return "".join(letters)


def _contents(page: bytes) -> list[int]:
    found = re.search(rb"/Contents (\[[^\]]*\]|\d+ 0 R)", page)
    return [int(number) for number in re.findall(rb"(\d+) 0 R", found[1])] if found else []


def _fonts(page: bytes, objects: dict[int, bytes]) -> dict[bytes, dict[int, str]]:
    """What the numbers of a page's fonts mean, by the fonts' names."""
    found = re.search(rb"/Font\s*<<(.*?)>>", page, re.DOTALL)
    fonts = {}
    for name, number in _FONT.findall(found[1]) if found else ():
        unicode = re.search(rb"/ToUnicode (\d+) 0 R", objects[int(number)])
        fonts[name] = _meanings(_unpacked(objects[int(unicode[1])])) if unicode else {}
    return fonts


def _meanings(table: bytes) -> dict[int, str]:
    meanings = {}
    for block in re.findall(rb"beginbfchar(.*?)endbfchar", table, re.DOTALL):
        for glyph, text in re.findall(rb"<(\w+)> <(\w+)>", block):
            meanings[int(glyph, 16)] = bytes.fromhex(text.decode()).decode("utf-16-be")
    for block in re.findall(rb"beginbfrange(.*?)endbfrange", table, re.DOTALL):
        for first, last, text in re.findall(rb"<(\w+)> <(\w+)> <(\w+)>", block):
            for step in range(int(last, 16) - int(first, 16) + 1):
                meanings[int(first, 16) + step] = chr(int(text, 16) + step)
    return meanings


def _shown(drawing: bytes, fonts: dict[bytes, dict[int, str]]) -> str:
    meanings: dict[int, str] = {}
    letters = []
    for font, alone, several in _SHOWN.findall(drawing):
        if font:
            meanings = fonts.get(font, {})
        for glyphs in [alone] if alone else re.findall(rb"<([0-9A-Fa-f]+)>", several):
            numbers = (int(glyphs[at : at + 4], 16) for at in range(0, len(glyphs), 4))
            letters += [meanings.get(number, "") for number in numbers]
    return "".join(letters).replace(" ", "")


def _unpacked(body: bytes) -> bytes:
    found = _STREAM.search(body)
    if found is None:
        return b""
    return zlib.decompress(found[1]) if b"/FlateDecode" in body[: found.start()] else found[1]
