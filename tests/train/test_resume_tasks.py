"""Whatever is learned, and however: interrupted and continued, it ends bit-equal."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

import modelyard
from modelyard.core.errors import Stopped
from modelyard.spec.spec import Spec

QUIET = {"resamples": 0, "robustness": False, "slices": None}


def both(asked: Spec, tmp_path) -> tuple[modelyard.Run, modelyard.Run]:
    """Train alone, and interrupted in the middle of the second epoch."""

    def interrupt(event: dict[str, Any]) -> None:
        if event["event"] == "progress" and event.get("epoch") == 2 and event.get("batch") == 2:
            os.kill(os.getpid(), signal.SIGINT)

    alone = modelyard.train(asked, tmp_path / "alone")
    with pytest.raises(Stopped):
        modelyard.train(asked, tmp_path / "stopped", [interrupt])
    again = modelyard.train(asked, tmp_path / "stopped")
    assert again.training.continued == 1
    return alone, again


def assert_equal(alone: modelyard.Run, again: modelyard.Run) -> None:
    assert (alone.bundle / "weights.safetensors").read_bytes() == (again.bundle / "weights.safetensors").read_bytes()
    for one, other in zip(alone.training.epochs, again.training.epochs, strict=True):
        assert (one.train, one.validation, one.unlabelled) == (other.train, other.validation, other.unlabelled)


def settings(**train: Any) -> dict[str, Any]:
    return {"epochs": 3, "batch_size": 64, "threads": 1, "learning_rate": 0.01, **train}


@pytest.mark.parametrize("method", ["pseudo_label", "fixmatch"])
def test_rows_without_a_target(method, cancer_csv, tmp_path):
    lines = cancer_csv.read_text().splitlines()
    labelled, unlabelled = tmp_path / "labelled.csv", tmp_path / "unlabelled.csv"
    labelled.write_text("\n".join(lines[:300]))
    unlabelled.write_text("\n".join([lines[0], *lines[300:]]))
    asked = Spec.parse(
        {
            "name": "semi",
            "data": {"source": str(labelled), "unlabelled": str(unlabelled), "targets": ["diagnosis"]},
            "model": {"family": "mlp", "hidden_sizes": [8], "dropout": 0.1},
            "train": settings(semi_supervised={"type": method, "threshold": 0.6, "ramp": 0.5}),
            "evaluate": QUIET,
        }
    )
    assert_equal(*both(asked, tmp_path))


@pytest.mark.parametrize("task", ["masked_values", "autoencoding"])
def test_inputs_alone(task, cancer_csv, tmp_path):
    asked = Spec.parse(
        {
            "name": "inputs",
            "data": {"source": str(cancer_csv), "targets": {}, "ignore": ["diagnosis"]},
            "model": {"family": "mlp", "hidden_sizes": [8]},
            "task": task,
            "train": settings(),
            "evaluate": QUIET,
        }
    )
    assert_equal(*both(asked, tmp_path))


def test_blocks_that_are_freed_one_after_the_other(cancer_csv, tmp_path):
    data = {"source": str(cancer_csv), "targets": ["diagnosis"]}
    model = {"family": "mlp", "hidden_sizes": [8, 8]}
    before = Spec.parse({"name": "before", "data": data, "model": model, "train": settings(), "evaluate": QUIET})
    bundle = str(modelyard.train(before, tmp_path / "before").bundle)
    tuned = settings(pretrained={"bundle": bundle, "freeze": True, "unfreeze_every": 1, "layer_decay": 0.5})
    after = Spec.parse({"name": "after", "seed": 1, "data": data, "model": model, "train": tuned, "evaluate": QUIET})
    assert_equal(*both(after, tmp_path))


@pytest.mark.parametrize(
    "memory", [{"optimizer_bits": 8}, {"fused_backward": True}, {"activation_checkpointing": True}], ids=str
)
def test_settings_of_memory(memory, cancer_csv, tmp_path):
    asked = Spec.parse(
        {
            "name": "memory",
            "data": {"source": str(cancer_csv), "targets": ["diagnosis"]},
            "model": {"family": "mlp", "hidden_sizes": [160, 80], "dropout": 0.1},
            "train": settings(memory=memory),
            "evaluate": QUIET,
        }
    )
    assert_equal(*both(asked, tmp_path))
