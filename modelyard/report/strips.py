"""Small horizontal pictures that stand in a table's cell or beside a sentence: intervals, ranges, shares.

Places are in percent, so that a strip fills whatever width it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard.report.scales import Scale
from modelyard.report.svg import Drawn, element

__all__ = ["Interval", "difference_strip", "interval_strip", "range_strip", "stacked_bar"]


@dataclass(frozen=True)
class Interval:
    """A value with what is known about it."""

    kind: str
    """Class that gives the colour: `judged` or `other`."""
    value: float | None
    low: float | None
    high: float | None
    baseline: float | None


def interval_strip(intervals: Sequence[Interval], scale: Scale, spoken: str, row: int = 14) -> Drawn:
    """Return intervals below each other: a bar from low to high, a dot at the value, a tick at the baseline."""
    height = row * len(intervals)
    parts = [element("line", {"class": "axis", "x1": "0%", "x2": "100%", "y1": height - 0.5, "y2": height - 0.5})]
    for index, interval in enumerate(intervals):
        middle = row * (index + 0.5)
        if interval.baseline is not None:
            at = _place(scale, interval.baseline)
            parts.append(element("line", {"class": "baseline", "x1": at, "x2": at, "y1": middle - row * 0.42, "y2": middle + row * 0.42}))  # fmt: skip
        if interval.low is not None and interval.high is not None:
            parts.append(element("line", {"class": f"interval {interval.kind}", "x1": _place(scale, interval.low), "x2": _place(scale, interval.high), "y1": middle, "y2": middle}))  # fmt: skip
        if interval.value is not None:
            parts.append(element("circle", {"class": f"value {interval.kind}", "cx": _place(scale, interval.value), "cy": middle, "r": row * 0.29}))  # fmt: skip
    return _strip("strip", height, spoken, parts)


def range_strip(low: float, high: float, mean: float, deviation: float, middle: float | None, spoken: str) -> Drawn:
    """Return where a column's values lie: a line from the least to the greatest, a bar of one standard deviation on
    either side of the mean, a tick at the median."""
    if not low < high:
        return Drawn("")
    scale = Scale(low, high)
    left, right = _inner(scale, max(low, mean - deviation)), _inner(scale, min(high, mean + deviation))
    parts = [
        element("line", {"class": "axis", "x1": "2%", "x2": "98%", "y1": 7, "y2": 7}),
        element("rect", {"class": "spread", "x": f"{left:.2f}%", "width": f"{max(0.5, right - left):.2f}%", "y": 4, "height": 6}),
    ]  # fmt: skip
    if middle is not None:
        at = f"{_inner(scale, middle):.2f}%"
        parts.append(element("line", {"class": "median", "x1": at, "x2": at, "y1": 1.5, "y2": 12.5}))
    return _strip("strip range", 14, spoken, parts)


def difference_strip(true: float, answered: float, scale: Scale, spoken: str) -> Drawn:
    """Return a true number (ring) and the answer (dot), with the error between them as a line."""
    ends = [f"{_inner(scale, value):.2f}%" for value in (true, answered)]
    parts = [
        element("line", {"class": "axis", "x1": "0%", "x2": "100%", "y1": 8, "y2": 8}),
        element("line", {"class": "error", "x1": ends[0], "x2": ends[1], "y1": 8, "y2": 8}),
        element("circle", {"class": "true", "cx": ends[0], "cy": 8, "r": 4.5}),
        element("circle", {"class": "answered", "cx": ends[1], "cy": 8, "r": 4.5}),
    ]
    return _strip("strip", 16, spoken, parts)


def stacked_bar(shares: Sequence[tuple[str, float]], spoken: str) -> Drawn:
    """Return one bar cut into parts; each is a class for its colour and a share of the whole."""
    parts, start = [], 0.0
    for kind, share in shares:
        parts.append(element("rect", {"class": kind, "x": f"{100 * start:.3f}%", "width": f"{100 * share:.3f}%", "y": 0, "height": 22}))  # fmt: skip
        start += share
    return _strip("strip stacked", 22, spoken, parts)


def _strip(kind: str, height: float, spoken: str, parts: Sequence[Drawn]) -> Drawn:
    return element("svg", {"class": kind, "width": "100%", "height": height, "role": "img", "aria-label": spoken}, *parts)


def _inner(scale: Scale, value: float) -> float:
    """A place with room for what is drawn around it at both ends."""
    return 2 + 0.96 * min(100.0, max(0.0, scale(value)))


def _place(scale: Scale, value: float) -> str:
    return f"{_inner(scale, value):.2f}%"
