import math
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from modelyard.core.errors import DataError, UsageError
from modelyard.core.files import to_json
from modelyard.evaluate.assess import assess, measure, worst
from modelyard.evaluate.baseline import fit_baseline
from modelyard.spec.spec import ThresholdSpec
from modelyard.tasks.classification import Classification, ClassificationSettings
from modelyard.tasks.multilabel import Multilabel, MultilabelSettings
from modelyard.tasks.regression import Regression, RegressionSettings


def classification(labels, **settings):
    target = SimpleNamespace(name="category", column="y", labels=tuple(labels))
    return Classification(ClassificationSettings(**settings), [target])


def regression(*columns):
    targets = [
        SimpleNamespace(name="number", column=column, decode_target=lambda values: pa.array(values.astype(np.float64)))
        for column in columns
    ]
    return Regression(RegressionSettings(), targets)


def certain(answers, labels):
    """Outputs that answer `answers`, with probability near 1."""
    return (np.eye(labels)[answers] * 20).astype(np.float32)


def run(task, output, targets, training=None, **options):
    return assess(task, output, targets, training, split="test", seed=0, **{"resamples": 50, **options})


def test_a_classification_by_hand():
    target, answers = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    task = classification("abc")
    evaluation = run(
        task, certain(answers, 3), {"y": target}, {"y": np.array([0, 0, 1])}, rows_without_target=4, notes=["seen"]
    )
    assert (evaluation.split, evaluation.rows, evaluation.rows_without_target) == ("test", 6, 4)
    assert tuple(metric.name for metric in evaluation.metrics) == (*task.metrics, *task.more_metrics)
    assert evaluation.value("accuracy") == pytest.approx(4 / 6)
    assert evaluation.value("balanced_accuracy") == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    accuracy = evaluation.metrics[0]
    assert accuracy.baseline == pytest.approx(3 / 6)
    assert accuracy.low <= accuracy.value <= accuracy.high
    assert accuracy.rows == 6
    assert evaluation.confusion is not None
    assert evaluation.confusion.labels == ["a", "b", "c"]
    assert evaluation.confusion.counts == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert evaluation.per_label[0] == {"name": "a", "rows": 3, "precision": 1.0, "recall": 2 / 3, "f1": 4 / 5}
    assert evaluation.per_label[2] == {"name": "c", "rows": 1, "precision": 0.5, "recall": 1.0, "f1": 2 / 3}
    assert evaluation.notes == ["seen"]
    assert evaluation.calibration is not None
    assert [curve.label for curve in evaluation.curves] == ["a", "b", "c"]
    assert evaluation.threshold is None
    assert evaluation.mistakes == []
    assert '"nan"' not in to_json(evaluation).lower()


def test_every_metric_of_two_labels_has_value_interval_and_baseline():
    random = np.random.default_rng(0)
    target = random.integers(0, 2, 80)
    output = (2 * (target[:, None] * 2 - 1 + random.normal(size=(80, 1)))).astype(np.float32)
    task = classification("ab")
    evaluation = run(task, output, {"y": target}, {"y": np.array([0, 1, 1])})
    assert len(evaluation.metrics) == 11
    for metric in evaluation.metrics:
        assert metric.low < metric.value < metric.high, metric.name
        assert metric.baseline is not None
    better = {
        metric.name for metric in evaluation.metrics if (metric.value > metric.baseline) == metric.higher_is_better
    }
    # always answering with the majority label finds every row of it
    assert {metric.name for metric in evaluation.metrics} - better == {"recall"}
    outcome = task.outcome(output, {"y": target})
    assert measure(task, outcome) == {name: evaluation.value(name) for name in task.metrics}
    assert measure(task, outcome, ["f1"]) == {"f1": evaluation.value("f1")}


def test_labels_without_a_row_are_named():
    evaluation = run(classification("abc"), certain(np.array([0, 1]), 3), {"y": np.array([0, 1])})
    assert any("1 of 3 labels have no row here (c)" in note for note in evaluation.notes)
    assert math.isnan(evaluation.per_label[2]["recall"])
    assert evaluation.metrics[0].baseline is None


def test_intervals_without_width_are_pointed_out():
    evaluation = run(classification("ab"), np.array([[9.0], [-9.0]], np.float32), {"y": np.array([1, 0])})
    (note,) = [note for note in evaluation.notes if "interval without width" in note]
    assert "f1" in note
    assert "accuracy," not in note.replace("balanced_accuracy,", "")  # accuracy has Wilson's interval


def test_a_threshold_chosen_for_a_goal_is_compared_with_one_half():
    task = classification("ab", threshold=0.25)
    output = np.array([[2.0], [-1.0], [-1.0], [-3.0]], np.float32)  # probabilities .88, .27, .27, .05
    goal = ThresholdSpec(goal="cost", false_negative=3)
    evaluation = run(task, output, {"y": np.array([1, 1, 0, 0])}, threshold=goal)
    found = evaluation.threshold
    assert found is not None
    assert (found.label, found.value, found.default, found.chosen_on) == ("b", 0.25, 0.5, "validation")
    assert found.goal == "the least cost, 1 for a wrongly answered positive and 3 for a missed one"
    assert found.metrics["chosen"] == {
        "precision": pytest.approx(2 / 3), "recall": 1, "f1": pytest.approx(4 / 5), "accuracy": 3 / 4,
        "balanced_accuracy": 3 / 4, "share": 3 / 4, "cost": 1,
    }  # fmt: skip
    assert (found.metrics["default"]["recall"], found.metrics["default"]["cost"]) == (1 / 2, 3)
    assert evaluation.value("recall") == 1


def test_after_a_hinge_loss_the_reader_learns_what_probabilities_are_worth():
    task, output, targets = classification("ab", loss="hinge"), np.array([[1.0], [2.0]], np.float32), np.array([1, 0])
    (note,) = [note for note in run(task, output, {"y": targets}).notes if "margins" in note]
    assert "says nothing of how often an answer is right" in note and note.endswith("none was fitted")
    task.temperature = 2.0
    assert not any("none was fitted" in note for note in run(task, output, {"y": targets}).notes)
    assert not any("margins" in note for note in run(classification("ab"), output, {"y": targets}).notes)


def test_of_many_labels_the_most_confused_are_kept():
    labels = [f"label {index:03}" for index in range(120)]
    target = np.repeat(np.arange(120), 2)
    answers = target.copy()
    answers[1:200:2] = target[1:200:2] - 1  # one of the two rows of labels 0 to 99 is taken for the label before
    answers[1] = 1
    evaluation = run(classification(labels), certain(answers, 120), {"y": target}, resamples=0)
    assert evaluation.confusion is not None
    assert evaluation.confusion.labels == labels[:100]
    assert np.array(evaluation.confusion.counts).sum() == 200
    assert any("100 most confused of 120 labels" in note for note in evaluation.notes)
    assert len(evaluation.curves) == 20
    assert any("the 20 most frequent of 120 labels" in note for note in evaluation.notes)
    assert "top_5_accuracy" in [metric.name for metric in evaluation.metrics]
    assert math.isnan(evaluation.metrics[0].low)


def test_several_labels_a_row():
    target = SimpleNamespace(name="labels", column="y", labels=("a", "b"))
    task = Multilabel(MultilabelSettings(), [target])
    output = np.array([[5, -5], [5, 5], [-5, -5]], np.float32)
    evaluation = run(
        task, output, {"y": np.array([[1, 0], [1, 0], [0, 1]], np.int8)}, {"y": np.array([[1, 0]], np.int8)}
    )
    assert evaluation.value("subset_accuracy") == pytest.approx(1 / 3)
    assert evaluation.value("hamming_loss") == pytest.approx(2 / 6)
    assert evaluation.value("micro_f1") == pytest.approx(2 * 2 / (3 + 3))
    assert evaluation.confusion is None
    assert evaluation.per_label[1] == {"name": "b", "rows": 1, "precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_numbers_are_compared_with_mean_and_median():
    task, train = regression("x"), {"x": np.array([0, 0, 6], np.float32)}
    evaluation = run(task, np.array([[1], [2], [4]], np.float32), {"x": np.array([1, 2, 3], np.float32)}, train)
    values = {metric.name: (metric.value, metric.baseline) for metric in evaluation.metrics}
    assert values["r2"] == (pytest.approx(1 - 1 / 2), pytest.approx(0.0))
    assert values["rmse"] == (pytest.approx(math.sqrt(1 / 3)), pytest.approx(math.sqrt(2 / 3)))  # the mean, 2
    assert values["mae"] == (pytest.approx(1 / 3), pytest.approx(2.0))  # the median, 0
    assert evaluation.per_label == []
    assert evaluation.confusion is None
    assert evaluation.calibration is None
    assert evaluation.curves == []


def test_several_numbers_are_listed_each_on_its_own():
    targets = {"x": np.array([0, 2], np.float32), "z": np.array([10, 20], np.float32)}
    evaluation = run(regression("x", "z"), np.array([[0, 10], [2, 26]], np.float32), targets)
    assert evaluation.per_label[1] == {
        "name": "z", "rows": 2, "r2": pytest.approx(1 - 36 / 50), "rmse": pytest.approx(math.sqrt(18)), "mae": 3.0
    }  # fmt: skip
    assert evaluation.per_label[0]["r2"] == 1


def test_a_kept_baseline_serves_as_well_as_the_training_targets():
    task, train = classification("ab"), {"y": np.array([0, 1, 1])}
    output, targets = np.array([[1.0], [-1.0], [2.0]], np.float32), {"y": np.array([1, 0, 0])}
    assert run(task, output, targets, train) == run(task, output, targets, fit_baseline(task, train))


def test_the_worst_rows_are_wrong_ones_by_loss():
    task = classification("ab")
    logits = np.array([[0.4], [-3.0], [2.0], [-3.0], [0.1], [-0.2]], np.float32)
    outcome = task.outcome(logits, {"y": np.array([1, 1, 0, 1, 0, 0])})
    rows, losses = worst(task, outcome, 3)
    assert rows.tolist() == [1, 3, 2]  # equal losses in row order; row 0 is right though its loss is high
    np.testing.assert_allclose(losses, [math.log1p(math.exp(3))] * 2 + [math.log1p(math.exp(2))], rtol=1e-6)
    assert worst(task, outcome, 100)[0].tolist() == [1, 3, 2, 4]
    numbers = regression("x")
    outcome = numbers.outcome(np.array([[1], [5], [0]], np.float32), {"x": np.array([1, 1, 3], np.float32)})
    rows, losses = worst(numbers, outcome, 5)
    assert (rows.tolist(), losses.tolist()) == ([1, 2], [16.0, 9.0])


def test_what_is_refused():
    task = classification("ab")
    with pytest.raises(DataError, match=r"no row of 'test' has a target \(7 rows were left out"):
        run(task, np.empty((0, 1), np.float32), {"y": np.empty(0, np.int64)}, rows_without_target=7)
    with pytest.raises(DataError, match="3 outputs were given for 2 targets"):
        run(task, np.zeros((3, 1), np.float32), {"y": np.array([0, 1])})
    outcome = task.outcome(np.zeros((1, 1), np.float32), {"y": np.array([0])})
    with pytest.raises(UsageError, match="did you mean 'accuracy'"):
        measure(task, outcome, ["acuracy"])


def test_very_many_rows_are_resampled_less_often_and_a_note_says_so(monkeypatch):
    module = sys.modules[assess.__module__]
    monkeypatch.setattr(module, "_DRAWN", 6 * 30)
    monkeypatch.setattr(module, "_FEWEST", 20)
    target = np.array([0, 0, 0, 1, 1, 2])
    task = classification("abc")
    fewer = run(task, certain(target[::-1], 3), {"y": target}, resamples=50)
    assert any("30 resamples instead of 50" in note for note in fewer.notes)
    exactly = run(task, certain(target[::-1], 3), {"y": target}, resamples=30)
    assert not any("resamples instead" in note for note in exactly.notes)
    assert [metric.low for metric in fewer.metrics] == pytest.approx(
        [metric.low for metric in exactly.metrics], nan_ok=True
    )
