import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from modelyard.core.errors import DataError
from modelyard.evaluate.calibration import assess_calibration, fit_temperature
from modelyard.tasks.classification import Classification, ClassificationSettings
from modelyard.tasks.multilabel import Multilabel, MultilabelSettings
from modelyard.tasks.regression import Regression, RegressionSettings

LABELS = tuple("abcdefgh")


def classification(count, **options):
    target = SimpleNamespace(name="category", column="y", labels=LABELS[:count])
    return Classification(ClassificationSettings(**options), [target])


def multilabel(count):
    return Multilabel(MultilabelSettings(), [SimpleNamespace(name="labels", column="y", labels=LABELS[:count])])


def log_loss(output, target, temperature):
    """torch's loss of the divided logits, in float64."""
    logits, target = torch.tensor(output, dtype=torch.float64) / temperature, torch.tensor(np.asarray(target))
    if target.ndim == 2 or logits.shape[1] == 1:
        return float(functional.binary_cross_entropy_with_logits(logits, target.double().reshape(logits.shape)))
    return float(functional.cross_entropy(logits, target.long()))


def drawn(kind, rows, count, seed, scale=1.0):
    """Logits whose own temperature is 1 / scale: answers drawn by the probabilities of logits that are not scaled."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, 1 if kind == "binary" else count)) * 2
    if kind == "classification":
        gumbel = random.gumbel(size=logits.shape)
        target = (logits + gumbel).argmax(axis=1)
    else:
        target = (random.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.int8)
        target = target[:, 0].astype(np.int64) if kind == "binary" else target
    task = multilabel(count) if kind == "multilabel" else classification(2 if kind == "binary" else count)
    return task, (logits * scale).astype(np.float32), {"y": target}


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["binary", "classification", "multilabel"]),
    st.integers(1, 60),
    st.integers(0, 2**32),
    st.sampled_from([0.05, 1.0, 30.0]),
)
def test_no_other_temperature_has_a_lower_log_loss(kind, rows, seed, scale):
    task, output, targets = drawn(kind, rows, 4, seed, scale)
    found = fit_temperature(task, output, targets)
    if found is None:
        # the loss falls to one end of the range, or does not change
        grid = [log_loss(output, targets["y"], temperature) for temperature in np.geomspace(0.001, 1000, 61)]
        assert min(grid) == pytest.approx(min(grid[0], grid[-1]), abs=1e-9)
        return
    best = log_loss(output, targets["y"], found)
    for factor in (0.5, 0.99, 0.9999, 1.0001, 1.01, 2.0):
        assert best <= log_loss(output, targets["y"], found * factor) + 1e-12


@pytest.mark.parametrize("kind", ["binary", "classification", "multilabel"])
def test_the_temperature_of_logits_that_are_too_large_is_found(kind):
    task, output, targets = drawn(kind, 4000, 5, seed=0, scale=3.0)
    assert fit_temperature(task, output, targets) == pytest.approx(3.0, rel=0.08)


def test_two_labels_by_hand():
    # three of four rows with logit 2 are positive, so the best probability is 3/4: 2 / T = ln 3
    output, target = np.full((4, 1), 2.0, np.float32), np.array([1, 1, 0, 1])
    assert fit_temperature(classification(2), output, {"y": target}) == pytest.approx(2 / math.log(3), rel=1e-12)
    # the same seen from the other label
    assert fit_temperature(classification(2, positive="a"), -output, {"y": target}) == pytest.approx(2 / math.log(3))


@pytest.mark.parametrize("target", [[1, 0, 1], [0, 1, 0]])
def test_without_a_minimum_there_is_no_temperature(target):
    # all right: ever smaller temperatures look better; all wrong: ever larger ones
    output = np.array([[1.0], [-2.0], [0.5]], np.float32)
    assert fit_temperature(classification(2), output, {"y": np.array(target)}) is None


def test_outputs_that_say_nothing_have_no_temperature():
    assert fit_temperature(classification(3), np.zeros((5, 3), np.float32), {"y": np.arange(5) % 3}) is None
    assert fit_temperature(classification(3), np.zeros((0, 3), np.float32), {"y": np.zeros(0, np.int64)}) is None


def test_enormous_logits_do_not_overflow():
    random = np.random.default_rng(0)
    output = (random.normal(size=(200, 3)) * 100).astype(np.float32)
    target = np.where(random.random(200) < 0.7, output.argmax(axis=1), random.integers(0, 3, 200))
    found = fit_temperature(classification(3), output, {"y": target})
    assert found is not None and 10 < found < 1000
    assert fit_temperature(classification(3), output * 1e30, {"y": target}) is None  # beyond the range


def test_numbers_have_neither_temperature_nor_calibration():
    target = SimpleNamespace(
        name="number", column="y", decode_target=lambda values: pa.array(values.astype(np.float64))
    )
    task = Regression(RegressionSettings(), [target])
    output, targets = np.zeros((3, 1), np.float32), {"y": np.zeros(3, np.float32)}
    assert fit_temperature(task, output, targets) is None
    assert assess_calibration(task, output, targets, seed=0) is None


def test_rows_without_a_target_are_refused():
    with pytest.raises(DataError, match="no target"):
        fit_temperature(classification(2), np.zeros((2, 1), np.float32), {"y": np.array([1, -1])})


def logits_of(probabilities):
    p = np.array(probabilities)
    return np.log(p / (1 - p)).astype(np.float32)[:, None]


def test_calibration_of_two_labels_by_hand():
    task = classification(2)
    output, target = logits_of([0.03, 0.05, 0.9, 0.91, 0.92, 0.99]), np.array([0, 1, 1, 1, 0, 1])
    found = assess_calibration(task, output, {"y": target}, seed=0, resamples=200)
    assert found is not None
    assert found.label == "b"
    assert [(one["rows"], one["share"]) for one in found.bins] == [(2, 0.5), (3, 2 / 3), (1, 1.0)]
    assert (found.bins[1]["low"], found.bins[1]["high"]) == (13 / 15, 14 / 15)
    assert found.bins[1]["probability"] == pytest.approx(0.91)
    # Wilson at 2 of 3, 95%: (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    assert found.bins[1]["share_low"] == pytest.approx(0.2077, abs=1e-4)
    assert found.bins[1]["share_high"] == pytest.approx(0.9385, abs=1e-4)
    gaps = [0.5 - 0.04, 0.91 - 2 / 3, 1 - 0.99]
    assert found.ece == pytest.approx((2 * gaps[0] + 3 * gaps[1] + gaps[2]) / 6, abs=1e-6)
    assert found.largest == pytest.approx(gaps[0], abs=1e-6)
    assert 0 <= found.low <= found.ece <= found.high
    assert found.log_loss == pytest.approx(log_loss(output, target, 1.0), rel=1e-6)
    assert (found.temperature, found.ece_calibrated, found.log_loss_calibrated) == (None, None, None)


def test_of_more_labels_the_answered_one_is_looked_at():
    task = classification(3)
    output = np.log(np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])).astype(np.float32)
    found = assess_calibration(task, output, {"y": np.array([0, 0])}, seed=0, resamples=0)
    assert found is not None
    assert found.label is None
    assert found.ece == pytest.approx((0.5 + 0.8) / 2, abs=1e-6)
    assert math.isnan(found.low) and math.isnan(found.high)


def test_of_several_labels_a_row_all_are_looked_at():
    found = assess_calibration(
        multilabel(2), np.hstack([logits_of([0.9, 0.9]), logits_of([0.22, 0.23])]),
        {"y": np.array([[1, 0], [0, 1]], np.int8)}, seed=0, resamples=0,
    )  # fmt: skip
    assert found is not None
    assert [(one["rows"], one["share"]) for one in found.bins] == [(2, 0.5), (2, 0.5)]


@pytest.mark.parametrize("kind", ["binary", "classification", "multilabel"])
def test_a_temperature_makes_held_out_probabilities_better(kind):
    task, output, targets = drawn(kind, 3000, 4, seed=1, scale=4.0)
    task.temperature = fit_temperature(task, output, targets)
    _, output, targets = drawn(kind, 3000, 4, seed=2, scale=4.0)
    found = assess_calibration(task, output, targets, seed=0, resamples=50)
    assert found is not None
    assert found.temperature == task.temperature
    assert found.ece > 0.05 and found.ece_calibrated is not None and found.ece_calibrated < 0.03
    assert found.log_loss_calibrated == pytest.approx(log_loss(output, targets["y"], task.temperature), rel=1e-6)
    assert found.log_loss_calibrated < found.log_loss


def test_the_interval_of_good_calibration_holds_the_value():
    # resamples of calibrated probabilities have a larger error than the sample itself; the interval must not
    for seed in range(5):
        task, output, targets = drawn("binary", 300, 2, seed)
        found = assess_calibration(task, output, targets, seed=seed, resamples=200)
        assert found is not None
        assert 0 <= found.low < found.ece < found.high
