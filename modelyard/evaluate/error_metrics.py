"""Metrics of tasks that learn from inputs alone: how far off, and how much less far off than the trivial answer.

Legend: n rows, R weightings, T parts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from modelyard.core.errors import UsageError
from modelyard.evaluate.metrics import Metric
from modelyard.evaluate.weighted import Floats, Statistic, means, ratio
from modelyard.tasks.base import Errors, Outcome

__all__ = ["CONTRAST_LOSS", "RECONSTRUCTION_ERROR", "RETRIEVAL_ACCURACY", "SKILL_SCORE"]

_ABOUT_MORE = ("mask", "retrieval")
"""Parts that are not what is reconstructed, but something learned or measured beside it."""


def _errors(outcome: Outcome) -> Errors:
    if not isinstance(outcome, Errors):
        raise UsageError("this metric is of tasks that learn from inputs alone, and these answers have known targets")
    return outcome


def _part(outcome: Outcome, name: str) -> npt.NDArray[np.float64]:
    found = _errors(outcome)
    if name not in found.labels:
        raise UsageError(f"there is no part {name!r}; this task has {', '.join(found.labels)}")
    result: npt.NDArray[np.float64] = found.score[:, found.labels.index(name)]
    return result


def _reconstruction_error(outcome: Outcome) -> Statistic:
    found = _errors(outcome)
    return means(found.score[:, [name not in _ABOUT_MORE for name in found.labels]].mean(axis=1))


def _skill_score(outcome: Outcome) -> Statistic:
    found = _errors(outcome)
    error, trivial = means(found.score), means(found.trivial)

    def statistic(weights: Floats) -> Floats:
        result: Floats = (1 - ratio(error(weights), trivial(weights))).mean(axis=1)
        return result

    return statistic


def _contrast_loss(outcome: Outcome) -> Statistic:
    return means(_part(outcome, "contrast"))


def _retrieval_accuracy(outcome: Outcome) -> Statistic:
    return means(1 - _part(outcome, "retrieval"))


def _metric(name: str, title: str, higher_is_better: bool, function: object) -> Metric:
    return Metric(name, title, higher_is_better, ("errors",), function)  # type: ignore[arg-type]


RECONSTRUCTION_ERROR = _metric("reconstruction_error", "Reconstruction error", False, _reconstruction_error)
SKILL_SCORE = _metric("skill_score", "Skill score", True, _skill_score)
CONTRAST_LOSS = _metric("contrast_loss", "Contrastive loss", False, _contrast_loss)
RETRIEVAL_ACCURACY = _metric("retrieval_accuracy", "Retrieval accuracy", True, _retrieval_accuracy)
