"""Fine-tuning: what is taken over from a bundle, which blocks learn when and how fast, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import modelyard
from modelyard.bundle.contents import make_task
from modelyard.bundle.format import read_manifest
from modelyard.core.errors import BundleError, SpecError
from modelyard.core.files import digest_file, read_json
from modelyard.data.prepare import prepare
from modelyard.spec.spec import PretrainedSpec, Spec
from modelyard.tasks.model import build_model
from modelyard.train.optimizing.optimizers import AdamW
from modelyard.train.pretrained import (
    adopt,
    blocks_of,
    frozen_blocks,
    inherited,
    layer_wise,
    load_pretrained,
    open_parent,
    thaw,
)

QUICK = {"epochs": 2, "batch_size": 64, "threads": 1, "learning_rate": 0.003}
CNN = {"family": "cnn", "layers": ["conv 8 same batch", "pool 2", "conv 16 same batch", "global_average"]}


@pytest.fixture(scope="module")
def parent(digits, tmp_path_factory):
    """An autoencoder of the first thousand digits."""
    rows = {"image": digits["image"][:1000]}
    spec = {"name": "before", "data": {"source": rows, "targets": {}}, "model": CNN, "task": "autoencoding"}
    evaluate = {"resamples": 10, "slices": None}
    return modelyard.train(Spec.parse({**spec, "train": QUICK, "evaluate": evaluate}), tmp_path_factory.mktemp("runs"))


def after(digits, bundle, **parts):
    """A spec that learns the kinds of the last digits, beginning from a bundle."""
    rows = {name: column[1000:1300] for name, column in digits.items()}
    train = {**QUICK, **parts.pop("train", {})}
    pretrained = {"bundle": str(bundle), **parts.pop("pretrained", {})}
    data = {"source": rows, "targets": ["digit"], **parts.pop("data", {})}
    spec = {"name": "after", "data": data, "task": "classification", **parts}
    evaluate = {"resamples": 10, "robustness": False, "slices": None}
    return Spec.parse({**spec, "train": {**train, "pretrained": pretrained}, "evaluate": evaluate})


def loaded(spec):
    """The model of a spec with its parent's weights, and what was loaded."""
    found = open_parent(spec.train.pretrained)
    spec = adopt(spec, found)
    prepared = prepare(spec, inherited=inherited(found))
    spec = spec.replace(data=prepared.data)
    task = make_task(spec, prepared.fitted)
    model = build_model(task, spec.model, prepared.fitted.describe(), spec.seed)
    return model, load_pretrained(model, prepared.fitted, task, found), found, prepared


# -- what is taken over -----------------------------------------------------------------------------------------------


def test_the_body_is_the_parents_and_the_head_is_new(parent, digits):
    model, record, found, _ = loaded(after(digits, parent.bundle))
    theirs = found.contents.model.state_dict()
    for name, tensor in model.state_dict().items():
        if not name.startswith("output."):
            assert torch.equal(tensor, theirs[name])
    assert record.fresh == ["output.weight", "output.bias"]
    assert sorted([*record.taken, *record.fresh]) == sorted(model.state_dict())
    assert record.task == "autoencoding" and record.name == "before"
    assert record.digest == digest_file(parent.bundle / "manifest.json")
    body = [p.numel() for name, p in model.named_parameters() if not name.startswith("output.")]
    assert record.parameters == sum(body)


def test_fitted_inputs_are_the_parents_whatever_the_new_rows_show(parent, digits):
    _, _, found, prepared = loaded(after(digits, parent.bundle))
    assert prepared.fitted.inputs[0].state() == found.contents.fitted.inputs[0].state()
    alone = prepare(adopt(after(digits, parent.bundle), found))
    assert alone.fitted.inputs[0].state() != prepared.fitted.inputs[0].state()


def test_the_head_too_is_taken_over_when_both_learn_the_same(parent, digits, tmp_path):
    rows = {name: column[:300] for name, column in digits.items()}
    spec = {"data": {"source": rows, "targets": ["digit"]}, "model": CNN, "task": "classification", "train": QUICK}
    first = modelyard.train(Spec.parse({**spec, "evaluate": {"resamples": 10, "robustness": False}}), tmp_path)
    model, record, found, _ = loaded(after(digits, first.path))
    assert record.fresh == [] and "output.weight" in record.taken
    assert torch.equal(model.output.weight, found.contents.model.output.weight)


def test_what_the_spec_says_of_an_input_counts_before_what_the_parent_says(parent, digits):
    inputs = {"image": {"type": "image", "augment": {"crop": 1}}}
    spec = adopt(
        after(digits, parent.bundle, data={"inputs": inputs}), open_parent(PretrainedSpec(bundle=str(parent.path)))
    )
    assert spec.data.inputs["image"].settings.augment.crop == 1
    assert spec.data.inputs["image"].settings.size == parent.spec.data.inputs["image"].settings.size
    assert spec.model == parent.spec.model


# -- what is refused --------------------------------------------------------------------------------------------------


def test_no_bundle(digits, tmp_path):
    with pytest.raises(SpecError, match=r"train.pretrained.bundle: .* holds no bundle"):
        loaded(after(digits, tmp_path / "nowhere"))


def test_another_family(parent, digits):
    with pytest.raises(SpecError, match=r"model.family: is mlp, and .* holds a cnn"):
        loaded(after(digits, parent.bundle, model="mlp"))


def test_other_layers(parent, digits):
    other = {"family": "cnn", "layers": ["conv 8 same batch", "pool 2", "conv 32 same batch", "global_average"]}
    with pytest.raises(SpecError, match=r"other layers: layers.2.convolution.weight \(16 × 8 × 3 × 3 there, 32 × 8"):
        loaded(after(digits, parent.bundle, model=other))


def test_other_inputs(parent, digits):
    rows = {"picture": digits["image"][:50], "digit": digits["digit"][:50]}
    spec = after(digits, parent.bundle, data={"source": rows, "inputs": ["picture"]})
    with pytest.raises(SpecError, match=r"data.inputs: are 'picture', and .* was trained on 'image'"):
        loaded(spec)


def test_inputs_fitted_anew_are_refused(parent, digits):
    spec = after(digits, parent.bundle)
    found = open_parent(spec.train.pretrained)
    spec = adopt(spec, found)
    prepared = prepare(spec)
    spec = spec.replace(data=prepared.data)
    task = make_task(spec, prepared.fitted)
    model = build_model(task, spec.model, prepared.fitted.describe(), spec.seed)
    with pytest.raises(BundleError, match="'image' was fitted anew"):
        load_pretrained(model, prepared.fitted, task, found)


def test_settings_that_do_not_go_with_what_is_inherited(parent, digits):
    inputs = {"image": {"type": "image", "normalise": "half"}}
    spec = after(digits, parent.bundle, data={"inputs": inputs})
    found = open_parent(spec.train.pretrained)
    with pytest.raises(SpecError, match=r"data.inputs.image: what it learned before cannot be taken over"):
        prepare(adopt(spec, found), inherited=inherited(found))


# -- which blocks learn, and how fast ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "frozen"),
    [
        ({}, [0, 0, 0, 0, 0, 0]),
        ({"freeze": True}, [3, 3, 3, 3, 3, 3]),
        ({"unfreeze_every": 1}, [3, 2, 1, 0, 0, 0]),
        ({"freeze": True, "unfreeze_every": 2}, [3, 3, 2, 2, 1, 1]),
    ],
)
def test_frozen_blocks_are_a_function_of_the_epoch(settings, frozen):
    said = PretrainedSpec(bundle="x", **settings)
    assert [frozen_blocks(said, 4, epoch) for epoch in range(6)] == frozen


def test_a_frozen_block_has_no_gradient_and_its_batch_norm_stands_still(parent, digits):
    model, *_ = loaded(after(digits, parent.bundle))
    settings = PretrainedSpec(bundle="x", unfreeze_every=1)
    assert [name for name, _ in blocks_of(model)] == ["layers.0", "layers.2", "output"]
    model.train()
    assert thaw(model, settings, 1) == 1
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pixels = torch.randn(16, 1, 8, 8)
    model({"image.pixels": pixels}).square().sum().backward()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and all(name.startswith("layers.2.") for name in changed)  # running statistics
    learning = {name for name, p in model.named_parameters() if p.grad is not None}
    assert learning == {name for name, _ in model.named_parameters() if not name.startswith("layers.0.")}
    model.train()
    assert thaw(model, settings, 2) == 0
    assert all(p.requires_grad for p in model.parameters()) and all(m.training for m in model.modules())


def test_each_block_before_has_a_smaller_rate_and_the_head_the_full_one(parent, digits):
    model, *_ = loaded(after(digits, parent.bundle))
    optimizer = AdamW.make(model, 0.1, 0.01, AdamW.Settings())
    layer_wise(optimizer, model, 0.5)
    names = {id(p): name for name, p in model.named_parameters()}
    rates = {
        names[id(p)]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]
    }
    assert set(rates) == set(names.values())
    for name, (rate, decay) in rates.items():
        expected = {"layers.0": 0.025, "layers.2": 0.05}.get(name[: len("layers.0")], 0.1)
        assert rate == pytest.approx(expected)
        assert decay == (0.01 if name.endswith("weight") and "norm" not in name else 0.0)
    assert all(group["lr"] == group["initial_lr"] for group in optimizer.param_groups)
    assert optimizer.param_groups[-1]["lr"] == 0.1
    optimizer.step()  # torch accepts the groups


# -- the whole line ---------------------------------------------------------------------------------------------------


def test_a_fine_tuned_bundle_names_its_parent_and_says_what_it_took(parent, digits, tmp_path):
    run = modelyard.train(after(digits, parent.bundle, pretrained={"layer_decay": 0.5}), tmp_path)
    assert read_manifest(run.bundle).parents == [digest_file(parent.bundle / "manifest.json")]
    record = read_json(run.bundle / "evidence" / "pretrained.json")
    assert record["name"] == "before" and record["fresh"] == ["output.weight", "output.bias"]
    assert modelyard.load(run.bundle).predict({"image": digits["image"][:2]})[0]["digit"] in set(digits["digit"])


def test_a_frozen_body_comes_out_as_it_went_in(parent, digits, tmp_path):
    run = modelyard.train(after(digits, parent.bundle, pretrained={"freeze": True}), tmp_path)
    own = modelyard.load(run.bundle).network.state_dict()
    theirs = modelyard.load(parent.bundle).network.state_dict()
    body = [name for name in own if not name.startswith("output.")]
    assert body and all(torch.equal(own[name], theirs[name]) for name in body)


@pytest.mark.parametrize("task", ["autoencoding", "masked_patches", "contrastive"])
def test_learning_from_pictures_alone_end_to_end(task, digits, tmp_path):
    spec = {"data": {"source": {"image": digits["image"][:400]}, "targets": {}}, "model": CNN, "task": task}
    run = modelyard.train(Spec.parse({**spec, "train": QUICK, "evaluate": {"resamples": 10}}), tmp_path)
    assert run.training.epochs[-1].train["loss"] < run.training.epochs[0].train["loss"]
    found = modelyard.load(run.bundle)
    answers = found.predict({"image": digits["image"][:5]})
    assert np.isfinite(np.array([row["embedding"] for row in answers])).all()
    again = modelyard.evaluate(run.bundle, {"image": digits["image"][400:500]})
    assert [metric.name for metric in again.metrics] == list(found.contents.task.metrics)


@pytest.mark.parametrize("task", ["autoencoding", "masked_values"])
def test_learning_from_a_table_alone_end_to_end(task, tmp_path):
    random = np.random.default_rng(0)
    size = random.normal(size=400)
    rows = [
        {"size": s, "weight": 2 * s + n, "kind": "large" if s > 0 else "small"}
        for s, n in zip(size.tolist(), (0.1 * random.normal(size=400)).tolist(), strict=True)
    ]
    model = {"family": "mlp", "hidden_sizes": [16]}
    settings = {"autoencoding": {"type": "autoencoding", "code_size": 1}}.get(task, task)
    spec = {"data": {"source": rows, "targets": {}}, "model": model, "task": settings}
    train = {**QUICK, "epochs": 30, "learning_rate": 0.01}
    run = modelyard.train(Spec.parse({**spec, "train": train, "evaluate": {"resamples": 10}}), tmp_path)
    assert run.metrics["skill_score"] > 0.3
    usual, odd = modelyard.load(run.bundle).predict(
        [{"size": 1.0, "weight": 2.0, "kind": "large"}, {"size": 1.0, "weight": -2.0, "kind": "large"}]
    )
    if task == "autoencoding":
        assert odd["anomaly"] > 2 * usual["anomaly"]
        assert usual["reconstruction"]["kind"] == "large"
        assert usual["reconstruction"]["weight"] == pytest.approx(2, abs=1)
    else:
        assert max(odd["doubt"].values()) > max(usual["doubt"].values())


def test_settings_about_targets_and_pieces_are_refused_for_tasks_without_them(digits, tmp_path):
    spec = {"data": {"source": {"image": digits["image"][:100]}, "targets": {}}, "model": CNN, "task": "contrastive"}
    train = {**QUICK, "accumulate": 2, "mixup": 0.2}
    with pytest.raises(SpecError, match=r"(?s)train.mixup: is about targets.*train.accumulate: cuts batches"):
        modelyard.train(Spec.parse({**spec, "train": train, "evaluate": {"cross_validate": 2}}), tmp_path)


def test_a_target_beside_a_task_that_learns_from_inputs_is_refused(digits, tmp_path):
    rows = {name: column[:100] for name, column in digits.items()}
    spec = {"data": {"source": rows, "targets": ["digit"]}, "model": CNN, "task": "contrastive"}
    with pytest.raises(SpecError, match=r"data.targets.digit: is named, but the task learns from inputs alone"):
        modelyard.train(Spec.parse({**spec, "train": QUICK}), tmp_path)


def test_no_target_without_a_task_says_which_tasks_need_none(digits, tmp_path):
    with pytest.raises(SpecError, match=r"task: there is no target to tell it from.*masked_patches"):
        modelyard.train(Spec.parse({"data": {"source": {"image": digits["image"][:100]}, "targets": {}}}), tmp_path)


def test_a_task_with_targets_refuses_to_do_without(digits, tmp_path):
    spec = {"data": {"source": {"image": digits["image"][:100]}, "targets": {}}, "task": "classification"}
    with pytest.raises(SpecError, match="exactly one target, and the spec names none"):
        modelyard.train(Spec.parse(spec), tmp_path)
