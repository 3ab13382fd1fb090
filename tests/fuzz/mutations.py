"""Damage done to bytes: blind (flips, cuts, splices) and knowing the format (lengths, checksums, quotes, nesting)."""

from __future__ import annotations

import gzip
import random
import struct
import zlib

from seed_files import Case, npy_members, npz_bytes, seed_case

_TOKENS = {
    "csv": [
        b'"', b'""', b",", b";", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80",
        b"9" * 5000, b"1e999", b"nan", b'"\n"', b"," * 3000, b"\n" * 500, b'"' * 4001, "\u2028".encode(), b"\x1a",
        b"-" * 2000, b"1," * 1000, b" " * 5000, b"x" * (1 << 16), b"\\",
    ],
    "jsonl": [
        b"[" * 3000, b'{"a":' * 2000, b"{}", b"[]", b"null", b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b'"', b"\\",
        b"\\ud800", b"\\u0000", b"\0", b"\xff", b"\xef\xbb\xbf", b"\n", b",", b":", b'{"a":1,"a":2}', b"}" * 50, b"//",
        b"1E+" + b"9" * 4400, b'{"' + b"k" * 70000 + b'":1}', b"\r", b"\xc0\x80",
    ],
    "parquet": [b"PAR1", b"ARROW1", b"\xff\xff\xff\xff", b"\0" * 8],
    "idx": [b"\0\0\x08\x03", b"\xff\xff\xff\xff", b"\0" * 4, b"\0\0\x0e\xff"],
    "npz": [b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x01\0", b"'descr': '|O'", b"(9999999999999,)", b"{" * 300],
    "images": [b"IHDR", b"IEND", b"acTL", b"eXIf", b"Exif\0\0", b"\xff\xd8", b"\xff\xc0", b"\xff\xda", b"GIF89a"],
}  # fmt: skip
_NUMBERS = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x10000,
    50_000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**62,
    2**64 - 1,
]


def damaged(case: Case, rng: random.Random) -> Case:
    """Return the case with one to four kinds of damage done to its file, sometimes none."""
    content = case.files[case.victim]
    if case.format == "npz" and rng.random() < 0.5:  # damage an array inside, with checksums that hold
        members = npy_members(rng)
        name = rng.choice(list(members))
        members[name] = _some(members[name], case, rng)
        return case.with_content(npz_bytes(members, rng.random() < 0.3))
    if case.victim.endswith(".gz") and rng.random() < 0.7:
        return case.with_content(gzip.compress(_some(gzip.decompress(content), case, rng), 1, mtime=0))
    content = _some(content, case, rng)
    if content.startswith(b"\x89PNG") and rng.random() < 0.7:
        content = _with_checksums(content)
    return case.with_content(content)


def _some(content: bytes, case: Case, rng: random.Random) -> bytes:
    for _ in range(rng.choice([0, 1, 1, 1, 2, 4])):
        kinds = [_flip, _overwrite, _cut, _remove, _double, _repeat, _exchange, _number, _token, _token, _splice]
        if case.format in ("csv", "jsonl"):
            kinds += [_token, _recode]
        content = rng.choice(kinds)(content, case, rng)
    return content


def _place(content: bytes, case: Case, rng: random.Random) -> int:
    """Choose a place, near the start or the end more often: there stand the headers and footers."""
    roll, size = rng.random(), len(content)
    if roll < 0.3:
        return rng.randrange(min(size, 64) + 1)
    if roll < (0.7 if case.format == "parquet" else 0.4):
        footer = int.from_bytes(content[-8:-4], "little") + 8
        return size - rng.randrange(min(size, footer if footer < size else 64) + 1)
    return rng.randrange(size + 1)


def _span(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + rng.choice([1, 4, 16, 100, 1000]))


def _flip(content: bytes, case: Case, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = _place(content, case, rng)
        if at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(content: bytes, case: Case, rng: random.Random) -> bytes:
    at = _place(content, case, rng)
    noise = rng.randbytes(rng.choice([1, 2, 4, 30]))
    return content[:at] + noise + content[at + len(noise) :]


def _cut(content: bytes, case: Case, rng: random.Random) -> bytes:
    return content[: _place(content, case, rng)] if rng.random() < 0.8 else content[_place(content, case, rng) :]


def _remove(content: bytes, case: Case, rng: random.Random) -> bytes:
    start, stop = _span(content, rng)
    return content[:start] + content[stop:]


def _double(content: bytes, case: Case, rng: random.Random) -> bytes:
    start, stop = _span(content, rng)
    at = _place(content, case, rng)
    return content[:at] + content[start:stop] + content[at:]


def _repeat(content: bytes, case: Case, rng: random.Random) -> bytes:
    start, stop = _span(content, rng)
    return content[:start] + content[start:stop] * rng.choice([2, 10, 500]) + content[stop:]


def _exchange(content: bytes, case: Case, rng: random.Random) -> bytes:
    a, b = sorted((_span(content, rng), _span(content, rng)))
    if a[1] > b[0]:
        return content
    return content[: a[0]] + content[b[0] : b[1]] + content[a[1] : b[0]] + content[a[0] : a[1]] + content[b[1] :]


def _number(content: bytes, case: Case, rng: random.Random) -> bytes:
    """Put a number at the edge of its range where a length or a count may stand."""
    letter, size = rng.choice([("B", 1), ("H", 2), ("I", 4), ("Q", 8)])
    number = rng.choice(_NUMBERS) % 2 ** (8 * size)
    at = _place(content, case, rng)
    return content[:at] + struct.pack(rng.choice("<>") + letter, number) + content[at + size :]


def _token(content: bytes, case: Case, rng: random.Random) -> bytes:
    at, token = _place(content, case, rng), rng.choice(_TOKENS[case.format])
    return content[:at] + token + content[at + rng.choice([0, len(token)]) :]


def _splice(content: bytes, case: Case, rng: random.Random) -> bytes:
    other = seed_case(case.format, rng)
    inside = other.files[other.victim]
    start = rng.randrange(len(inside) + 1)
    return content[: _place(content, case, rng)] + inside[start:]


def _recode(content: bytes, case: Case, rng: random.Random) -> bytes:
    text = content.decode("utf-8", "replace")
    return text.encode(rng.choice(["utf-16", "utf-32", "latin-1", "utf-16-le", "shift-jis", "utf-8-sig"]), "replace")


def _with_checksums(content: bytes) -> bytes:
    """Set each chunk's checksum right, so that the damage is met behind it."""
    out, at = [content[:8]], 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        body = content[at + 4 : at + 8 + size]
        if at + 12 + size > len(content):
            break
        out += [content[at : at + 4], body, struct.pack(">I", zlib.crc32(body))]
        at += 12 + size
    return b"".join(out) + content[at:]
