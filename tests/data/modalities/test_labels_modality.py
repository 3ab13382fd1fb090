"""Sets of labels: how they are written, and the matrix they become."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelyard.core.errors import BundleError, DataError
from modelyard.data.kinds import Numbers
from modelyard.data.modalities.base import State
from modelyard.data.modalities.labels import Labels, LabelsSettings


def labels(role: str = "target", **said: Any) -> Labels:
    return Labels("tags", LabelsSettings(**said), role)


def fitted(values: Any, role: str = "target", **said: Any) -> Labels:
    modality = labels(role, **said)
    modality.partial_fit(modality.read(pa.array(values)).values)
    modality.finish_fit()
    return modality


def read(values: Any, **said: Any) -> list[list[str] | None]:
    reading = labels(**said).read(values if isinstance(values, pa.Array) else pa.array(values))
    assert not reading.problems
    return reading.values.to_pylist()


def test_lists_are_taken_as_they_are_each_label_once() -> None:
    assert read([["b", "a", "b"], [], None, [None, "NA", "c "]]) == [["b", "a"], [], None, ["c"]]
    assert read([[1, 2], [2]]) == [["1", "2"], ["2"]]
    assert read(pa.array([["a"], ["b", "a"]], pa.large_list(pa.string()))) == [["a"], ["b", "a"]]
    assert read(pa.array([["a", "b"], None], pa.list_(pa.string(), 2))) == [["a", "b"], None]
    assert read(pa.array([["x"], ["a", "b"], None])[1:]) == [["a", "b"], None]


def test_separated_texts() -> None:
    assert read(["a|b", "a; b", "a,b", "a", "a|b,c", "", None, "a||b|"]) == [
        ["a", "b"],
        ["a", "b"],
        ["a", "b"],
        ["a"],
        ["a", "b,c"],
        None,
        None,
        ["a", "b"],
    ]
    assert read(["a|b", "a b"], separator=" ") == [["a|b"], ["a", "b"]]


def test_lists_written_as_text() -> None:
    assert read(['["a", "b, c"]', "[]", "[1, 2.0, true]", "['a', 'b']", "[a, b]"]) == [
        ["a", "b, c"],
        [],
        ["1", "2", "true"],
        ["a", "b"],
        ["a", "b"],
    ]


@pytest.mark.parametrize(
    "value", ["['a' 'b']", '[{"a": 1}]', "[[1], [2]]", "['a', 'b]", "['a'; 'b']", "[" * 5000 + "]" * 5000]
)
def test_a_text_that_is_no_list_of_labels_is_a_problem(value: str) -> None:
    reading = labels().read(pa.array(["a", value]))
    assert list(reading.problems) == [1]
    assert len(reading.problems[1]) < 120
    assert reading.values.to_pylist() == [["a"], None]


def test_single_values_are_sets_of_one() -> None:
    assert read([1, None, 2]) == [["1"], None, ["2"]]


def test_a_list_holding_something_else_is_a_problem_of_its_row() -> None:
    reading = labels().read(pa.array([[{"a": 1}], [], None]))
    assert list(reading.problems) == [0]
    assert reading.values.to_pylist() == [None, [], None]


def test_a_target_there_and_back() -> None:
    modality = fitted(["b|a", "c", "[]", None])
    assert modality.labels == ("a", "b", "c")
    target = modality.encode_target(modality.read(pa.array(["c|a", "[]", None, "new|b"])).values)
    assert target.dtype == np.int8
    assert target.tolist() == [[1, 0, 1], [0, 0, 0], [-1, -1, -1], [0, 1, 0]]
    assert modality.unknown_labels == 1
    assert modality.decode_target(target).to_pylist() == [["a", "c"], [], None, ["b"]]
    assert modality.decode_target(np.array([[1, 0, 1]], np.uint8)).to_pylist() == [["a", "c"]]


def test_labels_are_sorted_as_numbers_when_all_are() -> None:
    assert fitted([[10, 9], [2]]).labels == ("2", "9", "10")
    assert fitted([[0, 1]], names=["cat", "dog"]).labels == ("cat", "dog")
    assert fitted([["a", "b"]], labels=["b", "x", "a"]).labels == ("b", "x", "a")


def test_as_an_input() -> None:
    modality = fitted(["a|b", None, "b"], "input")
    assert modality.describe() == Numbers("numbers", ("tags",), 3)
    encoded = modality.encode(modality.read(pa.array(["b", "a|z", None, "[]"])).values)[""]
    assert encoded.dtype == np.float32
    assert encoded.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert fitted(["a", "b"], "input").describe().width == 2


def test_no_label_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="'tags' has no known label in 2 training rows"):
        fitted(["[]", None])


def test_a_state_of_repeated_labels_is_refused() -> None:
    state = fitted(["a|b"]).state()
    with pytest.raises(BundleError, match="repeat"):
        labels().restore(State({**state.json, "values": ["a", "a"]}))


def test_show() -> None:
    modality = labels(names={"a": "A"})
    assert [modality.show(value).text for value in (["a", "b"], [], None)] == ["A, b", "none", "missing"]


def test_remarks_name_what_training_did_not_hold() -> None:
    modality = Labels("c", LabelsSettings())
    modality.partial_fit(pa.array([["red", "blue"], None]))
    modality.finish_fit()
    values = pa.array([["red"], ["red", "pink", "teal"], None, [], ["pink"]])
    assert modality.remarks(values) == {1: "not seen in training: 'pink', 'teal'", 4: "not seen in training: 'pink'"}
    assert modality.summary()["unknown_labels"] == 0
