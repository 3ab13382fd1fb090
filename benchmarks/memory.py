"""What the settings of `train.memory` save and cost: peak memory and the time of a step, beside a plain training.

    python benchmarks/memory.py                    the table, about ten minutes on one core
    python benchmarks/memory.py encoder --write    one workload; --write puts the table into docs/memory.md

Each measurement runs in a process of its own, the settings taking turns, and the median of the repeats is shown.
`process` is the most memory the process held beyond what it held before there was a model; `tensors` is the most that
weights, the optimizer's state, gradients and results of layers took together, counted as they were made and freed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from modelyard.core.device import environment
from modelyard.core.files import write_text
from modelyard.core.registry import table
from modelyard.data.kinds import Image, Input, Numbers, Tokens
from modelyard.models.build import build, count_parameters
from modelyard.report.formatting import bytes_
from modelyard.spec.settings import Choice
from modelyard.spec.spec import MemorySpec, TrainSpec
from modelyard.train.cost import peak_memory
from modelyard.train.memory.settings import lean_model, lean_optimizer, make_optimizer
from modelyard.train.profiling.tensor_memory import TensorMemory, tensor_bytes
from modelyard.train.start import denormals_flushed

PAGE = Path(__file__).parents[1] / "docs" / "memory.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"

WORKLOADS: dict[str, tuple[str, dict[str, Any], Input, int]] = {
    "encoder": (
        "encoder",
        {"layers": 4, "width": 256, "heads": 4, "feed_forward_size": 1024, "dropout": 0.1},
        Tokens("text", ("text",), vocabulary_size=8000, max_length=64),
        32,
    ),
    "resnet": ("resnet", {"depth": 18, "width": 32}, Image("photo", ("photo",), channels=3, height=32, width=32), 32),
    "mlp": ("mlp", {"hidden_sizes": [1024] * 4, "dropout": 0.1}, Numbers("numbers", ("x",), width=256), 256),
}
ABOUT = {
    "encoder": "Transformer encoder, 4 layers of 256, 32 texts of 64 tokens",
    "resnet": "ResNet-18 of width 32, 32 pictures of 32 × 32",
    "mlp": "MLP, 4 hidden layers of 1024, 256 rows of 256 numbers",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "activation_checkpointing": {"activation_checkpointing": True},
    "fused_backward": {"fused_backward": True},
    "optimizer_bits: 8": {"optimizer_bits": 8},
    "accumulate: 4": {},
    "all three": {"activation_checkpointing": True, "fused_backward": True, "optimizer_bits": 8},
    "checkpointing, 8 bits, accumulate: 4": {"activation_checkpointing": True, "optimizer_bits": 8},
}
WARM = 2


def pieces_of(setting: str) -> int:
    return 4 if "accumulate" in setting else 1


def batch_of(one: Input, rows: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    if isinstance(one, Tokens):
        ids = torch.randint(1, one.vocabulary_size, (rows, one.max_length), generator=generator)
        return {f"{one.name}.ids": ids, f"{one.name}.length": torch.full((rows,), one.max_length)}
    if isinstance(one, Image):
        pixels = torch.randn(rows, one.channels, one.height, one.width, generator=generator)
        return {f"{one.name}.pixels": pixels.to(memory_format=torch.channels_last)}
    assert isinstance(one, Numbers)
    return {"numbers": torch.randn(rows, one.width, generator=generator)}


def measure(workload: str, setting: str, steps: int) -> dict[str, float]:
    """Train for some steps in this process, which has done nothing else."""
    name, family, one, rows = WORKLOADS[workload]
    inputs = batch_of(one, rows)
    labels = torch.arange(rows) % 10
    _wake()
    before = peak_memory()

    chosen = Choice("family", name, table("family").find(name).Settings(**family), key="family")
    model = build(chosen, (one,), 10, seed=0)
    adamw = Choice("optimizer", "adamw", table("optimizer").find("adamw").Settings())
    spec = TrainSpec(optimizer=adamw, learning_rate=1e-3, memory=MemorySpec(**SETTINGS[setting]))
    lean_model(spec, model)
    optimizer = make_optimizer(spec, model)
    lean_optimizer(spec, optimizer)
    pieces = pieces_of(setting)
    size = rows // pieces

    def step() -> None:
        for first in range(0, rows, size):
            part = slice(first, first + size)
            output = model({key: value[part] for key, value in inputs.items()})
            (nn.functional.cross_entropy(output, labels[part]) / pieces).backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds = []
    with denormals_flushed():
        for _ in range(WARM + steps):
            started = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - started)
        process = peak_memory() - before
        state = [value for kept in optimizer.state.values() for value in kept.values() if isinstance(value, Tensor)]
        standing = tensor_bytes([*model.parameters(), *model.buffers(), *state])
        with TensorMemory() as memory:
            step()
    return {
        "process": process,
        "tensors": standing + memory.peak,
        "state": tensor_bytes(state),
        "seconds": statistics.median(seconds[WARM:]),
        "parameters": count_parameters(model),
    }


def _wake() -> None:
    """Let torch load what it loads when it is first used."""
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 4))
    optimizer = torch.optim.AdamW(layers.parameters(), fused=True)
    layers(torch.ones(2, 3, 4, 4)).sum().backward()
    optimizer.step()


def in_a_process(workload: str, setting: str, steps: int) -> dict[str, float]:
    command = [sys.executable, __file__, workload, "--one", setting, "--steps", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def rows_of(workload: str, repeats: int, steps: int) -> list[str]:
    found: dict[str, list[dict[str, float]]] = {setting: [] for setting in SETTINGS}
    for _ in range(repeats):
        for setting, measured in found.items():
            measured.append(in_a_process(workload, setting, steps))
            print(f"{workload} {setting}: {measured[-1]}", file=sys.stderr)
    median = {
        setting: {key: statistics.median(one[key] for one in measured) for key in measured[0]}
        for setting, measured in found.items()
    }
    plain = median["plain"]
    lines = [
        "",
        f"**{ABOUT[workload]}** ({int(plain['parameters']):,} parameters)",
        "",
        "| setting | process | of plain | tensors | of plain | optimizer's state | step | of plain |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for setting, one in median.items():
        cells = [
            setting,
            bytes_(one["process"]),
            f"{one['process'] / plain['process']:.0%}",
            bytes_(one["tensors"]),
            f"{one['tensors'] / plain['tensors']:.0%}",
            bytes_(one["state"]),
            f"{1000 * one['seconds']:.0f} ms",
            f"{one['seconds'] / plain['seconds']:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def write(lines: Sequence[str]) -> None:
    text = PAGE.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    write_text(PAGE, "\n".join([head + BEGIN, *lines, "", END]) + tail)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", choices=[[], *WORKLOADS], help="which; all when none is named")
    parser.add_argument("--one", choices=SETTINGS, help="measure a single setting in this process and print JSON")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--write", action="store_true", help="put the table into docs/memory.md")
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if asked.one is not None:
        print(json.dumps(measure(asked.workloads[0], asked.one, asked.steps)))
        return
    machine = environment()
    lines = [
        "",
        f"{machine['processor']}, {torch.get_num_threads()} thread, torch {machine['torch']}, float32, AdamW; "
        f"medians of {asked.steps} steps in each of {asked.repeats} process{'' if asked.repeats == 1 else 'es'}.",
    ]
    for workload in asked.workloads or WORKLOADS:
        lines += rows_of(workload, asked.repeats, asked.steps)
    print("\n".join(lines))
    if asked.write:
        write(lines)


if __name__ == "__main__":
    main()
