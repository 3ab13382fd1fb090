"""Section: whether probabilities mean what they say. The reliability diagram, and what a temperature would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.curves import UNIT, share_ticks
from modelyard.report.evaluations import Evidence, in_order, rows_of
from modelyard.report.formatting import MISSING, count, finite, label, number, percent
from modelyard.report.plots import Line, Place, figure, plot

__all__ = ["view"]

_MEANT = 0.005
"""Distance of probability and truth from which on a side is named."""


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when no evaluation has a calibration."""
    parts = [_part(evaluation) for evaluation in in_order(evidence) if evaluation.get("calibration")]
    return {"parts": parts} if parts else None


def _part(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    calibration: Mapping[str, Any] = evaluation["calibration"]
    bins = [one for one in calibration.get("bins") or [] if finite(one.get("probability")) is not None]
    temperature = finite(calibration.get("temperature"))
    return {
        "rows": rows_of(evaluation),
        "of": label(calibration["label"]) if calibration.get("label") is not None else "",
        "chart": _diagram(calibration, bins) if bins else None,
        "words": _words(calibration, bins),
        "facts": _facts(calibration, percent(evaluation.get("confidence")).replace(".0%", "%")),
        "temperature": "" if temperature is None else _temperature(calibration, temperature),
    }


def _words(calibration: Mapping[str, Any], bins: Sequence[Mapping[str, Any]]) -> str:
    total = sum(int(one.get("rows") or 0) for one in bins)
    if not total:
        return ""
    mean, true = (sum(one[key] * int(one.get("rows") or 0) for one in bins) / total for key in ("probability", "share"))
    what = "the answered label" if calibration.get("label") is None else f"“{label(calibration['label'])}”"
    said = (
        f"On average {what} is given a probability of {percent(mean)}, and it was true of {percent(true)} of the rows"
    )
    if abs(mean - true) < _MEANT:
        return f"{said}."
    return f"{said}: probabilities are too {'high' if mean > true else 'low'} on the whole."


def _facts(calibration: Mapping[str, Any], confidence: str) -> list[tuple[str, str, str]]:
    low, high = percent(calibration.get("low")), percent(calibration.get("high"))
    interval = f" ({confidence} interval {low} to {high})" if MISSING not in (low, high) else ""
    facts = [
        ("Calibration error", f"{percent(calibration.get('ece'))}{interval}", "measured"),
        ("Largest of any bin", percent(calibration.get("largest")), "measured"),
    ]
    if finite(calibration.get("log_loss")) is not None:
        facts.append(("Log loss", number(calibration["log_loss"], 4, trim=False), "measured"))
    if finite(calibration.get("temperature")) is not None:
        facts += [
            ("Temperature", number(calibration["temperature"]), "derived"),
            ("Error with it", percent(calibration.get("ece_calibrated")), "measured"),
            ("Log loss with it", number(calibration.get("log_loss_calibrated"), 4, trim=False), "measured"),
        ]
    return facts


def _temperature(calibration: Mapping[str, Any], temperature: float) -> str:
    """What the temperature says and whether it helps on these rows."""
    said = "Above 1: the model is too sure." if temperature > 1 else "Below 1: the model is not sure enough."
    said = "At 1 it changes nothing." if temperature == 1 else said
    parts = []
    for name, before, after in (
        ("the calibration error", "ece", "ece_calibrated"),
        ("the log loss", "log_loss", "log_loss_calibrated"),
    ):
        old, new = finite(calibration.get(before)), finite(calibration.get(after))
        if old is None or new is None:
            continue
        write = percent if before == "ece" else number
        if write(old) == write(new):
            parts.append(f"{name} stays at {write(old)}")
        else:
            parts.append(f"{name} {'falls' if new < old else 'rises'} from {write(old)} to {write(new)}")
    return f"{said} With it, {' and '.join(parts)} on these rows." if parts else said


def _diagram(calibration: Mapping[str, Any], bins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    places = []
    for one in bins:
        span = f"{percent(one.get('low'))} to {percent(one.get('high'))}"
        places.append(
            Place(
                one["probability"],
                one["share"],
                f"probability {percent(one['probability'])} (bin {span}), {count(one.get('rows'), 'row')}",
                f"true of {percent(one['share'])}",
                finite(one.get("share_low")),
                finite(one.get("share_high")),
            )
        )
    apart = max(bins, key=lambda one: abs(one["probability"] - one["share"]))
    spoken = (
        f"Reliability diagram: what is given a probability, and how often it came true. The error is "
        f"{percent(calibration.get('ece'))} on average; the largest is at {percent(apart['probability'])}, where "
        f"{percent(apart['share'])} were true."
    )
    line = Line("", [(place.x, place.y) for place in places], places, small=False)
    chart = plot(
        spoken, [line], UNIT, UNIT, share_ticks(), share_ticks(), "probability given", "share that was true",
        diagonal=True,
    )  # fmt: skip
    rows = [
        [
            f"{percent(one.get('low'))} to {percent(one.get('high'))}",
            number(one.get("rows")),
            percent(one["probability"]),
            percent(one["share"]),
            f"{percent(one.get('share_low'))} to {percent(one.get('share_high'))}",
        ]
        for one in bins
    ]
    columns = ("Probability", "Rows", "Mean probability", "True", "Interval")
    return figure("Reliability diagram", "on the diagonal, probabilities mean what they say", chart, columns, rows)
