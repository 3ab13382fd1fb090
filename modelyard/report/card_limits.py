"""The part of the model card about limits: what the evidence says against relying on the model, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.report.card_results import slice_words
from modelyard.report.evaluations import Evidence, headline, in_order, rows_of
from modelyard.report.formatting import count, finite, number, percent, quoted
from modelyard.report.markdown import Fact, bullets, facts
from modelyard.report.metric_names import difference_of, name_of, value_of
from modelyard.report.words import compare

__all__ = ["limitations"]

_FEW_ROWS = 100


def limitations(spec: Mapping[str, Any], evidence: Evidence) -> list[str]:
    """Return what the evidence says against relying on the model."""
    evaluations = in_order(evidence)
    judge = evaluations[0] if evaluations else {}
    if not judge:
        return [bullets("derived", ["Nothing was measured on held-out rows: how good the model is, nobody knows."])]
    said = [
        *_against_baseline(judge),
        *_missed(spec, judge),
        *_weak_labels(judge),
        *(f"It does worse where {slice_words(one)}: {_beside(one)}." for one in _worse(judge)[:5]),
        *_unequal(judge),
        *_fragile(judge),
        *_unsure(judge),
        *_data_limits(evidence.get("data") or {}),
        *_doubtful(evidence, judge),
    ]
    doubled = (evidence.get("learning_curve") or {}).get("doubling")
    if doubled:
        said.append(f"More rows may help: {doubled}.")
    said += [f"{str(note)[:1].upper()}{str(note)[1:]}." for note in judge.get("notes") or []]
    none = "The evidence shows none beyond what was not measured."
    declared = facts([Fact("Known limits that the evidence cannot show", "declared", "")])
    return [bullets("derived", said or [none]) + "\n" + declared]


def _against_baseline(judge: Mapping[str, Any]) -> list[str]:
    measured = headline(judge)
    if measured is None:
        return []
    name, standing = name_of(measured["name"]).title, compare(measured)
    said = {
        "maybe": [f"By {name}, its interval reaches the trivial answer: it may be no better than that."],
        "worse": [f"By {name}, it is no better than the trivial answer."],
        "alone": [f"{name} has no trivial answer to be compared with."],
        "untested": [f"{name} has no interval: how much of it is chance is not known."],
    }.get(standing, [])
    rows = int(judge.get("rows") or 0)
    if rows < _FEW_ROWS:
        said.append(f"It was judged on {rows_of(judge)} only.")
    if judge.get("split") == "validation":
        said.append("There was no test split: rows that helped to choose the weights flatter a model.")
    return said


def _missed(spec: Mapping[str, Any], judge: Mapping[str, Any]) -> list[str]:
    required: Mapping[str, Any] = (spec.get("evaluate") or {}).get("require") or {}
    said = []
    for one in judge.get("metrics") or []:
        wanted, value = finite(required.get(one["name"])), finite(one.get("value"))
        if wanted is None:
            continue
        higher = one.get("higher_is_better", True)
        if value is None or (value < wanted if higher else value > wanted):
            bound = f"at {'least' if higher else 'most'} {value_of(one['name'], wanted)}"
            said.append(f"It misses a requirement: {name_of(one['name']).title} of {bound}.")
    return said


def _weak_labels(judge: Mapping[str, Any]) -> list[str]:
    entries = [one for one in judge.get("per_label") or [] if one.get("rows") and "recall" in one]
    lost = [quoted(one["name"]) for one in entries if not one["recall"]]
    if lost:
        shown = ", ".join(lost[:5]) + (f" and {number(len(lost) - 5)} more" if len(lost) > 5 else "")
        return [f"It never found a row of {shown}."]
    known = [one for one in entries if finite(one.get("f1")) is not None]
    if len(known) < 2 or all(one["f1"] == 1 for one in known):
        return []
    worst = min(known, key=lambda one: float(one["f1"]))
    told = f"{percent(worst['recall'])} of its {count(worst['rows'], 'row')} were found"
    return [f"Its weakest label is {quoted(worst['name'])}: {told}, at a precision of {percent(worst['precision'])}."]


def _worse(judge: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in judge.get("slices") or [] if one.get("worse")]


def _beside(one: Mapping[str, Any]) -> str:
    here, rest = (value_of(one["metric"], one.get(key)) for key in ("metric_value", "rest"))
    return f"{name_of(one['metric']).title} {here} on {count(one.get('rows'), 'row')}, {rest} elsewhere"


def _unequal(judge: Mapping[str, Any]) -> list[str]:
    said = []
    for fairness in judge.get("fairness") or []:
        for one in fairness.get("differences") or []:
            low = finite(one.get("low"))
            if low is not None and low > 0:
                name, gap = name_of(one["metric"]).title, difference_of(one["metric"], one.get("difference"))
                groups = f"{quoted(one.get('highest'))} and {quoted(one.get('lowest'))}"
                said.append(f"Groups of {fairness.get('column')} differ: {name} by {gap} between {groups}.")
    return said


def _fragile(judge: Mapping[str, Any]) -> list[str]:
    """Of each corruption that costs more than chance, the strongest severity."""
    better = {one["name"]: one.get("higher_is_better", True) for one in judge.get("metrics") or []}
    worst: dict[str, Mapping[str, Any]] = {}
    for one in judge.get("robustness") or []:
        low, high = finite(one.get("low")), finite(one.get("high"))
        if low is None or high is None:
            continue
        if (high < 0) if better.get(one["metric"], True) else (low > 0):
            worst[str(one.get("corruption"))] = one
    said = []
    for corruption, one in list(worst.items())[:6]:
        before, after = (value_of(one["metric"], one.get(key)) for key in ("clean", "corrupted"))
        title = name_of(one["metric"]).title
        said.append(f"It is hurt by {corruption} (severity {one.get('severity')} of 3): {title} {before} → {after}.")
    return said


def _unsure(judge: Mapping[str, Any]) -> list[str]:
    found = judge.get("calibration") or {}
    low, error = finite(found.get("low")), finite(found.get("ece"))
    if low is None or error is None or low < 0.02:
        return []
    said = f"Its probabilities are off by {percent(error)} on average (expected calibration error)"
    temperature = finite(found.get("temperature"))
    if temperature is not None and not 0.9 < temperature < 1.1:
        said += (
            f"; on validation it is too {'sure' if temperature > 1 else 'unsure'} (temperature {number(temperature)})"
        )
    return [said + "."]


def _data_limits(data: Mapping[str, Any]) -> list[str]:
    """Refusals and warnings of the data gate that were accepted, and columns that drift."""
    said = [
        f"Data gate, {one.get('severity')}: {one.get('title')}."
        for one in data.get("findings") or []
        if one.get("severity") in ("refuse", "warn") and one.get("policy") == "keep"
    ]
    drifted = list(dict.fromkeys(str(one["column"]) for one in data.get("drift") or [] if one.get("drifted")))
    if drifted:
        columns = ", ".join(drifted[:5]) + (f" and {number(len(drifted) - 5)} more" if len(drifted) > 5 else "")
        said.append(f"Held-out rows differ from training in {columns}.")
    return said


def _doubtful(evidence: Evidence, judge: Mapping[str, Any]) -> list[str]:
    said = []
    if judge.get("suspect_rows"):
        said.append(f"{count(judge['suspect_rows'], 'label')} of {rows_of(judge)} are likely wrong.")
    found = (evidence.get("cross_validation") or {}).get("suspects") or []
    if found:
        said.append(f"{count(len(found), 'label')} of the training rows are likely wrong.")
    return said
