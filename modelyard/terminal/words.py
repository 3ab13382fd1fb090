"""The console, and numbers, sizes and times as a person reads them."""

from __future__ import annotations

import math
import sys

from rich.console import Console

__all__ = ["console", "duration", "number", "rate", "size"]

console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())

_PERCENT = {"accuracy", "balanced_accuracy", "top_5_accuracy", "subset_accuracy", "precision", "recall"}


def number(value: float | None, metric: str = "") -> str:
    """Return a metric's value as a person reads it: shares as percent, others with four significant digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if metric in _PERCENT:
        return f"{100 * value:.2f}%"
    return f"{value:.4f}" if 0.001 <= abs(value) < 100 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Return a duration as a person reads it: `8.3 s`, `4 min 10 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: int | None) -> str:
    """Return a number of bytes as a person reads it."""
    if count is None:
        return "–"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def rate(rows: float) -> str:
    """Return a speed in rows per second as a person reads it."""
    return f"{rows / 1000:.1f}k rows/s" if rows >= 1000 else f"{rows:.0f} rows/s"
