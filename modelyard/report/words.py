"""The verdict in plain words: what was reached, whether that is better than the trivial answer, and what to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modelyard.report.evaluations import Evidence, form_of, frequent_confusions, headline, in_order, rows_of
from modelyard.report.formatting import MISSING, count, finite, listed, number, percent, quoted
from modelyard.report.learning import on_learning
from modelyard.report.metric_names import name_of, value_of

__all__ = ["Finding", "Standing", "compare", "findings", "judgement", "standing_words", "trivial_answer"]

Standing = Literal["better", "maybe", "worse", "untested", "alone"]
"""Against the trivial answer: beyond doubt better, perhaps better, not better, better without an interval, or with
nothing to compare with."""


@dataclass(frozen=True)
class Finding:
    """One thing a reader should know."""

    kind: Literal["good", "neutral", "caution"]
    title: str
    text: str
    section: str = ""
    """Where the page tells more."""


def compare(measured: Mapping[str, Any]) -> Standing:
    """Say how a metric stands against its baseline; `better` when the whole interval is on the better side."""
    value, baseline = finite(measured.get("value")), finite(measured.get("baseline"))
    if value is None or baseline is None:
        return "alone"
    sign = 1 if measured.get("higher_is_better", True) else -1
    if sign * (value - baseline) <= 0:
        return "worse"
    near = finite(measured.get("low" if sign > 0 else "high"))
    if near is None:
        return "untested"
    return "better" if sign * (near - baseline) > 0 else "maybe"


def standing_words(standing: Standing, rows: int) -> str:
    """Return the verdict as a headline."""
    return {
        "better": "Better than the trivial answer.",
        "maybe": f"Perhaps better than the trivial answer: {count(rows, 'row')} cannot tell.",
        "worse": "No better than the trivial answer.",
        "untested": "Better than the trivial answer on these rows.",
        "alone": "Measured, with nothing to compare with.",
    }[standing]


def judgement(evidence: Evidence) -> tuple[str, list[str]]:
    """Return the verdict: a headline, and the sentences that follow it."""
    evaluations = in_order(evidence)
    measured = headline(evaluations[0]) if evaluations else None
    if measured is None:
        return "Nothing was measured.", [
            "No rows were held out, so nobody knows how good this model is. "
            "Give data.split a test share, or measure it on other rows with modelyard evaluate."
        ]
    judge = evaluations[0]
    standing = compare(measured)
    sentences = [_reached(measured, judge), _beside(measured, judge, evidence)]
    if standing == "maybe":
        sentences.append(
            "The interval reaches the trivial answer, so on other rows the model might not be better. "
            "More test rows would tell."
        )
    if judge.get("split") == "validation":
        sentences.append("There is no test split; rows that helped to choose the weights tend to flatter a model.")
    return standing_words(standing, int(judge.get("rows") or 0)), [sentence for sentence in sentences if sentence]


def findings(spec: Mapping[str, Any], evidence: Evidence) -> list[Finding]:
    """Return what else stands out, what needs care first."""
    evaluations = in_order(evidence)
    judge = evaluations[0] if evaluations else None
    found: list[Finding | None] = []
    if judge is not None:
        found += [_required(spec, judge), _weakest(judge), _confused(judge)]
    training = evidence.get("training")
    if training:
        found.append(Finding(*on_learning(training, _first_metric(judge)), "training"))
    found += [_left_out(evidence.get("data") or {}), *(_unmeasured(one) for one in evaluations)]
    order = {"caution": 0, "neutral": 1, "good": 2}
    return sorted((one for one in found if one is not None), key=lambda one: order[one.kind])


# -- against the trivial answer ---------------------------------------------------------------------------------------


def trivial_answer(evaluation: Mapping[str, Any], evidence: Evidence) -> str:
    """Return what is always answered by the baseline, in words."""
    means = (evidence.get("baseline") or {}).get("mean") or []
    per_label = evaluation.get("per_label") or []
    form = form_of(evaluation)
    if form == "regression":
        return f"Always answering {number(means[0])}, the mean in training," if len(means) == 1 else (
            "Always answering the means in training"
        )  # fmt: skip
    names = [entry["name"] for entry in per_label]
    if len(names) != len(means) or not names:
        return "The trivial answer"
    if form == "classification":
        return f"Always answering {quoted(names[means.index(max(means))])}, the most frequent label in training,"
    frequent = [quoted(name) for name, share in zip(names, means, strict=True) if share >= 0.5]
    return f"Always answering {listed(frequent)}" if frequent else "Always answering no label"


def _reached(measured: Mapping[str, Any], judge: Mapping[str, Any]) -> str:
    value = value_of(measured["name"], measured.get("value"), judge.get("rows"))
    rows = rows_of(judge)
    if value == MISSING:
        return f"On {rows}, {name_of(measured['name']).title} is not defined."
    told = {
        "accuracy": f"Of {rows}, {value} were answered rightly",
        "r2": f"On {rows}, the answers explain {percent(measured['value'])} of the target’s variance (R²)",
    }
    said = told.get(measured["name"]) or f"On {rows}, {name_of(measured['name']).title} is {value}"
    low, high = (value_of(measured["name"], measured.get(end), judge.get("rows")) for end in ("low", "high"))
    if MISSING in (low, high):
        return f"{said}."
    return f"{said}; the {percent(judge.get('confidence')).replace('.0%', '%')} interval goes from {low} to {high}."


def _beside(measured: Mapping[str, Any], judge: Mapping[str, Any], evidence: Evidence) -> str:
    if finite(measured.get("baseline")) is None:
        return ""
    value = value_of(measured["name"], measured["baseline"], judge.get("rows"))
    answer = trivial_answer(judge, evidence)
    if measured["name"] == "accuracy":
        return f"{answer} would be right on {value}."
    return f"{answer} would reach {value}."


# -- what stands out --------------------------------------------------------------------------------------------------


def _first_metric(judge: Mapping[str, Any] | None) -> str | None:
    measured = headline(judge) if judge else None
    return measured["name"] if measured else None


def _required(spec: Mapping[str, Any], judge: Mapping[str, Any]) -> Finding | None:
    required: Mapping[str, Any] = (spec.get("evaluate") or {}).get("require") or {}
    missed: list[str] = []
    kept: list[str] = []
    for measured in judge.get("metrics") or []:
        wanted = required.get(measured["name"])
        value = finite(measured.get("value"))
        if wanted is None:
            continue
        higher = measured.get("higher_is_better", True)
        name = name_of(measured["name"]).title
        bound = f"{name} of at {'least' if higher else 'most'} {value_of(measured['name'], wanted)}"
        reached = value is not None and (value >= wanted if higher else value <= wanted)
        (kept if reached else missed).append(f"{bound} ({value_of(measured['name'], value, judge.get('rows'))})")
    if missed:
        return Finding("caution", "Requirement missed", f"The spec asks for {listed(missed)}.", "results")
    return Finding("good", "Requirements met", f"The spec asks for {listed(kept)}.", "results") if kept else None


def _weakest(judge: Mapping[str, Any]) -> Finding | None:
    entries = [entry for entry in judge.get("per_label") or [] if entry.get("rows")]
    key = "f1" if entries and "f1" in entries[0] else "r2"
    known = [entry for entry in entries if finite(entry.get(key)) is not None]
    if len(known) < 2:
        return None
    if key == "r2":
        worst = min(known, key=lambda entry: entry["r2"])
        return Finding(
            "neutral", "Hardest target", f"{quoted(worst['name'])}, with R² {number(worst['r2'])}.", "results"
        )
    lost = [entry for entry in known if not entry.get("recall")]
    if len(lost) > 1:
        largest = max(lost, key=lambda entry: entry["rows"])
        return Finding(
            "caution",
            "Labels that are never found",
            f"{number(len(lost))} of {number(len(known))} labels were not found once; the largest of them is "
            f"{quoted(largest['name'])}, with {count(largest['rows'], 'row')}.",
            "results",
        )
    if all(entry["f1"] == 1 for entry in known):
        return Finding("good", "Every label was found", "No label has a mistake on these rows.", "results")
    worst = min(known, key=lambda entry: entry["f1"])
    return Finding(
        "neutral" if worst.get("recall") else "caution",
        "Weakest label",
        f"{quoted(worst['name'])}: {percent(worst.get('recall'))} of its {count(worst['rows'], 'row')} were found, "
        + (f"and {percent(worst['precision'])} of the rows answered so are of it."
           if finite(worst.get("precision")) is not None else "and no row was answered so."),
        "results",
    )  # fmt: skip


def _confused(judge: Mapping[str, Any]) -> Finding | None:
    most = frequent_confusions(judge, 1)
    if not most:
        return None
    pair = most[0]
    return Finding(
        "neutral",
        "Most frequent confusion",
        f"{quoted(pair.true)} answered as {quoted(pair.answered)}: "
        f"{number(pair.rows)} of {count(pair.of, 'row')} ({percent(pair.rows / pair.of)}).",
        "results",
    )


def _left_out(data: Mapping[str, Any]) -> Finding | None:
    dropped: Mapping[str, int] = data.get("dropped") or {}
    if not dropped:
        return None
    total = sum(dropped.values())
    reasons = [f"{number(many)} × {reason}" for reason, many in sorted(dropped.items(), key=lambda item: -item[1])]
    return Finding("caution", f"{count(total, 'row')} left out of the data", f"{'; '.join(reasons[:3])}.", "data")


def _unmeasured(evaluation: Mapping[str, Any]) -> Finding | None:
    many = evaluation.get("rows_without_target") or 0
    if not many:
        return None
    rows = rows_of(evaluation, many)
    return Finding(
        "caution",
        f"{rows} not measured",
        "Their target is missing, or is one that training never saw: no answer to them could be right.",
    )
