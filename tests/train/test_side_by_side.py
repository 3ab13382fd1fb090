"""A step on parts of a batch side by side is the step on the whole batch, and the same every time."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import torch

import modelyard
from modelyard.core.errors import SpecError, Stopped
from modelyard.core.events import EventLog
from modelyard.data.prepare import prepare
from modelyard.spec.spec import Spec
from modelyard.train.job import make_job
from modelyard.train.side_by_side import SideBySide, can_be_divided
from modelyard.train.step import backward

LSTM = {"family": "rnn", "cell": "lstm", "embedding_size": 8, "hidden_size": 8}


def spec(sentences: Any, model: dict[str, Any], **train: Any) -> Spec:
    settings = {"epochs": 3, "batch_size": 30, "threads": 2, "side_by_side": 2, "precision": "float32"}
    data = {"source": sentences, "inputs": {"review": "text"}, "targets": ["label"]}
    evaluate = {"resamples": 0, "robustness": False, "slices": None}
    return Spec.parse(
        {"name": "sides", "data": data, "model": model, "train": {**settings, **train}, "evaluate": evaluate}
    )


def job_of(sentences: Any, model: dict[str, Any], **train: Any) -> Any:
    asked = spec(sentences, model, **train)
    return make_job(asked, prepare(asked), None, None, EventLog(None))


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("model", [LSTM, {"family": "embedding"}], ids=lambda model: model["family"])
def test_loss_and_gradients_are_those_of_the_whole_batch(sentences, model, parts):
    job = job_of(sentences, model, side_by_side=1)
    batch = next(iter(job.setup.train.epoch(0)))
    whole, divided = job.begin(), job.begin()
    taken = backward(job.setup, whole, batch)
    loss, weight, output = SideBySide(parts).backward(job.task, divided.model, batch, job.setup.arithmetic)
    torch.testing.assert_close((loss, weight, output), (taken.loss, taken.weight, taken.output))
    for one, other in zip(divided.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_only_rows_with_a_target_count(sentences):
    job = job_of(sentences, LSTM, side_by_side=1)
    batch = next(iter(job.setup.train.epoch(0)))
    missing = 2 * len(batch) // 3  # the whole first part and some of the second
    batch.targets["label"][:missing] = -1
    whole, divided = job.begin(), job.begin()
    taken = backward(job.setup, whole, batch)
    loss, weight, _ = SideBySide(2).backward(job.task, divided.model, batch, job.setup.arithmetic)
    assert float(weight) == float(taken.weight) == len(batch) - missing
    torch.testing.assert_close(loss, taken.loss)


def test_a_training_is_the_same_every_time_and_goes_on_bit_for_bit(sentences, tmp_path):
    def interrupt(event: dict[str, Any]) -> None:
        if event["event"] == "progress" and event.get("batch") == 3 and event["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    runs = [modelyard.train(spec(sentences, LSTM), tmp_path / str(number)) for number in range(2)]
    with pytest.raises(Stopped):
        modelyard.train(spec(sentences, LSTM), tmp_path / "stopped", [interrupt])
    (stopped,) = modelyard.runs(tmp_path / "stopped")
    runs.append(modelyard.train(spec(sentences, LSTM), resume=stopped.path))
    first, *others = [(run.bundle / "weights.safetensors").read_bytes() for run in runs]
    assert others == [first, first] and runs[-1].training.continued == 1


@pytest.mark.parametrize(
    "model", [{**LSTM, "dropout": 0.1}, {"family": "encoder", "width": 16, "layers": 1, "heads": 2, "dropout": 0.1}]
)
def test_what_draws_random_numbers_is_not_divided(sentences, model):
    job = job_of(sentences, model, side_by_side=1)
    assert not can_be_divided(job.task, job.begin().model, next(iter(job.setup.train.epoch(0))))
    with pytest.raises(SpecError, match="draws random numbers"):
        job_of(sentences, model)


def test_batch_norm_is_not_divided(digits):
    data = {"source": digits, "inputs": {"image": "image"}, "targets": {"digit": "category"}}
    train = {"batch_size": 8, "side_by_side": 2, "threads": 2}
    asked = Spec.parse({"data": data, "model": {"family": "cnn", "layers": ["conv 4 batch"]}, "train": train})
    with pytest.raises(SpecError, match="looks at the whole batch"):
        make_job(asked, prepare(asked), None, None, EventLog(None))


def test_what_was_not_measured_is_not_said_to_be(sentences):
    job = job_of(sentences, {"family": "embedding"}, side_by_side="auto", threads=None)
    assert "too short" in job.reasons["train.compile"] and job.setup.settings.compile is False
    assert job.setup.settings.threads == 1 or job.reasons["train.threads"].startswith("measured here")
