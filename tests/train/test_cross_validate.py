"""Cross-validation over the training rows."""

from __future__ import annotations

import numpy as np
import pytest
from small_training import blobs, small_training

from modelyard.train.cross_validate import cross_validate


@pytest.fixture(scope="module")
def flipped(tmp_path_factory):
    """240 rows of two clear clouds, six of which carry the other label."""
    data = blobs(240)
    wrong = [3, 50, 101, 150, 177, 222]
    for row in wrong:
        data["side"][row] = {"left": "right", "right": "left"}[data["side"][row]]
    small = small_training({"source": data, "targets": ["side"], "split": {"test": 0}}, tmp_path_factory.mktemp("runs"))
    record = cross_validate(small.spec, small.prepared, small.task, 4, small.log, epochs=5)
    return small, record, wrong


def test_every_training_row_is_answered_once(flipped):
    small, record, _ = flipped
    rows = len(small.prepared.splits["train"])
    assert record.evaluation.rows == rows == sum(fold.rows for fold in record.folds)
    assert all(fold.trained + fold.rows == rows for fold in record.folds)
    assert [fold.fold for fold in record.folds] == [1, 2, 3, 4]


def test_mislabelled_training_rows_are_named_by_file_and_record(flipped):
    small, record, wrong = flipped
    trained_on = set(np.asarray(small.prepared.splits["train"].whole("row.position")).tolist())
    planted = [row for row in wrong if row in trained_on]
    assert len(planted) >= 4
    named = [suspect["position"] for suspect in record.suspects]
    assert sorted(named) == sorted(planted)
    assert record.evaluation.suspect_rows == len(planted) == len(record.evaluation.suspects)
    first = record.suspects[0]
    assert first["file"] == small.prepared.record.files[0]
    assert {first["target"], first["answer"]} == {"left", "right"} and first["probability"] > 0.9
    assert record.evaluation.suspects[0].position == first["position"]


def test_the_spread_is_that_of_the_folds(flipped):
    _, record, _ = flipped
    accuracy = [fold.metrics["accuracy"] for fold in record.folds]
    spread = next(one for one in record.spread if one.metric == "accuracy")
    assert spread.mean == pytest.approx(sum(accuracy) / 4)
    assert spread.standard_deviation == pytest.approx(np.std(accuracy, ddof=1))
    assert (spread.lowest, spread.highest) == (min(accuracy), max(accuracy))
    measured = next(one for one in record.evaluation.metrics if one.name == "accuracy")
    assert measured.low <= measured.value <= measured.high


def test_the_record_says_what_was_fitted_on_which_rows_and_what_stayed_together(flipped):
    _, record, _ = flipped
    notes = " ".join(record.notes)
    assert "fitted on the whole training split" in notes
    assert "equal rows share a fold" in notes
    assert record.epochs == 5


def test_each_fold_is_told_and_the_trainings_within_stay_quiet(flipped):
    small, _, _ = flipped
    kinds = [event["event"] for event in small.events]
    assert set(kinds) == {"fold", "progress"}
    assert kinds.count("fold") == 4
    assert any(event["doing"].startswith("cross-validation, fold 2 of 4") for event in small.events if "doing" in event)


def test_no_row_is_answered_by_a_model_that_learned_it(tmp_path):
    """More columns than rows: a model fits any labels it was trained on, and knows nothing about the others."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(64, 60))
    data = {f"x{column}": values[:, column] for column in range(60)}
    data["coin"] = [str(side) for side in rng.integers(0, 2, 64)]
    spec = {"source": data, "targets": ["coin"], "split": {"test": 0}}
    small = small_training(spec, tmp_path, train={"epochs": 60, "learning_rate": 0.05, "weight_decay": 0.0})
    assert small.run.training.epochs[-1].train["accuracy"] == 1.0
    record = cross_validate(small.spec, small.prepared, small.task, 3, small.log)
    assert record.evaluation.value("accuracy") < 0.72


def test_the_callers_task_and_early_stopping_are_left_as_they_are(tmp_path):
    data = {"source": blobs(80), "targets": ["side"]}
    train = {"early_stopping": {"metric": "accuracy", "patience": 0}, "epochs": 3}
    task = {"type": "classification", "class_weights": "balanced"}
    small = small_training(data, tmp_path, train=train, task=task)
    before = small.task.state()
    record = cross_validate(small.spec, small.prepared, small.task, 2, small.log)
    assert small.task.state() == before
    assert record.epochs == 3
    assert "nothing was stopped early here" in " ".join(record.notes)


def test_a_label_with_a_single_row_is_named(tmp_path):
    data = blobs(80)
    data["side"][5] = "middle"
    parts = {"source": data, "targets": ["side"], "split": {"validation": 0, "test": 0}}
    small = small_training(parts, tmp_path, train={"epochs": 1})
    record = cross_validate(small.spec, small.prepared, small.task, 2, small.log)
    assert any("1 labels are those of a single distinct row (middle)" in note for note in record.notes)


def test_numbers_are_cross_validated_without_suspects(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    small = small_training({"source": {"x": x, "y": 3 * x + 1}, "targets": ["y"]}, tmp_path, train={"epochs": 15})
    record = cross_validate(small.spec, small.prepared, small.task, 3, small.log)
    assert record.suspects == [] and record.evaluation.suspect_rows == 0
    assert record.evaluation.value("r2") > 0.5
