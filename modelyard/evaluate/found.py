"""What several metrics need of the same rows: found once, and kept with the outcome as long as it lives.

Legend: n rows, R weightings, L labels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import numpy as np

from modelyard.evaluate.weighted import Floats, Ranking, Sums, group_sums
from modelyard.tasks.base import Outcome

__all__ = ["Counts", "each_once", "is_binary", "label_counts", "own_score", "positive_ranking"]

Found = TypeVar("Found")
Value = TypeVar("Value")
Counts = Callable[[Floats], tuple[Floats, Floats, Floats]]


def _kept(find: Callable[[Outcome], Found]) -> Callable[[Outcome], Found]:
    """Keep what is found in the outcome itself: a `functools.cached_property` of a class that stands in another room.

    An outcome does not change, and `dataclasses.replace` makes one that keeps nothing.
    """
    name = f"_{find.__name__}"

    @wraps(find)
    def found(outcome: Outcome) -> Found:
        kept = vars(outcome)
        if name not in kept:
            kept[name] = find(outcome)
        result: Found = kept[name]
        return result

    return found


def _remembered(statistic: Callable[[Floats], Value]) -> Callable[[Floats], Value]:
    """Compute a statistic once for weights that several metrics in turn ask about: the very array, left unchanged."""
    last: tuple[Floats, Value] | None = None

    def remembered(weights: Floats) -> Value:
        nonlocal last
        if last is None or last[0] is not weights:
            last = weights, statistic(weights)
        return last[1]

    return remembered


def is_binary(outcome: Outcome) -> bool:
    """Whether one of two labels is answered: id 1 is the positive one."""
    return outcome.target.ndim == 1 and outcome.score.shape[1] == 2


@_kept
def each_once(outcome: Outcome) -> Floats:
    """Return the weights under which every row counts once, (1, n)."""
    return np.ones((1, len(outcome)))


@_kept
def own_score(outcome: Outcome) -> Floats:
    """Return the probability that the true label got, (n,)."""
    result: Floats = np.take_along_axis(outcome.score, outcome.target[:, None], axis=1)[:, 0]
    return result


@_kept
def label_counts(outcome: Outcome) -> Counts:
    """Return weights (R, n) → per label the rows answered with it rightly, answered with it, and of it: (R, L) each."""
    target, answer = outcome.target, outcome.answer
    if target.ndim == 2:
        columns = [array.astype(np.float64) for array in (target & answer, answer, target)]
        return _remembered(lambda weights: (weights @ columns[0], weights @ columns[1], weights @ columns[2]))
    count, wrong = len(outcome.labels), target != answer
    true, wrongly = group_sums(target + count * wrong, 2 * count), group_sums(answer, count, wrong)

    def counts(weights: Floats) -> tuple[Floats, Floats, Floats]:
        hits, misses = np.hsplit(true(weights), 2)  # of each label
        return hits, hits + wrongly(weights), hits + misses

    return _remembered(counts)


@_kept
def positive_ranking(outcome: Outcome) -> tuple[Ranking, Callable[[Floats], Sums]]:
    """Return the ranking of rows by the score of the positive one of two labels, and its sums."""
    ranking = Ranking(outcome.target == 1, outcome.score[:, 1])
    return ranking, _remembered(ranking.sums)
