"""The temperature is kept with the task's state, changes probabilities when asked to, and never an answer."""

import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from modelyard.core.errors import BundleError, UsageError
from modelyard.tasks.classification import Classification, ClassificationSettings
from modelyard.tasks.multilabel import Multilabel, MultilabelSettings
from modelyard.tasks.regression import Regression, RegressionSettings


def classification(labels, **options):
    target = SimpleNamespace(name="category", column="y", labels=tuple(labels))
    return Classification(ClassificationSettings(**options), [target])


def multilabel(**options):
    return Multilabel(MultilabelSettings(**options), [SimpleNamespace(name="labels", column="y", labels=("a", "b"))])


def regression():
    target = SimpleNamespace(name="number", column="y", decode_target=lambda values: pa.array(values.astype(float)))
    return Regression(RegressionSettings(), [target])


def prepared(task):
    task.prepare({"y": np.eye(2, dtype=np.int8)} if isinstance(task, Multilabel) else {"y": np.array([0, 1, 1])})
    return task


@pytest.mark.parametrize("make", [lambda: classification("ab"), multilabel])
def test_state_holds_a_temperature_once_there_is_one(make):
    task = prepared(make())
    assert "temperature" not in task.state()
    task.temperature = 1.5
    assert task.state()["temperature"] == 1.5
    other = make()
    other.restore(task.state())
    assert (other.temperature, other.state()) == (1.5, task.state())
    # what an earlier release wrote has none
    other.restore({name: value for name, value in task.state().items() if name != "temperature"})
    assert other.temperature is None
    other.restore({})
    assert other.temperature is None


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan, "2", True, None, [1.0], 10**400])
def test_a_temperature_that_is_none_is_refused(value):
    task = prepared(classification("ab"))
    with pytest.raises(BundleError, match=r"stored temperature is .*expected a number above 0"):
        task.restore({**task.state(), "temperature": value})


def test_a_state_of_another_shape_is_refused():
    with pytest.raises(BundleError, match="is a list, not a mapping"):
        classification("ab").restore(["temperature"])
    with pytest.raises(BundleError, match="expected none, for regression has no logits"):
        regression().restore({"temperature": 2.0})


def test_probabilities_change_and_answers_do_not():
    logits = np.array([[2.0], [-1.0], [-3.0]], np.float32)
    task = classification("ny", threshold=0.2)
    task.temperature = 2.0
    plain, calibrated = task.decode(logits), task.decode_calibrated(logits)
    assert plain["y"] == calibrated["y"] == ["y", "y", "n"]
    sigmoids = [1 / (1 + math.exp(-1.0)), 1 / (1 + math.exp(0.5)), 1 / (1 + math.exp(-1.5))]
    assert calibrated["probability"] == pytest.approx(sigmoids, rel=1e-6)
    assert plain["probability"][0] == pytest.approx(1 / (1 + math.exp(-2.0)))
    assert calibrated["probabilities"][0]["n"] == pytest.approx(1 - sigmoids[0], rel=1e-6)


def test_of_more_labels_the_divided_logits_are_softmaxed():
    task = classification("abc")
    task.temperature = 0.5
    answers = task.decode_calibrated(np.array([[1.0, 0.0, -1.0]], np.float32))
    total = math.exp(2) + 1 + math.exp(-2)
    assert answers["y"] == ["a"]
    assert answers["probabilities"][0] == pytest.approx(
        {"a": math.exp(2) / total, "b": 1 / total, "c": math.exp(-2) / total}
    )


def test_of_several_labels_a_row_each_logit_is_divided():
    task = multilabel(threshold={"a": 0.9})
    task.temperature = 4.0
    logits = np.array([[2.0, 2.0]], np.float32)
    assert task.decode(logits)["y"] == task.decode_calibrated(logits)["y"] == [["b"]]
    assert task.decode_calibrated(logits)["probabilities"][0]["a"] == pytest.approx(1 / (1 + math.exp(-0.5)))


def test_without_a_temperature_there_is_nothing_calibrated():
    with pytest.raises(UsageError, match="no temperature to calibrate with"):
        classification("ab").decode_calibrated(np.zeros((1, 1), np.float32))
    with pytest.raises(UsageError, match="regression has no probabilities"):
        regression().decode_calibrated(np.zeros((1, 1), np.float32))
