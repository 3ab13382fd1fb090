from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from modelyard.core.errors import DataError
from modelyard.evaluate.baseline import Baseline, fit_baseline, rows_with_targets
from modelyard.evaluate.table import METRICS
from modelyard.tasks.classification import Classification, ClassificationSettings
from modelyard.tasks.multilabel import Multilabel, MultilabelSettings
from modelyard.tasks.regression import Regression, RegressionSettings

dummy = pytest.importorskip("sklearn.dummy")


def classification(*labels, **settings):
    target = SimpleNamespace(name="category", column="y", labels=labels)
    return Classification(ClassificationSettings(**settings), [target])


def regression(*columns):
    targets = [
        SimpleNamespace(
            name="number", column=column, decode_target=lambda values: pa.array(values.astype(float) * 10 + 5)
        )
        for column in columns
    ]
    return Regression(RegressionSettings(), targets)


def test_labels_are_answered_by_the_majority_and_their_frequencies():
    train, test = np.array([0, 2, 2, 2, 1, -1, 1, 2, -1]), np.array([2, 0, 1])
    task = classification("a", "b", "c")
    trivial = fit_baseline(task, {"y": train})
    outcome = trivial.outcome(task.outcome(np.zeros((3, 3), np.float32), {"y": test}))
    kept = train[train >= 0]
    reference = dummy.DummyClassifier(strategy="prior").fit(kept[:, None], kept)
    np.testing.assert_allclose(outcome.score, reference.predict_proba(test[:, None]))
    assert outcome.answer.tolist() == [2, 2, 2]
    assert METRICS.find("accuracy")(outcome) == pytest.approx(1 / 3)
    assert METRICS.find("log_loss")(outcome) == pytest.approx(-np.log([4 / 7, 1 / 7, 2 / 7]).mean())
    assert METRICS.find("roc_auc")(outcome) == 0.5


def test_the_positive_label_stands_second():
    task = classification("spam", "ham", positive="spam")
    assert fit_baseline(task, {"y": np.array([0, 1, 1, 1])}).mean == [0.75, 0.25]


def test_a_label_never_seen_in_training_has_frequency_0():
    assert fit_baseline(classification("a", "b", "c"), {"y": np.array([1, 1, 0, 0])}).mean == [0.5, 0.5, 0]


def test_numbers_are_answered_by_mean_and_median():
    task = regression("x", "z")
    train = {"x": np.array([0, 0, 3, np.nan], np.float32), "z": np.array([1, 1, 4, 9], np.float32)}
    trivial = fit_baseline(task, train)
    assert trivial.mean == [15.0, 25.0]
    assert trivial.median == [5.0, 15.0]
    like = task.outcome(np.zeros((2, 2), np.float32), {"x": np.zeros(2, np.float32), "z": np.ones(2, np.float32)})
    assert trivial.outcome(like).answer.tolist() == [[15.0, 25.0]] * 2
    assert trivial.outcome(like, "median").score.tolist() == [[5.0, 15.0]] * 2


def test_one_number_counts_its_repeats():
    trivial = fit_baseline(regression("x"), {"x": np.array([0, 0, 0, 1, 8], np.float32)})
    assert trivial.mean == [pytest.approx(23.0)]
    assert trivial.median == [5.0]


def test_each_label_of_several_is_answered_when_half_have_it():
    task = Multilabel(MultilabelSettings(), [SimpleNamespace(name="labels", column="y", labels=("a", "b", "c"))])
    train = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 1], [-1, -1, -1]], np.int8)
    trivial = fit_baseline(task, {"y": train})
    assert trivial.mean == [1.0, 0.5, 0.25]
    like = task.outcome(np.zeros((1, 3), np.float32), {"y": np.zeros((1, 3), np.int8)})
    assert trivial.outcome(like).answer.tolist() == [[1, 1, 0]]


def test_a_baseline_survives_as_a_record():
    trivial = fit_baseline(classification("a", "b"), {"y": np.array([0, 1, 1, 1])})
    assert Baseline(**trivial.as_dict()) == trivial


def test_rows_with_all_their_targets():
    targets = {"x": np.array([1, np.nan, 2], np.float32), "y": np.array([0, 1, -1])}
    assert rows_with_targets(targets).tolist() == [True, False, False]
    assert rows_with_targets({"y": np.array([[0, 1], [-1, -1]], np.int8)}).tolist() == [True, False]


def test_training_rows_without_any_target_are_an_error():
    with pytest.raises(DataError, match="all 2 rows of the training split lack theirs"):
        fit_baseline(classification("a", "b"), {"y": np.array([-1, -1])})
