"""Memory settings where they matter most: on an accelerator."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from modelyard.core.registry import table
from modelyard.spec.settings import Choice
from modelyard.spec.spec import MemorySpec, TrainSpec
from modelyard.train.memory.fitting import find_micro_batch
from modelyard.train.memory.settings import lean_optimizer, make_optimizer

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda")
MEGABYTE = 1_000_000


@pytest.fixture(autouse=True)
def _needs_an_accelerator():
    if not torch.cuda.is_available():
        pytest.skip("no accelerator")


def settings_of(name: str, **memory: object) -> TrainSpec:
    chosen = Choice("optimizer", name, table("optimizer").find(name).Settings())
    return TrainSpec(optimizer=chosen, learning_rate=0.01, weight_decay=0.1, memory=MemorySpec(**memory))


def steps(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    device = next(model.parameters()).device
    for step in range(4):
        x = torch.randn(8, 64, generator=torch.Generator().manual_seed(step)).to(device)
        model(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("name", list(table("optimizer")))
@pytest.mark.parametrize("fused", [False, True])
def test_an_offloaded_optimizer_steps_alike_and_holds_nothing_there(name: str, fused: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(64, 80), nn.ReLU(), nn.Linear(80, 90), nn.Linear(90, 3)).to(CUDA)
    other = copy.deepcopy(plain)
    ordinary = make_optimizer(settings_of(name), plain)
    settings = settings_of(name, offload="optimizer", fused_backward=fused)
    offloaded = make_optimizer(settings, other)
    _, notices = lean_optimizer(settings, offloaded)
    assert notices == []
    steps(plain, ordinary)
    steps(other, offloaded)
    for one, same in zip(plain.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, same, rtol=1e-3, atol=1e-4)
    tensors = [value for state in offloaded.state.values() for value in state.values() if torch.is_tensor(value)]
    assert tensors and all(value.device.type == "cpu" for value in tensors)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_steps_within_the_backward_pass_are_bit_equal(name: str) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(64, 80), nn.ReLU(), nn.Linear(80, 90), nn.Linear(90, 3)).to(CUDA)
    other = copy.deepcopy(plain)
    settings = settings_of(name, fused_backward=True, optimizer_bits=8)
    fused = make_optimizer(settings, other)
    lean_optimizer(settings, fused)
    steps(plain, make_optimizer(settings_of(name, optimizer_bits=8), plain))
    steps(other, fused)
    for one, same in zip(plain.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, same)


def test_the_largest_piece_is_found_by_running_out() -> None:
    def step(size: int) -> None:
        torch.empty(100 * MEGABYTE * size, dtype=torch.uint8, device=CUDA)

    free = torch.cuda.mem_get_info()[0]
    fitting = free // (100 * MEGABYTE)
    rows = 4 * fitting
    found = find_micro_batch(step, rows, CUDA)
    assert any(peak is None for _, peak in found.tried)
    assert 0.8 * fitting <= found.size <= fitting
    assert found.accumulate * found.size >= rows
    assert find_micro_batch(step, 8, CUDA).accumulate == 1
