"""What saving costs: the time that training loses while its state is written in the background.

    python benchmarks/saving.py               a resnet-18 of 11 million weights, five saves
    python benchmarks/saving.py --saves 9

Steps are taken without a pause; every few seconds the state (weights and two numbers a weight of AdamW's) is saved.
What a save costs is the copy of the state and all that the steps around it take longer than the median step without
one. The share is of a minute: one save a minute.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from modelyard.core.events import EventLog
from modelyard.data.prepare import prepare
from modelyard.spec.spec import CheckpointSpec, Spec
from modelyard.train.job import make_job
from modelyard.train.saving.checkpoints import Checkpoints
from modelyard.train.saving.keeper import Keeper
from modelyard.train.start import denormals_flushed
from modelyard.train.step import train_step

BETWEEN = 6.0
"""Seconds between two saves."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saves", type=int, default=5)
    parser.add_argument("--width", type=int, default=64)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    pictures = {"image": random.integers(0, 256, (512, 32, 32, 3), dtype=np.uint8), "label": ["a", "b"] * 256}
    spec = Spec.parse(
        {
            "data": {"source": pictures, "targets": {"label": "category"},
                     "checks": {"near_duplicate_images": "keep"}},
            "model": {"family": "resnet", "depth": 18, "width": options.width},
            "train": {"batch_size": 16, "epochs": 1000},
        }
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, EventLog(None) as log, denormals_flushed():
        job = make_job(spec, prepare(spec), None, None, log)
        state = job.begin()
        keeper = Keeper(Checkpoints(Path(folder)), CheckpointSpec(minutes=None), log)
        batches = list(itertools.islice(job.setup.train.epoch(0), 8))
        steps: list[tuple[float, float, bool]] = []
        saved = 0
        last = time.perf_counter()
        for number in itertools.count():
            before = time.perf_counter()
            due = number > 20 and before - last > BETWEEN
            if due and saved == options.saves:
                break
            if due:
                keeper.save(state)
                saved, last = saved + 1, before
            train_step(job.setup, state, batches[number % len(batches)])
            state.step += 1
            steps.append((before, time.perf_counter() - before, due or keeper.busy))
        keeper.close()
        newest = next(iter(Checkpoints(Path(folder))))
        size = sum(file.stat().st_size for file in newest.iterdir())
    usual = statistics.median(seconds for _, seconds, saving in steps[10:] if not saving)
    lost = sum(seconds - usual for _, seconds, saving in steps if saving) / options.saves
    print(
        f"state {size / 2**20:.0f} MiB, precision {job.setup.precision}, {torch.get_num_threads()} threads: "
        f"step {1000 * usual:.0f} ms; a save costs {1000 * lost:.0f} ms of training, {lost / 60:.2%} of a minute"
    )


if __name__ == "__main__":
    main()
