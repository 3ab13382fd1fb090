"""What a model is good for, told from the evidence by rules that the page states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.report.evaluations import Evidence, form_of, in_order
from modelyard.report.formatting import count, finite, listed, number, percent, quoted
from modelyard.report.metric_names import difference_of, name_of
from modelyard.report.words import Finding, findings

__all__ = ["RULES", "strengths", "sure_answers"]

_WELL = 0.9
"""Recall and precision of a label that is known well."""
_FEWEST = 10
"""Rows that such a statement needs."""
_SURE = 0.9
"""Probability from which on an answer counts as sure."""
_HONEST = 0.05
"""Largest distance of probability and truth at which probabilities are taken at their word."""
_HARDLY = 0.02
"""Largest change that hardly matters, of a metric that is a share."""

RULES = (
    f"A label is known well when it has {_FEWEST} rows or more and both its recall and its precision reach "
    f"{percent(_WELL).replace('.0%', '%')}.",
    f"An answer is sure when its probability is {percent(_SURE).replace('.0%', '%')} or more.",
    f"Probabilities can be taken at their word when the whole interval of their error is below "
    f"{percent(_HONEST).replace('.0%', '%')}.",
    f"Slight damage hardly matters when no corruption of severity 1 changes a share by more than "
    f"{percent(_HARDLY).replace('.0%', '%')}.",
)


def strengths(spec: Mapping[str, Any], evidence: Evidence) -> list[Finding]:
    """Return what speaks for the model; an empty list when nothing does."""
    evaluations = in_order(evidence)
    judge = evaluations[0] if evaluations else {}
    found = [_known_labels(judge), _sure(judge), _honest(judge), _sturdy(judge)]
    told = [one for one in findings(spec, evidence) if one.kind == "good"]
    return [one for one in found if one is not None] + told


def sure_answers(judge: Mapping[str, Any]) -> tuple[int, float, int] | None:
    """Return how many answers are sure, which share of them is right, and how many rows there are; None when unknown.

    Of two labels the positive one's probability is binned, so that a low one is a sure answer of the other.
    """
    calibration = judge.get("calibration") or {}
    bins = calibration.get("bins") or []
    if not bins or form_of(judge) != "classification":
        return None
    binary = calibration.get("label") is not None
    rows, right = 0, 0.0
    for one in bins:
        share, many = finite(one.get("share")), int(one.get("rows") or 0)
        if share is None:
            return None
        if float(one["low"]) >= _SURE - 1e-9:
            rows, right = rows + many, right + share * many
        elif binary and float(one["high"]) <= 1 - _SURE + 1e-9:
            rows, right = rows + many, right + (1 - share) * many
    total = sum(int(one.get("rows") or 0) for one in bins)
    return (rows, right / rows, total) if rows else None


def _known_labels(judge: Mapping[str, Any]) -> Finding | None:
    entries = [entry for entry in judge.get("per_label") or [] if "recall" in entry]
    known = [
        str(entry["name"])
        for entry in entries
        if int(entry.get("rows") or 0) >= _FEWEST
        and all((finite(entry.get(key)) or 0.0) >= _WELL for key in ("recall", "precision"))
    ]
    if not known or len(entries) < 2:
        return None
    names = listed([quoted(name, 30) for name in known], 6)
    least = percent(_WELL).replace(".0%", "%")
    text = f"{names}: at least {least} of their rows are found, and at least {least} of such answers are right."
    title = "Every label is known well" if len(known) == len(entries) else "Labels it knows well"
    return Finding("good", title, text, "results")


def _sure(judge: Mapping[str, Any]) -> Finding | None:
    sure = sure_answers(judge)
    if sure is None or sure[0] < _FEWEST or sure[1] < _WELL:
        return None
    rows, right, total = sure
    text = (
        f"{percent(right)} of the answers given with a probability of {percent(_SURE).replace('.0%', '%')} or more are "
        f"right; these are {number(rows)} of {count(total, 'row')}."
    )
    return Finding("good", "When it is sure, it is right", text, "calibration")


def _honest(judge: Mapping[str, Any]) -> Finding | None:
    calibration = judge.get("calibration") or {}
    high = finite(calibration.get("high"))
    if high is None or high > _HONEST:
        return None
    text = f"On average they are {difference_of('ece', calibration.get('ece'))} away from what came true."
    return Finding("good", "Probabilities that mean what they say", text, "calibration")


def _sturdy(judge: Mapping[str, Any]) -> Finding | None:
    slight = [
        one
        for one in judge.get("robustness") or []
        if one.get("severity") == 1 and not str(one.get("corruption")).startswith("missing")
    ]
    changes = [(abs(change), one) for one in slight if (change := finite(one.get("change"))) is not None]
    if not changes or not all(name_of(str(one.get("metric"))).share for one in slight):
        return None
    most, worst = max(changes, key=lambda pair: pair[0])
    if most > _HARDLY:
        return None
    names = listed(sorted({str(one.get("corruption")) for one in slight}))
    title = name_of(str(worst["metric"])).title
    text = f"{title} changes by {difference_of('ece', most)} at most with slight {names}."
    return Finding("good", "Slight damage hardly matters", text, "robustness")
