"""Section: what fewer rows would have given, and what more might."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.evaluations import Evidence
from modelyard.report.formatting import MISSING, count, duration, finite, number, percent
from modelyard.report.metric_names import name_of, value_of
from modelyard.report.plots import Line, Place, figure, plot
from modelyard.report.scales import Scale, linear, logarithmic

__all__ = ["view"]

_APART = 10.0
"""Least distance of two numbers below the chart, in percent of its width."""


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when no learning curve was measured."""
    curve = evidence.get("learning_curve")
    if not curve or not _known(curve):
        return None
    words = str(curve.get("doubling") or "")
    return {
        "chart": _chart(curve),
        "words": words[:1].upper() + words[1:],
        "split": str(curve.get("split") or ""),
        "notes": [str(note) for note in curve.get("notes") or []],
    }


def _chart(curve: Mapping[str, Any]) -> dict[str, Any]:
    metric = str(curve.get("metric"))
    title = name_of(metric).title
    points = _known(curve)
    table = [
        [
            number(one.get("rows")),
            percent(one.get("share")),
            value_of(metric, one.get("value")),
            _interval(metric, one),
            duration(one.get("seconds")),
        ]
        for one in curve["points"]
    ]
    columns = ("Training rows", "Share", title, "Interval", "Time")
    places = [
        Place(float(one["rows"]), float(one["value"]), count(one["rows"], "row"),
              f"{title} {value_of(metric, one['value'])} ({_interval(metric, one)})",
              finite(one.get("low")), finite(one.get("high")))
        for one in points
    ]  # fmt: skip
    doubled = finite(curve.get("doubled"))
    if doubled is not None:
        rows = 2 * places[-1].x
        told = f"{title} expected {value_of(metric, doubled)}"
        places.append(Place(rows, doubled, count(int(rows), "row"), told, hollow=True))
    x_scale = logarithmic([places[0].x / 1.15, places[-1].x * 1.15])
    y_scale = linear([value for place in places for value in (place.y, place.low, place.high) if value is not None])
    first, last = points[0], points[-1]
    spoken = (
        f"{title} by training rows: {value_of(metric, first['value'])} with {number(first['rows'])}, "
        f"{value_of(metric, last['value'])} with {number(last['rows'])}"
        + (f"; {value_of(metric, doubled)} expected with twice as many." if doubled is not None else ".")
    )
    line = Line("", [(place.x, place.y) for place in places if not place.hollow], places, small=False)
    chart = plot(
        spoken, [line], x_scale, y_scale,
        _ticks(places, x_scale),
        [(tick, value_of(metric, tick).replace(".0%", "%") if name_of(metric).share else number(tick))
         for tick in y_scale.ticks()],
        "training rows, logarithmic", title,
    )  # fmt: skip
    note = "the ring is what a power law expects of twice the rows" if doubled is not None else ""
    return figure(f"{title} by training rows", note, chart, columns, table)


def _ticks(places: Sequence[Place], scale: Scale) -> list[tuple[float, str]]:
    """The numbers of rows, the greatest first to be named, as far as they do not touch."""
    chosen: list[float] = []
    for place in reversed(places):
        if not chosen or scale(chosen[-1]) - scale(place.x) >= _APART:
            chosen.append(place.x)
    return [(x, number(int(x))) for x in chosen]


def _known(curve: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    points = curve.get("points") or []
    return [one for one in points if finite(one.get("value")) is not None and (one.get("rows") or 0) > 0]


def _interval(metric: str, one: Mapping[str, Any]) -> str:
    ends = [value_of(metric, one.get(key)) for key in ("low", "high")]
    return f"{ends[0]} to {ends[1]}" if MISSING not in ends else MISSING
