import math

import numpy as np
import pyarrow as pa
import pytest

from modelyard.evaluate.cuts import keep_for_cuts
from modelyard.evaluate.fairness import fairness
from modelyard.tasks.base import Outcome


def kept(values):
    return keep_for_cuts(None)(pa.array(values), "")


def outcome(target, answer, labels=("no", "yes")):
    target, answer = np.array(target), np.array(answer)
    return Outcome(target, np.eye(len(labels))[answer], answer, labels)


# f: 6 positive rows, 3 found; 6 negative, 2 taken for positive. m: 4 positive, 4 found; 8 negative, 2 taken.
TARGET = [1] * 6 + [0] * 6 + [1] * 4 + [0] * 8
ANSWER = [1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
SEX = ["f"] * 12 + ["m"] * 12


def test_two_labels_by_hand():
    found = fairness(outcome(TARGET, ANSWER), "sex", kept(SEX), seed=0, resamples=200)
    rates = {group["group"]: {name: m["value"] for name, m in group["metrics"].items()} for group in found.groups}
    assert [group["rows"] for group in found.groups] == [12, 12]
    assert rates["f"] == pytest.approx(
        {
            "selection_rate": 5 / 12,
            "true_positive_rate": 3 / 6,
            "false_positive_rate": 2 / 6,
            "precision": 3 / 5,
            "accuracy": 7 / 12,
        }
    )
    assert rates["m"] == pytest.approx(
        {
            "selection_rate": 6 / 12,
            "true_positive_rate": 1.0,
            "false_positive_rate": 2 / 8,
            "precision": 4 / 6,
            "accuracy": 10 / 12,
        }
    )
    differences = {one["metric"]: one for one in found.differences}
    # fairlearn 0.15 gives the same: demographic_parity_difference 0.083, demographic_parity_ratio 0.833,
    # equal_opportunity_difference 0.5, and of equalized_odds_difference the larger part, 0.5
    assert differences["selection_rate"]["difference"] == pytest.approx(1 / 12)
    assert differences["selection_rate"]["ratio"] == pytest.approx(5 / 6)
    assert differences["true_positive_rate"]["difference"] == pytest.approx(0.5)
    assert differences["false_positive_rate"]["difference"] == pytest.approx(1 / 12)
    assert (differences["true_positive_rate"]["highest"], differences["true_positive_rate"]["lowest"]) == ("m", "f")
    parity = differences["selection_rate"]
    assert parity["low"] < 0 < parity["high"]  # of twelve rows each, the order could be chance
    assert found.notes == []


def test_the_interval_of_a_difference_is_that_of_two_independent_shares():
    rows = 400
    target, answer = [1] * 2 * rows, [1] * 320 + [0] * 80 + [1] * 240 + [0] * 160
    found = fairness(outcome(target, answer), "g", kept(["a"] * rows + ["b"] * rows), seed=0, resamples=2000)
    (difference,) = [one for one in found.differences if one["metric"] == "selection_rate"]
    spread = 1.96 * math.sqrt(0.8 * 0.2 / rows + 0.6 * 0.4 / rows)
    assert difference["difference"] == pytest.approx(0.2)
    assert difference["low"] == pytest.approx(0.2 - spread, abs=0.01)
    assert difference["high"] == pytest.approx(0.2 + spread, abs=0.01)


def test_small_groups_are_taken_together_and_nobody_is_left_out():
    groups = ["a"] * 40 + ["b"] * 40 + ["c"] * 6 + ["d"] * 5 + [None] * 3
    target = [0, 1] * 47
    found = fairness(outcome(target, target), "g", kept(groups), seed=0, resamples=50)
    assert [(group["group"], group["rows"]) for group in found.groups] == [
        ("a", 40),
        ("b", 40),
        ("missing", 3),
        ("other (2 groups of fewer than 10 rows)", 11),
    ]
    assert any("2 groups have fewer than 10 rows and are taken together (11 rows)" in note for note in found.notes)
    assert any("'missing' has 3 rows" in note for note in found.notes)
    assert all("missing" not in (one["highest"], one["lowest"]) for one in found.differences)


def test_a_rate_that_does_not_exist_is_said():
    found = fairness(outcome([0] * 10 + [1] * 10, [0] * 20), "g", kept(["a"] * 10 + ["b"] * 10), seed=0, resamples=20)
    assert math.isnan(found.groups[0]["metrics"]["true_positive_rate"]["value"])
    assert any("true_positive_rate does not exist for a" in note for note in found.notes)
    assert "true_positive_rate" not in [one["metric"] for one in found.differences]


def test_more_labels_have_accuracy_and_numbers_have_errors():
    many = fairness(
        outcome([0, 1, 2, 0] * 5, [0, 1, 1, 1] * 5, ("a", "b", "c")), "g", kept(["x", "y"] * 10), seed=0, resamples=20
    )
    assert {group["group"]: group["metrics"]["accuracy"]["value"] for group in many.groups} == {"x": 0.5, "y": 0.5}
    score = np.array([[1.0], [-1.0]] * 10)
    numbers = Outcome(np.zeros((20, 1)), score, score, ("y",))
    found = fairness(numbers, "g", kept(["over", "under"] * 10), seed=0, resamples=20)
    values = {group["group"]: {k: m["value"] for k, m in group["metrics"].items()} for group in found.groups}
    assert values == {"over": {"mean_error": 1.0, "mae": 1.0}, "under": {"mean_error": -1.0, "mae": 1.0}}
    assert found.differences[0]["difference"] == 2.0 and math.isnan(found.differences[0]["ratio"])


def test_ages_are_groups_by_quantile_and_bytes_are_none():
    target = [0, 1] * 50
    found = fairness(outcome(target, target), "age", kept(list(range(100))), seed=0, resamples=20)
    assert [group["group"] for group in found.groups][:2] == ["0 … 19", "20 … 39"]
    none = fairness(outcome(target, target), "raw", kept([b"x"] * 100), seed=0)
    assert none.groups == [] and "does not make groups" in none.notes[0]
