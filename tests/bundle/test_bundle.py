"""A bundle is what was written, or it is refused; and nothing in it can run code or reach out."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

import modelyard
from modelyard.core.errors import BundleError, DataError, UsageError
from modelyard.core.files import digest_file
from modelyard.spec.spec import Spec


@pytest.fixture(scope="module")
def trained(cancer_csv, tmp_path_factory):
    spec = Spec.parse(
        {
            "name": "cancer",
            "data": {"source": str(cancer_csv), "targets": ["diagnosis"]},
            "train": {"epochs": 3, "threads": 1},
            "evaluate": {"resamples": 20},
        }
    )
    return modelyard.train(spec, tmp_path_factory.mktemp("runs"))


@pytest.fixture
def bundle(trained, tmp_path):
    return Path(shutil.copytree(trained.bundle, tmp_path / "bundle"))


def files_of(bundle):
    return sorted(json.loads((bundle / "manifest.json").read_text())["files"])


def reseal(bundle, name):
    """Make the manifest agree with an altered file, as an attacker would."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    file = bundle / name
    manifest["files"][name] = {"size": file.stat().st_size, "sha256": digest_file(file)}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_a_bundle_holds_what_the_design_says(bundle):
    names = files_of(bundle)
    assert {"spec.yaml", "weights.safetensors", "report.html", "outputs/task.json", "inputs/000/state.json"} <= set(
        names
    )
    assert {f"evidence/{name}.json" for name in ("data", "training", "metrics", "baseline", "environment")} <= set(
        names
    )
    assert modelyard.verify(bundle).whole


def test_the_stored_spec_leaves_nothing_open(bundle):
    spec = Spec.load(bundle / "spec.yaml")
    assert spec.model is not None and spec.task is not None
    assert spec.train.optimizer is not None and spec.train.schedule is not None
    assert spec.train.precision in ("float32", "bfloat16") and spec.train.device == "cpu"
    assert isinstance(spec.train.learning_rate, float) and spec.train.weight_decay is not None
    assert spec.data.split.method == "stratified" and len(spec.data.inputs) == 30


def test_one_flipped_byte_in_any_file_is_found_and_named(bundle):
    for name in files_of(bundle):
        path = bundle / name
        original = path.read_bytes()
        broken = bytearray(original)
        broken[len(broken) // 2] ^= 1
        path.write_bytes(broken)
        (problem,) = modelyard.verify(bundle).problems
        assert name in problem
        with pytest.raises(BundleError, match=name.replace(".", r"\.")):
            modelyard.load(bundle)
        path.write_bytes(original)
    modelyard.load(bundle)


@pytest.mark.parametrize("damage", ["truncate", "remove", "add", "symlink"])
def test_a_file_cut_short_missing_added_or_linked_is_found(bundle, damage):
    path = bundle / "weights.safetensors"
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "remove":
        path.unlink()
    elif damage == "add":
        (bundle / "extra.bin").write_bytes(b"x")
    else:
        path.unlink()
        path.symlink_to("/etc/hostname")
    assert len(modelyard.verify(bundle).problems) == 1
    with pytest.raises(BundleError, match="is not what was written"):
        modelyard.load(bundle)


def test_what_is_no_bundle_is_said_to_be_none(tmp_path, trained):
    with pytest.raises(BundleError, match="no bundle at"):
        modelyard.load(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"it has no manifest\.json; did you mean .*bundle\?"):
        modelyard.verify(trained.path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match="not a bundle's manifest"):
        modelyard.load(tmp_path)


def test_a_bundle_of_a_later_format_says_which_release_reads_it(bundle):
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest.update(format=99, modelyard="9.0.0")
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"format 99.*modelyard 9\.0\.0"):
        modelyard.load(bundle)


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


def test_a_pickle_in_any_slot_never_runs(bundle, tmp_path):
    canary = tmp_path / "ran"
    payload = pickle.dumps(Canary(str(canary)))
    needed = [name for name in files_of(bundle) if not name.startswith(("evidence/", "report", "card"))]
    for name in needed:
        original = (bundle / name).read_bytes()
        (bundle / name).write_bytes(payload)
        reseal(bundle, name)
        with pytest.raises(BundleError):
            modelyard.load(bundle)
        (bundle / name).write_bytes(original)
        reseal(bundle, name)
    assert not canary.exists()
    modelyard.load(bundle)


@pytest.mark.parametrize(
    "evil", ["os.system", "../x.py", "http://127.0.0.1:9/x", "/etc/passwd", "modelyard.core.files:write_text"]
)
def test_names_in_a_spec_are_looked_up_in_closed_tables_only(bundle, evil):
    text = (bundle / "spec.yaml").read_text()
    for before in ("family: mlp", "type: number", "type: adamw", "type: classification"):
        assert before in text
        key = before.partition(":")[0]
        (bundle / "spec.yaml").write_text(text.replace(before, f"{key}: {evil!r}"))
        reseal(bundle, "spec.yaml")
        with pytest.raises(BundleError, match="unknown"):
            modelyard.load(bundle)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "", "x" * 3 + "/" * 2 + "y", "a\x00b"])
def test_a_manifest_cannot_point_outside(bundle, name):
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][name] = {"size": 1, "sha256": "0" * 64}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="no proper name"):
        modelyard.load(bundle)


@pytest.mark.parametrize(
    "head",
    [
        (2**63).to_bytes(8, "little"),
        (10).to_bytes(8, "little") + b'{"a":"b"} ',
        (100).to_bytes(8, "little") + b"{" * 100,
        b"",
    ],
)
def test_damaged_weights_are_refused_at_once(bundle, head):
    (bundle / "weights.safetensors").write_bytes(head)
    reseal(bundle, "weights.safetensors")
    with pytest.raises(BundleError, match="weights"):
        modelyard.load(bundle)


def test_answers_come_as_rows_tables_and_files(trained, cancer_csv, tmp_path):
    model = modelyard.load(trained.bundle)
    table = pyarrow.csv.read_csv(cancer_csv)
    answers = model.predict(table)
    assert answers.to_arrow().column_names == ["diagnosis", "probability", "probabilities"]
    assert answers.to_pandas()["diagnosis"].tolist() == [row["diagnosis"] for row in answers]
    one = model.predict(table.slice(3, 1).to_pylist()[0])
    assert np.allclose(one.output, answers.output[3:4], atol=1e-5)
    assert len(answers[:5]) == 5 and answers[-1] == answers[568]
    from modelyard.bundle.answers import write_answers

    for ending in ("csv", "parquet", "jsonl"):
        written = write_answers(model, str(cancer_csv), tmp_path / f"a.{ending}")
        assert written.rows == 569 and written.unanswered == 0
    assert pyarrow.csv.read_csv(tmp_path / "a.csv")["predicted_diagnosis"].to_pylist() == answers.columns["diagnosis"]
    with pytest.raises(UsageError, match=r"\.csv, \.parquet, \.jsonl"):
        write_answers(model, str(cancer_csv), tmp_path / "a.xlsx")


def test_a_row_that_cannot_be_read_has_a_problem_instead_of_an_answer(trained, cancer_csv):
    rows = pyarrow.csv.read_csv(cancer_csv).slice(0, 3).to_pylist()
    rows = [{name: str(value) for name, value in row.items()} for row in rows]
    rows[1]["mean radius"] = "wide"
    answers = modelyard.load(trained.bundle).predict(rows)
    assert answers[0]["diagnosis"] and "problem" not in answers[0]
    assert answers[1]["diagnosis"] is None and "'wide'" in answers[1]["problem"]
    assert answers.notes == {"unreadable": 1}


def test_absent_columns_are_said_and_counted(trained):
    answers = modelyard.load(trained.bundle).predict([{"mean radius": 12.0}])
    assert len(answers) == 1
    (note,) = answers.notes
    assert "absent, taken as missing: mean texture" in note and "and 24 more" in note
    with pytest.raises(DataError, match="none of the model's columns"):
        modelyard.load(trained.bundle).predict([{"weight": 12.0}])


def test_evaluating_other_rows(trained, cancer_csv, tmp_path):
    evaluation = modelyard.evaluate(trained.bundle, str(cancer_csv))
    assert evaluation.rows == 569 and evaluation.value("accuracy") > 0.8
    assert evaluation.mistakes and evaluation.mistakes[0].file == str(cancer_csv)
    lines = cancer_csv.read_text().splitlines()
    odd = tmp_path / "odd.csv"
    odd.write_text("\n".join([lines[0], *lines[1:40], lines[40].rsplit(",", 1)[0] + ",unclear"]) + "\n")
    found = modelyard.evaluate(trained.bundle, str(odd))
    assert (found.rows, found.rows_without_target) == (39, 1)
    assert any("1 rows have a diagnosis that was not seen in training" in note for note in found.notes)
    with pytest.raises(DataError, match=r"no column 'diagnosis'.*modelyard predict"):
        modelyard.evaluate(trained.bundle, [{"mean radius": 1.0}])


def test_a_bundle_describes_itself(trained):
    about = modelyard.describe(trained.bundle)
    assert about.task == "classification" and about.family == "mlp"
    assert about.targets == {"diagnosis": "category"} and len(about.inputs) == 30
    assert about.digest == digest_file(trained.bundle / "manifest.json")


def test_the_network_is_an_ordinary_torch_module(trained):
    import torch

    model = modelyard.load(trained.bundle)
    assert isinstance(model.network, torch.nn.Module) and not model.network.training
    assert model.network({"numbers": torch.zeros(2, 30)}).shape == (2, 1)
