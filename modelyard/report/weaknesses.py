"""Where a model fails, told from the evidence by rules that the page states: slices, groups, corrupted inputs,
probabilities, labels, training and data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.report.evaluations import Evidence, in_order
from modelyard.report.formatting import count, finite, number, percent, quoted
from modelyard.report.metric_names import difference_of, name_of, value_of
from modelyard.report.words import Finding, findings

__all__ = [
    "CALIBRATION_ERROR",
    "DOUBTED",
    "RULES",
    "corruption_name",
    "costliest",
    "doubted_rows",
    "gap_of",
    "higher_is_better",
    "lost_by",
    "price_of",
    "slice_name",
    "weaknesses",
]

CALIBRATION_ERROR = 0.05
"""Distance of probability and truth from which on it is a weakness."""
_SEVERITY = 2
"""Strongest corruption that counts as everyday."""
_MATTERS = 0.02
"""Least change that matters, of a metric that is a share; of another, as a part of its value."""
DOUBTED = 0.1
"""Share of doubted labels from which on they rather speak against the model."""
_PRICE = 0.05
"""Accuracy that a chosen threshold may cost before it is spoken of."""
_SLICES = 2
_DATA = 3

RULES = (
    "A slice is named when it is worse than all other rows by more than chance, the search for it counted in.",
    "A group is named when the interval of its difference from another does not hold 0.",
    f"A corruption of severity 1 or {_SEVERITY} is named when it costs {round(100 * _MATTERS)} points or more (of a "
    f"metric in other units {percent(_MATTERS).replace('.0%', '%')}), the whole interval on the worse side.",
    f"Probabilities are named when they are off by more than {percent(CALIBRATION_ERROR).replace('.0%', '%')} on "
    "average, the whole interval counted.",
    f"Doubtful labels count against the model when they are more than {round(100 * DOUBTED)}% of the rows.",
    "The weakest label is the one with the lowest F1; the confusion named is the most frequent one.",
    f"A chosen threshold is named when it costs more than {round(100 * _PRICE)} points of accuracy against the usual "
    "one.",
)


def weaknesses(spec: Mapping[str, Any], evidence: Evidence) -> list[Finding]:
    """Return what fails or needs care, what needs it most first."""
    evaluations = in_order(evidence)
    judge = evaluations[0] if evaluations else {}
    found = [*_slices(judge), *_groups(judge), *_corruptions(judge), *_probabilities(judge), *_threshold(judge)]
    found += _suspects(evidence)
    found += [one for one in findings(spec, evidence) if one.kind != "good"]
    found += _data(evidence.get("data") or {})
    return sorted(found, key=lambda one: {"caution": 0}.get(one.kind, 1))


def slice_name(part: Mapping[str, Any]) -> str:
    """Return the rows of a slice in words: `age: 20 … 30`, or both conditions of a pair."""
    conditions = part.get("condition") or [part]
    return " and ".join(f"{one.get('column')}: {one.get('value')}" for one in conditions)


def gap_of(fairness: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the widest difference between the groups of a column whose interval does not hold 0; None without one."""
    known = [
        one
        for one in fairness.get("differences") or []
        if (low := finite(one.get("low"))) is not None and low > 0 and finite(one.get("difference")) is not None
    ]
    shares = [one for one in known if name_of(str(one.get("metric"))).share]
    return max(shares or known, key=lambda one: float(one["difference"]), default=None)


def lost_by(one: Mapping[str, Any], judge: Mapping[str, Any]) -> float | None:
    """Return how much of its metric a corruption surely costs: the near end of the interval, above 0; else None."""
    low, high = finite(one.get("low")), finite(one.get("high"))
    if low is None or high is None:
        return None
    sure = -high if higher_is_better(str(one.get("metric")), judge) else low
    return sure if sure > 0 else None


def higher_is_better(metric: str, judge: Mapping[str, Any]) -> bool:
    """Say which way a metric points, as the evaluation that measured it says."""
    found = next((one for one in judge.get("metrics") or [] if one.get("name") == metric), None)
    return bool(found.get("higher_is_better", True)) if found is not None else name_of(metric).low != 0 or (
        name_of(metric).high == 1
    )  # fmt: skip


def price_of(threshold: Mapping[str, Any]) -> float | None:
    """Return how much accuracy a chosen threshold costs against the usual one, where it is much; else None."""
    chosen, usual = ((threshold.get("metrics") or {}).get(name) or {} for name in ("chosen", "default"))
    ours, theirs = finite(chosen.get("accuracy")), finite(usual.get("accuracy"))
    return None if ours is None or theirs is None or theirs - ours <= _PRICE else theirs - ours


def doubted_rows(evidence: Evidence) -> tuple[int, int]:
    """Return how many rows are likely mislabelled, held-out and training rows together, and of how many rows."""
    evaluations = [*in_order(evidence), (evidence.get("cross_validation") or {}).get("evaluation") or {}]
    asked = [one for one in evaluations if one.get("suspect_rows")]
    return sum(int(one["suspect_rows"]) for one in asked), sum(int(one.get("rows") or 0) for one in asked)


# -- each of them -----------------------------------------------------------------------------------------------------


def _slices(judge: Mapping[str, Any]) -> list[Finding]:
    worse = [part for part in judge.get("slices") or [] if part.get("worse")]
    return [
        Finding(
            "caution",
            f"Weak where {slice_name(part)}",
            f"{name_of(part['metric']).title} {value_of(part['metric'], part.get('metric_value'))} on "
            f"{count(part.get('rows'), 'row')}, {value_of(part['metric'], part.get('rest'))} on all others.",
            "slices",
        )
        for part in worse[:_SLICES]
    ]


def _groups(judge: Mapping[str, Any]) -> list[Finding]:
    found = []
    for one in judge.get("fairness") or []:
        gap = gap_of(one)
        if gap is not None:
            metric = str(gap["metric"])
            found.append(
                Finding(
                    "caution",
                    f"Unequal by {one.get('column')}",
                    f"{name_of(metric).title} is {difference_of(metric, gap['difference'])} higher for "
                    f"{quoted(gap.get('highest'))} than for {quoted(gap.get('lowest'))}.",
                    "fairness",
                )
            )
    return found


def costliest(judge: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the everyday corruption that costs most, beyond chance and enough to matter; None when there is none."""
    everyday = [one for one in judge.get("robustness") or [] if int(one.get("severity") or 0) <= _SEVERITY]
    known = [one for one in everyday if lost_by(one, judge) is not None and _share_lost(one) >= _MATTERS]
    return max(known, key=_share_lost, default=None)


def _corruptions(judge: Mapping[str, Any]) -> list[Finding]:
    worst = costliest(judge)
    if worst is None:
        return []
    metric = str(worst.get("metric"))
    text = (
        f"{name_of(metric).title} goes from {value_of(metric, worst.get('clean'))} to "
        f"{value_of(metric, worst.get('corrupted'))} on the same {count(worst.get('rows'), 'row')}."
    )
    return [Finding("caution", f"Sensitive to {corruption_name(worst)}", text, "robustness")]


def _share_lost(one: Mapping[str, Any]) -> float:
    change, clean = abs(finite(one.get("change")) or 0.0), abs(finite(one.get("clean")) or 0.0)
    return change if name_of(str(one.get("metric"))).share else change / clean if clean else 0.0


def corruption_name(one: Mapping[str, Any]) -> str:
    """Return a corruption in words: `typos, severity 2`, `missing age`."""
    name = str(one.get("corruption"))
    if name.startswith("missing"):
        return name.replace(":", "")
    return f"{name}, severity {number(one.get('severity'))}"


def _probabilities(judge: Mapping[str, Any]) -> list[Finding]:
    calibration = judge.get("calibration") or {}
    low = finite(calibration.get("low"))
    if low is None or low <= CALIBRATION_ERROR:
        return []
    text = f"They are {percent(calibration.get('ece'))} away from the truth on average."
    after = finite(calibration.get("ece_calibrated"))
    if after is not None and after < (finite(calibration.get("ece")) or 0.0):
        text += f" Calibrated, which the bundle offers, {percent(after)}."
    return [Finding("caution", "Probabilities are off", text, "calibration")]


def _threshold(judge: Mapping[str, Any]) -> list[Finding]:
    threshold = judge.get("threshold") or {}
    price = price_of(threshold)
    if price is None:
        return []
    text = (
        f"From {number(threshold.get('value'))} on, {quoted(threshold.get('label'), 30)} is answered, for "
        f"{threshold.get('goal')}: accuracy is {difference_of('accuracy', price)} lower than with "
        f"{number(threshold.get('default'))}."
    )
    return [Finding("caution", "The chosen threshold is dear", text, "threshold")]


def _suspects(evidence: Evidence) -> list[Finding]:
    many, rows = doubted_rows(evidence)
    if not many:
        return []
    text = "The model, which had not seen them, disagrees surely enough to doubt the label itself."
    if many > DOUBTED * rows:
        share = f"{percent(many / rows)} of {count(rows, 'row')}"
        text = f"That is {share}: with so many, the model is as likely to be wrong as the labels."
    return [Finding("neutral", f"Doubtful labels of {count(many, 'row')}", text, "suspects")]


def _data(data: Mapping[str, Any]) -> list[Finding]:
    found = [one for one in data.get("findings") or [] if one.get("severity") in ("refuse", "warn")]
    if not found:
        return []
    refused = any(one.get("severity") == "refuse" for one in found)
    titles = [str(one.get("title")) for one in found]
    shown = "; ".join(titles[:_DATA]) + (f"; and {number(len(titles) - _DATA)} more" if len(titles) > _DATA else "")
    title = f"{count(len(found), 'finding')} in the data"
    return [Finding("caution" if refused else "neutral", title, f"{shown}.", "gate")]
