"""A loss that leaves all bounds is noticed, its step and rows are named, and policy decides."""

import importlib
import math

import numpy as np
import pytest
import torch

import modelyard
from modelyard.core.errors import DivergedError
from modelyard.data.loader import Loader
from modelyard.spec.spec import Spec
from modelyard.train.saving.checkpoints import Checkpoints

BAD = 77
"""The row of the training split that is spoilt."""


@pytest.fixture
def rows(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 3))
    path = tmp_path / "rows.csv"
    lines = [f"{a:.6f},{b:.6f},{c:.6f},{a - 2 * b + random.normal() / 10:.6f}" for a, b, c in x]
    path.write_text("\n".join(["a,b,c,y", *lines]))
    return path


def asked(rows, **train):
    return Spec.parse(
        {
            "name": "diverging",
            "data": {"source": str(rows), "targets": {"y": "number"}, "split": {"test": 0}},
            "model": {"family": "mlp", "hidden_sizes": [8]},
            "train": {"epochs": 6, "batch_size": 16, "threads": 1, "learning_rate": 0.03, **train},
            "evaluate": {"resamples": 0, "robustness": False, "slices": None},
        }
    )


def spoil(monkeypatch, where, value):
    """Change a value of one row whenever it is in a training batch."""
    original = Loader._batch

    def spoilt(self, ids, epoch):
        batch = original(self, ids, epoch)
        at = np.flatnonzero(ids == BAD)
        if self.train and len(at):
            tensors = batch.inputs if where == "input" else batch.targets
            next(tensor for tensor in tensors.values() if tensor.is_floating_point())[at] = value
        return batch

    monkeypatch.setattr(Loader, "_batch", spoilt)


@pytest.mark.parametrize("where, value", [("input", math.nan), ("input", math.inf), ("label", math.inf)])
@pytest.mark.parametrize("checkpoint", [{}, {"steps": 2}], ids=["never saved", "saved"])
def test_one_spoilt_value_stops_the_training_and_its_row_is_named(
    where, value, checkpoint, rows, tmp_path, monkeypatch
):
    spoil(monkeypatch, where, value)
    with pytest.raises(DivergedError) as stopped:
        modelyard.train(asked(rows, checkpoint=checkpoint), tmp_path)
    message = str(stopped.value)
    assert "(epoch 1)" in message and "rows.csv, row " in message and message.count("rows.csv") == 1
    (run,) = modelyard.runs(tmp_path)
    assert run.status == "failed" and not (run.path / "bundle").exists()


@pytest.mark.parametrize("where, value", [("input", math.nan), ("label", math.inf)])
def test_a_batch_that_spoils_the_loss_is_left_out_in_every_epoch(where, value, rows, tmp_path, monkeypatch):
    spoil(monkeypatch, where, value)
    events = []
    spec = asked(rows, divergence={"not_finite": "skip"}, early_stopping={"metric": "loss", "patience": 5})
    run = modelyard.train(spec, tmp_path, [events.append])
    assert len(run.training.skipped) == 6
    left_out = [event for event in events if event["event"] == "skipped"]
    assert [event["step"] for event in left_out] == run.training.skipped
    assert all(len(event["rows"]) == 1 for event in left_out)
    assert all(math.isfinite(epoch.train["loss"]) for epoch in run.training.epochs)
    assert run.metrics["r2"] > 0.5


def test_leaving_out_gives_what_a_training_without_these_batches_gives(rows, tmp_path, monkeypatch):
    spoil(monkeypatch, "input", math.nan)
    skip = {"divergence": {"not_finite": "skip"}}
    first = modelyard.train(asked(rows, **skip, checkpoint={"steps": 3}), tmp_path / "one")
    second = modelyard.train(asked(rows, **skip), tmp_path / "two")
    assert first.training.skipped == second.training.skipped
    assert (first.bundle / "weights.safetensors").read_bytes() == (second.bundle / "weights.safetensors").read_bytes()


def test_more_such_batches_than_allowed_stop_the_training(rows, tmp_path, monkeypatch):
    spoil(monkeypatch, "input", math.nan)
    with pytest.raises(DivergedError, match="2 batches were left out before it"):
        modelyard.train(asked(rows, divergence={"not_finite": "skip", "most": 2}), tmp_path)


def test_a_gradient_that_is_no_number_is_found_although_the_loss_is_one(rows, tmp_path, monkeypatch):
    step = importlib.import_module("modelyard.train.step")
    original = step.update

    def planted(setup, state):
        if state.step == 21:
            next(iter(state.model.parameters())).grad[0, 0] = math.nan
        original(setup, state)

    monkeypatch.setattr(step, "update", planted)
    with pytest.raises(DivergedError, match="not a number from step 22 on"):
        modelyard.train(asked(rows), tmp_path / "stop")
    run = modelyard.train(asked(rows, divergence={"not_finite": "skip"}), tmp_path / "skip")
    assert run.training.skipped == [22]


def test_a_spike_is_told_with_its_rows_and_goes_on(rows, tmp_path, monkeypatch):
    spoil(monkeypatch, "label", 1e4)
    events = []
    run = modelyard.train(asked(rows, batch_size=8), tmp_path, [events.append])
    spikes = [event for event in events if event["event"] == "spike"]
    assert spikes and all(event["loss"] > 10 * event["usual"] and event["rows"] for event in spikes)
    assert run.training.skipped == []


def test_a_spike_can_be_left_out(rows, tmp_path, monkeypatch):
    spoil(monkeypatch, "label", 1e4)
    run = modelyard.train(asked(rows, batch_size=8, divergence={"spike": "skip"}), tmp_path)
    assert run.training.skipped and run.metrics["r2"] > 0.5


def test_weights_that_are_no_numbers_are_never_saved_or_best(rows, tmp_path, monkeypatch):
    spoil(monkeypatch, "input", math.nan)
    with pytest.raises(DivergedError):
        modelyard.train(asked(rows, checkpoint={"steps": 1}, early_stopping={"metric": "loss"}), tmp_path)
    (run,) = modelyard.runs(tmp_path)
    found = Checkpoints(run.path / "checkpoints").newest()
    assert found is not None
    tensors = [*found.snapshot.tensors.values(), *(found.snapshot.best or {}).values()]
    assert all(torch.isfinite(tensor).all() for tensor in tensors)
