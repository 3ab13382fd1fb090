"""What metrics share is found once for an outcome, and never answers for other rows or other weights."""

from dataclasses import replace

import numpy as np
import pytest

from modelyard.evaluate import found, weighted
from modelyard.evaluate.table import METRICS
from modelyard.tasks.base import Outcome

LABELS = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "macro_f1", "matthews", "cohen_kappa")
SCORES = ("roc_auc", "average_precision", "log_loss", "brier")


def outcome_of(labels, rows=300, seed=0):
    random = np.random.default_rng(seed)
    score = random.integers(1, 8, (rows, labels)).astype(float)
    score /= score.sum(axis=1, keepdims=True)
    return Outcome(random.integers(0, labels, rows), score, score.argmax(axis=1), tuple("abcdefgh"[:labels]))


def values(outcome, weights):
    return {name: METRICS.find(name).prepared(outcome)(weights) for name in LABELS + SCORES}


def test_rows_are_sorted_once_for_all_metrics_of_an_outcome(monkeypatch):
    sorted_rows = []

    def rising(numbers):
        sorted_rows.append(len(numbers))
        return np.argsort(numbers, kind="stable")

    monkeypatch.setattr(weighted, "rising", rising)
    outcome = outcome_of(2)
    for name in LABELS + SCORES:
        METRICS.find(name)(outcome)
    wrong = int((outcome.target != outcome.answer).sum())
    assert sorted(sorted_rows) == sorted([wrong, len(outcome), len(outcome)])  # answers, targets, scores


@pytest.mark.parametrize("labels", [2, 3])
def test_another_outcome_made_of_this_one_is_looked_at_anew(labels):
    outcome = outcome_of(labels)
    once = np.ones((1, len(outcome)))
    values(outcome, once)
    answer = np.roll(outcome.answer, 1)
    changed = replace(outcome, answer=answer, score=np.roll(outcome.score, 1, axis=0))
    fresh = Outcome(outcome.target.copy(), np.roll(outcome.score, 1, axis=0), answer.copy(), outcome.labels)
    assert values(changed, once) == values(fresh, once)


@pytest.mark.parametrize("labels", [2, 3])
def test_weights_in_any_turn_get_their_own_values(labels):
    outcome, random = outcome_of(labels), np.random.default_rng(1)
    blocks = [random.integers(0, 3, (4, len(outcome))).astype(float) for _ in range(3)]
    expected = [values(outcome_of(labels), block) for block in blocks]
    for turn in (0, 1, 0, 2, 2, 1):
        for name, value in values(outcome, blocks[turn]).items():
            np.testing.assert_array_equal(value, expected[turn][name], err_msg=name)


@pytest.mark.parametrize("labels", [2, 5])
def test_label_counts_by_hand(labels):
    outcome, weights = outcome_of(labels, rows=50), np.random.default_rng(2).integers(0, 4, (3, 50)).astype(float)
    counts = found.label_counts(outcome)(weights)
    rows = (outcome.target == outcome.answer) * (outcome.answer + 1) - 1, outcome.answer, outcome.target
    for given, ids in zip(counts, rows, strict=True):
        expected = [[row[ids == label].sum() for label in range(labels)] for row in weights]
        np.testing.assert_array_equal(given, expected)
