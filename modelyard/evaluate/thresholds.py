"""From which probability on the positive one of two labels is answered: chosen for a goal on the validation split.

Every threshold that answers differently is tried, so the choice is exact; it lies halfway between the scores it parts.
Legend: n rows, C candidates.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.core.errors import Problem, SpecError
from modelyard.evaluate.records import Threshold
from modelyard.evaluate.table import METRICS
from modelyard.evaluate.weighted import Floats, ratio
from modelyard.spec.spec import Spec, ThresholdSpec
from modelyard.tasks.base import Outcome, Task
from modelyard.tasks.classification import Classification, ClassificationSettings

__all__ = ["assess_threshold", "check_threshold", "choose_threshold", "describe_goal", "with_threshold"]

_DEFAULT = float(ClassificationSettings.model_fields["threshold"].default)
_METRICS = ("precision", "recall", "f1", "accuracy", "balanced_accuracy")
_NEEDS = ("precision", "recall")


def check_threshold(task: Task, goal: ThresholdSpec, splits: Collection[str] = ("validation",)) -> None:
    """Refuse a goal that makes no sense, before any time is spent on training.

    Args:
        task: Must be a classification of two labels.
        goal: What the spec says under `evaluate.threshold`.
        splits: Which splits there are; without `validation` nothing can be chosen.

    Raises:
        SpecError: Lists every problem.
    """
    place = "evaluate.threshold"
    problems = []
    if not isinstance(task, Classification) or not task.binary:
        what = f"{len(task.labels)} labels" if isinstance(task, Classification) else f"a {task.name}"
        problems.append(Problem(place, f"a threshold is chosen between two labels, and this is {what}; leave it out"))
    if "validation" not in splits:
        problems.append(Problem(place, "is chosen on validation rows, and there are none; set data.split.validation"))
    if goal.goal in _NEEDS and goal.at_least is None:
        problems.append(
            Problem(f"{place}.at_least", f"goal {goal.goal} needs it: the {goal.goal} to reach, such as 0.9")
        )
    if goal.goal not in _NEEDS and goal.at_least is not None:
        message = f"belongs to the goals {' and '.join(_NEEDS)}, and the goal is {goal.goal}; leave it out"
        problems.append(Problem(f"{place}.at_least", message))
    costs = {"false_positive": goal.false_positive, "false_negative": goal.false_negative}
    if goal.goal == "cost":
        problems += [
            Problem(f"{place}.{name}", "is infinite; a cost is a number") for name, c in costs.items() if not c < np.inf
        ]
        if not any(costs.values()):
            problems.append(Problem(place, "both costs are 0, so that any threshold is as good; give one of them"))
    elif any(cost != 1 for cost in costs.values()):
        problems.append(Problem(place, f"costs belong to the goal cost, and the goal is {goal.goal}; leave them out"))
    if problems:
        raise SpecError(problems)


def choose_threshold(
    task: Task, output: npt.NDArray[np.float32], targets: Mapping[str, npt.NDArray[Any]], goal: ThresholdSpec
) -> float:
    """Return the threshold on the plain probability of the positive label that serves the goal best.

    Among thresholds that serve it equally well: with a goal of precision the highest precision, with one of recall the
    highest recall; then the one nearest to 0.5.

    Args:
        task: A classification of two labels.
        output: Raw outputs on the validation split, (n, 1).
        targets: Encoded targets of the same rows, by column; rows that lack one were left out.
        goal: What is made as good as possible.

    Raises:
        SpecError: The goal makes no sense or cannot be reached, or one of the labels has no row.
        DataError: A row lacks its target, or the output does not fit.
    """
    check_threshold(task, goal)
    outcome = task.outcome(output, targets)
    counts = np.bincount(outcome.target, minlength=2)
    for label, rows in zip(outcome.labels, counts.tolist(), strict=True):
        if not rows:
            message = f"the validation split has no row of {label!r} to choose by; hold out more rows, or stratify"
            raise Spec.problem("evaluate.threshold", message)
    candidates = _candidates(outcome)
    first, second = _worth(candidates, goal)
    order = np.lexsort((np.abs(candidates.threshold - _DEFAULT), -second, -first))
    return float(candidates.threshold[order[0]])


def with_threshold(spec: Spec, task: Task, threshold: float) -> Spec:
    """Let the task answer by a threshold, and return the spec that says so.

    Raises:
        SpecError: The task is not a classification of two labels.
    """
    if not isinstance(task, Classification) or spec.task is None:
        raise Spec.problem("task.threshold", f"it is about two labels, and the task is {task.name}")
    task.use_threshold(threshold)
    return spec.replace(task=spec.task.with_settings(threshold=threshold))


def describe_goal(goal: ThresholdSpec) -> str:
    """Return a goal in words."""
    match goal.goal:
        case "precision" | "recall":
            other = "recall" if goal.goal == "precision" else "precision"
            return f"the best {other} with a {goal.goal} of at least {goal.at_least:g}"
        case "cost":
            return (
                f"the least cost, {goal.false_positive:g} for a wrongly answered positive and "
                f"{goal.false_negative:g} for a missed one"
            )
        case "youden":
            return "the largest sum of the shares of either label that are answered rightly (Youden's J)"
        case _:
            return f"the best {goal.goal.replace('_', ' ').replace('f1', 'F1')}"


def assess_threshold(task: Task, outcome: Outcome, goal: ThresholdSpec) -> Threshold:
    """Return what the task's threshold, which was chosen for a goal, gives on these rows, and what 0.5 would give.

    Raises:
        SpecError: The task is not a classification of two labels, or the goal makes no sense.
    """
    check_threshold(task, goal)
    assert isinstance(task, Classification)
    values = {"chosen": task.settings.threshold, "default": _DEFAULT}
    return Threshold(
        label=outcome.labels[1],
        goal=describe_goal(goal),
        value=task.settings.threshold,
        default=_DEFAULT,
        chosen_on="validation",
        metrics={name: _measure(outcome, value, goal) for name, value in values.items()},
    )


def _measure(outcome: Outcome, threshold: float, goal: ThresholdSpec) -> dict[str, float]:
    answered = replace(outcome, answer=(outcome.score[:, 1] >= threshold).astype(np.int64))
    values = {name: METRICS.find(name)(answered) for name in _METRICS}
    values["share"] = float(answered.answer.mean())
    if goal.goal == "youden":
        values["youden"] = 2 * values["balanced_accuracy"] - 1
    if goal.goal == "cost":
        wrong = answered.answer != answered.target
        missed, false = (wrong & (answered.target == 1)).sum(), (wrong & (answered.target == 0)).sum()
        values["cost"] = float(false * goal.false_positive + missed * goal.false_negative)
    return values


# -- every threshold that matters -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Candidates:
    threshold: Floats
    answered: Floats
    """Rows answered with the positive label, (C,)."""
    right: Floats
    """Those of them that are of it."""
    positives: float
    rows: float


def _candidates(outcome: Outcome) -> _Candidates:
    """Return a threshold for every set of rows that one can answer with the positive label, none and all included."""
    score, positive = outcome.score[:, 1], outcome.target == 1
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    levels = ordered[ends]  # falling; the k-th candidate answers the rows that reach level k, the first one none
    upper, lower = np.concatenate([[1.0], levels]), np.append(levels, 0.0)
    middle = (upper + lower) / 2
    threshold = np.where(middle > lower, middle, upper)  # neighbouring numbers have no other between them
    threshold = np.where(threshold >= 1, np.nextafter(1.0, 0.0), threshold)
    fits = (threshold > lower) & (threshold <= upper) & (threshold > 0)
    answered = np.concatenate([[0], ends + 1]).astype(np.float64)
    right = np.concatenate([[0], np.cumsum(positive[order])[ends]]).astype(np.float64)
    return _Candidates(threshold[fits], answered[fits], right[fits], float(positive.sum()), float(len(score)))


def _worth(candidates: _Candidates, goal: ThresholdSpec) -> tuple[Floats, Floats]:
    """Return how well each candidate serves the goal, the higher the better, and what decides between equal ones."""
    answered, right = candidates.answered, candidates.right
    positives, negatives = candidates.positives, candidates.rows - candidates.positives
    wrong, missed = answered - right, positives - right
    recall, precision = right / positives, ratio(right, answered)
    nothing = np.zeros_like(right)
    match goal.goal:
        case "f1":
            return 2 * right / (answered + positives), nothing
        case "balanced_accuracy" | "youden":
            return recall - wrong / negatives, nothing
        case "cost":
            return -(wrong * goal.false_positive + missed * goal.false_negative), nothing
        case "precision":
            return _reaching(precision, recall, goal), np.nan_to_num(precision)
        case _:
            return _reaching(recall, precision, goal), recall


def _reaching(bound: Floats, wanted: Floats, goal: ThresholdSpec) -> Floats:
    """Return what is wanted where the bound is reached, else -1."""
    assert goal.at_least is not None, "the goal was checked"
    reached = (bound >= goal.at_least) & ~np.isnan(wanted)
    if not reached.any():
        best = np.nan_to_num(bound).max()
        message = (
            f"no threshold reaches a {goal.goal} of {goal.at_least:g} on the validation split; the best there is "
            f"{best:.4g}. Lower at_least, choose another goal, or train a better model"
        )
        raise Spec.problem("evaluate.threshold.at_least", message)
    return np.where(reached, wanted, -1.0)
