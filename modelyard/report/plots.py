"""Charts of y over x that keep their shape: curves, points with intervals, a diagonal, a mark.

Each is one SVG with its letters inside. Points carry what they say as a `<title>` and in `data-` attributes, which
`script.js` shows under the pointer; the same numbers stand in a table below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from modelyard.report.scales import Scale
from modelyard.report.svg import Drawn, element

__all__ = ["HUES", "Line", "Mark", "Place", "figure", "hue", "plot", "thinned"]

_T = TypeVar("_T")
_WIDTH, _HEIGHT = 380.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 12.0, 14.0, 40.0
_LETTER = 11
HUES = ("accent", "wrong", "validation", "train", "baseline", "ink")
"""Names of the page's colours that tell lines apart; dashes tell them apart as well."""
_DASHES = (None, "7 3", "2 3", "9 3 2 3", "5 2", "1 2")


@dataclass(frozen=True)
class Place:
    """A point that can be asked what it is."""

    x: float
    y: float
    x_text: str
    y_text: str
    low: float | None = None
    high: float | None = None
    """Ends of its interval, drawn as a bar."""
    hollow: bool = False
    """Expected rather than measured."""


@dataclass(frozen=True)
class Line:
    """One curve, or points alone."""

    name: str
    points: Sequence[tuple[float, float]]
    """What the curve runs through; empty: points alone."""
    places: Sequence[Place] = ()
    """Where a pointer finds something to read."""
    small: bool = True
    """Whether places are seen only when they are pointed at."""


@dataclass(frozen=True)
class Mark:
    """A vertical line at something worth noting."""

    x: float
    text: str


@dataclass(frozen=True)
class _Axes:
    x: Scale
    y: Scale
    width: float = field(default=_WIDTH - _LEFT - _RIGHT)
    height: float = field(default=_HEIGHT - _TOP - _BOTTOM)

    def at(self, x: float, y: float) -> tuple[float, float]:
        return self.left(x), self.top(y)

    def left(self, x: float) -> float:
        return _LEFT + self.width * min(100.0, max(0.0, self.x(x))) / 100

    def top(self, y: float) -> float:
        return _TOP + self.height * (1 - min(100.0, max(0.0, self.y(y))) / 100)


def plot(
    spoken: str,
    lines: Sequence[Line],
    x_scale: Scale,
    y_scale: Scale,
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[tuple[float, str]],
    x_title: str,
    y_title: str,
    diagonal: bool = False,
    level: tuple[float, str] | None = None,
    mark: Mark | None = None,
) -> Drawn:
    """Return a chart.

    Args:
        spoken: What the chart shows, in words, for those who hear it: the finding first.
        lines: At most as many as `HUES`, the most important last; one alone takes the first colour.
        x_scale: Places of x.
        y_scale: Places of y.
        x_ticks: Values of x and what to write there.
        y_ticks: Values of y and what to write there.
        x_title: What x is.
        y_title: What y is.
        diagonal: Whether to draw the line from corner to corner: chance, or what should be.
        level: A y to draw across, and its name.
        mark: What to mark.
    """
    axes = _Axes(x_scale, y_scale)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    inside: list[Drawn] = []
    for y, text in y_ticks:
        top = axes.top(y)
        inside += [_rule("grid", _LEFT, right, top, top), _text(_LEFT - 6, top + 4, text, "end")]
    for x, text in x_ticks:
        left = axes.left(x)
        inside += [_rule("grid", left, left, bottom, bottom + 4), _text(left, bottom + 16, text, "middle")]
    inside.append(_text((_LEFT + right) / 2, _HEIGHT - 6, x_title, "middle"))
    middle = (_TOP + bottom) / 2
    inside.append(_text(11, middle, y_title, "middle", transform=f"rotate(-90 11 {middle:g})"))
    if diagonal:
        inside.append(_rule("mark", _LEFT, right, bottom, _TOP))
    if level is not None:
        top = axes.top(level[0])
        inside += [_rule("baseline", _LEFT, right, top, top), _text(_LEFT + 4, top - 5, level[1], "start")]
    if mark is not None:
        left = axes.left(mark.x)
        side = ("end", -5) if left > (_LEFT + right) / 2 else ("start", 5)
        inside += [_rule("mark", left, left, _TOP, bottom), _text(left + side[1], bottom - 8, mark.text, side[0])]
    inside += [part for index, line in enumerate(lines) for part in _drawn(line, index, axes)]
    return element(
        "svg",
        {
            "class": "xy",
            "viewBox": f"0 0 {_WIDTH:g} {_HEIGHT:g}",
            "width": "100%",
            "style": "max-width:34rem;height:auto",
            "font-size": _LETTER,
            "role": "img",
            "aria-label": spoken,
        },
        *inside,
    )


def figure(
    title: str,
    note: str,
    chart: Drawn,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    names: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what the macro `plot` of plots.html shows: a chart, what its lines are, and its numbers as a table."""
    return {
        "title": title,
        "note": note,
        "chart": chart,
        "legend": [{"name": name, "style": hue(index)} for index, name in enumerate(names)] if len(names) > 1 else [],
        "columns": list(columns),
        "rows": [list(row) for row in rows],
    }


def hue(index: int) -> str:
    """Return the style that gives a line its colour."""
    return f"--hue:var(--{HUES[index % len(HUES)]})"


def thinned(items: Sequence[_T], most: int) -> list[_T]:
    """Return at most `most` of some things, evenly chosen, the first and the last kept."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


def _drawn(line: Line, index: int, axes: _Axes) -> list[Drawn]:
    style = hue(index)
    found = []
    if line.points:
        places = [axes.at(x, y) for x, y in line.points]
        path = "".join(f"{'L' if number else 'M'}{x:.1f} {y:.1f}" for number, (x, y) in enumerate(places))
        shape = {"class": "curve", "d": path, "style": f"{style};stroke:var(--hue)", "fill": "none"}
        found.append(element("path", {**shape, "stroke-dasharray": _DASHES[index % len(_DASHES)]}))
    for place in line.places:
        x, y = axes.at(place.x, place.y)
        if place.low is not None and place.high is not None:
            bar = {"class": "interval", "style": style, "x1": x, "x2": x}
            found.append(element("line", {**bar, "y1": axes.top(place.low), "y2": axes.top(place.high)}))
        said = {"data-x": place.x_text, "data-y": place.y_text, "data-label": line.name or None}
        look: dict[str, object] = {"cx": x, "cy": y}
        if line.small:  # seen only by a pointer: the curve shows where it is
            look |= {"class": "value spot", "style": f"{style};opacity:0", "r": 6}
        else:
            look |= {"class": "value second" if place.hollow else "value", "style": style, "r": 4.5}
        title = element("title", None, ", ".join(part for part in (line.name, place.x_text, place.y_text) if part))
        found.append(element("circle", {**look, **said}, title))
    return found


def _rule(kind: str, x1: float, x2: float, y1: float, y2: float) -> Drawn:
    return element("line", {"class": kind, "x1": x1, "x2": x2, "y1": y1, "y2": y2})


def _text(x: float, y: float, text: str, anchor: str, **more: str) -> Drawn:
    look: dict[str, object] = {"class": "soft", "fill": "currentColor", "x": x, "y": y, "text-anchor": anchor}
    return element("text", look | more, text)
