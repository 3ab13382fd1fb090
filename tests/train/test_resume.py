"""A training that was interrupted goes on as if nothing had happened, however it was interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import modelyard
from modelyard.core.errors import CheckpointError, Stopped, UsageError
from modelyard.spec.spec import Spec
from modelyard.train.folder import RunFolder
from modelyard.train.saving.checkpoints import Checkpoints

ROOT = Path(__file__).parents[2]


def spec(source, **train):
    return Spec.parse(
        {
            "name": "resumed",
            "data": {"source": str(source), "targets": {"diagnosis": "category"}},
            "model": {"family": "mlp", "hidden_sizes": [16], "dropout": 0.2},
            "train": {
                "epochs": 4,
                "batch_size": 32,
                "learning_rate": 0.01,
                "threads": 1,
                "checkpoint": {"steps": 4},
                "early_stopping": {"metric": "loss", "patience": 3},
                **train,
            },
            "evaluate": {"resamples": 0, "robustness": False, "slices": None},
        }
    )


def weights(run):
    return (run.bundle / "weights.safetensors").read_bytes()


def at(step, action):
    """Return an observer that acts after a step."""
    taken = 0

    def observe(event):
        nonlocal taken
        if event["event"] == "progress" and "batch" in event:
            taken += 1
            if taken == step:
                action()

    return observe


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def alone(cancer_csv, tmp_path_factory):
    return modelyard.train(spec(cancer_csv), tmp_path_factory.mktemp("alone"))


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"optimizer": "muon", "ema": 0.9},
        {"optimizer": {"type": "sgd", "momentum": 0.9}, "schedule": "plateau"},
        {"optimizer": "lion", "accumulate": 3, "schedule": "one_cycle", "gradient_clip": 0.5},
        {"optimizer": "adagrad", "batch_size": 10000, "epochs": 30},
    ],
    ids=["adamw", "muon and averaged weights", "plateau", "accumulated", "one batch an epoch"],
)
def test_the_same_command_continues_and_ends_bit_equal(extra, cancer_csv, tmp_path):
    uninterrupted = modelyard.train(spec(cancer_csv, **extra), tmp_path / "alone")
    for steps in (7, 12):
        with pytest.raises(Stopped, match="nothing is lost"):
            modelyard.train(spec(cancer_csv, **extra), tmp_path / "runs", [at(steps, interrupt)])
    run = modelyard.train(spec(cancer_csv, **extra), tmp_path / "runs")
    assert weights(run) == weights(uninterrupted)
    assert run.training.samples == uninterrupted.training.samples
    assert run.training.continued == 2 and uninterrupted.training.continued == 0
    assert [epoch.validation for epoch in run.training.epochs] == [
        epoch.validation for epoch in uninterrupted.training.epochs
    ]
    assert [epoch.train for epoch in run.training.epochs] == [epoch.train for epoch in uninterrupted.training.epochs]
    (only,) = modelyard.runs(tmp_path / "runs")
    assert only.status == "finished"


def test_a_run_is_continued_by_its_folder(cancer_csv, alone, tmp_path):
    with pytest.raises(Stopped) as stopped:
        modelyard.train(spec(cancer_csv), tmp_path, [at(9, interrupt)])
    folder = str(stopped.value).rpartition(" ")[2]
    assert weights(modelyard.train(folder)) == weights(alone)
    with pytest.raises(UsageError, match="is finished"):
        modelyard.train(folder)


def test_a_time_limit_saves_and_stops(cancer_csv, alone, tmp_path):
    with pytest.raises(Stopped, match="time limit"):
        modelyard.train(spec(cancer_csv), tmp_path, max_time=0.001)
    assert weights(modelyard.train(spec(cancer_csv), tmp_path)) == weights(alone)


def test_another_spec_and_the_word_new_begin_a_new_run(cancer_csv, tmp_path):
    for _ in range(2):
        with pytest.raises(Stopped):
            modelyard.train(spec(cancer_csv), tmp_path, [at(5, interrupt)], new=True)
    modelyard.train(spec(cancer_csv, epochs=1), tmp_path)
    assert [run.status for run in modelyard.runs(tmp_path)] == ["stopped", "stopped", "finished"]


def test_what_cannot_be_read_in_the_folder_of_runs_is_in_nobody_s_way(cancer_csv, alone, tmp_path):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "run.json").write_text('{"of": "another release"}')
    assert weights(modelyard.train(spec(cancer_csv), tmp_path)) == weights(alone)


def test_data_that_changed_since_is_refused(cancer_csv, tmp_path):
    copy = tmp_path / "copy.csv"
    lines = cancer_csv.read_text().splitlines()
    copy.write_text("\n".join(lines))
    with pytest.raises(Stopped):
        modelyard.train(spec(copy), tmp_path, [at(5, interrupt)])
    copy.write_text("\n".join(lines[:-3]))
    with pytest.raises(CheckpointError, match="its data has changed"):
        modelyard.train(spec(copy), tmp_path)


def test_rows_from_python_are_continued_when_the_run_is_named(diabetes_rows, tmp_path):
    def asked():
        return Spec.parse({"name": "rows", "data": {"source": diabetes_rows, "targets": {"progression": "number"}},
                           "model": "linear", "train": {"epochs": 6, "threads": 1},
                           "evaluate": {"resamples": 0, "robustness": False, "slices": None}})  # fmt: skip

    alone = modelyard.train(asked(), tmp_path / "alone")
    with pytest.raises(Stopped):
        modelyard.train(asked(), tmp_path, [at(5, interrupt)])
    (stopped,) = modelyard.runs(tmp_path)
    with pytest.raises(UsageError, match="given its data from Python"):
        modelyard.train(stopped.path)
    assert weights(modelyard.train(asked(), resume=stopped.path)) == weights(alone)


def test_a_damaged_checkpoint_is_passed_over_and_the_end_is_the_same(cancer_csv, alone, tmp_path):
    with pytest.raises(Stopped):
        modelyard.train(spec(cancer_csv), tmp_path, [at(13, interrupt)])
    (stopped,) = modelyard.runs(tmp_path)
    newest, *_ = Checkpoints(stopped.path / "checkpoints")
    file = next(newest.glob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    events = []
    run = modelyard.train(spec(cancer_csv), tmp_path, [events.append])
    told = [event for event in events if event["event"] in ("passed_over", "continued")]
    assert newest.name in told[0]["message"] and told[-1]["step"] < 13
    assert weights(run) == weights(alone)


def test_a_run_that_somebody_else_trains_is_left_to_them(cancer_csv, tmp_path):
    with pytest.raises(Stopped):
        modelyard.train(spec(cancer_csv), tmp_path, [at(5, interrupt)])
    (stopped,) = modelyard.runs(tmp_path)
    folder, _ = RunFolder.open(stopped.path)
    with folder.held():
        with pytest.raises(UsageError, match="another process"):
            modelyard.train(stopped.path)
        assert modelyard.train(spec(cancer_csv), tmp_path).path != stopped.path


def test_sigterm_to_the_whole_process_group_twice_saves_and_exits_with_75(cancer_csv, tmp_path):
    asked = spec(cancer_csv, epochs=2000, workers=2, early_stopping=None)
    (tmp_path / "long.yaml").write_text(asked.to_yaml())
    command = [
        sys.executable,
        "-m",
        "modelyard",
        "train",
        str(tmp_path / "long.yaml"),
        "--runs",
        str(tmp_path / "runs"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    while process.poll() is None and not list(tmp_path.glob("runs/*/checkpoints/step-*")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 75, said
    assert "nothing is lost" in said
    (stopped,) = modelyard.runs(tmp_path / "runs")
    assert stopped.status == "stopped" and "SIGTERM" in stopped.message
    told = [json.loads(line) for line in (stopped.path / "events.jsonl").read_text().splitlines()]
    steps = [event["step"] for event in told if event["event"] in ("saved", "epoch")]
    newest = Checkpoints(stopped.path / "checkpoints").newest()
    assert newest is not None and not newest.passed_over
    assert newest.snapshot.step >= max(steps)
