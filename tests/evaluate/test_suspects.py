import numpy as np
import pytest

from modelyard.evaluate.suspects import confident_joint, find_suspects
from modelyard.tasks.base import Outcome


def outcome(target, score):
    score = np.array(score, float)
    return Outcome(np.array(target), score, score.argmax(axis=1), tuple("abcdefgh"[: score.shape[1]]))


def test_the_confident_joint_by_hand():
    # thresholds: the mean of p(a) over rows given as a: (0.9 + 0.8 + 0.1) / 3 = 0.6; of p(b) over b: (0.7 + 0.8) / 2
    target = [0, 0, 0, 1, 1]
    score = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.2, 0.8]]
    assert confident_joint(np.array(target), np.array(score)).tolist() == [[2, 1], [0, 1]]  # 0.7 reaches nothing
    rows, count = find_suspects(outcome(target, score))
    assert (rows.tolist(), count) == ([2], 1)


def test_a_row_that_reaches_two_labels_counts_as_the_more_probable():
    # thresholds 0.4, 0.4, 0.3: the first row reaches a and b
    target = [0, 0, 1, 2]
    score = [[0.4, 0.5, 0.1], [0.4, 0.2, 0.4], [0.3, 0.4, 0.3], [0.4, 0.3, 0.3]]
    joint = confident_joint(np.array(target), np.array(score))
    assert joint.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_suspects_are_ranked_by_normalised_margin():
    target = [0] * 6 + [1] * 6
    sure = [[0.6, 0.4]] * 3 + [[0.4, 0.6]] * 4
    score = [*sure[:3], [0.05, 0.95], [0.6, 0.4], [0.2, 0.8], *sure[3:], [0.9, 0.1], [0.3, 0.7]]
    rows, count = find_suspects(outcome(target, score))
    assert rows.tolist() == [3, 10, 5]  # margins -0.9, -0.8, -0.6
    assert count == 3


def test_planted_flips_are_found():
    random = np.random.default_rng(0)
    n, labels = 2000, 4
    truth = random.integers(0, labels, n)
    flipped = random.random(n) < 0.08
    given = np.where(flipped, (truth + random.integers(1, labels, n)) % labels, truth)
    logits = random.normal(size=(n, labels))
    logits[np.arange(n), truth] += 5
    score = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows, count = find_suspects(outcome(given, score))
    hits = flipped[rows]
    assert hits.mean() > 0.85 and hits.sum() / flipped.sum() > 0.9
    assert hits[:50].all()  # the first are the surest
    joint = confident_joint(given, score)
    assert joint.sum() - np.trace(joint) == count == len(rows)


def test_without_a_wrong_label_nothing_is_suspected():
    assert find_suspects(outcome([0, 1, 0, 1], [[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]]))[1] == 0


def test_a_label_without_rows_takes_none():
    # nobody is given c; though probable, it has no mean to reach
    rows, count = find_suspects(outcome([0, 1], [[0.2, 0.1, 0.7], [0.1, 0.2, 0.7]]))
    assert (rows.tolist(), count) == ([], 0)


def test_each_of_several_labels_is_a_question_of_its_own():
    target = np.array([[1, 0]] * 4 + [[0, 1]] * 4, np.uint8)
    score = np.array([[0.9, 0.1]] * 4 + [[0.1, 0.9]] * 4)
    target[2, 1] = 1  # said to have b, and everything speaks against it
    several = Outcome(target, score, (score > 0.5).astype(np.uint8), ("a", "b"))
    rows, count = find_suspects(several)
    assert (rows.tolist(), count) == ([2], 1)


def test_numbers_have_no_suspects():
    error = np.array([[0.0], [100.0]])
    assert find_suspects(Outcome(np.zeros((2, 1)), error, error, ("y",)))[1] == 0


@pytest.mark.parametrize("form", ["i", "u"])
def test_no_rows_no_suspects(form):
    target = np.empty(0, np.int64) if form == "i" else np.empty((0, 2), np.uint8)
    assert find_suspects(Outcome(target, np.empty((0, 2)), target, ("a", "b")))[0].tolist() == []
