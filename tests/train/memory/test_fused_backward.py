"""Steps within the backward pass and steps in the computer's memory: the same weights, to the bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modelyard.core.errors import SpecError
from modelyard.core.registry import table
from modelyard.spec.settings import Choice
from modelyard.spec.spec import MemorySpec, TrainSpec
from modelyard.train.memory.fused_backward import FusedBackward, check_fused_backward
from modelyard.train.memory.offload import Offload, offload
from modelyard.train.memory.settings import lean_model, lean_optimizer, make_optimizer
from modelyard.train.optimizing.optimizers import OptimizerEntry
from modelyard.train.profiling.tensor_memory import TensorMemory

NAMES = list(table("optimizer"))


def settings_of(name: str, **more: Any) -> TrainSpec:
    chosen = Choice("optimizer", name, table("optimizer").find(name).Settings())
    return TrainSpec(optimizer=chosen, learning_rate=0.01, weight_decay=0.1, **more)


def network() -> nn.Module:
    torch.manual_seed(0)
    convolutions = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten())
    return nn.Sequential(convolutions, nn.Linear(8 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 64), nn.Linear(64, 3))


def ordinary(optimizer: torch.optim.Optimizer, model: nn.Module, l1: float = 0.0, l2: float = 0.0) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2 and parameter.grad is not None:
                parameter.grad.add_(parameter.sign(), alpha=l1)
                parameter.grad.add_(parameter, alpha=l2)
    optimizer.step()
    optimizer.zero_grad()


def steps(
    model: nn.Module, optimizer: torch.optim.Optimizer, begin: int, end: int, l1: float = 0, l2: float = 0
) -> None:
    for step in range(begin, end):
        x = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (1 + step)
        model(x).square().sum().backward()
        ordinary(optimizer, model, l1, l2)


def assert_equal(one: nn.Module, other: nn.Module) -> None:
    for (name, tensor), same in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(tensor, same), name


def assert_equal_states(one: torch.optim.Optimizer, other: torch.optim.Optimizer) -> None:
    first, second = one.state_dict(), other.state_dict()
    assert first["state"].keys() == second["state"].keys()
    for number, entries in first["state"].items():
        assert entries.keys() == second["state"][number].keys()
        for key, value in entries.items():
            same = second["state"][number][key]
            assert torch.equal(value, same) if isinstance(value, Tensor) else value == same


def make(name: str, model: nn.Module, bits: Any = 32) -> torch.optim.Optimizer:
    return make_optimizer(settings_of(name, memory=MemorySpec(optimizer_bits=bits)), model)


WAYS: dict[str, Callable[[torch.optim.Optimizer], object]] = {
    "fused": FusedBackward,
    "offloaded": Offload,
    "both": lambda optimizer: (Offload(optimizer), FusedBackward(optimizer)),
}
KINDS = [*((name, 32) for name in NAMES), ("adamw", 8), ("sgd", 8)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "bits"), KINDS)
def test_weights_and_state_are_bit_equal(name: str, bits: int, way: str) -> None:
    plain = network()
    other = copy.deepcopy(plain)
    optimizer, lean = make(name, plain, bits), make(name, other, bits)
    WAYS[way](lean)
    steps(plain, optimizer, 0, 4)
    steps(other, lean, 0, 4)
    assert_equal(plain, other)
    assert_equal_states(optimizer, lean)
    assert [len(group["params"]) for group in lean.param_groups] == [len(g["params"]) for g in optimizer.param_groups]
    names = {id(parameter) for parameter in other.parameters()}
    assert {id(parameter) for parameter in lean.state} <= names  # named by the model's own parameters


@pytest.mark.parametrize("way", WAYS)
def test_a_training_goes_on_from_weights_and_state_of_another(way: str) -> None:
    plain = network()
    optimizer = make("adamw", plain)
    steps(plain, optimizer, 0, 3)
    other = network()
    lean = make("adamw", other)
    WAYS[way](lean)
    steps(other, lean, 5, 7)  # it has been somewhere else before
    other.load_state_dict(copy.deepcopy(plain.state_dict()))
    lean.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(plain, optimizer, 3, 6)
    steps(other, lean, 3, 6)
    assert_equal(plain, other)
    assert_equal_states(optimizer, lean)


def test_penalties_are_added_parameter_by_parameter() -> None:
    plain = network()
    other = copy.deepcopy(plain)
    optimizer, lean = make("adamw", plain), make("adamw", other)
    FusedBackward(lean, l1=0.1, l2=0.2)
    steps(plain, optimizer, 0, 3, l1=0.1, l2=0.2)
    steps(other, lean, 0, 3)
    assert_equal(plain, other)
    unpunished = network()
    steps(unpunished, make("adamw", unpunished), 0, 3)
    with pytest.raises(AssertionError):
        assert_equal(unpunished, other)


def test_gradients_are_never_there_at_once() -> None:
    def peak(fused: bool) -> int:
        torch.manual_seed(0)
        model = nn.Sequential(*(nn.Linear(128, 128) for _ in range(8)))
        optimizer = make("sgd", model)
        if fused:
            FusedBackward(optimizer)
        x = torch.ones(2, 128)
        for _ in range(2):  # momentum is there from the second step on
            with TensorMemory() as memory:
                model(x).sum().backward()
                optimizer.step()
            optimizer.zero_grad()
        assert all(parameter.grad is None for parameter in model.parameters())
        return memory.peak

    weights = 8 * 128 * 128 * 4
    assert peak(False) > weights
    assert peak(True) < 0.4 * weights


def test_frozen_parameters_are_taken_in_when_they_are_freed() -> None:
    plain = network()
    other = copy.deepcopy(plain)
    optimizer, lean = make("adamw", plain), make("adamw", other)
    frozen = [next(plain.parameters()), next(other.parameters())]
    for parameter in frozen:
        parameter.requires_grad_(False)
    fused = FusedBackward(lean)
    steps(plain, optimizer, 0, 2)
    steps(other, lean, 0, 2)
    for parameter in frozen:
        parameter.requires_grad_(True)
    fused.attach()
    steps(plain, optimizer, 2, 4)
    steps(other, lean, 2, 4)
    assert_equal(plain, other)


def test_removed_it_leaves_an_ordinary_optimizer() -> None:
    model = network()
    optimizer = make("adamw", model)
    FusedBackward(optimizer).remove()
    before = copy.deepcopy(model)
    model(torch.ones(2, 3, 8, 8)).sum().backward()
    assert torch.equal(next(model.parameters()), next(before.parameters()))
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_what_needs_all_gradients_is_refused_together() -> None:
    settings = settings_of("sgd", gradient_clip=1.0)
    with pytest.raises(SpecError) as caught:
        check_fused_backward(settings, accumulate=4)
    assert [problem.place for problem in caught.value.problems] == ["train.memory.fused_backward"] * 2
    assert "train.gradient_clip (1)" in str(caught.value) and "4 pieces" in str(caught.value)
    check_fused_backward(settings_of("sgd"), accumulate=1)


def test_weights_on_the_cpu_are_not_offloaded_and_that_is_said() -> None:
    settings = settings_of("adamw", memory=MemorySpec(offload="optimizer", fused_backward=True))
    model = network()
    fused, notices = lean_optimizer(settings, make_optimizer(settings, model))
    assert fused is not None
    (notice,) = notices
    assert "on the CPU already" in notice
    assert lean_optimizer(settings_of("adamw"), make("adamw", model)) == (None, [])
    assert offload(make("sgd", model)) == notice


def test_settings_are_carried_out_by_name() -> None:
    model = network()
    lean_model(settings_of("adamw"), model)
    with pytest.raises(SpecError, match="activation_checkpointing"):
        lean_model(settings_of("adamw", memory=MemorySpec(activation_checkpointing=True)), model)
    assert isinstance(make("adamw", model), torch.optim.AdamW)
    assert issubclass(table("optimizer").find("adamw"), OptimizerEntry)
