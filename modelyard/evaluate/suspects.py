"""Rows whose label is likely wrong, by confident learning (Northcutt, Jiang and Chuang 2021).

A row counts as a label when its probability reaches the mean that this label's own rows get; rows that so count as
another label than the given one are suspected. The probabilities must come from a model that did not train on the rows.

Legend: n rows, L labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from modelyard.evaluate.metrics import form_of
from modelyard.tasks.base import Outcome

__all__ = ["confident_joint", "find_suspects"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def find_suspects(outcome: Outcome) -> tuple[Ids, int]:
    """Return the numbers of the suspected rows, the most suspicious first, and how many there are.

    They are ranked by normalised margin: the given label's probability less the largest of another. With several labels
    a row, each label is a question of its own and a row is as suspicious as its most suspicious label. Numbers have no
    suspects: a large error is as often a heavy tail as a wrong value, and the worst mistakes list it anyway.
    """
    form = form_of(outcome)
    if form == "regression" or not len(outcome):
        return np.empty(0, np.int64), 0
    if form == "classification":
        margin = _margins(np.asarray(outcome.target, np.int64), outcome.score)
    else:
        margin = np.full(len(outcome), np.inf)
        for label, score in enumerate(outcome.score.T):
            yes_or_no = np.stack([1 - score, score], axis=1)
            margin = np.minimum(margin, _margins(outcome.target[:, label].astype(np.int64), yes_or_no))
    rows = np.argsort(margin, kind="stable")[: int(np.isfinite(margin).sum())].astype(np.int64)
    return rows, len(rows)


def confident_joint(target: Ids, score: Floats) -> Ids:
    """Count rows by given label (rows) and by the label they confidently count as (columns), int64 (L, L).

    Rows that confidently count as none are in no cell.

    Args:
        target: Given labels, (n,).
        score: Probabilities of a model that did not train on these rows, (n, L).
    """
    count = score.shape[1]
    counts_as = _counts_as(target, score)
    sure = counts_as >= 0
    cells = np.bincount(target[sure] * count + counts_as[sure], minlength=count * count)
    return cells.reshape(count, count).astype(np.int64)


def _counts_as(target: Ids, score: Floats) -> Ids:
    """Return the label each row confidently counts as, the most probable of several; -1 for none."""
    rows = np.bincount(target, minlength=score.shape[1])
    own = np.take_along_axis(score, target[:, None], axis=1)[:, 0]
    sums = np.bincount(target, weights=own, minlength=score.shape[1])
    # a label without a row has no mean to reach
    thresholds = np.where(rows > 0, sums / np.maximum(rows, 1), np.inf)
    # a mean of equal numbers may lie above them by rounding
    reached = score >= thresholds * (1 - 1e-12)
    return np.where(reached.any(axis=1), np.where(reached, score, -1.0).argmax(axis=1), -1)


def _margins(target: Ids, score: Floats) -> Floats:
    """Return the normalised margin of each suspected row; infinite for the others."""
    counts_as = _counts_as(target, score)
    own = np.take_along_axis(score, target[:, None], axis=1)[:, 0]
    others = score.copy()
    np.put_along_axis(others, target[:, None], -np.inf, axis=1)
    suspected = (counts_as >= 0) & (counts_as != target)
    return np.where(suspected, own - others.max(axis=1), np.inf)
