import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.evaluate.curves import NOTHING, curves
from modelyard.tasks.base import Outcome

sk = pytest.importorskip("sklearn.metrics")


def binary(target, score):
    score = np.array(score, dtype=float)
    return Outcome(np.array(target), np.stack([1 - score, score], axis=1), (score >= 0.5).astype(np.int64), ("n", "y"))


def test_a_curve_by_hand():
    (curve,) = curves(binary([1, 0, 1, 1, 0], [0.9, 0.8, 0.8, 0.3, 0.1]))
    assert (curve.label, curve.rows) == ("y", 3)
    assert curve.threshold == [NOTHING, 0.9, 0.8, 0.3, 0.1]
    assert curve.true_positive_rate == [0, 1 / 3, 2 / 3, 1, 1]
    assert curve.false_positive_rate == [0, 0, 1 / 2, 1 / 2, 1]
    assert curve.precision == [1, 1, 2 / 3, 3 / 4, 3 / 5]
    assert curve.share == [0, 1 / 5, 3 / 5, 4 / 5, 1]
    assert curve.roc_auc == pytest.approx((2 + 1.5 + 1) / 6)
    assert curve.average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 150), st.integers(1, 60))
def test_every_point_is_scikit_learns(seed, rows, levels):
    random = np.random.default_rng(seed)
    target = random.integers(0, 2, rows)
    target[:2] = 0, 1
    score = random.integers(0, levels + 1, rows) / levels
    (curve,) = curves(binary(target, score))
    false, true, _ = sk.roc_curve(target, score, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positive_rate, false)
    np.testing.assert_allclose(curve.true_positive_rate, true)
    precision, recall, thresholds = sk.precision_recall_curve(target, score)
    np.testing.assert_allclose(curve.precision[::-1], precision)
    np.testing.assert_allclose(curve.true_positive_rate[::-1], recall)
    np.testing.assert_allclose(curve.threshold[:0:-1], thresholds)
    assert curve.roc_auc == pytest.approx(sk.roc_auc_score(target, score))
    assert curve.average_precision == pytest.approx(sk.average_precision_score(target, score))


@pytest.mark.parametrize("share", [0.5, 0.01])
def test_long_curves_are_thinned_and_keep_their_shape(share):
    random = np.random.default_rng(0)
    target = (random.random(20_000) < share).astype(np.int64)
    score = 1 / (1 + np.exp(-random.normal(size=20_000) - 2 * target))
    (curve,) = curves(binary(target, score))
    assert 150 < len(curve.threshold) <= 200
    assert np.all(np.diff(curve.threshold) < 0)
    assert (curve.share[0], curve.share[-1], curve.precision[-1]) == (0, 1, pytest.approx(target.mean()))
    false, true = np.array(curve.false_positive_rate), np.array(curve.true_positive_rate)
    # where the curve leaves the left edge and where it reaches the top are the exact places
    assert true[false == 0].max() == (score[target == 1] > score[target == 0].max()).mean()
    assert false[true == 1].min() == (score[target == 0] >= score[target == 1].min()).mean()
    assert np.trapezoid(true, false) == pytest.approx(curve.roc_auc, abs=2e-3)
    whole_false, whole_true, _ = sk.roc_curve(target, score)
    distances = np.abs(whole_false[:, None] - false) + np.abs(whole_true[:, None] - true)
    assert distances.min(axis=1).max() < 0.02
    # every kept point is a point of the whole curve
    for index in range(1, len(curve.threshold), 20):
        answered = score >= curve.threshold[index]
        assert curve.precision[index] == pytest.approx(target[answered].mean())
        assert curve.share[index] == pytest.approx(answered.mean())


def test_labels_that_cannot_have_a_curve_have_none():
    assert curves(binary([1, 1], [0.2, 0.3])) == []
    assert curves(binary([0, 0], [0.2, 0.3])) == []
    assert curves(Outcome(np.empty(0, np.int64), np.empty((0, 2)), np.empty(0, np.int64), ("n", "y"))) == []
    score = np.eye(3)[[0, 1, 0]]
    three = Outcome(np.array([0, 1, 0]), score, score.argmax(axis=1), ("a", "b", "c"))
    assert [curve.label for curve in curves(three)] == ["a", "b"]
    numbers = np.zeros((2, 1))
    assert curves(Outcome(numbers, numbers, numbers, ("x",))) == []


def test_of_many_labels_the_most_frequent_ones_have_curves():
    target = np.repeat(np.arange(30), np.arange(1, 31))
    score = np.full((len(target), 30), 1 / 30)
    several = np.eye(30, dtype=np.uint8)[target]
    names = tuple(f"label {index}" for index in range(30))
    for truth, answer in ((target, score.argmax(axis=1)), (several, several)):
        found = curves(Outcome(truth, score, answer, names))
        assert [curve.label for curve in found] == [f"label {index}" for index in range(29, 9, -1)]
        assert (found[0].rows, found[0].roc_auc, len(found[0].threshold)) == (30, 0.5, 2)
