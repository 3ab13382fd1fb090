"""Line charts: curves that stretch with the page while their letters keep their size.

The lines are SVG stretched over the plot; ticks and names are HTML placed in percent. Hovering and the arrow keys are
done by `script.js`, which reads what to say from `data-hover`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from modelyard.report.formatting import number
from modelyard.report.scales import Scale
from modelyard.report.svg import Drawn, element

__all__ = ["HEIGHT", "Curve", "Mark", "as_table", "line_chart", "thin"]

HEIGHT = 176
"""Of the plot, in CSS pixels: as tall as `.plot` in style.css."""
_LETTER = 15
"""Least distance of two names at the lines' ends, in CSS pixels."""
_MOST_POINTS = 1500


@dataclass(frozen=True)
class Curve:
    """One line of a chart."""

    name: str
    kind: str
    """Class that gives the colour: `train`, `validation`, `plain`, `series-0` to `series-5`."""
    points: Sequence[tuple[float, float]]
    """(x, y), x rising; gaps are left out."""


@dataclass(frozen=True)
class Mark:
    """A vertical line at something worth noting."""

    at: float
    text: str


def line_chart(
    title: str,
    curves: Sequence[Curve],
    x_scale: Scale,
    y_scale: Scale,
    x_ticks: Sequence[tuple[float, str]],
    hover: Sequence[tuple[float, Sequence[str]]],
    mark: Mark | None = None,
    x_title: str = "",
) -> Drawn:
    """Return a chart.

    Args:
        title: What is shown, for those who hear it; its figure's caption says it to those who see it.
        curves: The lines, the most important last, as it is drawn over the others.
        x_scale: Places of x.
        y_scale: Places of y.
        x_ticks: Values of x and what to write there.
        hover: For each place to stop at, x and the lines of text that are shown.
        mark: What to mark.
        x_title: What x is.
    """
    y_ticks = y_scale.ticks()
    lines = [
        element("line", {"class": "grid", "x1": 0, "x2": 100, "y1": 100 - y_scale(y), "y2": 100 - y_scale(y)})
        for y in y_ticks
    ]
    if mark is not None:
        at = x_scale(mark.at)
        lines.append(element("line", {"class": "mark", "x1": at, "x2": at, "y1": 0, "y2": 100}))
    lines += [_path(curve, x_scale, y_scale) for curve in curves]
    hidden = {"viewBox": "0 0 100 100", "preserveAspectRatio": "none", "aria-hidden": "true", "focusable": "false"}
    plot = element("svg", dict(hidden), *lines)
    letters = [
        *(_placed("y-tick", number(y), top=100 - y_scale(y)) for y in y_ticks),
        *(_placed(f"x-tick{_side(x_scale(x))}", text, left=x_scale(x)) for x, text in x_ticks),
        *_end_names(curves, y_scale),
    ]
    if mark is not None:
        side = "mark-name left" if x_scale(mark.at) > 55 else "mark-name"
        letters.append(_placed(side, mark.text, left=x_scale(mark.at)))
    stops = [[round(x_scale(x), 2), list(texts)] for x, texts in hover]
    inside = element("div", {"class": "plot"}, plot, *letters)
    named = any(curve.name for curve in curves)
    kind = "chart" + (" named" if named else "")
    return element(
        "div",
        {
            "class": kind,
            "role": "img",
            "tabindex": 0,
            "aria-label": f"{title}. {_spoken(curves)}",
            "data-hover": json.dumps(stops, ensure_ascii=False, separators=(",", ":")),
        },
        inside,
        element("div", {"class": "x-title", "aria-hidden": "true"}, x_title) if x_title else None,
    )


def as_table(what: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Drawn:
    """Return a chart's values as a table that is folded away; the first column names the row, others are numbers."""
    head = [
        element("th", {"scope": "col", "class": "number" if at else None}, name) for at, name in enumerate(headings)
    ]
    body = [
        element(
            "tr",
            None,
            element("th", {"scope": "row"}, first),
            *(element("td", {"class": "number"}, cell) for cell in rest),
        )
        for first, *rest in rows
    ]
    table = element(
        "table",
        None,
        element("caption", None, what),
        element("thead", None, element("tr", None, *head)),
        element("tbody", None, *body),
    )
    scroll = element("div", {"class": "scroll", "tabindex": 0, "role": "region", "aria-label": what}, table)
    return element("details", {"class": "as-table"}, element("summary", None, "As a table"), scroll)


def thin(points: Sequence[tuple[float, float]], most: int = _MOST_POINTS) -> list[tuple[float, float]]:
    """Return at most about `most` of the points, evenly chosen, the last one kept."""
    step = -(-len(points) // most)
    return [*points[:-1:step], *points[-1:]] if step > 1 else list(points)


def _path(curve: Curve, x_scale: Scale, y_scale: Scale) -> Drawn:
    places = [(x_scale(x), 100 - y_scale(y)) for x, y in thin(curve.points)]
    if len(places) == 1:  # a line of no length with round ends is a dot, however the plot is stretched
        (x, y), *_ = places
        return element("path", {"class": f"curve dot {curve.kind}", "d": f"M{x:.2f} {y:.2f}h0"})
    drawn = "".join(f"{'L' if index else 'M'}{x:.2f} {y:.2f}" for index, (x, y) in enumerate(places))
    return element("path", {"class": f"curve {curve.kind}", "d": drawn})


def _end_names(curves: Sequence[Curve], y_scale: Scale) -> list[Drawn]:
    """Names beside the ends of the lines, pushed apart where they would touch."""
    ends = [
        (min(100.0, max(0.0, 100 - y_scale(curve.points[-1][1]))) * HEIGHT / 100, curve)
        for curve in curves
        if curve.name and curve.points
    ]
    ends.sort(key=lambda end: end[0])
    tops: list[float] = []
    for top, _ in ends:
        tops.append(max(top, tops[-1] + _LETTER) if tops else top)
    over = (tops[-1] - HEIGHT) if tops else 0
    if over > 0:
        tops = [top - over for top in tops]
    return [
        _placed(f"end-name {curve.kind}", curve.name, top=100 * top / HEIGHT)
        for top, (_, curve) in zip(tops, ends, strict=True)
    ]


def _placed(kind: str, text: str, **where: float) -> Drawn:
    style = ";".join(f"{side}:{place:.2f}%" for side, place in where.items())
    return element("span", {"class": kind, "style": style, "aria-hidden": "true"}, text)


def _side(place: float) -> str:
    return " first" if place < 4 else " last" if place > 96 else ""


def _spoken(curves: Sequence[Curve]) -> str:
    said = [
        f"{curve.name or 'It'} goes from {number(curve.points[0][1])} to {number(curve.points[-1][1])}"
        for curve in curves
        if curve.points
    ]
    return "; ".join(said) + "." if said else ""
