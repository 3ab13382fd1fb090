"""Batches cut to fit in memory, what is available, and words for when it runs out."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modelyard.core.errors import ModelyardError, NoTargets
from modelyard.core.registry import table
from modelyard.data.batch import Batch
from modelyard.spec.settings import Choice
from modelyard.spec.spec import MemorySpec, TrainSpec
from modelyard.train.memory.fitting import Available, available_memory, find_micro_batch, largest_fitting
from modelyard.train.memory.out_of_memory import explain_out_of_memory, is_out_of_memory
from modelyard.train.memory.settings import make_optimizer
from modelyard.train.memory.trial import heaviest_rows, optimizer_bytes, standing_bytes, trial_step
from modelyard.train.profiling.tensor_memory import TensorMemory, tensor_bytes

CPU = torch.device("cpu")
ROW = 1000
"""Bytes a row of `steps` takes."""


def settings_of(name: str = "adamw", **more: Any) -> TrainSpec:
    chosen = Choice("optimizer", name, table("optimizer").find(name).Settings())
    return TrainSpec(optimizer=chosen, learning_rate=0.01, **more)


class Steps:
    """A step that takes 5000 bytes, and 1000 for each row; and the sizes that were run."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, size: int) -> None:
        self.sizes.append(size)
        held = [torch.zeros(5000 // 4), torch.zeros(ROW // 4 * size)]
        del held


# -- finding ----------------------------------------------------------------------------------------------------------


def test_where_nothing_limits_a_batch_stays_whole() -> None:
    steps = Steps()
    found = find_micro_batch(steps, 256, CPU, limit_bytes=10**9)
    assert (found.size, found.accumulate) == (256, 1)
    assert steps.sizes == [2, 4, 8, 16]  # what larger steps take is derived, never tried
    assert found.tried == [(2, 7000), (4, 9000), (8, 13000), (16, 21000)]
    assert "one piece of 256 rows" in found.reason and "261.0 kB, derived" in found.reason


@pytest.mark.parametrize(
    ("limit", "size", "accumulate"),
    [
        (5000 + 256 * ROW, 256, 1),
        (5000 + 256 * ROW - 1, 128, 2),  # 255 rows would fit; two equal pieces
        (5000 + 100 * ROW, 86, 3),
        (5000 + 50 * ROW, 43, 6),
        (5000 + 3 * ROW, 2, 128),  # so near to the limit a third row is not tried
        (5000 + 4 * ROW, 4, 64),
    ],
)
def test_pieces_fit_and_are_as_equal_as_can_be(limit: int, size: int, accumulate: int) -> None:
    steps = Steps()
    found = find_micro_batch(steps, 256, CPU, limit_bytes=limit)
    assert (found.size, found.accumulate) == (size, accumulate)
    assert 5000 + found.size * ROW <= limit
    assert found.size * found.accumulate >= 256
    assert all(5000 + tried * ROW <= limit for tried in steps.sizes)  # nothing that does not fit was run


def test_what_training_holds_besides_is_left_free() -> None:
    limit = 5000 + 256 * ROW
    assert find_micro_batch(Steps(), 256, CPU, limit, reserve_bytes=128 * ROW).accumulate == 2
    with pytest.raises(ModelyardError, match="leaves nothing"):
        find_micro_batch(Steps(), 256, CPU, limit, reserve_bytes=limit)


def test_a_batch_of_one_row_is_measured_too() -> None:
    found = find_micro_batch(Steps(), 1, CPU, limit_bytes=7000)
    assert (found.size, found.accumulate, found.tried) == (1, 1, [(1, 6000)])


def test_not_even_two_rows() -> None:
    with pytest.raises(ModelyardError, match="not even a step on 2 rows") as caught:
        find_micro_batch(Steps(), 256, CPU, limit_bytes=6000)
    assert "train.memory" in str(caught.value) and "7.0 kB" in str(caught.value)


def test_without_a_limit_the_machine_says_what_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = sys.modules[find_micro_batch.__module__]
    monkeypatch.setattr(memory, "available_memory", lambda: Available((5000 + 128 * ROW) * 5 // 4, "the test has"))
    found = find_micro_batch(Steps(), 256, CPU)
    assert found.accumulate == 2 and "80% of what the test has" in found.reason
    monkeypatch.setattr(memory, "available_memory", lambda: Available(None, ""))
    assert find_micro_batch(Steps(), 256, CPU).accumulate == 1


@pytest.mark.parametrize("most", [1, 5, 8, 9, 100, 255, 256, 1000])
def test_doubling_and_halving_finds_nearly_the_largest(most: int) -> None:
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= most

    found = largest_fitting(fits, 256)
    assert found <= most
    assert found == 256 if most >= 256 else found >= most - max(1, most // 16)
    assert len(tried) <= 12
    assert largest_fitting(lambda size: False, 256) == 0


def trained() -> Any:
    """Enough of a set-up: a network with batch norm and dropout, on rows of three numbers."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))

    class Store:
        columns = {"x": None}

        def is_ragged(self, name: str) -> bool:
            return False

        def __len__(self) -> int:
            return 5

    def batch(rows: Any) -> Batch:
        x = torch.tensor(rows, dtype=torch.float32)[:, None].repeat(1, 3)
        return Batch({"x": x}, {"y": torch.zeros(len(rows))}, rows)

    def forward(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        if batch.ids[0] == 99:
            raise NoTargets("none")
        return {"loss": model(batch.inputs["x"]).square().mean()}

    loader = SimpleNamespace(store=Store(), batch=batch)
    setup = SimpleNamespace(
        train=loader,
        device=CPU,
        task=SimpleNamespace(forward=forward),
        arithmetic=lambda: torch.autocast("cpu", enabled=False),
    )
    return setup, model


def test_a_trial_leaves_everything_as_it_was() -> None:
    setup, model = trained()
    before, drawn = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    trial = trial_step(setup, model.eval())
    with TensorMemory() as memory:
        trial(7)  # more rows than there are: some come twice
    assert memory.peak > tensor_bytes(model.parameters())  # gradients were there
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not model.training and all(parameter.grad is None for parameter in model.parameters())


def test_the_longest_texts_come_first() -> None:
    lengths = {"a.ids": np.array([1, 5, 2]), "b.ids": np.array([1, 1, 9])}
    store = SimpleNamespace(
        columns=["n", "a.ids", "b.ids", "target.y"], is_ragged=lambda name: name in lengths, lengths=lengths.__getitem__
    )
    assert heaviest_rows(SimpleNamespace(store=store)).tolist() == [2, 1, 0]  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "bits"), [*((name, 32) for name in table("optimizer")), ("adamw", 8), ("sgd", 8)])
def test_the_optimizers_state_is_known_before_it_is_there(name: str, bits: Any) -> None:
    settings = settings_of(name, memory=MemorySpec(optimizer_bits=bits))
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(70, 80), nn.BatchNorm1d(80), nn.Linear(80, 90), nn.LSTM(3, 5))
    expected = optimizer_bytes(settings, model)
    optimizer = make_optimizer(settings, model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    found = tensor_bytes(
        value for one in optimizer.state.values() for value in one.values() if isinstance(value, Tensor)
    )
    assert expected == found > 0


def test_what_stands_between_steps() -> None:
    model = nn.Linear(10, 9)  # 99 weights
    plain = standing_bytes(settings_of("sgd"), model)
    assert plain == {"optimizer": 4 * 99, "checkpoint": 2 * 4 * 99}
    more = standing_bytes(settings_of("sgd", ema=0.99, early_stopping={}), model)
    assert more == {"optimizer": 396, "average": 396, "checkpoint": 3 * 396, "best": 396}


# -- what is available ------------------------------------------------------------------------------------------------


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, content in {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    5000 kB\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_the_system_says_what_is_available(tmp_path: Path) -> None:
    assert available_memory(machine(tmp_path, {})) == Available(5000 * 1024, "the system has available")
    assert available_memory(tmp_path / "nowhere").bytes is None


V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        # of this group: 2,000,000 less what is used and cannot be given up
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                f"{V2}/a/b/memory.max": "2000000\n",
                f"{V2}/a/b/memory.current": "1500000\n",
                f"{V2}/a/b/memory.stat": "anon 1200000\ninactive_file 300000\n",
            },
            800_000,
        ),
        # of the group around it
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                f"{V2}/a/b/memory.max": "max\n",
                f"{V2}/a/b/memory.current": "10\n",
                f"{V2}/a/memory.max": "3000\n",
                f"{V2}/a/memory.current": "1000\n",
            },
            2000,
        ),
        # a container that sees its own group at the top
        (
            {"proc/self/cgroup": "0::/docker/x\n", f"{V2}/memory.max": "4000\n", f"{V2}/memory.current": "1000\n"},
            3000,
        ),
        # the first version
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/a\n2:memory:/a\n",
                f"{V1}/a/memory.limit_in_bytes": "5000\n",
                f"{V1}/a/memory.usage_in_bytes": "3000\n",
                f"{V1}/a/memory.stat": "inactive_file 1\ntotal_inactive_file 500\n",
                f"{V1}/memory.limit_in_bytes": "9223372036854771712\n",
                f"{V1}/memory.usage_in_bytes": "3000\n",
            },
            2500,
        ),
        # used beyond the limit
        (
            {"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "4000\n", f"{V2}/memory.current": "5000\n"},
            0,
        ),
    ],
)
def test_control_groups_say_what_they_leave(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    found = available_memory(machine(tmp_path, files))
    assert found.bytes == expected
    assert "control group" in found.how


# -- when it runs out -------------------------------------------------------------------------------------------------


def model_and_batch() -> tuple[nn.Module, Batch]:
    rows = np.arange(12)
    return nn.Linear(10, 9), Batch({"x": torch.zeros(12, 10)}, {"y": torch.zeros(12)}, rows)


def cannot_allocate() -> BaseException:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    return caught.value


def test_errors_that_mean_it_are_known() -> None:
    assert is_out_of_memory(cannot_allocate())
    assert is_out_of_memory(MemoryError())
    with pytest.raises(MemoryError) as caught:
        np.empty(2**55, np.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("DefaultCPUAllocator: can't allocate memory"))


def test_what_used_the_memory_and_what_helps_is_said() -> None:
    model, batch = model_and_batch()
    settings = settings_of(precision="float32")
    optimizer = make_optimizer(settings, model)
    said = str(explain_out_of_memory(cannot_allocate(), settings, model, optimizer, batch, (copy.deepcopy(model),)))
    lines = said.splitlines()
    assert "on cpu while training on 12 rows at a time, asking for 144115.2 TB more" in lines[0]
    found = {line.split("  ")[1]: line for line in lines if line.endswith(")") and line.startswith("  ")}
    assert "396 B  (measured)" in found["weights"]
    assert "396 B  (derived" in found["gradients"]
    assert "B  (derived: it comes with the first step)" in found["state of adamw"]
    assert "528 B  (measured)" in found["batch"]  # 12 × 11 numbers
    helps = [line.strip().partition(":")[0] for line in lines[lines.index("What helps, the cheapest first:") + 1 :]]
    assert helps[0] == "train.accumulate=2"
    assert [one for one in helps if one.startswith("train.memory")] == [
        "train.memory.optimizer_bits=8",
        "train.memory.fused_backward=true",
    ]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    said = str(explain_out_of_memory(MemoryError(), settings, model, optimizer, batch))
    assert "asking" not in said
    state = next(line for line in said.splitlines() if "state of adamw" in line)
    assert "800 B  (measured)" in state  # two numbers a weight, and two counts


def test_settings_that_are_in_use_are_not_advised() -> None:
    model, batch = model_and_batch()
    memory = MemorySpec(optimizer_bits=8, fused_backward=True)
    settings = settings_of(memory=memory, precision="bfloat16")
    said = str(explain_out_of_memory(MemoryError(), settings, model, make_optimizer(settings, model), batch))
    helps = said.partition("What helps")[2]
    assert "train.memory." not in helps and "precision" not in helps and "accumulate" not in helps
    assert "train.batch_size=6" in helps


SCRIPT = """
import resource
import numpy as np, torch
from torch import nn
from modelyard.core.registry import table
from modelyard.data.batch import Batch
from modelyard.spec.settings import Choice
from modelyard.spec.spec import TrainSpec
from modelyard.train.memory.fitting import available_memory
from modelyard.train.memory.settings import make_optimizer
from modelyard.train.memory.out_of_memory import explain_out_of_memory, is_out_of_memory

torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(100, 5000), nn.ReLU(), nn.Linear(5000, 1))
adamw = Choice("optimizer", "adamw", table("optimizer").find("adamw").Settings())
settings = TrainSpec(optimizer=adamw, learning_rate=0.1)
optimizer = make_optimizer(settings, model)
batch = Batch({"x": torch.zeros(20_000, 100)}, {}, np.arange(20_000))
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 500_000_000,) * 2)
left = available_memory()
assert "address space" in left.how and 4e8 < left.bytes <= 5e8, left
try:
    model(batch.inputs["x"]).sum().backward()
except (RuntimeError, MemoryError) as error:
    assert is_out_of_memory(error), error
    print(explain_out_of_memory(error, settings, model, optimizer, batch))
"""


def test_a_process_that_may_not_take_more_says_where_it_went() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "asking for 400.0 MB more" in done.stdout
    assert "8.0 MB  (measured)" in done.stdout  # the batch
    assert "results of layers, and the program itself" in done.stdout
    assert "address space leaves" in done.stdout
    assert "train.accumulate=2: the same step, in pieces of 10,000 rows" in done.stdout
