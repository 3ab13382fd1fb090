"""The main line, end to end: every family, every task, on small data."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import modelyard
from modelyard.core.errors import GateError, SpecError, Stopped
from modelyard.spec.spec import Spec

FAST = {"epochs": 2, "batch_size": 64, "threads": 1}


def spec_of(data, **parts):
    train = {**FAST, **parts.pop("train", {})}
    return Spec.parse({"name": "t", "data": data, "train": train, "evaluate": {"resamples": 50}, **parts})


def cancer(path, **parts):
    return spec_of({"source": str(path), "targets": ["diagnosis"]}, **parts)


def test_from_a_csv_to_a_bundle_that_predicts_the_same_numbers_bit_for_bit(cancer_csv, tmp_path):
    run = modelyard.train(cancer(cancer_csv, train={"epochs": 5}), tmp_path)
    assert run.metrics["roc_auc"] > 0.95
    loaded, again = modelyard.load(run.bundle), modelyard.load(run.path)
    first, second = loaded.predict(str(cancer_csv)), again.predict(str(cancer_csv))
    assert np.array_equal(first.output, second.output)
    assert len(first) == 569 and first[0]["diagnosis"] in ("benign", "malignant")
    kept = {"asked.yaml", "bundle", "checkpoints", "choices.json", "events.jsonl", "run.json", "spec.yaml"}
    assert kept <= {path.name for path in run.path.iterdir()}


def test_the_loaded_model_computes_what_the_trained_one_did(digits, tmp_path, monkeypatch):
    """The weights in memory at the end of training, and those read back, give equal bits for the same rows."""
    from modelyard.bundle.predictor import Predictor
    from modelyard.train import run as module

    kept = {}
    original = module.to_files
    monkeypatch.setattr(
        module, "to_files", lambda contents, evidence: kept.update(c=contents) or original(contents, evidence)
    )
    spec = spec_of({"source": digits, "targets": ["digit"]}, model={"family": "cnn", "size": "small"})
    run = modelyard.train(spec, tmp_path)
    rows = {"image": digits["image"][:50]}
    before = Predictor(kept["c"]).predict(rows).output
    assert np.array_equal(before, modelyard.load(run.bundle).predict(rows).output)


def test_the_same_spec_gives_the_same_weights_and_another_seed_does_not(cancer_csv, tmp_path):
    def weights(seed):
        run = modelyard.train(cancer(cancer_csv, seed=seed, train={"ema": 0.9}), tmp_path)
        return (run.bundle / "weights.safetensors").read_bytes()

    assert weights(0) == weights(0)
    assert weights(0) != weights(1)


@pytest.mark.parametrize(
    ("family", "extra"),
    [("embedding", {"size": "small"}), ("rnn", {"hidden_size": 16}), ("encoder", {"size": "tiny"}), ("linear", {})],
)
def test_every_text_family_learns_simple_reviews_in_two_languages(sentences, tmp_path, family, extra):
    rate = 0.05 if family == "linear" else 0.01
    spec = spec_of(
        {"source": sentences, "targets": ["label"]},
        model={"family": family, **extra},
        train={"epochs": 8, "batch_size": 16, "learning_rate": rate},
    )
    run = modelyard.train(spec, tmp_path)
    assert run.metrics["accuracy"] >= 0.9
    assert modelyard.load(run.bundle).predict([{"review": "我们的晚餐 was 很好 and lovely"}])[0]["label"] == "good"


@pytest.mark.parametrize(
    "model", [{"family": "mlp", "hidden_sizes": [32]}, {"family": "linear"}, {"family": "cnn", "size": "small"}]
)
def test_image_families_learn_digits(digits, tmp_path, model):
    spec = spec_of({"source": digits, "targets": ["digit"]}, model=model, train={"epochs": 8, "learning_rate": 0.01})
    assert modelyard.train(spec, tmp_path).metrics["accuracy"] > 0.85


def test_regression_beats_the_mean_and_answers_in_the_users_units(diabetes_rows, tmp_path):
    spec = spec_of(
        {"source": diabetes_rows, "targets": ["progression"]},
        model="linear",
        train={"epochs": 40, "learning_rate": 0.03},
    )
    run = modelyard.train(spec, tmp_path)
    assert run.metrics["r2"] > 0.3
    answer = modelyard.load(run.bundle).predict(diabetes_rows[:1])[0]["progression"]
    assert 25 < answer < 346


def test_several_inputs_of_different_kinds_at_once(sentences, tmp_path):
    rng = np.random.default_rng(1)
    rows = [{**row, "stars": float(rng.normal(3)), "city": rng.choice(["Ulm", "Jena"])} for row in sentences]
    run = modelyard.train(
        spec_of({"source": rows, "targets": ["label"]}, train={"epochs": 10, "learning_rate": 0.01}), tmp_path
    )
    assert run.spec.model.name == "joined"
    assert run.metrics["accuracy"] > 0.9


def test_multilabel(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(300):
        a, b = rng.normal(size=2)
        rows.append({"a": a, "b": b, "tags": [tag for tag, on in (("left", a < 0), ("low", b < 0)) if on]})
    spec = spec_of(
        {"source": rows, "inputs": ["a", "b"], "targets": {"tags": "labels"}},
        train={"epochs": 20, "learning_rate": 0.01},
    )
    run = modelyard.train(spec, tmp_path)
    assert run.spec.task.name == "multilabel"
    assert run.metrics["micro_f1"] > 0.9


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop", "adagrad", "lion", "muon"])
def test_every_optimizer_lowers_the_loss(cancer_csv, tmp_path, optimizer):
    run = modelyard.train(cancer(cancer_csv, train={"optimizer": optimizer, "epochs": 4}), tmp_path)
    losses = [epoch.train["loss"] for epoch in run.training.epochs]
    assert losses[-1] < losses[0]


def test_accumulation_changes_nothing_but_the_memory(cancer_csv, tmp_path):
    def losses(pieces):
        model = {"family": "mlp", "hidden_sizes": [16], "dropout": 0.0, "norm": "none"}
        spec = cancer(
            cancer_csv,
            model=model,
            train={"accumulate": pieces},
            task={"type": "classification", "class_weights": "balanced"},
        )
        return [epoch.train["loss"] for epoch in modelyard.train(spec, tmp_path).training.epochs]

    assert losses(1) == pytest.approx(losses(3), rel=1e-5)


def test_early_stopping_keeps_the_best_weights(cancer_csv, tmp_path):
    stopping = {"metric": "loss", "patience": 1}
    spec = cancer(cancer_csv, train={"epochs": 60, "learning_rate": 0.05, "early_stopping": stopping})
    run = modelyard.train(spec, tmp_path)
    record = run.training
    assert record.stopped_early is not None and len(record.epochs) < 60
    best = min(record.epochs, key=lambda epoch: epoch.validation["loss"])
    assert record.kept_epoch == best.epoch and best.best
    validation = next(evaluation for evaluation in run.evaluations if evaluation.split == "validation")
    assert validation.value("accuracy") == pytest.approx(best.validation["accuracy"])


def test_the_rate_finder_suggests_a_rate_that_learns(cancer_csv, tmp_path):
    run = modelyard.train(cancer(cancer_csv, train={"learning_rate": "find", "epochs": 3}), tmp_path)
    search = run.training.rate_search
    assert 1e-5 < search.suggestion < 1
    assert run.spec.train.learning_rate == search.suggestion
    assert run.training.epochs[-1].train["loss"] < run.training.epochs[0].train["loss"]


def test_mixup_and_cutmix_train(digits, tmp_path):
    spec = spec_of(
        {
            "source": digits,
            "targets": ["digit"],
            "inputs": {"image": {"type": "image", "augment": {"crop": 1, "rotate": 5}}},
        },
        model={"family": "cnn", "size": "small"},
        train={"mixup": 0.2, "cutmix": 1.0, "epochs": 3, "learning_rate": 0.01},
    )
    run = modelyard.train(spec, tmp_path)
    assert set(run.training.epochs[0].train) == {"loss"}
    assert run.metrics["accuracy"] > 0.5


def test_what_was_resolved_trains_the_same_again(cancer_csv, tmp_path):
    run = modelyard.train(cancer(cancer_csv), tmp_path)
    again = modelyard.train(Spec.load(run.path / "spec.yaml"), tmp_path)
    assert (run.bundle / "weights.safetensors").read_bytes() == (again.bundle / "weights.safetensors").read_bytes()
    assert again.spec.as_dict() == run.spec.as_dict()


def test_prepared_data_is_used_again_and_not_after_a_change(cancer_csv, tmp_path):
    first = modelyard.train(cancer(cancer_csv, seed=77), tmp_path)
    assert not first.data.reused
    assert modelyard.train(cancer(cancer_csv, seed=77, train={"epochs": 1}), tmp_path).data.reused
    other = tmp_path / "other.csv"
    other.write_text(cancer_csv.read_text().replace("17.99", "17.98", 1))
    assert not modelyard.train(cancer(other, seed=77), tmp_path).data.reused


def test_the_quality_gate_refuses_and_keeps_the_bundle(cancer_csv, tmp_path):
    spec = cancer(cancer_csv, evaluate={"require": {"accuracy": 0.999999}, "resamples": 0})
    spec = Spec.parse({**spec.as_dict(), "evaluate": {"require": {"log_loss": 0.0}, "resamples": 0}})
    with pytest.raises(GateError, match=r"log_loss is .*at most 0.*evaluate\.require"):
        modelyard.train(spec, tmp_path)
    (run,) = modelyard.runs(tmp_path)
    assert modelyard.verify(run.path / "bundle").whole


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"early_stopping": {"metric": "acuracy"}}, "did you mean 'accuracy'"),
        ({"mixup": 0.2}, "no input is an image"),
        ({"optimizer": "adagrat"}, "did you mean 'adagrad'"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_training(cancer_csv, tmp_path, train, message):
    with pytest.raises(SpecError, match=message):
        modelyard.train(cancer(cancer_csv, train=train), tmp_path)


def test_a_wrong_column_is_named_with_the_nearest_one(cancer_csv, tmp_path):
    with pytest.raises(SpecError, match=r"no column 'diagnosys' in the data \(did you mean 'diagnosis'\?\)"):
        modelyard.train(spec_of({"source": str(cancer_csv), "targets": ["diagnosys"]}), tmp_path)


def test_a_diverging_training_says_so_and_writes_no_bundle(diabetes_rows, tmp_path):
    spec = spec_of(
        {"source": diabetes_rows, "targets": {"progression": {"type": "number", "scale": "none"}}},
        model="linear",
        train={"optimizer": {"type": "sgd", "momentum": 0.9}, "learning_rate": 1e6, "epochs": 20},
    )
    with pytest.raises(modelyard.ModelyardError, match="training diverged"):
        modelyard.train(spec, tmp_path)
    (run,) = modelyard.runs(tmp_path)
    assert run.status == "failed" and not (run.path / "bundle").exists()


def test_an_interrupted_training_says_so_and_leaves_nothing_half_written(cancer_csv, tmp_path):
    def interrupt(event):
        if event["event"] == "epoch":
            raise KeyboardInterrupt

    with pytest.raises(Stopped, match="Continue with: modelyard train"):
        modelyard.train(cancer(cancer_csv), tmp_path, [interrupt])
    (run,) = modelyard.runs(tmp_path)
    assert run.status == "stopped"
    assert not (run.path / "bundle").exists() and not list(run.path.glob("**/*.tmp"))
    events = [json.loads(line)["event"] for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert events[-1] == "stopped"


def test_training_leaves_torchs_own_state_alone(cancer_csv, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    modelyard.train(cancer(cancer_csv), tmp_path)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_runs_are_listed_and_compared(cancer_csv, tmp_path):
    one = modelyard.train(cancer(cancer_csv), tmp_path)
    two = modelyard.train(cancer(cancer_csv, train={"epochs": 3}), tmp_path)
    assert [run.path for run in modelyard.runs(tmp_path)] == [one.path, two.path]
    comparison = modelyard.compare([one.path, two.path])
    assert comparison.settings == {"train.epochs": [2, 3]}
    assert comparison.metrics["accuracy"] == [one.metrics["accuracy"], two.metrics["accuracy"]]


def test_unreadable_rows_are_refused_with_their_names_or_dropped_and_counted(diabetes_rows, tmp_path):
    rows = [dict(row) for row in diabetes_rows]
    lines = [",".join(rows[0])] + [",".join(str(value) for value in row.values()) for row in rows]
    lines[11] = lines[11].replace(lines[11].split(",")[2], "heavy", 1)
    lines[21] = ",".join(lines[21].split(",")[:-1]) + ","
    path = tmp_path / "d.csv"
    path.write_text("\n".join(lines) + "\n")
    data = {
        "source": str(path),
        "inputs": dict.fromkeys(list(rows[0])[:-1], "number"),
        "targets": {"progression": "number"},
    }
    with pytest.raises(GateError, match=r"(?s)1 of 442 rows.*line 12: bmi: .*'heavy'.*data\.checks\.unreadable=drop"):
        modelyard.train(spec_of({**data, "checks": {"unreadable": "error"}}), tmp_path / "runs")
    run = modelyard.train(spec_of(data), tmp_path / "runs")
    assert sum(run.data.rows.values()) == 440
    assert sum(run.data.dropped.values()) == 2
    assert {(row["position"], row["file"]) for row in run.data.dropped_rows} == {(10, str(path)), (20, str(path))}
    lines = [json.loads(line) for line in (run.path / "quarantine.jsonl").read_text("utf-8").splitlines()]
    assert [line["position"] for line in lines] == [10, 20] and "'heavy'" in lines[0]["reason"]
