"""Section: the verdict. The headline metric beside the trivial answer; what the model is good for, where it fails and
what to do next, each by a rule that stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.report.advice import RULES as ADVICE_RULES
from modelyard.report.advice import advice
from modelyard.report.evaluations import Evidence, headline, in_order, rows_of, split_class
from modelyard.report.formatting import MISSING, finite, percent
from modelyard.report.metric_names import name_of, value_of
from modelyard.report.strengths import RULES as STRENGTH_RULES
from modelyard.report.strengths import strengths
from modelyard.report.strips import Interval, inside, interval_strip
from modelyard.report.svg import Drawn, element
from modelyard.report.tables import scale_of
from modelyard.report.weaknesses import RULES as WEAKNESS_RULES
from modelyard.report.weaknesses import weaknesses
from modelyard.report.words import compare, judgement

__all__ = ["view"]

_SHOWN = 6
"""Weaknesses shown at once; the others are folded away."""


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Return what the template shows."""
    title, sentences = judgement(evidence)
    evaluations = in_order(evidence)
    measured = headline(evaluations[0]) if evaluations else None
    fails = weaknesses(spec, evidence)
    return {
        "title": title,
        "text": " ".join(sentences),
        "good_for": strengths(spec, evidence),
        "fails": fails[:_SHOWN],
        "more_fails": fails[_SHOWN:],
        "steps": advice(spec, evidence),
        "rules": [*STRENGTH_RULES, *WEAKNESS_RULES, *ADVICE_RULES],
        "figure": _figure(measured, evaluations[0]) if measured is not None else None,
        "standing": compare(measured) if measured is not None else "alone",
    }


def _figure(measured: Mapping[str, Any], judge: Mapping[str, Any]) -> dict[str, Any]:
    """The headline metric as a large number and as a place on its scale."""
    name, rows = measured["name"], judge.get("rows")
    value, low, high, baseline = (finite(measured.get(key)) for key in ("value", "low", "high", "baseline"))
    texts = {
        key: value_of(name, number, rows)
        for key, number in {"value": value, "low": low, "high": high, "baseline": baseline}.items()
    }
    spoken = f"{name_of(name).title} {texts['value']}"
    if MISSING not in (texts["low"], texts["high"]):
        spoken += f", interval from {texts['low']} to {texts['high']}"
    if baseline is not None:
        spoken += f"; the trivial answer has {texts['baseline']}"
    scale = scale_of(name, [value, low, high, baseline])
    strip = interval_strip([Interval(split_class(judge, True), value, low, high, baseline)], scale, spoken, row=30)
    return {
        "kind": split_class(judge, True),
        "name": name_of(name).title,
        "rows": rows_of(judge),
        "better": "higher is better" if measured.get("higher_is_better", True) else "lower is better",
        "value": texts["value"],
        "interval": f"{texts['low']} to {texts['high']}" if MISSING not in (texts["low"], texts["high"]) else "",
        "confidence": percent(judge.get("confidence")).replace(".0%", "%"),
        "baseline": "" if baseline is None else texts["baseline"],
        "strip": strip,
        "ends": [value_of(name, end).replace(".0%", "%") for end in (scale.low, scale.high)],
        "baseline_label": None if baseline is None else _at(scale(baseline), f"trivial answer {texts['baseline']}"),
    }


def _at(place: float, text: str) -> Drawn:
    """A label below a place of the strip, on the side where there is room."""
    at = inside(place)
    side = f"left:{at:.2f}%" if at < 60 else f"right:{100 - at:.2f}%"
    return element("span", {"class": "baseline-label", "style": side}, text)
