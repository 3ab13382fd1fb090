"""`profile` on small data: the record is whole, its parts add up, and what cannot be profiled is said in words."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import torch
from made_up_profile import LIMITS
from small_training import blobs

import modelyard
from modelyard.core import limits
from modelyard.core.errors import DataError, ModelyardError, SpecError, UsageError
from modelyard.core.files import to_json
from modelyard.spec.spec import Spec

MODULE = importlib.import_module("modelyard.train.profiling.profile")


@pytest.fixture(autouse=True)
def _little(monkeypatch):
    """Measure no limits of the machine, which are not what is tested here, and little else."""
    monkeypatch.setattr(MODULE, "_PROFILED", (2, 2))
    monkeypatch.setattr(MODULE, "_STRETCHES", 2)
    monkeypatch.setattr(MODULE, "machine_limits", lambda device, refresh: LIMITS)


def spec_of(rows=100, **train):
    train = {"batch_size": 16, "learning_rate": 0.1, "threads": 1, **train}
    return Spec.parse({
        "name": "blobs",
        "data": {"source": blobs(rows), "targets": ["side"]},
        "model": {"family": "mlp", "hidden_sizes": [32, 16]} if "layers" in train else "linear",
        "train": {name: value for name, value in train.items() if name != "layers"},
    })  # fmt: skip


@pytest.fixture(scope="module")
def found():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(limits._WORK, "cpu", 0.0002)
        patch.setitem(limits._COPIED, "cpu", 1 << 20)
        return modelyard.profile(spec_of(epochs=7, ema=0.9, gradient_clip=1.0), steps=30)


def test_the_parts_add_up_to_the_step(found):
    assert [part.name for part in found.parts] == [
        "data", "transfer", "forward", "loss", "backward", "optimizer", "other"
    ]  # fmt: skip
    assert sum(part.seconds for part in found.parts) == pytest.approx(found.parts_seconds)
    assert sum(part.share for part in found.parts) == pytest.approx(1)
    assert all(part.seconds > 0 for part in found.parts)
    account = found.account
    spent = account.products + account.traffic + account.fixed + account.input
    assert spent == pytest.approx(found.step.median)


def test_the_record_says_what_was_measured(found):
    assert (found.name, found.family, found.parameters, found.device) == ("blobs", "linear", 3, "cpu")
    assert (found.precision, found.optimizer, found.batch_size, found.threads) == ("float32", "adamw", 16, 1)
    assert found.step.low <= found.step.median <= found.step.high
    assert found.rows_per_second == pytest.approx(16 / found.step.median)
    assert found.work.flops_model == 16 * 2 * 4  # two numbers, one output; the inputs need no gradient
    assert found.work.flops_optimizer == 0
    assert found.limits.threads == 1
    assert "terms.0.linear" in {module.name for module in found.modules}
    assert {"mm", "_fused_adamw_"} <= {one.name for one in found.operators}
    assert found.memory.weights == found.memory.average == 3 * 4
    assert found.loading_seconds > 0 and found.advice and found.trace is None


def test_the_projection_counts_the_epochs_of_the_spec(found):
    plan = found.projection
    assert plan.epochs == 7 and plan.steps == 7 * plan.steps_per_epoch
    assert plan.seconds == pytest.approx(7 * plan.seconds_per_epoch)


def test_the_record_is_json(found):
    values = json.loads(to_json(found))
    assert (
        values["account"]["bound_by"] == found.account.bound_by and values["limits"]["products"]["float32"]["value"] > 0
    )


def test_as_many_full_batches_are_measured_as_asked():
    found = modelyard.profile(spec_of(batch_size=20), steps=12)
    assert found.batch_size == 20 and 0 < found.steps <= 12  # the last batch of an epoch may be smaller


def test_a_larger_model_has_its_modules_and_its_pieces():
    found = modelyard.profile(spec_of(layers=1, accumulate=2), steps=5)
    assert found.accumulate == 2 and found.family == "mlp"
    kinds = [module.kind for module in found.modules]
    assert kinds.count("Linear") >= 3
    assert sum(module.flops for module in found.modules) == pytest.approx(found.work.flops_model)
    assert all(module.backward_seconds > 0 for module in found.modules if module.kind == "Linear" and module.flops)


def test_products_of_the_optimizer_are_counted_apart():
    found = modelyard.profile(spec_of(layers=1, optimizer="muon", learning_rate=0.01), steps=3)
    assert found.work.flops_optimizer > 0
    assert sum(module.flops for module in found.modules) == pytest.approx(found.work.flops_model)


def test_rows_without_a_target_are_learned_from_as_in_training():
    spec = spec_of(semi_supervised="pseudo_label")
    rows = {name: values for name, values in blobs(60, seed=1).items() if name != "side"}
    found = modelyard.profile(spec.replace(data=spec.data.model_copy(update={"unlabelled": rows})), steps=3)
    assert found.part("forward").seconds > 0 and found.part("backward").seconds > 0
    assert found.memory.activations > 0 and "train.semi_supervised" in found.notes[-1]


def test_the_optimizer_may_step_within_the_backward_pass():
    found = modelyard.profile(spec_of(memory={"fused_backward": True}), steps=3)
    assert "within the backward part" in found.notes[-1] and found.memory.gradients == 0


def test_a_trace_is_written(tmp_path):
    trace = tmp_path / "deep" / "trace.json"
    found = modelyard.profile(spec_of(), steps=3, trace=trace)
    assert found.trace == str(trace) and "traceEvents" in json.loads(trace.read_text())


def test_fewer_rows_than_a_batch_are_said():
    found = modelyard.profile(spec_of(rows=40, batch_size=64), steps=3)
    assert found.batch_size < 40
    assert found.notes[-1:] == [
        f"train.batch_size is 64, and there are {found.batch_size} training rows: every step takes them all"
    ]


def test_a_rate_that_is_to_be_found_is_not_searched_for(monkeypatch):
    assert modelyard.profile(spec_of(learning_rate="find"), steps=3).steps == 3


def test_threads_and_random_state_are_put_back():
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    modelyard.profile(spec_of(threads=1 if before > 1 else 2), steps=3)
    assert torch.get_num_threads() == before and torch.equal(torch.random.get_rng_state(), state)


def test_progress_tells_of_rows_and_of_steps():
    told = []
    modelyard.profile(spec_of(rows=77), steps=3, progress=lambda what, rows: told.append((what, rows)))
    assert ("steps: measuring", 3) in told and len(told) > 4


def test_too_few_steps_are_refused():
    with pytest.raises(UsageError, match="steps=2: a spread needs at least 3 steps"):
        modelyard.profile(spec_of(), steps=2)


def test_overrides_need_a_spec_that_is_read():
    with pytest.raises(UsageError, match="overrides are for a spec that is read from a file"):
        modelyard.profile(spec_of(), ["train.epochs=1"])


def test_a_spec_without_data_is_refused(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("name: nothing\n")
    with pytest.raises(SpecError, match="data"):
        modelyard.profile(path)
    path.write_text(f"data: {{source: {tmp_path}/nowhere.csv, targets: {{y: category}}}}\n")
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        modelyard.profile(path)


def test_data_without_rows_to_train_on_is_refused():
    spec = Spec.parse({"data": {"source": {"x": [1.0], "y": ["a"]}, "targets": ["y"]}, "model": "linear"})
    with pytest.raises(ModelyardError):
        modelyard.profile(spec, steps=3)


def test_a_loss_that_is_no_number_is_said():
    rows = {"x": np.full(64, 3e38, np.float64).tolist(), "y": list(range(64))}
    spec = Spec.parse({
        "data": {"source": rows, "inputs": {"x": {"type": "number", "scale": "none"}}, "targets": {"y": "number"},
                 "checks": {}},
        "model": "linear",
        "task": "regression",
        "train": {"learning_rate": 1e30, "batch_size": 8, "optimizer": "sgd", "threads": 1},
    })  # fmt: skip
    with pytest.raises(ModelyardError, match="the loss left all bounds within the profiled steps"):
        modelyard.profile(spec, steps=20)
