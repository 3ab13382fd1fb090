"""Small horizontal pictures that stand in a table's cell or beside a sentence: intervals, ranges, shares.

Places are in percent, so that a strip fills whatever width it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard.report.scales import Scale
from modelyard.report.svg import Drawn, element

__all__ = [
    "Interval",
    "Quantiles",
    "difference_strip",
    "frequency_bars",
    "inside",
    "interval_strip",
    "quantile_strip",
    "range_strip",
    "stacked_bar",
]

_MARGIN = 2.0
"""Room at both ends for what is drawn around a place, in percent."""
_ROW = 11
_BAR_ROW = 17
_BAR_LETTERS = 24
_HALF = "fill:var(--hue);opacity:0.35"


@dataclass(frozen=True)
class Interval:
    """A value with what is known about it."""

    kind: str
    """Classes that give the look: the colour of its split, and `judged` or `second`."""
    value: float | None
    low: float | None
    high: float | None
    baseline: float | None


@dataclass(frozen=True)
class Quantiles:
    """Where a set of values lies: their 5%, 25%, 50%, 75% and 95% quantiles."""

    kind: str
    """Class that gives the colour."""
    low: float
    lower: float
    middle: float
    upper: float
    high: float


def interval_strip(intervals: Sequence[Interval], scale: Scale, spoken: str, row: int = 14) -> Drawn:
    """Return intervals below each other: a bar from low to high, a dot at the value, a tick at the baseline."""
    height = row * len(intervals)
    parts = [_line("axis", "0%", "100%", height - 0.5, height - 0.5)]
    for index, interval in enumerate(intervals):
        middle = row * (index + 0.5)
        if interval.baseline is not None:
            at = _place(scale, interval.baseline)
            parts.append(_line("baseline", at, at, middle - 0.42 * row, middle + 0.42 * row))
        if interval.low is not None and interval.high is not None:
            ends = _place(scale, interval.low), _place(scale, interval.high)
            parts.append(_line(f"interval {interval.kind}", *ends, middle, middle))
        if interval.value is not None:
            parts.append(_dot(f"value {interval.kind}", _place(scale, interval.value), middle, 0.29 * row))
    return _strip("strip", height, spoken, parts)


def range_strip(low: float, high: float, mean: float, deviation: float, middle: float | None, spoken: str) -> Drawn:
    """Return where a column's values lie: a line from the least to the greatest, a bar of one standard deviation on
    either side of the mean, a tick at the median."""
    if not low < high:
        return Drawn("")
    scale = Scale(low, high)
    left, right = (inside(scale(end)) for end in (max(low, mean - deviation), min(high, mean + deviation)))
    parts = [
        _line("axis", f"{_MARGIN}%", f"{100 - _MARGIN}%", 7, 7),
        _bar("spread", left, max(0.5, right - left), 4, 6),
    ]
    if middle is not None:
        at = _place(scale, middle)
        parts.append(_line("median", at, at, 1.5, 12.5))
    return _strip("strip range", 14, spoken, parts)


def quantile_strip(rows: Sequence[Quantiles], scale: Scale, titles: Sequence[str], spoken: str) -> Drawn:
    """Return sets of values below each other: a line over nine tenths, a bar over the middle half, a dot at the median.

    `titles` says each of them under the pointer.
    """
    parts = []
    for index, (row, title) in enumerate(zip(rows, titles, strict=True)):
        middle = _ROW * (index + 0.5)
        bar = (inside(scale(row.lower)), inside(scale(row.upper)))
        drawn = [
            _line(f"interval second {row.kind}", _place(scale, row.low), _place(scale, row.high), middle, middle),
            _bar(f"interval-half {row.kind}", bar[0], max(0.6, bar[1] - bar[0]), middle - 3, 6, _HALF),
            _dot(f"value {row.kind}", _place(scale, row.middle), middle, 3),
        ]
        parts.append(element("g", {"data-label": title}, element("title", None, title), *drawn))
    return _strip("strip quantiles", _ROW * len(rows), spoken, parts)


def frequency_bars(
    bars: Sequence[tuple[str, Sequence[tuple[str, float]]]], titles: Sequence[str], spoken: str
) -> Drawn:
    """Return values below each other, each a bar of its share in the first split and ticks at those of the others.

    Args:
        bars: Each a value's name with (class, share of all rows) of every split.
        titles: What each says under the pointer.
        spoken: What is said to those who hear it.
    """
    parts = []
    for index, ((name, shares), title) in enumerate(zip(bars, titles, strict=True)):
        top = _BAR_ROW * index
        kind, share = shares[0]
        drawn = [_bar(f"interval-half {kind}", 0, max(0.4, 100 * min(1.0, share)), top + 1, _BAR_ROW - 3, _HALF)]
        for other, part in shares[1:]:
            at = f"{100 * min(1.0, part):.2f}%"
            look = {"class": f"split-tick {other}", "style": "stroke:var(--hue)", "stroke-width": 2}
            drawn.append(element("line", {**look, "x1": at, "x2": at, "y1": top + 1, "y2": top + _BAR_ROW - 2}))
        text = {"class": "ink", "x": 4, "y": top + _BAR_ROW - 5, "font-size": 11, "fill": "currentColor"}
        cut = name if len(name) <= _BAR_LETTERS else f"{name[: _BAR_LETTERS - 1]}…"
        drawn.append(element("text", dict(text), cut))
        parts.append(element("g", {"data-label": title}, element("title", None, title), *drawn))
    return _strip("strip frequent", _BAR_ROW * len(bars), spoken, parts)


def difference_strip(true: float, answered: float, scale: Scale, spoken: str) -> Drawn:
    """Return a true number (ring) and the answer (dot), with the error between them as a line."""
    left, right = _place(scale, true), _place(scale, answered)
    parts = [
        _line("axis", "0%", "100%", 8, 8),
        _line("error", left, right, 8, 8),
        _dot("true", left, 8, 4.5),
        _dot("answered", right, 8, 4.5),
    ]
    return _strip("strip", 16, spoken, parts)


def stacked_bar(shares: Sequence[tuple[str, float]], spoken: str) -> Drawn:
    """Return one bar cut into parts; each is a class for its colour and a share of the whole."""
    parts, start = [], 0.0
    for kind, share in shares:
        parts.append(_bar(kind, 100 * start, 100 * share, 0, 22))
        start += share
    return _strip("strip stacked", 22, spoken, parts)


def inside(place: float) -> float:
    """Return a place in percent, moved in so that what is drawn around it has room."""
    return _MARGIN + (1 - _MARGIN / 50) * min(100.0, max(0.0, place))


def _place(scale: Scale, value: float) -> str:
    return f"{inside(scale(value)):.2f}%"


def _line(kind: str, x1: str, x2: str, y1: float, y2: float) -> Drawn:
    return element("line", {"class": kind, "x1": x1, "x2": x2, "y1": y1, "y2": y2})


def _dot(kind: str, x: str, y: float, radius: float) -> Drawn:
    return element("circle", {"class": kind, "cx": x, "cy": y, "r": radius})


def _bar(kind: str, left: float, width: float, top: float, height: float, style: str | None = None) -> Drawn:
    place: dict[str, object] = {"x": f"{left:.2f}%", "width": f"{width:.2f}%", "y": top, "height": height}
    return element("rect", {"class": kind, **place, "style": style})


def _strip(kind: str, height: float, spoken: str, parts: Sequence[Drawn]) -> Drawn:
    return element(
        "svg", {"class": kind, "width": "100%", "height": height, "role": "img", "aria-label": spoken}, *parts
    )
