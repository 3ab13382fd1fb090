"""Numbers, durations and labels as a person reads them. What is not known is shown as an en dash."""

from __future__ import annotations

import math
from typing import Any

__all__ = [
    "MISSING",
    "bytes_",
    "count",
    "duration",
    "finite",
    "label",
    "listed",
    "number",
    "percent",
    "printable",
    "quoted",
    "rate",
    "short_paths",
]

MISSING = "–"
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"} | {0x7F: 0x2421}
"""Control characters, which no page may hold, are shown as their pictures: ␀ ␛ …"""
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def finite(value: Any) -> float | None:
    """Return a number as it is, and None for whatever is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def number(value: Any, digits: int = 4, trim: bool = True) -> str:
    """Return a number with so many significant digits (whole numbers with all of theirs), grouped by thousands.

    `trim` drops the zeros at the end of a fraction; without it, values near 1 have that many decimals instead.
    """
    value = finite(value)
    if value is None:
        return MISSING
    if isinstance(value, int) or (value == int(value) and trim and abs(value) < 1e15):
        return _sign(f"{int(value):,}")
    size = math.floor(math.log10(abs(value))) if value else 0
    if size < -4 or size >= 15:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        mantissa = _trim(mantissa) if trim else mantissa
        return f"{_sign(mantissa)} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    # in a column of values near 1 the points stand below each other: 1.2340, 0.9871, 0.0511
    decimals = digits if not trim and -4 <= size < 1 else max(0, digits - 1 - size)
    text = f"{value:,.{decimals}f}"
    return _sign(_trim(text) if trim else text)


def percent(share: Any, rows: int | None = None) -> str:
    """Return a share as a percentage: one decimal, two where at least 10,000 rows stand behind it.

    What is not all is never shown as 100%, and what is not nothing never as 0%.
    """
    share = finite(share)
    if share is None:
        return MISSING
    if share in (0, 1):
        return f"{100 * share:.0f}%"
    decimals = 2 if rows is not None and rows >= 10_000 else 1
    while decimals < 6 and round(100 * share, decimals) in (0, 100):
        decimals += 1
    return _sign(f"{100 * share:.{decimals}f}%")


def count(many: Any, one: str, several: str | None = None) -> str:
    """Return a count with its noun: `1 row`, `1,234 rows`."""
    word = one if many == 1 else several or f"{one}s"
    return f"{number(many)} {word}"


def duration(seconds: Any) -> str:
    """Return a duration: `41 ms`, `8.3 s`, `4 min 10 s`, `2 h 5 min`."""
    seconds = finite(seconds)
    if seconds is None:
        return MISSING
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def bytes_(size: Any) -> str:
    """Return a number of bytes: `512 B`, `1.5 MB`."""
    value = finite(size)
    if value is None:
        return MISSING
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.95:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def rate(rows: Any) -> str:
    """Return a speed: `870 rows/s`, `10,600 rows/s`."""
    rows = finite(rows)
    if not rows:  # no epoch was run, so there was no speed
        return MISSING
    if rows < 10:
        return f"{number(rows, 2)} rows/s"
    step = 10 ** max(0, math.floor(math.log10(rows)) - 2)
    return f"{round(rows / step) * step:,.0f} rows/s"


def label(value: Any) -> str:
    """Return a label's name; one that is empty or blank says so."""
    text = str(value)
    return text if text.strip() else "(empty)"


def quoted(value: Any, longest: int = 60) -> str:
    """Return a label in quotation marks, cut when it is long."""
    text = label(value)
    return f"“{text if len(text) <= longest else text[: longest - 1] + '…'}”"


def listed(items: list[str], most: int = 5) -> str:
    """Return `a, b and c`, or `a, b and 7 more` when there are many."""
    if len(items) > most:
        return f"{', '.join(items[: most - 1])} and {number(len(items) - most + 1)} more"
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def short_paths(files: list[str]) -> dict[str, str]:
    """Return file → its path below the folder that all of them share."""
    parts = [file.replace("\\", "/").split("/") for file in files]
    shared = 0
    while all(len(path) > shared + 1 for path in parts) and len({path[shared] for path in parts}) == 1:
        shared += 1
    return {file: "/".join(path[shared:]) for file, path in zip(files, parts, strict=True)}


def printable(text: str) -> str:
    """Return text that every reader can take: control characters as pictures, and what is no text (a file's name may
    hold any bytes) as what it is."""
    return text.translate(_CONTROLS).encode("utf-8", "backslashreplace").decode()


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _sign(text: str) -> str:
    return text.replace("-", "−", 1) if float(text.strip("%").replace(",", "")) else text.lstrip("-")
