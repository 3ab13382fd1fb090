"""Categories: one spelling of equal values, known and unknown ones, labels in their order."""

from __future__ import annotations

import datetime
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from modelyard.core.errors import BundleError, DataError
from modelyard.data.kinds import Categories
from modelyard.data.modalities.base import State
from modelyard.data.modalities.category import Category, CategorySettings


def category(role: str = "input", **said: Any) -> Category:
    return Category("c", CategorySettings(**said), role)


def fitted(values: Any, role: str = "input", **said: Any) -> Category:
    modality = category(role, **said)
    modality.partial_fit(modality.read(pa.array(values)).values)
    modality.finish_fit()
    return modality


def read(values: Any, **said: Any) -> list[str | None]:
    return category(**said).read(values if isinstance(values, pa.Array) else pa.array(values)).values.to_pylist()


def test_equal_values_are_written_alike_whatever_file_they_came_from() -> None:
    assert read([" a ", "a", "A"]) == ["a", "a", "A"]
    assert read(["1", "1.0", "01", "-0.0", "1.50"]) == ["1", "1", "01", "0", "1.50"]
    assert read([1, 2]) == read([1.0, 2.0]) == ["1", "2"]
    assert read([0.5, float("nan"), 1e20]) == ["0.5", None, "1e+20"]
    assert read([True, False]) == read(["True", "FALSE"]) == ["true", "false"]
    assert read(["e\u0301"]) == ["\u00e9"]
    assert read([datetime.date(2020, 1, 2)]) == ["2020-01-02"]
    assert read(pa.array(["x", None, "x"]).dictionary_encode()) == ["x", None, "x"]


def test_missing_values_and_problems() -> None:
    reading = category().read(pa.array(["?", "", "none", None, "b"]))
    assert reading.values.to_pylist() == [None, None, None, None, "b"]
    assert not reading.problems
    assert read(["-", "+"], missing=["?"]) == ["-", "+"]
    assert list(category().read(pa.array([[1], None])).problems) == [0]
    assert list(category().read(pa.array([1.0, float("inf")])).problems) == [1]


def test_ids_of_inputs_follow_falling_counts_then_names() -> None:
    modality = fitted(["b", "a", "c", "b", None, "c", "b"])  # b 3, c 2, a 1
    assert modality.labels == ("b", "c", "a")
    assert modality.describe() == Categories("categories", ("c",), (5,))
    ids = modality.encode(pa.array(["b", "c", "a", None, "new"]))[""]
    assert ids.dtype == np.int32
    assert ids.tolist() == [[2], [3], [4], [0], [1]]
    assert modality.unknown_rows == 1
    assert modality.summary()["unknown_rows"] == 1


def test_rare_values_become_unknown_and_are_counted() -> None:
    modality = fitted(["a"] * 3 + ["b"] * 2 + ["c"], max_size=1)
    assert modality.labels == ("a",)
    assert modality.summary()["dropped_values"] == 2
    assert modality.summary()["dropped_count"] == 3
    assert fitted(["a", "a", "b"], min_count=2).labels == ("a",)


def test_labels_of_a_target_stand_in_order() -> None:
    assert fitted([10, 9, 2], "target").labels == ("2", "9", "10")
    assert fitted(["10", "9", "x"], "target").labels == ("10", "9", "x")
    assert fitted(["0.5", "-1", "2"], "target").labels == ("-1", "0.5", "2")


def test_a_target_there_and_back() -> None:
    modality = fitted(["no", "yes", "no", None], "target")
    target = modality.encode_target(pa.array(["yes", "no", None, "maybe"]))
    assert target.dtype == np.int64
    assert target.tolist() == [1, 0, -1, -1]
    assert modality.decode_target(target).to_pylist() == ["yes", "no", None, None]
    assert modality.unknown_rows == 1


def test_fixed_labels_keep_their_order_and_their_number() -> None:
    modality = fitted(["low", "high", "odd"], "target", labels=["high", "middle", "low"])
    assert modality.labels == ("high", "middle", "low")
    assert modality.encode_target(pa.array(["low", "odd"])).tolist() == [2, -1]
    assert modality.summary()["dropped_count"] == 1
    assert CategorySettings(labels=[0, 1.0, True]).labels == ["0", "1", "true"]


def test_names_are_shown_instead_of_values() -> None:
    modality = fitted([0, 1, 2, 1], "target", names=["shirt", "boot"])
    assert modality.labels == ("shirt", "boot", "2")
    assert modality.decode_target(np.array([1, 0])).to_pylist() == ["boot", "shirt"]
    assert modality.show("1").text == "boot"
    assert fitted(["n", "y"], "target", names={"n": "no", "y": "yes"}).labels == ("no", "yes")
    assert CategorySettings(names={0: "no"}).names == {"0": "no"}


def test_a_single_label_is_nothing_to_learn() -> None:
    with pytest.raises(DataError, match=r"single label '\+'.*3 training rows, 1 of them missing.*`missing`"):
        fitted(["+", "-", "+"], "target")
    with pytest.raises(DataError, match="single label 'a'"):
        fitted(["a", "a"], "target", labels=["a", "b"])
    assert fitted(["a", "a"]).labels == ("a",)


@pytest.mark.parametrize(
    "said",
    [{"labels": ["a", "a"]}, {"labels": []}, {"labels": [""]}, {"names": ["x", "x"]}, {"names": {"a": "x", "b": "x"}}],
)
def test_settings_that_contradict_themselves_are_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CategorySettings(**said)


@pytest.mark.parametrize(
    "change",
    [
        {"values": ["a", "a"]},
        {"values": ["a", ""]},
        {"values": ["a", "\ud800"]},
        {"values": [], "counts": []},
        {"values": ["a"], "counts": [1]},
        {"values": ["a", 1]},
        {"counts": [1]},
        {"counts": [1, -1]},
        {"counts": [1, 10**400]},
        {"rows": "4"},
        {"values": [f"v{i}" for i in range(4)], "counts": [1] * 4},
    ],
)
def test_a_state_that_cannot_be_one_is_refused(change: dict[str, Any]) -> None:
    state = json.loads(json.dumps(fitted(["a", "b"], "target", max_size=3).state().json))
    with pytest.raises(BundleError, match="'c'"):
        category("target", max_size=3).restore(State({**state, **change}))


def test_a_stored_vocabulary_must_be_the_labels_that_are_set() -> None:
    state = fitted(["a", "b"], "target").state()
    with pytest.raises(BundleError, match="labels that are set"):
        category("target", labels=["b", "a"]).restore(state)


def test_remarks_name_what_training_did_not_hold() -> None:
    modality = Category("c", CategorySettings())
    modality.partial_fit(pa.array(["red", "blue", None]))
    modality.finish_fit()
    assert modality.remarks(pa.array(["red", "purple", None, "blue"])) == {1: "not seen in training: 'purple'"}
    assert modality.summary()["unknown_rows"] == 0
