"""The command line as a user meets it: every verb, exit codes, `--json`, and clear words for what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.cli import main


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the command line in an empty folder; return its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["modelyard", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return call


FAST = ("train.epochs=2", "train.threads=1", "evaluate.resamples=20")


@pytest.fixture
def bundle(run, cancer_csv, tmp_path):
    run("new", cancer_csv, "--target", "diagnosis", "--name", "cancer")
    code, out, _ = run("train", "cancer.yaml", *FAST, "--json")
    assert code == 0
    return json.loads(out)["bundle"]


def test_from_a_csv_to_answers(run, cancer_csv, tmp_path):
    code, out, _ = run("new", cancer_csv, "--target", "diagnosis", "--name", "cancer")
    assert code == 0 and "569 rows looked at" in out and "modelyard train cancer.yaml" in out
    text = (tmp_path / "cancer.yaml").read_text()
    assert "mean radius: number    # " in text and "diagnosis: category" in text
    code, out, _ = run("train", "cancer.yaml", *FAST)
    assert code == 0 and "epoch 2/2" in out and "accuracy" in out and "report.html" in out
    (folder,) = (tmp_path / "runs").iterdir()
    bundle = folder / "bundle"
    code, out, _ = run("predict", bundle, "--input", '{"mean radius": 12.3}')
    assert code == 0 and ("benign" in out or "malignant" in out)
    code, out, _ = run("predict", bundle, "--input", cancer_csv, "--output", "answers.csv")
    assert code == 0 and "569 rows answered" in out
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 570
    code, out, _ = run("evaluate", bundle, "--data", cancer_csv)
    assert code == 0 and "569 rows" in out and "baseline" in out
    assert "finished" in run("runs")[1]
    assert "every digest as written" in run("bundle", "verify", bundle)[1]
    assert "12,289 parameters" in run("bundle", "show", bundle)[1]


def test_every_verb_speaks_json(run, bundle, cancer_csv):
    for arguments in (
        ("evaluate", bundle, "--data", cancer_csv),
        ("predict", bundle, "--input", '[{"mean radius": 12.3}]'),
        ("runs",),
        ("data", "list"),
        ("data", "show", "mnist"),
        ("recipes", "list"),
        ("recipes", "show", "mnist"),
        ("bundle", "show", bundle),
        ("bundle", "verify", bundle),
        ("schema",),
        ("new", cancer_csv, "--target", "diagnosis", "--output", "again.yaml"),
    ):
        code, out, _ = run(*arguments, "--json")
        assert code == 0, arguments
        json.loads(out)


def test_every_verb_has_help_with_examples(run):
    for verb in (
        "new",
        "train",
        "evaluate",
        "predict",
        "runs",
        "data list",
        "data get",
        "recipes show",
        "bundle verify",
        "schema",
    ):
        code, out, _ = run(*verb.split(), "-h")
        assert code == 0 and "Examples:" in out and f"modelyard {verb.split()[0]}" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("train", "nowhere.yaml"), 2, "no such spec: nowhere.yaml"),
        (("train", "minst"), 2, "did you mean 'mnist'"),
        (("new", "nowhere.csv", "--target", "y"), 2, "nowhere.csv"),
        (("predict", "nowhere", "--input", "{}"), 2, "no bundle at nowhere"),
        (("bundle", "verify", "."), 2, "not a complete bundle"),
        (("recipes", "show", "mnits"), 2, "did you mean 'mnist'"),
        (("data", "get", "adullt"), 2, "did you mean 'adult'"),
        (("compare", "a"), 2, "two runs or more"),
        (("trian", "x"), 2, "did you mean 'train'"),
        (("train",), 2, "Missing argument"),
    ],
)
def test_what_is_wrong_is_said_and_exits_with_2(run, arguments, code, message):
    found, _, errors = run(*arguments)
    assert found == code and message in errors and "Traceback" not in errors


def test_errors_speak_json_too(run):
    code, out, _ = run("train", "nowhere.yaml", "--json")
    assert code == 2
    assert json.loads(out)["error"] == {
        "type": "DataError",
        "message": json.loads(out)["error"]["message"],
        "exit_code": 2,
    }


def test_a_spec_with_five_mistakes_lists_five(run, tmp_path):
    (tmp_path / "bad.yaml").write_text(
        "data: {source: a.csv, inputs: {x: numbr}, splt: {}}\n"
        "train: {epochs: -1, batch_size: many}\n"
        "model: transformer\n"
    )
    code, _, errors = run("train", "bad.yaml")
    assert code == 2 and "bad.yaml has 5 problems" in errors and errors.count("line ") == 5


def test_a_spec_is_not_overwritten_unasked(run, cancer_csv, tmp_path):
    (tmp_path / "cancer.yaml").write_text("mine")
    code, _, errors = run("new", cancer_csv, "--target", "diagnosis", "--name", "cancer")
    assert code == 2 and "--force" in errors and (tmp_path / "cancer.yaml").read_text() == "mine"


def test_the_quality_gate_exits_with_3(run, cancer_csv):
    run("new", cancer_csv, "--target", "diagnosis", "--name", "cancer")
    code, _, errors = run("train", "cancer.yaml", *FAST, "evaluate.require={log_loss: 0}")
    assert code == 3 and "quality gate refuses" in errors


def test_a_missing_extra_says_how_to_install_it(run, cancer_csv, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    run("new", cancer_csv, "--target", "diagnosis", "--name", "cancer")
    code, _, errors = run("train", "cancer.yaml", *FAST, "train.observers=[mlflow]")
    assert code == 1 and "pip install 'modelyard[mlflow]'" in errors
    assert list(Path("runs").iterdir()) == [], "no folder of a run that never began"


def test_a_full_disk_is_said_and_leaves_no_half_bundle(run, cancer_csv, tmp_path, monkeypatch):
    import errno

    run("new", cancer_csv, "--target", "diagnosis", "--name", "cancer")
    original = os.fsync

    def full(descriptor):
        if "bundle" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    code, _, errors = run("train", "cancer.yaml", *FAST)
    assert code == 1 and "no space left" in errors and "bytes free" in errors
    (folder,) = (tmp_path / "runs").iterdir()
    assert not (folder / "bundle").exists() and not list(folder.rglob("*.tmp"))
    assert "stopped" in run("runs")[1]  # with some space it goes on


def test_ctrl_c_exits_with_75_and_leaves_nothing_half_written(cancer_csv, tmp_path):
    environment = {**os.environ, "MODELYARD_CACHE": str(tmp_path / "cache"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", "from modelyard.cli import main; main()"]
    subprocess.run(
        [*command, "new", str(cancer_csv), "--target", "diagnosis", "--name", "c"],
        cwd=tmp_path,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    process = subprocess.Popen(
        [*command, "train", "c.yaml", "train.epochs=100000", "train.early_stopping=null", "train.threads=1"],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75 and "nothing is lost" in errors and "Traceback" not in errors
    (folder,) = (tmp_path / "runs").iterdir()
    assert json.loads((folder / "run.json").read_text())["status"] == "stopped"
    assert not list(tmp_path.rglob("*.tmp"))
