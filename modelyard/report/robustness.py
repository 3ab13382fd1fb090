"""Section: what is left of the headline metric when inputs are corrupted, or a column is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.evaluations import Evidence, in_order, rows_of
from modelyard.report.formatting import MISSING, count, finite, listed, number, percent
from modelyard.report.metric_names import change_of, difference_of, name_of, value_of
from modelyard.report.scales import Scale, linear
from modelyard.report.strips import Interval, interval_strip
from modelyard.report.tables import sort_key
from modelyard.report.weaknesses import lost_by

__all__ = ["view"]

_MOST = 120
_MISSING_COLUMN = "missing:"


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when no input was corrupted."""
    judge = next((one for one in in_order(evidence) if one.get("robustness")), None)
    if judge is None:
        return None
    trials: Sequence[Mapping[str, Any]] = judge["robustness"]
    values = [finite(one.get(key)) for one in trials for key in ("change", "low", "high")]
    scale = linear([value for value in values if value is not None], [0.0])
    metric = str(trials[0].get("metric"))
    columns = [one for one in trials if str(one.get("corruption")).startswith(_MISSING_COLUMN)]
    others = [one for one in trials if one not in columns]
    tables = (
        ("Corrupted values", "Corruption", others),
        ("A column missing", "Column", columns),
    )
    return {
        "rows": rows_of(judge, trials[0].get("rows")),
        "metric": name_of(metric).title,
        "clean": value_of(metric, trials[0].get("clean")),
        "words": _words(trials, judge),
        "ends": [change_of(metric, end) for end in (scale.low, scale.high)],
        "answers": any(finite(one.get("changed_answers")) is not None for one in trials),
        "tables": [
            {
                "title": title,
                "what": what,
                "severity": what == "Corruption",
                "lines": [_line(one, judge, scale) for one in part[:_MOST]],
                "left_out": number(len(part) - _MOST) if len(part) > _MOST else "",
            }
            for title, what, part in tables
            if part
        ],
    }


def _words(trials: Sequence[Mapping[str, Any]], judge: Mapping[str, Any]) -> str:
    hurt = [one for one in trials if lost_by(one, judge) is not None]
    if not hurt:
        return f"None of {count(len(trials), 'trial')} makes it worse by more than chance on these rows."
    worst = max(hurt, key=lambda one: abs(finite(one.get("change")) or 0.0))
    metric = str(worst.get("metric"))
    name = str(worst.get("corruption"))
    told = (
        f"without {name.removeprefix(_MISSING_COLUMN).strip()}" if name.startswith(_MISSING_COLUMN) else f"with {name}"
    )
    return (
        f"{number(len(hurt))} of {count(len(trials), 'trial')} make it worse by more than chance; most of all {told} "
        f"(severity {number(worst.get('severity'))}): {value_of(metric, worst.get('clean'))} becomes "
        f"{value_of(metric, worst.get('corrupted'))}."
    )


def _line(one: Mapping[str, Any], judge: Mapping[str, Any], scale: Scale) -> dict[str, Any]:
    metric = str(one.get("metric"))
    change, low, high = (finite(one.get(key)) for key in ("change", "low", "high"))
    known = low is not None and high is not None
    interval = f"{change_of(metric, low)} to {change_of(metric, high)}" if known else MISSING
    name = str(one.get("corruption"))
    columns = [str(column) for column in one.get("columns") or []]
    spoken = f"{name}, severity {number(one.get('severity'))}: change {change_of(metric, change)}, interval {interval}"
    hurt = lost_by(one, judge) is not None
    kind = "split-other judged" if not hurt else "split-test judged"
    return {
        "name": name.removeprefix(_MISSING_COLUMN).strip() or name,
        "severity": number(one.get("severity")),
        "columns": listed(columns, 3) if len(columns) <= 3 else count(len(columns), "column"),
        "corrupted": value_of(metric, one.get("corrupted")),
        "change": change_of(metric, change) if change else difference_of(metric, change),
        "interval": interval,
        "answers": percent(one.get("changed_answers")),
        "hurt": hurt,
        "strip": None if change is None else interval_strip([Interval(kind, change, low, high, 0.0)], scale, spoken),
        "sort": {
            key: sort_key(one.get(key)) for key in ("severity", "corrupted", "change", "changed_answers")
        },
    }  # fmt: skip
