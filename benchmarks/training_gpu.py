"""Training on an accelerator: modelyard beside the textbook loop with autocast to bfloat16 and torch.compile.

    PYTHONPATH=. python benchmarks/training_gpu.py                        W1, W5 and W6 on the first GPU
    PYTHONPATH=. python benchmarks/training_gpu.py W6 --batch 256
    PYTHONPATH=. python benchmarks/training_gpu.py --device cpu --quick   tiny, to see that it works

Rows are random and of the workloads' shapes, so that no data set is needed; quality is compared on the CPU, by
training.py. Prints one JSON object. For each workload and batch:

- `textbook`: the tutorial's loop, DataLoader included, by the second half of an epoch's steps, as it comes (eager)
  and compiled; and the same steps on one batch that stays on the device, which is what the network alone allows.
- `modelyard`: `modelyard.train` on the same rows, epochs after the first, by its own events; `loader` is how many rows
  a second its loader makes when nobody trains. It is called input-bound when the loader makes less than 1.2 times what
  is trained.
- Shares of the limit: operations of a row over its time, beside a large bfloat16 product on the same device.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent / "peer_scripts"))

from training_limits import operations, product_rate  # type: ignore[import-not-found]
from training_nets import as_tensors, build, loss_of  # type: ignore[import-not-found]

import modelyard
from modelyard.core.registry import table
from modelyard.data.loader import Loader
from modelyard.data.prepare import prepare
from modelyard.spec.spec import Spec

TOKENS, WORDS = 128, 6_000
CNN = ["conv 32 same", "pool 2", "conv 64 same", "pool 2", "conv 128 same", "pool 2", "flatten", "dense 128"]
ENCODER = {"family": "encoder", "width": 256, "layers": 4, "heads": 4, "feed_forward_size": 1024, "norm_first": False,
           "dropout": 0.1}  # fmt: skip
WORKLOADS: dict[str, dict[str, Any]] = {
    "W1": {
        "about": {"kind": "cnn", "shape": [28, 28, 1], "outputs": 10, "vocabulary": 0},
        "model": {"family": "cnn", "layers": CNN},
        "batches": [128, 1024],
        "rows": 131_072,
    },
    "W5": {
        "about": {"kind": "encoder", "shape": [TOKENS], "outputs": 10, "vocabulary": WORDS},
        "model": ENCODER,
        "batches": [32, 512],
        "rows": 16_384,
    },
    "W6": {
        "about": {"kind": "resnet", "shape": [32, 32, 3], "outputs": 10, "vocabulary": 0},
        "model": {"family": "resnet", "depth": 18, "width": 64, "stem": "small"},
        "batches": [128, 1024],
        "rows": 65_536,
    },
}
RATE = 1e-3


class Bench:
    """One workload at one batch size on one device."""

    def __init__(self, name: str, batch: int, rows: int, device: torch.device, folder: Path, epochs: int) -> None:
        self.name, self.batch, self.rows, self.device = name, batch, rows, device
        self.folder, self.epochs = folder, epochs
        self.about: dict[str, Any] = WORKLOADS[name]["about"]
        rng = np.random.default_rng(0)
        self.labels = np.arange(rows) % 10
        if self.about["kind"] == "encoder":
            self.inputs = rng.integers(0, WORDS - 2, (rows, TOKENS))
        else:
            self.inputs = rng.integers(0, 256, (rows, *self.about["shape"]), np.uint8)

    # -- the textbook loop ----------------------------------------------------------------------------------------

    def textbook(self, compiled: bool) -> dict[str, Any]:
        """Return the rows a second of the tutorial's loop and of its step alone, and the seconds to the first step."""
        torch.manual_seed(0)
        inputs = (self.inputs + 2) if self.about["kind"] == "encoder" else (self.inputs / 255).astype(np.float32)
        data = torch.utils.data.TensorDataset(*as_tensors(self.about, inputs, self.labels))
        gpu = self.device.type == "cuda"
        loader = torch.utils.data.DataLoader(
            data, self.batch, shuffle=True, drop_last=True, pin_memory=gpu, num_workers=4 if gpu else 0
        )
        model = build(self.about).to(self.device)
        if self.about["kind"] != "encoder":
            model = model.to(memory_format=torch.channels_last)
        run = torch.compile(model) if compiled else model
        optimizer = torch.optim.Adam(model.parameters(), RATE)

        def step(x: torch.Tensor, y: torch.Tensor) -> None:
            optimizer.zero_grad()
            with torch.autocast(self.device.type, torch.bfloat16):
                loss = loss_of(run(x), y)
            loss.backward()
            optimizer.step()

        started = time.perf_counter()
        times: list[float] = []
        first = 0.0
        for number, (x, y) in enumerate(loader):
            step(x.to(self.device, non_blocking=True), y.to(self.device, non_blocking=True))
            if number == 0:
                self.wait()
                first = time.perf_counter() - started
            if number in (len(loader) // 2 - 1, len(loader) - 1):
                self.wait()
                times.append(time.perf_counter())
        looped = (len(loader) - len(loader) // 2) * self.batch / (times[1] - times[0])
        x, y = (tensor.to(self.device) for tensor in next(iter(loader)))
        return {
            "rows_per_second": looped,
            "step_alone_rows_per_second": self.batch / self.seconds(lambda: step(x, y)),
            "first_step_seconds": first,
        }

    def seconds(self, step: Callable[[], None]) -> float:
        """Return the median seconds of a step, from several stretches of steps without a pause between them."""
        count = 20 if self.device.type == "cuda" else 2
        found = []
        for _ in range(6):
            self.wait()
            started = time.perf_counter()
            for _ in range(count):
                step()
            self.wait()
            found.append((time.perf_counter() - started) / count)
        return statistics.median(found[1:])

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    # -- modelyard ------------------------------------------------------------------------------------------------

    def ours(self) -> dict[str, Any]:
        """Return the rows a second of `modelyard.train` and of its loader alone, and what it chose."""
        spec = self.spec()
        facts: dict[str, Any] = {}
        ends: list[float] = []

        def watch(event: dict[str, Any]) -> None:
            if event["event"] == "training":
                facts.update(event)
            elif event["event"] == "progress" and "batch" in event:
                facts.setdefault("first", event["time"])
            elif event["event"] == "epoch":
                ends.append(event["time"])

        loading = self.loading(spec)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        with tempfile.TemporaryDirectory() as runs:
            modelyard.train(spec, runs, [watch])
        rate = self.rows * (len(ends) - 1) / (ends[-1] - ends[0])
        return {
            "rows_per_second": rate,
            "loader_rows_per_second": loading,
            "input_bound": loading < 1.2 * rate,
            "first_step_seconds": facts["first"] - facts["time"],
            "precision": facts["precision"],
            "choices": facts["choices"],
            "parameters": facts["parameters"],
        }

    def spec(self) -> Spec:
        texts = self.about["kind"] == "encoder"
        column = "text" if texts else "image"
        path = self.folder / f"{self.name}-{self.rows}{'.jsonl' if texts else '.npz'}"
        if not path.exists() and texts:
            lines = (
                json.dumps({"text": " ".join(f"w{word}" for word in row), "label": int(label)})
                for row, label in zip(self.inputs, self.labels, strict=True)
            )
            path.write_text("\n".join(lines), "utf-8")
        elif not path.exists():
            np.savez(path, image=self.inputs, label=self.labels)
        text = {"type": "text", "tokens": "word", "vocabulary_size": WORDS, "min_count": 1, "max_length": TOKENS}
        return Spec.parse(
            {
                "name": self.name.lower(),
                "data": {
                    "source": str(path),
                    "inputs": {column: text if texts else "image"},
                    "targets": {"label": "category"},
                    "split": {"method": "random", "validation": 0, "test": 0},
                    "checks": dict.fromkeys(("near_duplicate_texts", "near_duplicate_images"), "keep"),
                },
                "model": WORKLOADS[self.name]["model"],
                "task": "classification",
                "train": {
                    "epochs": self.epochs,
                    "batch_size": self.batch,
                    "optimizer": "adam",
                    "learning_rate": RATE,
                    "weight_decay": 0,
                    "device": str(self.device),
                    "checkpoint": {"minutes": None, "steps": None, "epochs": None},
                },
                "evaluate": {"resamples": 0, "mistakes": 0, "calibrate": False, "slices": None, "robustness": False},
            }
        )

    def loading(self, spec: Spec) -> float:
        """Return the rows a second that the loader makes and that arrive on the device, over the best of two epochs."""
        assert spec.model is not None
        accepts = table("family").find(spec.model.name).accepts
        prepared = prepare(spec, accepts, table("task").find("classification").targets_of)
        loader = Loader(prepared.splits["train"], prepared.fitted, self.batch, 0, True)
        rates = []
        for epoch in range(2):
            started = time.perf_counter()
            for batch in loader.epoch(epoch):
                batch.to(self.device)
            self.wait()
            rates.append(loader.rows / (time.perf_counter() - started))
        return max(rates)


def measure(bench: Bench, limit: float, compiled: bool) -> dict[str, Any]:
    """Return all figures of a workload at one batch size."""
    flops = operations(bench.about, 2)
    textbook = {"eager": bench.textbook(compiled=False)}
    if compiled:
        textbook["compiled"] = bench.textbook(compiled=True)
    ours = bench.ours()
    for found in (*textbook.values(), ours):
        for key in [key for key in found if key.endswith("rows_per_second") and not key.startswith("loader")]:
            found[key.replace("rows_per_second", "share_of_limit")] = found[key] * flops / limit
    best = max(found["rows_per_second"] for found in textbook.values())
    return {
        "workload": bench.name,
        "batch": bench.batch,
        "rows": bench.rows,
        "flops_per_row": flops,
        "textbook": textbook,
        "modelyard": ours,
        "ratio_to_fastest_textbook": ours["rows_per_second"] / best,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(WORKLOADS)}; all when none is named")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, help="one batch size instead of the workload's")
    parser.add_argument("--epochs", type=int, default=4, help="of modelyard; the first warms up")
    parser.add_argument("--no-compile", action="store_true", help="leave the compiled textbook loop out")
    parser.add_argument("--quick", action="store_true", help="tiny, to see that it works")
    options = parser.parse_args()
    unknown = set(options.names) - set(WORKLOADS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(WORKLOADS)}")
    device = torch.device(options.device)
    size = 512 if options.quick else 8192
    limit = product_rate(torch.bfloat16, size, 10, device.type)
    single = product_rate(torch.float32, size, 10, device.type)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    result: dict[str, Any] = {
        "device": name,
        "versions": {"torch": torch.__version__, "modelyard": modelyard.__version__, "python": sys.version.split()[0]},
        "limits_flops": {"bfloat16": limit, "float32": single},
        "measured": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        for workload in options.names or WORKLOADS:
            known = WORKLOADS[workload]
            batches = [8] if options.quick else known["batches"]
            for batch in [options.batch] if options.batch else batches:
                rows = 4 * batch if options.quick else known["rows"]
                epochs = 2 if options.quick else options.epochs
                bench = Bench(workload, batch, rows, device, Path(folder), epochs)
                found = measure(bench, limit, not options.no_compile)
                result["measured"].append(found)
                print(
                    f"{workload} batch {batch}: {found['ratio_to_fastest_textbook']:.2f}", file=sys.stderr, flush=True
                )
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
