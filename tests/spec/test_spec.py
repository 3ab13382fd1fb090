from __future__ import annotations

import json

import pytest

from modelyard.core.errors import DataError, SpecError
from modelyard.spec.schema import schema
from modelyard.spec.spec import Spec

FIVE_MISTAKES = """\
name: reviews
data:
  source: reviews.csv
  inputs: {review: txt}
  split: {validaton: 0.1}
train:
  epochs: ten
  optimizer: {type: sgd, momentum: 3}
tsk: classification
"""


def test_all_mistakes_are_said_at_once_with_their_lines_and_the_nearest_names():
    with pytest.raises(SpecError) as caught:
        Spec.from_yaml(FIVE_MISTAKES, source="reviews.yaml")
    problems = {problem.place: problem for problem in caught.value.problems}
    assert {place: problem.line for place, problem in problems.items()} == {
        "data.inputs.review.type": 4,
        "data.split.validaton": 5,
        "train.epochs": 7,
        "train.optimizer.momentum": 8,
        "tsk": 9,
    }
    assert "did you mean 'text'" in problems["data.inputs.review.type"].message
    assert "did you mean 'validation'" in problems["data.split.validaton"].message
    assert "'ten'" in problems["train.epochs"].message
    assert "did you mean 'task'" in problems["tsk"].message
    assert str(caught.value).startswith("reviews.yaml has 5 problems:")


def test_a_spec_survives_being_written_and_read():
    spec = Spec.parse(
        {
            "name": "a",
            "data": {"source": "x.csv", "inputs": {"t": {"type": "text", "tokens": "character"}}, "targets": ["y"]},
            "model": {"family": "embedding", "size": "small"},
            "train": {"optimizer": {"type": "sgd", "momentum": 0.5}, "schedule": "cosine"},
        }
    )
    again = Spec.from_yaml(spec.to_yaml())
    assert again.as_dict() == spec.as_dict()
    assert again.train.optimizer.settings.momentum == 0.5
    assert again.data.targets == {"y": None}


def test_overrides_reach_everything_and_are_named_when_they_are_wrong():
    values = {"data": {"source": "x.csv", "inputs": {"t": "text"}}, "train": {"optimizer": "adamw"}}
    spec = Spec.parse(
        values,
        [
            "train.epochs=3",
            "model.family=cnn",
            "data.inputs.t.lowercase=false",
            "train.optimizer.betas=[0.8, 0.9]",
            "seed=5",
        ],
    )
    assert (spec.train.epochs, spec.model.name, spec.seed) == (3, "cnn", 5)
    assert spec.data.inputs["t"].settings.lowercase is False
    assert spec.train.optimizer.settings.betas == (0.8, 0.9)
    assert values["train"] == {"optimizer": "adamw"}, "the caller's values are left alone"
    with pytest.raises(SpecError, match=r"train\.epochs: .*-1"):
        Spec.parse(values, ["train.epochs=-1"])
    with pytest.raises(SpecError, match="place=value"):
        Spec.parse(values, ["train.epochs"])
    with pytest.raises(SpecError, match="not a group of settings"):
        Spec.parse(values, ["data.source.inner=1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not valid YAML"),
        ("", "a spec is a mapping of settings, got nothing"),
        ("- 1", "got a list"),
        ("name: a\nname: b\ndata: {}", "said twice, first in line 1"),
        ("data: 3", "expected a group of settings"),
        ("name: ../x\ndata: {}", "a name has letters"),
        ("name: x", "data: is required"),
    ],
)
def test_what_is_not_a_spec_is_said_to_be_none(text, message):
    with pytest.raises(SpecError, match=message):
        Spec.from_yaml(text)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"no such spec: .*modelyard new"):
        Spec.load(tmp_path / "absent.yaml")


def test_yaml_that_asks_for_code_is_refused():
    with pytest.raises(SpecError, match="not valid YAML"):
        Spec.from_yaml("data: !!python/object/apply:os.system ['true']")


def test_the_schema_describes_every_setting_and_is_json():
    found = schema()
    json.dumps(found)
    assert found["properties"]["train"]["properties"]["epochs"]["description"]
    families = found["$defs"]["family_choice"]["anyOf"]
    names = {option["properties"]["family"]["const"] for option in families if "properties" in option}
    assert {"linear", "cnn", "joined"} <= names
