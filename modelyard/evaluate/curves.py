"""What every threshold would give: the points behind ROC, precision-recall, lift and gain curves.

Legend: n rows, P points.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from modelyard.evaluate.metrics import form_of
from modelyard.evaluate.order import rising, runs
from modelyard.evaluate.records import Curve
from modelyard.evaluate.weighted import Floats, Ranking
from modelyard.tasks.base import Outcome

__all__ = ["MOST_CURVES", "NOTHING", "curves"]

MOST_CURVES = 20
"""For so many labels at most there are curves, the most frequent ones."""
_POINTS = 200
NOTHING = float(np.nextafter(1.0, 2.0))
"""The threshold that no probability reaches: the least number above 1."""


def curves(outcome: Outcome) -> list[Curve]:
    """Return a curve for each label against the rest: of two labels the positive one's, of more the most frequent ones.

    Labels without a row here, or which every row is of, have no curve. Numbers have none.

    Raises:
        UsageError: The outcome is of no known form.
    """
    form = form_of(outcome)
    if form == "regression" or not len(outcome):
        return []
    target, count = outcome.target, len(outcome.labels)
    several = form == "multilabel"
    rows = target.sum(axis=0, dtype=np.int64) if several else np.bincount(target, minlength=count)
    is_binary = count == 2 and not several
    labels = [1] if is_binary else np.argsort(-rows, kind="stable")[:MOST_CURVES].tolist()
    return [
        _curve(outcome.labels[label], target[:, label] > 0 if several else target == label, outcome.score[:, label])
        for label in labels
        if 0 < rows[label] < len(outcome)
    ]


def _curve(label: str, positive: npt.NDArray[np.bool_], score: Floats) -> Curve:
    order = rising(-score)
    ordered = score[order]
    ends = runs(ordered)[1:] - 1  # last row of each threshold
    answered = np.concatenate([[0], ends + 1])
    right = np.concatenate([[0], np.cumsum(positive[order])[ends]])
    threshold = np.concatenate([[NOTHING], ordered[ends]])
    rows, true_positive_rate = int(positive.sum()), right / positive.sum()
    false_positive_rate = (answered - right) / (len(score) - rows)
    precision = np.where(answered > 0, right / np.maximum(answered, 1), 1.0)
    kept = _thinned(true_positive_rate, false_positive_rate, precision)
    ranking = Ranking(positive, score)
    sums = ranking.sums(np.ones((1, len(score))))
    return Curve(
        label=label,
        rows=rows,
        threshold=threshold[kept].tolist(),
        true_positive_rate=true_positive_rate[kept].tolist(),
        false_positive_rate=false_positive_rate[kept].tolist(),
        precision=precision[kept].tolist(),
        share=(answered[kept] / len(score)).tolist(),
        roc_auc=float(ranking.area_under_roc(sums)[0]),
        average_precision=float(ranking.average_precision(sums)[0]),
    )


def _thinned(
    true_positive_rate: Floats, false_positive_rate: Floats, precision: Floats
) -> npt.NDArray[np.int64] | slice:
    """Return which points to keep: both ends, where the rates leave 0 and reach 1, and equal steps along the curves."""
    count = len(precision)
    if count <= _POINTS:
        return slice(None)
    found_all, none_wrong = np.argmax(true_positive_rate == 1), np.flatnonzero(false_positive_rate == 0)[-1]
    extremes = np.array([0, 1, none_wrong, found_all, count - 1])
    moves = [np.abs(np.diff(values)) for values in (true_positive_rate, false_positive_rate, precision)]
    travelled = np.concatenate([[0.0], np.cumsum(np.sum(moves, axis=0))])
    even = np.searchsorted(travelled, np.linspace(0, travelled[-1], _POINTS - len(extremes)))
    return np.unique(np.concatenate([extremes, np.minimum(even, count - 1)]))
