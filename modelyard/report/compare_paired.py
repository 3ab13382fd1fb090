"""Sections of the comparison page that rest on the same rows: the verdict, the paired tests, and who is right where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.cards import Budget, cards_of
from modelyard.report.compare_sides import Side, change_between
from modelyard.report.evaluations import rows_of
from modelyard.report.formatting import MISSING, count, finite, listed, number, percent
from modelyard.report.metric_names import change_of, name_of
from modelyard.report.scales import Scale
from modelyard.report.strips import Interval, interval_strip, stacked_bar
from modelyard.report.svg import Drawn

__all__ = ["agreement", "tests", "verdict"]

_UNTOLD = "not distinguishable"

Paired = Mapping[str, Any] | None


def verdict(runs: Sequence[Side], paired: Paired, why: str) -> dict[str, Any]:
    """Return what the template shows: the tests of the headline metric in words, and which runs these are."""
    sentences: list[str] = []
    title = "Not tested on the same rows."
    if paired is not None:
        pairs = [(runs[n], here) for n in range(1, len(runs)) if (here := _of_run(paired, n))]
        title = _title(runs, pairs, paired)
        sentences = [_sentence(runs[0], run, here, paired) for run, here in pairs]
    return {
        "title": title,
        "sentences": sentences,
        "why": why.rstrip("."),
        "tested": paired is not None,
        "several": paired is not None and len(paired.get("differences") or []) > 1,
        "rows_left_out": count(paired["rows_left_out"], "row") if paired and paired.get("rows_left_out") else "",
        "notes": [f"{note[:1].upper()}{note[1:]}." for note in map(str, (paired or {}).get("notes") or [])],
        "runs": [_about(run) for run in runs],
    }


def tests(runs: Sequence[Side], paired: Paired, why: str) -> dict[str, Any] | None:
    """Return a table for each run but the first: its differences from the first."""
    if paired is None:
        return None
    pairs = [
        {"first": runs[0], "run": runs[n], "lines": _lines(runs[n], _of_run(paired, n))} for n in range(1, len(runs))
    ]
    return {"pairs": pairs, "confidence": _level(paired), "rows": count(paired.get("rows"), "row")}


def agreement(runs: Sequence[Side], paired: Paired, why: str) -> dict[str, Any] | None:
    """Return how often two runs answer alike, and rows that only one of them answers rightly."""
    found: Sequence[Mapping[str, Any]] = (paired or {}).get("only_right") or []
    if paired is None or not found:
        return None
    budget = Budget()
    return {"pairs": [_pair(runs, one, int(paired.get("rows") or 0), budget) for one in found]}


# -- the verdict ------------------------------------------------------------------------------------------------------


def _of_run(paired: Mapping[str, Any], at: int) -> list[Mapping[str, Any]]:
    return [one for one in paired.get("differences") or [] if one.get("bundle") == at]


def _title(
    runs: Sequence[Side], pairs: Sequence[tuple[Side, Sequence[Mapping[str, Any]]]], paired: Mapping[str, Any]
) -> str:
    """The headline's verdict on all runs; letters, as names may be the same."""
    told = {kind: [run.letter for run, here in pairs if here[0]["verdict"] == kind] for kind in ("better", "worse")}
    first, rows = runs[0].letter, count(paired.get("rows"), "row")
    parts = [f"{listed(them)} {_is(them)} {kind}" for kind, them in told.items() if them]
    rest = len(pairs) - sum(map(len, told.values()))
    if not parts:
        if len(pairs) == 1:
            return f"{rows} cannot tell {pairs[0][0].letter} from {first}."
        return f"{rows} tell none of the others from {first}."
    return f"{' and '.join(parts)} than {first}{'; the rest cannot be told apart' if rest else ''}."


def _is(them: Sequence[str]) -> str:
    return "is" if len(them) == 1 else "are"


def _sentence(first: Side, run: Side, here: Sequence[Mapping[str, Any]], paired: Mapping[str, Any]) -> str:
    head = here[0]
    title, rows = name_of(head["metric"]).title, paired.get("rows")
    measured = f"{title} {change_of(head['metric'], head.get('difference'))}"
    ends = _interval(head)
    if ends != MISSING:
        measured += f" ({_level(paired)} interval {ends})"
    measured += f", {_chance(head.get('p_value'))}, {head.get('test')}"
    if head["verdict"] == _UNTOLD:
        said = f"{run.letter} cannot be told from {first.letter} on these {count(rows, 'row')}: {measured}."
        needed = head.get("rows_needed")
        if needed is not None and needed > (rows or 0):
            said += f" A difference of this size would take about {count(needed, 'row')} to tell."
    else:
        said = f"{run.letter} is {head['verdict']} than {first.letter} on these {count(rows, 'row')}: {measured}."
    others = []
    for kind in ("better", "worse"):
        named = [name_of(one["metric"]).title for one in here[1:] if one["verdict"] == kind]
        if named:
            others.append(f"{kind} by {listed(named)}")
    return said + (f" Of the other metrics, it is {' and '.join(others)}." if others else "")


def _about(run: Side) -> dict[str, Any]:
    training = run.training
    parts = [str(training.get("family") or ""), str((run.evidence.get("environment") or {}).get("created") or "")[:10]]
    if training.get("parameters") is not None:
        parts.insert(1, count(training["parameters"], "parameter"))
    parts.insert(-1, f"judged on {rows_of(run.judge)}" if run.judge else "nothing measured")
    return {"side": run, "about": str(run.spec.get("about") or ""), "said": ", ".join(part for part in parts if part)}


# -- the tests --------------------------------------------------------------------------------------------------------


def _lines(run: Side, differences: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "title": name_of(one["metric"]).title,
            "lower": not one.get("higher_is_better", True),
            "strip": _strip(run, one),
            "difference": change_of(one["metric"], one.get("difference")),
            "interval": _interval(one),
            "p": _chance(one.get("p_value")).removeprefix("p = ").removeprefix("p "),
            "test": str(one.get("test") or MISSING),
            "verdict": "cannot be told" if one.get("verdict") == _UNTOLD else str(one.get("verdict")),
            "tone": {"better": "good", "worse": "bad"}.get(str(one.get("verdict")), "untold"),
            "needed": "" if one.get("rows_needed") is None else number(one["rows_needed"]),
        }
        for one in differences
    ]


def _strip(run: Side, one: Mapping[str, Any]) -> Drawn:
    """The difference on a scale with no difference in its middle and better on its right."""
    sign = 1 if one.get("higher_is_better", True) else -1
    value, low, high = (
        None if (end := finite(one.get(key))) is None else sign * end for key in ("difference", "low", "high")
    )
    widest = max((abs(end) for end in (value, low, high) if end is not None), default=0.0) or 1.0
    spoken = f"{name_of(one['metric']).title} {change_of(one['metric'], one.get('difference'))}, {one.get('verdict')}"
    return interval_strip([Interval(f"judged {run.kind}", value, low, high, 0.0)], Scale(-widest, widest), spoken, 16)


def _interval(one: Mapping[str, Any]) -> str:
    return change_between(one["metric"], one.get("low"), one.get("high"))


def _chance(p_value: Any) -> str:
    value = finite(p_value)
    if value is None:
        return f"p {MISSING}"
    return "p < 0.001" if value < 0.001 else f"p = {number(value, 2)}"


def _level(paired: Mapping[str, Any]) -> str:
    return percent(paired.get("confidence")).replace(".0%", "%")


# -- who is right where -----------------------------------------------------------------------------------------------


def _pair(runs: Sequence[Side], one: Mapping[str, Any], rows: int, budget: Budget) -> dict[str, Any]:
    first, run = runs[0], runs[int(one["bundle"])]
    only = [(first, int(one.get("only_first") or 0)), (run, int(one.get("only_this") or 0))]
    alike = rows - sum(many for _, many in only)
    shares = [(only[0][0].kind, only[0][1]), ("alike", alike), (only[1][0].kind, only[1][1])]
    examples: Sequence[Mapping[str, Any]] = one.get("examples") or []
    told = [f"only {side.letter} right {many}" for side, many in only]
    spoken = f"{told[0]}, both right or both wrong {alike}, {told[1]}"
    return {
        "first": first,
        "run": run,
        "agreement": percent(one.get("agreement"), rows),
        "bar": stacked_bar([(kind, many / rows) for kind, many in shares], spoken) if rows else None,
        "alike": count(alike, "row"),
        "only": [
            {
                "side": side,
                "rows": count(many, "row"),
                "cards": cards_of([row["row"] for row in examples if row.get("right") == side.number], budget),
            }
            for side, many in only
        ],
    }
