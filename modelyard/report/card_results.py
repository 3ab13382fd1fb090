"""The part of the model card about results: factors, metrics, analyses by one and several factors, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.evaluations import Evidence, headline, in_order, rows_of
from modelyard.report.formatting import MISSING, count, finite, number, percent, quoted
from modelyard.report.markdown import Fact, Kind, bullets, facts, prose, table
from modelyard.report.metric_names import change_of, difference_of, name_of, value_of
from modelyard.report.words import trivial_answer

__all__ = ["calibration", "factors", "metrics", "quantities", "robustness", "slice_words"]

_MOST = 30
_FEW_ROWS = 100
Heads = list[tuple[str, Kind | None]]


def factors(spec: Mapping[str, Any], evidence: Evidence) -> list[str]:
    """Return what results were told apart by."""
    settings, judge = spec.get("evaluate") or {}, _judge(evidence)
    wanted = settings.get("slices")
    if wanted == "auto":
        how = "all columns were searched for slices where the model does worse than elsewhere"
    else:
        how = "columns named in the spec: " + ", ".join(map(str, wanted)) if wanted else ""
    columns = [column for one in judge.get("slices") or [] for column in _columns(one)]
    told = ", ".join(dict.fromkeys(columns)) or ("no slice stood out" if judge and wanted else "")
    groups = [str(one.get("column")) for one in judge.get("fairness") or []]
    return [
        facts(
            [
                Fact("Relevant factors", "declared", how if wanted != "auto" else ""),
                Fact("Groups of people that were compared", "declared", ", ".join(groups)),
                Fact("Searched", "derived", how if wanted == "auto" else ""),
                Fact("Columns of the slices below", "derived", told),
            ]
        )
    ]


def metrics(spec: Mapping[str, Any], evidence: Evidence) -> list[str]:
    """Return which metrics there are, how intervals were made and what was required."""
    judge, settings = _judge(evidence), spec.get("evaluate") or {}
    first = headline(judge) if judge else None
    named = [name_of(one["name"]) for one in judge.get("metrics") or []]
    resamples, level = finite(settings.get("resamples")), finite(judge.get("confidence"))
    how = ""
    if resamples and level is not None:
        how = f"{percent(level).replace('.0%', '%')} bootstrap intervals over the rows, {number(resamples)} resamples"
    required: Mapping[str, Any] = settings.get("require") or {}
    asked = [f"{name_of(name).title} {value_of(name, value)}" for name, value in required.items()]
    fields = [
        Fact("Judged by", "derived", "" if first is None else _told(name_of(first["name"]))),
        Fact("Also measured", "measured", "; ".join(_told(one) for one in named[1:])),
        Fact("Uncertainty", "derived", how),
        Fact("Required of the test", "declared", ", ".join(asked)),
    ]
    threshold = judge.get("threshold")
    if threshold:
        told = (
            f"{quoted(threshold.get('label'))} is answered from a probability of {number(threshold.get('value'))} on, "
            f"chosen on {threshold.get('chosen_on')} for {threshold.get('goal')}; without the choice, from "
            f"{number(threshold.get('default'))} on"
        )
        fields.append(Fact("Threshold", "derived", told))
    return [facts(fields)]


# -- analyses ---------------------------------------------------------------------------------------------------------


def quantities(spec: Mapping[str, Any], evidence: Evidence) -> list[str]:
    """Return the numbers: of all rows, by label, by one factor, by several factors together, by group."""
    judge = _judge(evidence)
    if not judge:
        return [facts([Fact("Results", "measured", "")])]
    blocks = [f"On {prose(rows_of(judge))}.", _all_rows(judge, trivial_answer(judge, evidence))]
    blocks += _folds(evidence)
    blocks += _by_label(judge)
    slices, searched = judge.get("slices") or [], (spec.get("evaluate") or {}).get("slices") == "auto"
    blocks += _sliced("Unitary", [one for one in slices if len(_columns(one)) == 1], searched)
    blocks += _sliced("Intersectional", [one for one in slices if len(_columns(one)) > 1], searched)
    for fairness in judge.get("fairness") or []:
        blocks += _groups(fairness)
    return blocks


def _all_rows(judge: Mapping[str, Any], trivial: str) -> str:
    heads: Heads = [("Metric", None), ("Value", "measured"), (_interval(judge), "derived")]
    heads += [(trivial.rstrip(",").split(",")[0], "measured"), ("Better is", None)]
    lines = []
    for one in judge.get("metrics") or []:
        texts = [value_of(one["name"], one.get(key), judge.get("rows")) for key in ("value", "low", "high", "baseline")]
        better = "higher" if one.get("higher_is_better", True) else "lower"
        lines.append([name_of(one["name"]).title, texts[0], _from_to(texts[1], texts[2]), texts[3], better])
    return table(heads, lines)


def _folds(evidence: Evidence) -> list[str]:
    found = evidence.get("cross_validation") or {}
    spread: Sequence[Mapping[str, Any]] = found.get("spread") or []
    if not spread:
        return []
    lines = [
        [
            name_of(one["metric"]).title,
            *(value_of(one["metric"], one.get(key)) for key in ("mean", "lowest", "highest")),
        ]
        for one in spread
    ]
    heads: Heads = [("Metric", None), ("Mean", "measured"), ("Lowest", "measured"), ("Highest", "measured")]
    return [
        f"Over {count(len(found.get('folds') or []), 'fold')} of the training rows, each answered by a model that was "
        "not trained on it:",
        table(heads, lines),
    ]


def _by_label(judge: Mapping[str, Any]) -> list[str]:
    entries: Sequence[Mapping[str, Any]] = judge.get("per_label") or []
    if not entries:
        return []
    keys = [key for key in entries[0] if key not in ("name", "rows")]
    heads: Heads = [("Of", None), ("Rows", "measured"), *((name_of(key).title, "measured") for key in keys)]
    lines = [
        [one.get("name"), number(one.get("rows")), *(value_of(key, one.get(key)) for key in keys)]
        for one in entries[:_MOST]
    ]
    return ["### By label or target" + _of_all(entries), table(heads, lines)]


def _sliced(title: str, slices: Sequence[Mapping[str, Any]], searched: bool) -> list[str]:
    what = "one factor" if title == "Unitary" else "several factors together"
    if not slices:
        return [
            f"### {title} results",
            facts([Fact(f"Slices by {what}", "derived", "none stood out" if searched else "")]),
        ]
    heads: Heads = [("Slice", "declared" if slices[0].get("declared") else "derived"), ("Rows", "measured")]
    heads += [("Metric", None), ("Value", "measured"), ("Interval", "derived"), ("All other rows", "measured")]
    heads += [("p", "derived"), ("Worse than chance allows", "derived")]
    lines = [
        [
            slice_words(one),
            number(one.get("rows")),
            name_of(one["metric"]).title,
            value_of(one["metric"], one.get("metric_value")),
            _from_to(*(value_of(one["metric"], one.get(end)) for end in ("low", "high"))),
            value_of(one["metric"], one.get("rest")),
            number(one.get("p_value"), 2),
            "yes" if one.get("worse") else "no",
        ]
        for one in slices[:_MOST]
    ]
    return [f"### {title} results{_of_all(slices)}", f"By {what}:", table(heads, lines)]


def slice_words(one: Mapping[str, Any]) -> str:
    """Return a slice as a person reads it: `size is small and colour is red`."""
    parts = one.get("condition") or [one]
    return " and ".join(f"{part.get('column')} is {part.get('value')}" for part in parts)


def _columns(one: Mapping[str, Any]) -> list[str]:
    return [str(part.get("column")) for part in one.get("condition") or [one]]


def _groups(fairness: Mapping[str, Any]) -> list[str]:
    groups: Sequence[Mapping[str, Any]] = fairness.get("groups") or []
    names = list(dict.fromkeys(name for one in groups for name in one.get("metrics") or {}))
    heads: Heads = [("Group", None), ("Rows", "measured"), *((name_of(name).title, "measured") for name in names)]
    lines = []
    for one in groups[:_MOST]:
        measured = [(one.get("metrics") or {}).get(name) or {} for name in names]
        cells = [_with_interval(name, found) for name, found in zip(names, measured, strict=True)]
        lines.append([one.get("group"), number(one.get("rows")), *cells])
    blocks = [f"### Groups by {prose(fairness.get('column'))}{_of_all(groups)}", table(heads, lines)]
    differences = fairness.get("differences") or []
    if differences:
        heads = [("Metric", None), ("Largest difference", "derived"), ("Interval", "derived")]
        heads += [("Highest", "measured"), ("Lowest", "measured"), ("Ratio", "derived")]
        lines = [
            [
                name_of(one["metric"]).title,
                difference_of(one["metric"], one.get("difference")),
                _from_to(*(change_of(one["metric"], one.get(end)) for end in ("low", "high"))),
                one.get("highest"),
                one.get("lowest"),
                number(one.get("ratio"), 3),
            ]
            for one in differences
        ]
        blocks.append(table(heads, lines))
    notes = [str(note) for note in fairness.get("notes") or []]
    return [*blocks, *([bullets("derived", notes)] if notes else [])]


def calibration(evidence: Evidence) -> list[str]:
    """Return whether probabilities mean what they say."""
    found = _judge(evidence).get("calibration") or {}
    error = ""
    if finite(found.get("ece")) is not None:
        error = f"{number(found['ece'])} ({_from_to(number(found.get('low')), number(found.get('high')))})"
        if found.get("label") is not None:
            error += f", of the probability of {quoted(found['label'])}"
    temperature = _number(found.get("temperature"))
    after = _number(found.get("ece_calibrated"))
    return [
        facts(
            [
                Fact("Expected calibration error", "measured", error),
                Fact("Largest error of a bin", "measured", _number(found.get("largest"))),
                Fact("Temperature, fitted on validation and not applied unless asked for", "derived", temperature),
                Fact("Expected calibration error with this temperature", "measured", after),
            ]
        )
    ]


def robustness(evidence: Evidence) -> list[str]:
    """Return what is left of the headline metric when inputs are corrupted."""
    judge = _judge(evidence)
    found: Sequence[Mapping[str, Any]] = judge.get("robustness") or []
    if not found:
        return [facts([Fact("Under corrupted inputs", "measured", "")])]
    heads: Heads = [("Corruption", None), ("Severity", None), ("Rows", "measured"), ("As it is", "measured")]
    heads += [("Corrupted", "measured"), ("Change", "derived"), (_interval(judge), "derived")]
    lines = [
        [
            one.get("corruption"),
            f"{one.get('severity')} of 3",
            number(one.get("rows")),
            value_of(one["metric"], one.get("clean")),
            value_of(one["metric"], one.get("corrupted")),
            change_of(one["metric"], one.get("change")),
            _from_to(*(change_of(one["metric"], one.get(end)) for end in ("low", "high"))),
        ]
        for one in found
    ]
    return [f"{prose(name_of(found[0]['metric']).title)} on corrupted rows:", table(heads, lines)]


# -- small things -----------------------------------------------------------------------------------------------------


def _judge(evidence: Evidence) -> Mapping[str, Any]:
    evaluations = in_order(evidence)
    return evaluations[0] if evaluations else {}


def _told(name: Any) -> str:
    return f"{name.title} ({name.meaning})" if name.meaning else str(name.title)


def _interval(judge: Mapping[str, Any]) -> str:
    return f"{percent(judge.get('confidence')).replace('.0%', '%')} interval"


def _from_to(low: str, high: str) -> str:
    return MISSING if MISSING in (low, high) else f"{low} to {high}"


def _with_interval(name: str, found: Mapping[str, Any]) -> str:
    value, low, high = (value_of(name, found.get(key)) for key in ("value", "low", "high"))
    return value if MISSING in (low, high) else f"{value} ({low} to {high})"


def _number(value: Any) -> str:
    return "" if finite(value) is None else number(value)


def _of_all(items: Sequence[Any]) -> str:
    return f" (the first {_MOST} of {number(len(items))})" if len(items) > _MOST else ""
