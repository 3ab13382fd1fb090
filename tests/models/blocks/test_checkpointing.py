"""Activation checkpointing: the same numbers to the bit, with less memory."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modelyard.core.errors import SpecError
from modelyard.core.registry import table
from modelyard.data.kinds import Categories, Image, Numbers, Tokens
from modelyard.models.blocks.checkpointing import blocks, checkpoint_blocks
from modelyard.models.build import build
from modelyard.spec.settings import Choice
from modelyard.train.profiling.tensor_memory import TensorMemory

TOKENS = Tokens("review", ("review",), vocabulary_size=40, max_length=32)
PICTURE = Image("photo", ("photo",), channels=3, height=16, width=16)
NUMBERS = Numbers("numbers", ("a", "b"), width=5)

MODELS: dict[str, tuple[str, dict[str, Any], tuple[Any, ...], int]] = {
    "encoder": (
        "encoder",
        {"width": 32, "layers": 3, "heads": 2, "dropout": 0.2, "attention_dropout": 0.2, "drop_path": 0.3},
        (TOKENS,),
        3,
    ),
    "resnet": ("resnet", {"depth": 18, "width": 4, "drop_path": 0.3}, (PICTURE,), 9),
    "cnn": (
        "cnn",
        {"layers": ["conv 8 same batch", "dropout 0.2", "conv 8 same", "flatten", "dense 16"]},
        (PICTURE,),
        3,
    ),
    "mlp": ("mlp", {"hidden_sizes": [32, 32, 32], "dropout": 0.3, "norm": "batch"}, (NUMBERS,), 3),
    "rnn": ("rnn", {"layers": 2, "bidirectional": True, "dropout": 0.2}, (TOKENS,), 2),
    "joined": ("joined", {}, (NUMBERS, TOKENS, PICTURE), 6),
}


def model_of(name: str) -> nn.Module:
    family, settings, inputs, _ = MODELS[name]
    chosen = Choice("family", family, table("family").find(family).Settings(**settings), key="family")
    return build(chosen, inputs, 3, seed=1)


def batch_of(name: str, rows: int = 8) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    found: dict[str, Tensor] = {}
    for one in MODELS[name][2]:
        if one is TOKENS:
            length = torch.randint(1, 33, (rows,), generator=generator)
            ids = torch.randint(1, 40, (rows, 32), generator=generator)
            found |= {"review.ids": ids * (torch.arange(32) < length[:, None]), "review.length": length}
        elif one is PICTURE:
            pixels = torch.randn(rows, 3, 16, 16, generator=generator)
            found["photo.pixels"] = pixels.to(memory_format=torch.channels_last)
        else:
            found["numbers"] = torch.randn(rows, 5, generator=generator)
    return found


def learn(model: nn.Module, batch: dict[str, Tensor], dtype: torch.dtype | None = None) -> Tensor:
    torch.default_generator.manual_seed(3)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        loss = model(batch).float().square().sum()
    loss.backward()
    return loss.detach()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_gradients_and_statistics_are_bit_equal(name: str, dtype: torch.dtype) -> None:
    plain = model_of(name)
    saving = copy.deepcopy(plain)
    names = checkpoint_blocks(saving)
    assert len(names) == len(blocks(plain)) >= 2
    batch = batch_of(name)
    for _ in range(2):
        assert torch.equal(learn(plain, batch, dtype), learn(saving, batch, dtype))
    assert [key for key, _ in saving.named_parameters()] == [key for key, _ in plain.named_parameters()]
    for (key, one), other in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None, key
        assert torch.equal(one.grad, other.grad), key
    stored = saving.state_dict()
    assert list(stored) == list(plain.state_dict())
    for key, value in plain.state_dict().items():
        assert torch.equal(value, stored[key]), key  # batch norms: counted and averaged once a step
    if any(key.endswith("num_batches_tracked") for key in stored):
        assert {int(value) for key, value in stored.items() if key.endswith("num_batches_tracked")} == {2}


def test_two_runs_draw_dropout_anew_so_that_equality_means_something() -> None:
    model, batch = model_of("encoder"), batch_of("encoder")
    first = learn(model, batch)
    torch.default_generator.manual_seed(4)
    assert not torch.equal(first, model(batch).square().sum())


@pytest.mark.parametrize("name", ["encoder", "resnet", "rnn"])
def test_a_step_takes_less_memory(name: str) -> None:
    def peak(model: nn.Module) -> int:
        batch = batch_of(name, rows=32)
        with TensorMemory() as memory:
            learn(model, batch)
        return memory.peak

    plain = model_of(name)
    saving = copy.deepcopy(plain)
    checkpoint_blocks(saving)
    assert peak(saving) < 0.8 * peak(plain)


def test_compiled_blocks_forget_as_well() -> None:
    plain = model_of("cnn")
    for module in plain.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # compiled, dropout draws its numbers in another order
    saving = copy.deepcopy(plain)
    checkpoint_blocks(saving)
    batch = batch_of("cnn")
    learn(plain, batch)
    learn(torch.compile(saving, backend="aot_eager"), batch)  # type: ignore[arg-type]
    for (key, one), other in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=key)
    for (key, one), other in zip(plain.named_buffers(), saving.buffers(), strict=True):
        torch.testing.assert_close(one, other, msg=key)


def test_copies_forget_for_themselves() -> None:
    model = model_of("mlp")
    checkpoint_blocks(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert not torch.equal(model(batch_of("mlp")), twin(batch_of("mlp")))
    assert all(block.forward.__self__ is block for _, block in blocks(twin))  # type: ignore[attr-defined]


def test_evaluation_computes_once() -> None:
    model, batch = model_of("resnet"), batch_of("resnet")
    expected = copy.deepcopy(model).eval()(batch)
    checkpoint_blocks(model)
    assert torch.equal(model.eval()(batch), expected)


def test_blocks_inside_blocks_are_not_counted_twice() -> None:
    names = [name for name, _ in blocks(model_of("resnet"))]
    assert names[:3] == ["stem.0", "stages.0.0", "stages.0.1"]
    assert len(names) == 1 + 8


@pytest.mark.parametrize(
    ("family", "settings", "inputs", "words"),
    [
        ("linear", {}, (NUMBERS, Categories("categories", ("c",), sizes=(4,))), "no such block"),
        ("rnn", {"layers": 1}, (TOKENS,), "only one such block, recurrences.0"),
    ],
)
def test_a_model_that_would_save_nothing_is_refused(family: str, settings: Any, inputs: Any, words: str) -> None:
    chosen = Choice("family", family, table("family").find(family).Settings(**settings), key="family")
    with pytest.raises(SpecError, match=words) as caught:
        checkpoint_blocks(build(chosen, inputs, 2, seed=1))
    assert caught.value.problems[0].place == "train.memory.activation_checkpointing"
