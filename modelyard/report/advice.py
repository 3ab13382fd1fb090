"""What to do next: steps that follow from the evidence, each with its reason and, where there is one, the setting or
command to type. A step appears when its rule holds and never otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.report.evaluations import Evidence, headline, in_order
from modelyard.report.formatting import count, finite, listed, number, percent, quoted
from modelyard.report.learning import on_learning
from modelyard.report.metric_names import difference_of, name_of, value_of
from modelyard.report.weaknesses import (
    CALIBRATION_ERROR,
    DOUBTED,
    corruption_name,
    costliest,
    doubted_rows,
    gap_of,
    higher_is_better,
    slice_name,
)
from modelyard.report.words import compare

__all__ = ["RULES", "Advice", "advice"]

_MOST = 6
_WIDE = 0.1
"""Width of the headline's interval from which on more test rows are asked for, of a metric that is a share."""
_APART = 0.15
"""Difference of precision and recall from which on a threshold is worth choosing."""
_LEAKING_COLUMNS = {"label_copy", "label_predictor"}
_LEAKING_ROWS = {"duplicates_across_splits", "group_leakage", "time_leakage", "unlabelled_held_out"}
_LEAK = 0.01
"""Share of the held-out rows from which on leaking rows come first."""

_AUGMENTS = {"brightness": ("brightness", 0.4), "contrast": ("contrast", 0.6), "shift and rotation": ("rotate", 15.0)}
"""Corruption of pictures → the augmentation that is like it, and a strength."""

RULES = (
    f"Leaks come first, where a column gives the label away or {percent(_LEAK).replace('.0%', '%')} of the held-out "
    "rows or more are known from training: then no other number can be trusted.",
    f"More test rows are asked for when the headline’s interval is wider than {round(100 * _WIDE)} points; its width "
    "shrinks with the root of the number of rows.",
    f"A threshold is worth choosing when precision and recall of two labels differ by more than {round(100 * _APART)} "
    "points.",
    "More training rows are asked for when the learning curve’s power law, fitted and believed, expects a gain.",
)


@dataclass(frozen=True)
class Advice:
    """A step to take."""

    title: str
    because: str
    """What in the evidence asks for it."""
    command: str = ""
    """A setting or a command, ready to be typed."""
    section: str = ""
    """Where the page shows the reason."""


def advice(spec: Mapping[str, Any], evidence: Evidence) -> list[Advice]:
    """Return the steps to take, the most pressing first, at most six."""
    found = [step for rule in _STEPS if (step := rule(spec, evidence)) is not None]
    return (found or [_fresh()])[:_MOST]


def _judge(evidence: Evidence) -> Mapping[str, Any]:
    evaluations = in_order(evidence)
    return evaluations[0] if evaluations else {}


def _leaks(spec: Mapping[str, Any], evidence: Evidence) -> Advice | None:
    data = evidence.get("data") or {}
    held_out = sum(int(many) for split, many in (data.get("rows") or {}).items() if split != "train")
    found = [
        one
        for one in data.get("findings") or []
        if one.get("severity") in ("refuse", "warn")
        and one.get("policy") != "drop"
        and (
            one.get("check") in _LEAKING_COLUMNS
            or (one.get("check") in _LEAKING_ROWS and int(one.get("rows") or 0) >= _LEAK * max(held_out, 1))
        )
    ]
    if not found:
        return None
    titles = "; ".join(str(one.get("title")) for one in found[:2])
    return Advice(
        "Close the leak between training and test",
        f"{titles}. What was measured may be too good.",
        next((str(one["setting"]) for one in found if one.get("setting")), ""),
        "gate",
    )


def _hold_out(spec: Mapping[str, Any], evidence: Evidence) -> Advice | None:
    splits = {str(one.get("split")) for one in evidence.get("metrics") or []}
    if "validation" not in splits and not splits:
        return Advice("Hold out rows to measure on", "Nothing was measured.", "data.split.test=0.1")
    if splits == {"validation"}:
        return Advice(
            "Hold out a test split",
            "The rows that were measured also helped to choose the weights, which flatters.",
            "data.split.test=0.1",
        )
    return None


def _not_better(spec: Mapping[str, Any], evidence: Evidence) -> Advice | None:
    measured = headline(_judge(evidence)) if _judge(evidence) else None
    if measured is None or compare(measured) != "worse":
        return None
    return Advice(
        "Do not use this model; look at inputs and labels first",
        f"{name_of(measured['name']).title} is no better than the trivial answer’s.",
        section="results",
    )


def _labels(spec: Mapping[str, Any], evidence: Evidence) -> Advice | None:
    many, rows = doubted_rows(evidence)
    if not many or many > DOUBTED * rows:
        return None
    return Advice(
        f"Check the labels of {count(many, 'row')}",
        "A model that had not seen them surely answers otherwise. The first are shown with their inputs.",
        section="suspects",
    )


def _fitting(spec: Mapping[str, Any], evidence: Evidence) -> Advice | None:
    training = evidence.get("training")
    if not training:
        return None
    _, title, _ = on_learning(training, None)
    settings = spec.get("train") or {}
    if title == "It overfits" and not settings.get("early_stopping"):
        return Advice(
            "Stop training where validation is best",
            "The validation loss rose again while the training loss went on falling.",
            "train.early_stopping.patience=3",
            "training",
        )
    epochs = finite(settings.get("epochs"))
    if title == "Still learning" and epochs:
        return Advice(
            "Train longer",
            "The validation loss was still falling at the end.",
            f"train.epochs={2 * int(epochs)}",
            "training",
        )
    return None


def _slices(spec: Mapping[str, Any], evidence: Evidence) -> Advice | None:
    worse = [part for part in _judge(evidence).get("slices") or [] if part.get("worse")]
    if not worse:
        return None
    first = worst_of(worse)
    more = f", and {number(len(worse) - 1)} more" if len(worse) > 1 else ""
    return Advice(
        f"Look at the rows where {slice_name(first)}{more}",
        f"{name_of(first['metric']).title} is {value_of(first['metric'], first.get('metric_value'))} there against "
        f"{value_of(first['metric'], first.get('rest'))} elsewhere: more such rows to train on, or another model for "
        "them.",
        section="slices",
    )


def worst_of(worse: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the slice that is furthest from the rest."""
    return max(worse, key=lambda part: abs((finite(part.get("metric_value")) or 0) - (finite(part.get("rest")) or 0)))


def _groups(spec: Mapping[str, Any], evidence: Evidence) -> Advice | None:
    gaps = [(str(one.get("column")), gap) for one in _judge(evidence).get("fairness") or [] if (gap := gap_of(one))]
    if not gaps:
        return None
    column, gap = gaps[0]
    metric, both = str(gap["metric"]), f"{quoted(gap.get('highest'))} and {quoted(gap.get('lowest'))}"
    return Advice(
        f"Decide whether the gap between groups of {column} can be accepted",
        f"{name_of(metric).title} of {both} differ by {difference_of(metric, gap['difference'])}, more than chance "
        "gives. The numbers cannot decide it.",
        section="fairness",
    )


def _damage(spec: Mapping[str, Any], evidence: Evidence) -> Advice | None:
    worst = costliest(_judge(evidence))
    if worst is None:
        return None
    name, columns = str(worst.get("corruption")), [str(column) for column in worst.get("columns") or []]
    metric = str(worst.get("metric"))
    moves = "falls" if higher_is_better(metric, _judge(evidence)) else "rises"
    because = f"{name_of(metric).title} {moves} to {value_of(metric, worst.get('corrupted'))} with it. "
    if name.startswith("missing"):
        because += "Make sure that the values arrive, or train with rows that lack them."
        return Advice(f"Guard against {corruption_name(worst)}", because, section="robustness")
    setting = _AUGMENTS.get(name)
    inputs = (spec.get("data") or {}).get("inputs") or {}
    command = ""
    for column in columns:
        chosen = inputs.get(column)
        augment = chosen.get("augment") if isinstance(chosen, Mapping) else None
        if setting is not None and isinstance(augment, Mapping) and not augment.get(setting[0]):
            command = f"data.inputs.{column}.augment.{setting[0]}={setting[1]:g}"
            break
    because += "If it occurs where the model is used, train on inputs like that."
    return Advice(f"Prepare it for {name}", because, command, "robustness")


def _probabilities(spec: Mapping[str, Any], evidence: Evidence) -> Advice | None:
    calibration = _judge(evidence).get("calibration") or {}
    before, after = finite(calibration.get("ece")), finite(calibration.get("ece_calibrated"))
    if before is None or after is None or before <= CALIBRATION_ERROR or after >= before:
        return None
    return Advice(
        "Ask for calibrated probabilities",
        f"The temperature fitted on validation brings their error from {percent(before)} to {percent(after)}.",
        "modelyard predict BUNDLE --input ROWS --calibrated",
        "calibration",
    )


def _threshold(spec: Mapping[str, Any], evidence: Evidence) -> Advice | None:
    judge = _judge(evidence)
    values = {one.get("name"): finite(one.get("value")) for one in judge.get("metrics") or []}
    precision, recall = values.get("precision"), values.get("recall")
    if judge.get("threshold") or precision is None or recall is None or abs(precision - recall) <= _APART:
        return None
    if len((judge.get("confusion") or {}).get("labels") or []) != 2:
        return None
    return Advice(
        "Choose the threshold for what a mistake costs",
        f"Precision is {percent(precision)} and recall {percent(recall)}; another threshold trades one for the other.",
        "evaluate.threshold.goal=f1",
        "curves",
    )


def _more_rows(spec: Mapping[str, Any], evidence: Evidence) -> Advice | None:
    curve = evidence.get("learning_curve") or {}
    doubled = finite(curve.get("doubled"))
    points = curve.get("points") or []
    if doubled is None or not points:
        return None
    last = finite(points[-1].get("value"))
    gain = None if last is None else (doubled - last if curve.get("higher_is_better", True) else last - doubled)
    if gain is None or gain <= 0:
        return None
    metric = str(curve.get("metric"))
    return Advice(
        "Collect more training rows",
        f"Twice as many are expected to bring {name_of(metric).title.lower()} from {value_of(metric, last)} to "
        f"{value_of(metric, doubled)}.",
        section="learning-curve",
    )


def _rare_labels(spec: Mapping[str, Any], evidence: Evidence) -> Advice | None:
    lost = [
        str(entry["name"])
        for entry in _judge(evidence).get("per_label") or []
        if entry.get("rows") and "recall" in entry and not finite(entry.get("recall"))
    ]
    if not lost:
        return None
    return Advice(
        f"Give it more rows of {listed([quoted(name, 30) for name in lost], 4)}",
        f"{count(len(lost), 'label')} {'was' if len(lost) == 1 else 'were'} not found once.",
        section="results",
    )


def _more_tests(spec: Mapping[str, Any], evidence: Evidence) -> Advice | None:
    judge = _judge(evidence)
    measured = headline(judge) if judge else None
    if measured is None or not name_of(measured["name"]).share:
        return None
    low, high, rows = (finite(value) for value in (measured.get("low"), measured.get("high"), judge.get("rows")))
    if low is None or high is None or rows is None or high - low <= _WIDE:
        return None
    needed = int(float(f"{rows * ((high - low) / _WIDE) ** 2:.2g}"))  # the rule gives no more than two digits
    return Advice(
        "Measure on more rows",
        f"The interval of {name_of(measured['name']).title.lower()} is {difference_of('accuracy', high - low)} wide; "
        f"about {number(needed)} rows would bring it to {round(100 * _WIDE)}.",
        "modelyard evaluate BUNDLE --data ROWS",
        "results",
    )


def _fresh() -> Advice:
    return Advice(
        "Measure it on rows that are newer than these",
        "Nothing in the evidence asks for a change; what will be asked of it may differ from what was held out.",
        "modelyard evaluate BUNDLE --data ROWS",
    )


_STEPS: tuple[Callable[[Mapping[str, Any], Evidence], Advice | None], ...] = (
    _leaks, _hold_out, _not_better, _fitting, _slices, _labels, _rare_labels, _groups, _damage, _probabilities,
    _threshold, _more_rows, _more_tests,
)  # fmt: skip
"""The rules in the order of their weight."""
