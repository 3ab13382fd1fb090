"""Optimizer states of 8 bits: near the 32-bit ones, a quarter of their size, and exact through a checkpoint."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import sklearn.datasets
import torch
from torch import Tensor, nn

from modelyard.core.errors import SpecError
from modelyard.core.registry import table
from modelyard.spec.settings import Choice
from modelyard.train.optimizing.low_bit import BLOCK, LowBitOptimizer, code_values, make_low_bit
from modelyard.train.profiling.tensor_memory import TensorMemory, tensor_bytes


def chosen(name: str, **settings: Any) -> Choice[Any]:
    return Choice("optimizer", name, table("optimizer").find(name).Settings(**settings))


def exact(choice: Choice[Any], model: nn.Module, rate: float, decay: float) -> torch.optim.Optimizer:
    return table("optimizer").find(choice.name).make(model, rate, decay, choice.settings)


def gradients(model: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator) * parameter.detach().abs().clamp(min=0.01)


CHOICES = [
    chosen("adamw"),
    chosen("adam", betas=(0.8, 0.99), eps=1e-6),
    chosen("sgd"),
    chosen("sgd", nesterov=True),
    chosen("sgd", dampening=0.5),
]


def moved(before: nn.Module, after: nn.Module) -> Tensor:
    both = zip(after.parameters(), before.parameters(), strict=True)
    return torch.cat([(one - other).detach().flatten() for one, other in both])


@pytest.mark.parametrize("choice", CHOICES, ids=repr)
def test_small_tensors_step_as_torch_does(choice: Choice[Any]) -> None:
    torch.manual_seed(0)
    model = nn.Linear(20, 30)
    begun, twin = copy.deepcopy(model), copy.deepcopy(model)
    low, full = make_low_bit(choice, model, 0.01, 0.1), exact(choice, twin, 0.01, 0.1)
    for step in range(5):
        gradients(model, step), gradients(twin, step)
        low.step(), full.step()
    torch.testing.assert_close(moved(begun, model), moved(begun, twin), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("choice", CHOICES, ids=repr)
def test_large_tensors_step_nearly_as_torch_does(choice: Choice[Any]) -> None:
    torch.manual_seed(0)
    model = nn.Linear(100, 101)
    begun, twin = copy.deepcopy(model), copy.deepcopy(model)
    low, full = make_low_bit(choice, model, 0.01, 0.1), exact(choice, twin, 0.01, 0.1)
    gradients(model, 0), gradients(twin, 0)
    low.step(), full.step()
    # nothing has been rounded yet
    torch.testing.assert_close(moved(begun, model), moved(begun, twin), rtol=1e-4, atol=1e-7)
    for step in range(1, 20):
        gradients(model, step), gradients(twin, step)
        low.step(), full.step()
    one, other = moved(begun, model), moved(begun, twin)
    assert not torch.equal(one, other)
    assert float((one - other).norm() / other.norm()) < 0.05
    state = low.state[model.weight]
    assert all(value.dtype == torch.uint8 for key, value in state.items() if key.endswith("_codes"))


def test_the_order_in_memory_does_not_matter() -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(16, 40, 3)
    begun, twin = copy.deepcopy(model), copy.deepcopy(model).to(memory_format=torch.channels_last)
    assert model.weight.stride() != twin.weight.stride()
    for one in (model, twin):
        low = make_low_bit(chosen("adamw"), one, 0.01, 0.1)
        for step in range(10):
            gradients(one, step)
            low.step()
    one, other = moved(begun, model), moved(begun, twin)
    assert float((one - other).norm() / other.norm()) < 0.05  # not zero: other numbers share a scale


def test_numbers_are_rounded_to_the_nearest_of_256_values() -> None:
    signed, unsigned = code_values(True), code_values(False)
    assert len(signed.unique()) == len(unsigned.unique()) == 256
    assert float(signed.max()) == float(unsigned.max()) == 1.0
    assert 0.0 in signed and 0.0 in unsigned and float(unsigned.min()) == 0.0
    # The upper decade, [0.1, 1], is cut into 64 or 128 parts; its middles are the values.
    assert float(signed[-2]) == pytest.approx(1 - 0.9 / 128)
    assert float(unsigned[-2]) == pytest.approx(1 - 0.9 / 256)

    model = nn.Linear(BLOCK, 64, bias=False)
    low = make_low_bit(chosen("sgd"), model, 0.1, 0.0)
    model.weight.grad = torch.randn(64, BLOCK, generator=torch.Generator().manual_seed(1))
    low.step()
    state = low.state[model.weight]
    scaled = model.weight.grad / model.weight.grad.abs().amax(1, keepdim=True)
    kept = signed[state["momentum_codes"].long()].view(64, BLOCK)
    best = (scaled[..., None] - signed).abs().amin(-1)
    assert float(((kept - scaled).abs() - best).max()) < 5e-4
    assert torch.equal(state["momentum_scales"], model.weight.grad.abs().amax(1))


def test_a_small_square_never_becomes_zero() -> None:
    model = nn.Linear(100, 100, bias=False)
    low = make_low_bit(chosen("adamw"), model, 0.01, 0.0)
    model.weight.grad = torch.full((100, 100), 1e-9)
    model.weight.grad[0] = 1.0
    low.step()
    assert int(low.state[model.weight]["square_codes"].min()) == 1


def test_a_gradient_that_is_no_number_stays_visible() -> None:
    model = nn.Linear(100, 100, bias=False)
    low = make_low_bit(chosen("adamw"), model, 0.01, 0.0)
    model.weight.grad = torch.ones(100, 100)
    model.weight.grad[3, 4] = float("nan")
    low.step()
    assert int(model.weight.isnan().sum()) == 1
    model.weight.grad = torch.ones(100, 100)
    low.step()
    assert model.weight[3, 4].isnan()


def test_a_state_goes_through_a_checkpoint_bit_for_bit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(100, 101), nn.Linear(101, 3))
    low = make_low_bit(chosen("adamw"), model, 0.01, 0.1)
    for step in range(3):
        gradients(model, step)
        low.step()
    twin = copy.deepcopy(model)
    other = make_low_bit(chosen("adamw"), twin, 0.01, 0.1)
    other.load_state_dict(copy.deepcopy(low.state_dict()))
    for one, same in zip(low.state.values(), other.state.values(), strict=True):
        for key, value in one.items():
            assert not isinstance(value, Tensor) or (value.dtype == same[key].dtype and torch.equal(value, same[key]))
    for step in range(3, 6):
        gradients(model, step), gradients(twin, step)
        low.step(), other.step()
    assert not float(moved(model, twin).abs().max())


def test_a_state_takes_a_quarter_and_a_step_makes_no_whole_copy() -> None:
    model = nn.Sequential(nn.Linear(1024, 1024, bias=False), nn.Embedding(100, 50))
    low = make_low_bit(chosen("adamw"), model, 0.01, 0.1)
    full = exact(chosen("adamw"), copy.deepcopy(model), 0.01, 0.1)
    gradients(model, 0)
    with TensorMemory() as memory:
        low.step()
    for group in full.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    full.step()

    def size(optimizer: torch.optim.Optimizer, number: int) -> int:
        state = list(optimizer.state.values())[number]
        return tensor_bytes(value for value in state.values() if isinstance(value, Tensor) and value.ndim)

    weights = 1024 * 1024
    assert size(full, 0) == 8 * weights
    assert size(low, 0) == 2 * weights + 2 * 4 * weights // BLOCK
    assert size(low, 1) == 8 * 100 * 50  # the embedding
    assert memory.peak < size(low, 0) + size(low, 1) + 8 * 4 * 1024 * BLOCK


def test_real_digits_are_learned_as_well() -> None:
    data = sklearn.datasets.load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    x, y = torch.tensor(data.data / 16, dtype=torch.float32)[order], torch.tensor(data.target)[order]

    def accuracy(low: bool) -> float:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer = (make_low_bit if low else exact)(chosen("adamw"), model, 0.003, 0.01)
        assert isinstance(optimizer, LowBitOptimizer) == low
        for step in range(250):
            rows = torch.randint(0, 1400, (64,), generator=torch.Generator().manual_seed(step))
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()
        return float((model(x[1400:]).argmax(1) == y[1400:]).float().mean())

    exactly, roughly = accuracy(False), accuracy(True)
    assert exactly > 0.9
    assert abs(exactly - roughly) < 0.02


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (chosen("lion"), "the optimizer is lion"),
        (chosen("sgd", momentum=0.0), "no state"),
        (chosen("adamw", amsgrad=True), "without amsgrad"),
    ],
    ids=repr,
)
def test_what_has_no_low_bit_form_is_refused(choice: Choice[Any], words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        make_low_bit(choice, nn.Linear(2, 2), 0.1, 0.0)
    assert caught.value.problems[0].place == "train.memory.optimizer_bits"
