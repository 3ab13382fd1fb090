"""Bundles on the same rows: the better one is named, and where the rows cannot tell, that is said."""

import csv

import numpy as np
import pytest
from small_bundles import write_small_bundle

from modelyard.bundle.predictor import load
from modelyard.core.errors import DataError, UsageError
from modelyard.core.files import to_json
from modelyard.evaluate.compare import _in_labels, compare_bundles
from modelyard.evaluate.significance import mcnemar
from modelyard.tasks.base import Outcome


def make(rows, seed, labels=("no", "yes")):
    random = np.random.default_rng(seed)
    x, z = random.normal(size=(2, rows))
    y = np.where(x + 0.3 * random.normal(size=rows) > 0, labels[1], labels[0])
    return {"x": x, "z": z, "y": y}


def write_csv(path, columns):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    data, target = make(300, 0), {"y": "category"}
    training = write_csv(folder / "training.csv", data)
    arguments = (target, "classification")
    good = write_small_bundle(folder / "good", data, {"x": "number", "z": "number"}, *arguments, files=[training])
    twin = write_small_bundle(folder / "twin", data, {"x": "number"}, *arguments)
    blind = write_small_bundle(folder / "blind", data, {"z": "number"}, *arguments)
    return {"good": good, "twin": twin, "blind": blind, "data": write_csv(folder / "new.csv", make(400, 1))}


def test_the_better_bundle_is_named_with_its_test(bundles):
    found = compare_bundles([bundles["blind"], bundles["good"]], bundles["data"])
    assert (found.rows, found.rows_left_out, found.target) == (400, 0, ["y"])
    accuracy = found.differences[0]
    assert (accuracy.metric, accuracy.bundle, accuracy.verdict, accuracy.test) == (
        "accuracy",
        1,
        "better",
        "McNemar, exact",
    )
    values = [{m.name: m for m in one.metrics} for one in found.bundles]
    assert accuracy.difference == pytest.approx(values[1]["accuracy"].value - values[0]["accuracy"].value)
    assert 0 < accuracy.low < accuracy.difference < accuracy.high and accuracy.p_value < 1e-6
    loss = next(one for one in found.differences if one.metric == "log_loss")
    assert loss.difference < 0 and loss.verdict == "better" and loss.test == "paired permutation"
    (only,) = found.only_right
    assert accuracy.difference * 400 == pytest.approx(only.only_this - only.only_first)
    assert accuracy.p_value == pytest.approx(mcnemar(only.only_first, only.only_this))
    assert "good is better than" in found.verdict[0]
    for example in only.examples:
        row = example["row"]
        assert example["right"] in (0, 1) and row["target"] != row["answer"] and row["shown"]
    assert '"nan"' not in to_json(found).lower()


def test_bundles_that_the_rows_cannot_tell_apart_are_said_to_be_so(bundles):
    found = compare_bundles([bundles["good"], bundles["twin"], bundles["blind"]], bundles["data"])
    near, far = (next(one for one in found.differences if one.bundle == number) for number in (1, 2))
    assert near.verdict == "not distinguishable" and near.low <= 0 <= near.high
    assert far.verdict == "worse"
    assert "is not distinguishable from" in found.verdict[0] and "is worse than" in found.verdict[1]
    if near.difference:
        assert near.rows_needed > 400 and f"about {near.rows_needed} rows" in found.verdict[0]


def test_a_bundle_beside_itself_differs_in_nothing(bundles):
    found = compare_bundles([load(bundles["good"]), load(bundles["good"])], bundles["data"])
    assert all(one.difference == 0 and one.p_value == 1 and one.rows_needed is None for one in found.differences)
    assert found.only_right[0].agreement == 1.0 and found.only_right[0].examples == []


def test_rows_that_one_bundle_cannot_use_are_left_out_for_all(bundles, tmp_path):
    columns = make(50, 2)
    columns["z"] = ["broken" if row < 4 else value for row, value in enumerate(columns["z"])]
    columns["y"] = ["maybe" if row in (3, 10) else value for row, value in enumerate(columns["y"])]
    found = compare_bundles([bundles["twin"], bundles["good"]], write_csv(tmp_path / "new.csv", columns))
    assert (found.rows, found.rows_left_out) == (45, 5)


def test_rows_out_of_the_files_a_bundle_was_made_from_are_pointed_out(bundles):
    training = bundles["good"].parent / "training.csv"
    found = compare_bundles([bundles["good"], bundles["twin"]], training)
    assert any("was made from" in note and "training.csv" in note for note in found.notes)
    elsewhere = compare_bundles([bundles["good"], bundles["twin"]], bundles["data"])
    assert len(elsewhere.notes) == 1 and "cannot be known" in elsewhere.notes[0]


def test_numbers_are_compared_by_their_errors(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=200)
    data = {"x": x, "z": random.normal(size=200), "y": 3 * x + random.normal(size=200)}
    paths = [
        write_small_bundle(tmp_path / name, data, {name: "number"}, {"y": "number"}, "regression")
        for name in ("x", "z")
    ]
    found = compare_bundles(paths, data)
    tests = {one.metric: (one.test, one.verdict) for one in found.differences}
    assert tests["mae"] == ("paired permutation", "worse") and tests["r2"] == ("paired bootstrap", "worse")
    assert found.only_right == [] and found.data == "rows given from Python"


def test_labels_in_another_order_mean_the_same():
    second = Outcome(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]), ("b", "a"))
    moved = _in_labels(second, ("a", "b", "c"))
    assert moved.target.tolist() == [1, 0] and moved.labels == ("a", "b", "c")
    assert moved.score.tolist() == [[0.1, 0.9, 0.0], [0.8, 0.2, 0.0]]
    only = _in_labels(Outcome(np.array([1]), np.array([[0.3, 0.7]]), np.array([1]), ("a", "z")), ("a", "b"))
    assert only.labels == ("a", "b", "z") and only.target.tolist() == [2]


def test_what_is_refused(bundles, tmp_path):
    with pytest.raises(UsageError, match="two or more bundles, got 1"):
        compare_bundles([bundles["good"]], bundles["data"])
    data = {"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0]}
    numbers = write_small_bundle(tmp_path / "numbers", data, {"x": "number"}, {"y": "number"}, "regression")
    with pytest.raises(UsageError, match="classification of y and a regression of y"):
        compare_bundles([bundles["good"], numbers], bundles["data"])
    with pytest.raises(DataError, match="no column 'y'"):
        compare_bundles([bundles["good"], bundles["twin"]], {"x": [1.0], "z": [1.0]})
    with pytest.raises(DataError, match="none of the 2 rows"):
        compare_bundles([bundles["good"], bundles["twin"]], {"x": [1.0, 2.0], "z": [1.0, 1.0], "y": ["?", "never"]})
