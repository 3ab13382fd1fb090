"""Folds and shares of the training rows."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from small_training import small_training

from modelyard.core.errors import DataError, SpecError
from modelyard.spec.spec import Spec
from modelyard.train.portions import Units, assign_folds, choose_shares, find_units


def units_of(keys, labels, seed=0):
    return Units(np.array(keys, np.uint64), np.array(labels, np.int64), seed)


def test_equal_rows_share_a_fold_and_each_fold_gets_its_part_of_every_label():
    keys = [1, 2, 3, 4, 5, 6, 7, 8, 1, 5]
    labels = [0, 0, 0, 0, 1, 1, 1, 1, 0, 1]
    fold = assign_folds(units_of(keys, labels), 2)
    assert fold[0] == fold[8] and fold[4] == fold[9]
    for rows in (range(4), range(4, 8)):
        assert np.bincount(fold[list(rows)]).tolist() == [2, 2]


def test_remainders_go_to_different_folds_so_that_folds_stay_equal():
    labels = np.repeat(np.arange(10), 5)
    fold = assign_folds(units_of(np.arange(50), labels), 4)
    assert sorted(np.bincount(fold).tolist()) == [12, 12, 13, 13]
    for label in range(10):
        assert sorted(np.bincount(fold[labels == label], minlength=4).tolist()) == [1, 1, 1, 2]


def test_a_rows_fold_depends_on_its_content_and_the_seed_not_on_its_place():
    keys, labels = np.arange(40), np.arange(40) % 3
    order = np.random.default_rng(0).permutation(40)
    fold = assign_folds(units_of(keys, labels), 4)
    assert np.array_equal(assign_folds(units_of(keys[order], labels[order]), 4), fold[order])
    assert not np.array_equal(assign_folds(units_of(keys, labels, seed=1), 4), fold)


def test_fewer_distinct_rows_than_folds_is_an_error_that_says_how_many_there_are():
    with pytest.raises(SpecError, match=r"evaluate.cross_validate: asks for 3 folds.*hold 2 in all.*equal rows"):
        assign_folds(units_of([7, 8, 7], [0, 1, 0]), 3)


def test_a_group_of_several_labels_counts_as_its_most_frequent_one():
    assert units_of([1, 1, 1, 2, 2], [4, 4, 0, 3, 2]).label.tolist() == [4, 2]


def test_a_larger_share_holds_the_smaller_one_and_labels_keep_their_proportions():
    labels = np.repeat([0, 1], [10, 20])
    units = units_of(np.arange(30), labels)
    small, large = choose_shares(units, 0.1), choose_shares(units, 0.5)
    assert np.bincount(labels[small]).tolist() == [1, 2]
    assert np.bincount(labels[large]).tolist() == [5, 10]
    assert set(small) < set(large)
    assert np.array_equal(large, np.sort(large))


def test_the_smallest_share_still_has_a_row_of_each_label():
    labels = np.array([0] * 50 + [1])
    assert set(labels[choose_shares(units_of(np.arange(51), labels), 0.02)]) == {0, 1}


@pytest.fixture
def patients_csv(tmp_path):
    """20 patients with five rows each; the patient is no input."""
    rng = np.random.default_rng(0)
    path = tmp_path / "patients.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", "x", "ill"])
        for row in range(100):
            writer.writerow([f"p{row % 20}", rng.normal(), "yes" if row % 20 < 10 else "no"])
    return path


def test_rows_of_one_group_stay_together_though_they_differ(patients_csv, tmp_path):
    data = {"source": str(patients_csv), "inputs": ["x"], "targets": ["ill"], "group": "patient"}
    small = small_training({**data, "split": {"method": "group", "by": "patient"}}, tmp_path / "runs")
    store = small.prepared.splits["train"]
    patient = np.asarray(store.whole("row.position")) % 20
    units = find_units(small.spec, small.prepared)
    assert len(units) == len(set(patient.tolist()))
    fold = assign_folds(units, 3)
    assert all(len(set(fold[patient == one].tolist())) == 1 for one in set(patient.tolist()))


def test_without_groups_the_units_are_the_distinct_rows(tmp_path):
    data = {"x": [float(row // 2) for row in range(80)], "even": [str(row // 2 % 2) for row in range(80)]}
    small = small_training({"source": data, "targets": ["even"]}, tmp_path, train={"epochs": 1})
    store = small.prepared.splits["train"]
    assert 2 * len(find_units(small.spec, small.prepared)) == len(store)


def test_a_group_column_that_the_data_lacks_is_an_error(patients_csv, tmp_path):
    data = {"source": str(patients_csv), "inputs": ["x"], "targets": ["ill"]}
    small = small_training(data, tmp_path / "runs", train={"epochs": 1})
    spec: Spec = small.spec.replace(data=small.spec.data.model_copy(update={"group": "ward"}))
    with pytest.raises(DataError, match="no column 'ward'"):
        find_units(spec, small.prepared)
