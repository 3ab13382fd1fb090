import math
import time

import numpy as np
import pytest

from modelyard.core.errors import UsageError
from modelyard.evaluate.bootstrap import intervals, resample_counts
from modelyard.evaluate.table import METRICS
from modelyard.tasks.base import Outcome

BINARY = ("accuracy", "roc_auc", "f1", "average_precision", "balanced_accuracy", "matthews", "log_loss", "brier")


def metrics(*names):
    return [METRICS.find(name) for name in names]


def classification(rows, accuracy=0.8, seed=0, share=0.5):
    random = np.random.default_rng(seed)
    target = (random.random(rows) < share).astype(np.int64)
    right = random.random(rows) < accuracy
    score = np.where(right == (target == 1), random.uniform(0.5, 1, rows), random.uniform(0, 0.499, rows))
    return Outcome(target, np.stack([1 - score, score], axis=1), (score >= 0.5).astype(np.int64), ("no", "yes"))


def test_resamples_keep_the_size_of_every_stratum():
    strata = np.array([2, 0, 0, 2, 0, 1, 0])
    counts = resample_counts(strata, 0, range(200))
    assert counts.shape == (200, 7)
    for label, size in ((0, 4), (1, 1), (2, 2)):
        np.testing.assert_array_equal(counts[:, strata == label].sum(axis=1), size)
    # a row of a stratum of four is drawn once on average, and with the variance of 4 draws at 1/4
    assert counts[:, 1].mean() == pytest.approx(1, abs=0.2)
    assert counts[:, 1].var() == pytest.approx(4 * 0.25 * 0.75, abs=0.25)


def test_a_resample_depends_on_its_number_alone():
    strata = np.zeros(50, np.int64)
    together = resample_counts(strata, 7, range(5))
    np.testing.assert_array_equal(together[3:], resample_counts(strata, 7, range(3, 5)))
    assert (resample_counts(strata, 8, range(5)) != together).any()


def test_intervals_are_reproducible_and_hold_the_value():
    outcome = classification(400)
    first = intervals(metrics(*BINARY), outcome, seed=1, resamples=200)
    assert first == intervals(metrics(*BINARY), outcome, seed=1, resamples=200)
    assert first != intervals(metrics(*BINARY), outcome, seed=2, resamples=200)
    for name, (low, high) in first.items():
        assert low < METRICS.find(name)(outcome) < high, name


def test_the_interval_of_a_share_is_as_wide_as_the_binomial_says():
    outcome = classification(1000, accuracy=0.8)
    low, high = intervals(metrics("accuracy"), outcome, seed=0, resamples=2000)["accuracy"]
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.8 * 0.2 / 1000), rel=0.12)
    narrow_low, narrow_high = intervals(metrics("accuracy"), outcome, seed=0, resamples=2000, confidence=0.5)[
        "accuracy"
    ]
    assert low < narrow_low < narrow_high < high


def test_the_interval_of_a_mean_is_as_wide_as_its_standard_error():
    random = np.random.default_rng(0)
    target = random.normal(size=(500, 1))
    score = target + random.exponential(size=(500, 1))
    error = (score - target)[:, 0]
    low, high = intervals(metrics("mae"), Outcome(target, score, score, ("x",)), seed=0, resamples=2000)["mae"]
    assert high - low == pytest.approx(2 * 1.96 * error.std() / math.sqrt(500), rel=0.12)


def test_accuracy_covers_the_truth_as_often_as_it_says():
    covered = 0
    for seed in range(120):
        low, high = intervals(metrics("accuracy"), classification(150, 0.7, seed), seed=seed, resamples=150)["accuracy"]
        covered += low <= 0.7 <= high
    assert 0.88 <= covered / 120 <= 0.99


def test_without_a_mistake_accuracy_still_has_an_interval():
    outcome = classification(20, accuracy=1.0)
    low, high = intervals(metrics("accuracy"), outcome, seed=0, resamples=50)["accuracy"]
    # Wilson's lower end at p = 1: n / (n + z²)
    assert low == pytest.approx(20 / (20 + 1.959964**2), abs=1e-5)
    assert high == 1
    assert intervals(metrics("f1"), outcome, seed=0, resamples=50)["f1"] == (1, 1)


def test_what_is_not_defined_has_no_interval():
    outcome = Outcome(np.zeros(5, np.int64), np.tile([0.9, 0.1], (5, 1)), np.zeros(5, np.int64), ("no", "yes"))
    low, high = intervals(metrics("roc_auc"), outcome, seed=0, resamples=20)["roc_auc"]
    assert math.isnan(low)
    assert math.isnan(high)
    assert all(math.isnan(end) for end in intervals(metrics("accuracy"), outcome, seed=0, resamples=0)["accuracy"])


def test_resamples_without_a_value_are_left_out():
    # precision exists only in resamples that draw the one row answered with yes
    outcome = Outcome(np.array([1, 1, 0, 0]), np.eye(2)[[1, 0, 0, 0]], np.array([1, 0, 0, 0]), ("no", "yes"))
    assert intervals(metrics("precision"), outcome, seed=0, resamples=100)["precision"] == (1, 1)


def test_senseless_requests_are_refused():
    for options in ({"resamples": -1}, {"confidence": 1.0}, {"confidence": 0.0}):
        with pytest.raises(UsageError, match="intervals need"):
            intervals(metrics("accuracy"), classification(5), seed=0, **options)


def test_a_thousand_resamples_of_ten_thousand_rows_take_seconds():
    outcome = classification(10_000)
    started = time.process_time()
    intervals(metrics(*BINARY), outcome, seed=0, resamples=200)
    # a fifth of the resamples; about 0.3 s of one core, and a Python loop over rows or resamples would take minutes
    assert time.process_time() - started < 4
