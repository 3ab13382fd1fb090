"""What a prediction says about the rows it was made from, and its probabilities when they are to be calibrated."""

import json

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch

from modelyard.bundle.answers import write_answers
from modelyard.bundle.contents import Contents, make_task, read_contents, to_files
from modelyard.bundle.format import write_bundle
from modelyard.bundle.predictor import Predictor, load
from modelyard.core.errors import BundleError, UsageError
from modelyard.data.fitted import Fitted, make_modality
from modelyard.models.build import build, settle
from modelyard.spec.spec import Spec

ROWS = [{"age": float(age), "colour": colour} for age, colour in [(20, "red"), (30, "blue"), (40, "red"), (50, "blue")]]


def contents_of(target="category", temperature=None):
    spec = Spec.parse(
        {
            "data": {"inputs": {"age": "number", "colour": "category"}, "targets": {"y": target}},
            "model": "linear",
            "task": {"category": "classification", "number": "regression"}[target],
        }
    )
    values = {
        "age": [row["age"] for row in ROWS],
        "colour": [row["colour"] for row in ROWS],
        "y": ["no", "yes", "no", "yes"] if target == "category" else [1.0, 2.0, 3.0, 4.0],
    }
    columns = {}
    for role, choices in (("input", spec.data.inputs), ("target", spec.data.targets)):
        for column, choice in choices.items():
            columns[column] = make_modality(choice, column, role)
            columns[column].partial_fit(columns[column].read(pyarrow.array(values[column])).values)
            columns[column].finish_fit()
    fitted = Fitted([columns["age"], columns["colour"]], [columns["y"]])
    task = make_task(spec, fitted)
    task.prepare(fitted.encode_targets({"y": columns["y"].read(pyarrow.array(values["y"])).values}))
    task.temperature = temperature
    spec = spec.replace(model=settle(spec.model, fitted.describe()))
    model = build(spec.model, fitted.describe(), task.output_size, spec.seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=2.0)
    return Contents(spec, fitted, task, model.eval())


@pytest.fixture(scope="module")
def contents():
    return contents_of(temperature=2.0)


@pytest.fixture(scope="module")
def predictor(contents):
    return Predictor(contents)


def test_plain_rows_have_no_remarks(predictor):
    answers = predictor.predict(ROWS)
    assert answers.remarks == {} and answers.notes == {}
    assert all("remarks" not in row for row in answers)
    assert "remarks" not in answers.to_arrow().column_names


def test_missing_values_are_flagged_and_counted(predictor):
    answers = predictor.predict([ROWS[0], {"age": None, "colour": None}, {"age": 33.0, "colour": None}])
    assert answers.remarks == {1: ["age: missing", "colour: missing"], 2: ["colour: missing"]}
    assert answers.notes == {"age: missing": 1, "colour: missing": 2}
    assert answers[1]["remarks"] == ["age: missing", "colour: missing"] and answers[1]["y"] in ("no", "yes")
    assert "remarks" not in answers[0]
    assert answers.to_arrow()["remarks"].to_pylist() == [None, answers.remarks[1], answers.remarks[2]]


def test_what_a_modality_remarks_is_flagged_and_counted_by_kind(contents, monkeypatch):
    def remarks(self, values):
        return {
            row: f"not seen in training: {value!r}"
            for row, value in enumerate(values.to_pylist())
            if value is not None and value not in self.labels
        }

    monkeypatch.setattr(type(contents.fitted.inputs[1]), "remarks", remarks, raising=False)
    answers = Predictor(contents).predict([{"age": 1.0, "colour": colour} for colour in ("green", "red", "pink")])
    assert answers.remarks == {
        0: ["colour: not seen in training: 'green'"],
        2: ["colour: not seen in training: 'pink'"],
    }
    assert answers.notes == {"colour: not seen in training": 2}


def test_an_absent_column_is_said_in_every_row(predictor):
    answers = predictor.predict([{"age": 1.0}, {"age": None}])
    note = "columns that are absent, taken as missing: colour"
    assert answers.notes == {note: 2, "age: missing": 1}
    assert answers.remarks == {0: [note], 1: [note, "age: missing"]}


def test_a_row_with_a_problem_has_no_remarks(predictor):
    answers = predictor.predict([{"age": "old", "colour": None}, {"age": "7", "colour": None}])
    assert (list(answers.problems), list(answers.remarks)) == ([0], [1])
    assert answers.notes == {"colour: missing": 1, "unreadable": 1}


def test_remarks_keep_their_rows_over_many_chunks(predictor, tmp_path):
    lines = ["age,colour", *(f"{'' if row == 6000 else row % 90},red" for row in range(7000))]
    (tmp_path / "many.csv").write_text("\n".join(lines) + "\n")
    answers = predictor.predict(str(tmp_path / "many.csv"))
    assert (len(answers), answers.remarks) == (7000, {6000: ["age: missing"]})
    for ending in ("csv", "parquet", "jsonl"):
        path = tmp_path / f"answers.{ending}"
        written = write_answers(predictor, str(tmp_path / "many.csv"), path)
        assert (written.notes, written.unanswered) == ({"age: missing": 1}, 0)
        if ending == "jsonl":
            remarks = [json.loads(line)["remarks"] for line in path.read_text().splitlines()]
        else:
            read = pyarrow.csv.read_csv if ending == "csv" else pyarrow.parquet.read_table
            remarks = [text or None for text in read(path)["remarks"].to_pylist()]
        assert [(row, text) for row, text in enumerate(remarks) if text] == [(6000, "age: missing")]


# -- calibrated probabilities -----------------------------------------------------------------------------------------


def written(contents, path):
    write_bundle(path, "test", {**to_files(contents, {}), "report.html": b""})
    return path


def test_a_bundle_keeps_the_temperature_and_uses_it_when_asked_to(contents, tmp_path):
    path = written(contents, tmp_path / "bundle")
    assert json.loads((path / "outputs/task.json").read_text())["temperature"] == 2.0
    plain, calibrated = load(path).predict(ROWS), load(path, calibrated=True).predict(ROWS)
    np.testing.assert_array_equal(plain.output, calibrated.output)
    assert plain.columns["y"] == calibrated.columns["y"]
    logit = np.abs(plain.output[:, 0].astype(float))
    assert plain.columns["probability"] == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-6)
    assert calibrated.columns["probability"] == pytest.approx(1 / (1 + np.exp(-logit / 2)), rel=1e-6)


def test_without_a_temperature_calibrated_answers_are_refused(tmp_path):
    path = written(contents_of(), tmp_path / "bundle")
    assert "temperature" not in json.loads((path / "outputs/task.json").read_text())
    with pytest.raises(UsageError, match="no temperature was fitted when it was trained"):
        load(path, calibrated=True)
    with pytest.raises(UsageError, match="a regression has no probabilities"):
        Predictor(contents_of("number"), calibrated=True)


@pytest.mark.parametrize("state", ['{"temperature": 0}', '{"temperature": "1"}', "[]", '{"temperature": -2.5}'])
def test_a_temperature_nobody_wrote_is_refused(contents, tmp_path, state):
    files = {**to_files(contents, {}), "report.html": b"", "outputs/task.json": state.encode()}
    write_bundle(tmp_path / "bundle", "test", files)
    with pytest.raises(BundleError, match="altered"):
        read_contents(tmp_path / "bundle")
