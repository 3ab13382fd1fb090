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
    "RULES",
    "corruption_name",
    "gap_of",
    "higher_is_better",
    "lost_by",
    "slice_name",
    "suspect_count",
    "weaknesses",
]

CALIBRATION_ERROR = 0.05
"""Distance of probability and truth from which on it is a weakness."""
_SEVERITY = 2
"""Strongest corruption that counts as everyday."""
_SLICES = 2
_DATA = 3

RULES = (
    "A slice is named when it is worse than all other rows by more than chance, the search for it counted in.",
    "A group is named when the interval of its difference from another does not hold 0.",
    f"A corruption of severity 1 or {_SEVERITY} is named when the whole interval of its change is on the worse side.",
    f"Probabilities are named when they are off by more than {percent(CALIBRATION_ERROR).replace('.0%', '%')} on "
    "average, the whole interval counted.",
    "The weakest label is the one with the lowest F1; the confusion named is the most frequent one.",
)


def weaknesses(spec: Mapping[str, Any], evidence: Evidence) -> list[Finding]:
    """Return what fails or needs care, what needs it most first."""
    evaluations = in_order(evidence)
    judge = evaluations[0] if evaluations else {}
    found = [*_slices(judge), *_groups(judge), *_corruptions(judge), *_probabilities(judge), *_suspects(evidence)]
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


def suspect_count(evidence: Evidence) -> int:
    """Return how many rows are likely mislabelled, held-out and training rows together."""
    evaluations = [*in_order(evidence), (evidence.get("cross_validation") or {}).get("evaluation") or {}]
    return sum(int(one.get("suspect_rows") or 0) for one in evaluations)


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


def _corruptions(judge: Mapping[str, Any]) -> list[Finding]:
    everyday = [one for one in judge.get("robustness") or [] if int(one.get("severity") or 0) <= _SEVERITY]
    known = [(sure, one) for one in everyday if (sure := lost_by(one, judge)) is not None]
    if not known:
        return []
    _, worst = max(known, key=lambda pair: abs(finite(pair[1].get("change")) or 0.0))
    metric = str(worst.get("metric"))
    return [
        Finding(
            "caution",
            f"Sensitive to {corruption_name(worst)}",
            f"{name_of(metric).title} goes from {value_of(metric, worst.get('clean'))} to "
            f"{value_of(metric, worst.get('corrupted'))} on the same {count(worst.get('rows'), 'row')}.",
            "robustness",
        )
    ]


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


def _suspects(evidence: Evidence) -> list[Finding]:
    many = suspect_count(evidence)
    if not many:
        return []
    text = "Models that had not seen them disagree surely enough to doubt the label itself."
    return [Finding("neutral", f"{count(many, 'row')} likely mislabelled", text, "suspects")]


def _data(data: Mapping[str, Any]) -> list[Finding]:
    found = [one for one in data.get("findings") or [] if one.get("severity") in ("refuse", "warn")]
    if not found:
        return []
    refused = any(one.get("severity") == "refuse" for one in found)
    titles = [str(one.get("title")) for one in found]
    shown = "; ".join(titles[:_DATA]) + (f"; and {number(len(titles) - _DATA)} more" if len(titles) > _DATA else "")
    title = f"{count(len(found), 'finding')} in the data"
    return [Finding("caution" if refused else "neutral", title, f"{shown}.", "data")]
