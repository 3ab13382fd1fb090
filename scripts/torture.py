"""Kill trainings without warning, again and again, and count how many end bit-equal to one that was left alone.

    python scripts/torture.py                      the whole matrix once, 32 trainings
    python scripts/torture.py --kills 300          as many trainings as it takes to kill 300 times
    python scripts/torture.py --seed 7 --keep DIR  other moments; keep the folders

The matrix: loader threads {0, 2} × pieces of a batch {1, 3} × killed {within an epoch, as one ends} × {1, 3} kills,
each with pictures that are varied, dropout, batch norm, averaged weights and early stopping. Half of the kills are
aimed inside a save. Compared are the weights, the optimizer's state, the averaged and the best weights, the digest over
the order of all rows, every epoch's measurements, and the bundle's own weights and results.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from modelyard.core.errors import Stopped
from modelyard.spec.spec import Spec
from modelyard.train.run import train
from modelyard.train.saving.checkpoints import Checkpoints

TIMED = ("seconds", "rows_per_second", "time")
"""What differs from one training to the next although nothing else does."""


@dataclass(frozen=True)
class Case:
    """One kind of training and of death."""

    workers: int
    accumulate: int
    at_epoch_end: bool
    kills: int

    def __str__(self) -> str:
        moment = "epoch end" if self.at_epoch_end else "mid-epoch"
        return f"workers {self.workers}, accumulate {self.accumulate}, {moment}, {self.kills} kills"


CASES = [Case(*values) for values in itertools.product((0, 2), (1, 3), (False, True), (1, 3))]


def make_pictures(folder: Path, rows: int = 360) -> None:
    """Write small pictures of three classes."""
    random_ = np.random.default_rng(0)
    for row in range(rows):
        label = row % 3
        pixels = random_.integers(0, 120, (10, 10), dtype=np.uint8)
        pixels[2 + 2 * label : 4 + 2 * label, 2:8] += 110
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / str(label) / f"{row}.png")


def make_spec(pictures: Path, case: Case) -> Spec:
    """Return the training that is to survive: everything that has a state is in it."""
    return Spec.parse(
        {
            "name": "torture",
            "data": {
                "source": str(pictures),
                "inputs": {"image": {"type": "image", "augment": {"flip": True, "crop": 1, "rotate": 10}}},
                "targets": {"label": "category"},
                "split": {"validation": 0.2, "test": 0.1},
            },
            "model": {"family": "cnn", "layers": ["conv 4 batch", "pool 2", "dropout 0.2", "dense 8"]},
            "train": {
                "epochs": 6,
                "batch_size": 16,
                "accumulate": case.accumulate,
                "workers": case.workers,
                "optimizer": "adamw",
                "learning_rate": 0.01,
                "schedule": "cosine",
                "warmup": 0.1,
                "gradient_clip": 1.0,
                "ema": 0.9,
                "early_stopping": {"metric": "accuracy", "patience": 5},
                "threads": 1,
                "precision": "float32",
                "checkpoint": {"steps": 5, "epochs": 1},
            },
            "evaluate": {"resamples": 0, "robustness": False, "slices": None},
        }
    )


def carry_out(spec: Spec, runs: Path) -> None:
    """Train in this process, which may be killed at any moment; slowed down so that moments can be aimed at."""
    torch.set_num_threads(1)
    os.setpgid(0, 0)
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    try:
        train(spec, runs, [_slow])
    except Stopped as stopped:
        sys.exit(stopped.exit_code)


def _slow(event: dict[str, Any]) -> None:
    if event["event"] == "progress" and "batch" in event:
        time.sleep(0.002)


def facts(runs: Path) -> dict[str, Any]:
    """Return everything that must be equal, of the one run in a folder."""
    (path,) = [run for run in runs.iterdir() if run.is_dir()]
    found = Checkpoints(path / "checkpoints").newest()
    assert found is not None
    snapshot = found.snapshot
    values = {name: value for name, value in snapshot.values.items() if name not in ("continued", "under_way")}
    told = [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]
    epochs = {event["epoch"]: event for event in told if event["event"] == "epoch"}
    bundle = path / "bundle"
    return {
        "tensors": {name: tensor.numpy().tobytes() for name, tensor in sorted(snapshot.tensors.items())},
        "best": {name: tensor.numpy().tobytes() for name, tensor in sorted((snapshot.best or {}).items())},
        "values": _untimed(values),
        "epochs": [_untimed(epochs[number]) for number in sorted(epochs)],
        "bundle": (bundle / "weights.safetensors").read_bytes(),
        "metrics": _untimed(json.loads((bundle / "evidence" / "metrics.json").read_text())),
    }


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _untimed(item) for name, item in value.items() if name not in TIMED}
    return [_untimed(item) for item in value] if isinstance(value, list) else value


def moments(case: Case, random_: random.Random, runs: Path, seconds: float, in_save: bool) -> Iterator[None]:
    """Yield until the moment to kill has come."""
    deadline = time.monotonic() + random_.uniform(0, seconds)
    if case.at_epoch_end:
        wanted = random_.randint(1, 5)
        while _epochs(runs) < wanted:
            yield
    else:
        while time.monotonic() < deadline:
            yield
    if in_save:
        before = time.monotonic()
        while not _saving(runs) and time.monotonic() - before < seconds:
            yield
        time.sleep(random_.uniform(0, 0.004))


def _epochs(runs: Path) -> int:
    return sum(path.read_bytes().count(b'{"event": "epoch"') for path in runs.glob("*/events.jsonl"))


def _saving(runs: Path) -> bool:
    return any(name.name.endswith(".tmp") for name in runs.glob("*/checkpoints/.*"))


def killed(case: Case, spec: Spec, runs: Path, random_: random.Random, seconds: float) -> tuple[int, int]:
    """Train with kills in between; return how many there were, and how many of them inside a save."""
    context = multiprocessing.get_context("fork")
    kills = inside = 0
    while True:
        process = context.Process(target=carry_out, args=(spec, runs))
        process.start()
        if kills < case.kills:
            in_save = random_.random() < 0.5
            for _ in moments(case, random_, runs, seconds, in_save):
                if not process.is_alive():
                    break
                time.sleep(0.0002)
            if process.is_alive():
                inside += _saving(runs)
                os.kill(process.pid or 0, signal.SIGKILL)
                kills += 1
        process.join()
        if process.exitcode == 0:
            return kills, inside
        if process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"{case}: the training ended with {process.exitcode}")


def main() -> int:
    """Run the matrix and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=0, help="go on until so many kills were made")
    parser.add_argument(
        "--cases", type=int, default=len(CASES), help="stop after so many trainings when --kills is unsaid"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder to keep everything in")
    options = parser.parse_args()
    random_ = random.Random(options.seed)
    work = options.keep or Path(tempfile.mkdtemp(prefix="torture-"))
    os.environ["MODELYARD_CACHE"] = str(work / "cache")
    make_pictures(work / "pictures")
    references: dict[tuple[int, int], tuple[dict[str, Any], float]] = {}
    trainings = equal = kills = inside = 0
    while (kills < options.kills) if options.kills else (trainings < options.cases):
        case = CASES[trainings % len(CASES)]
        spec = make_spec(work / "pictures", case)
        key = (case.workers, case.accumulate)
        if key not in references:
            folder = work / f"alone-{case.workers}-{case.accumulate}"
            for attempt in ("first", "timed"):  # the first one prepares the data
                shutil.rmtree(folder, ignore_errors=True)
                started = time.monotonic()
                left_alone = multiprocessing.get_context("fork").Process(target=carry_out, args=(spec, folder))
                left_alone.start()
                left_alone.join()
                if left_alone.exitcode:
                    raise RuntimeError(
                        f"{case}: the {attempt} training that was left alone ended with {left_alone.exitcode}"
                    )
            references[key] = facts(folder), time.monotonic() - started
        reference, seconds = references[key]
        runs = work / f"killed-{trainings}"
        made, within = killed(case, spec, runs, random_, seconds)
        found = facts(runs)
        different = [name for name, value in reference.items() if found[name] != value]
        trainings, kills, inside = trainings + 1, kills + made, inside + within
        equal += not different
        said = "bit-equal" if not different else f"DIFFERENT: {', '.join(different)} ({runs})"
        print(f"{trainings:4}  {case}: {said}", flush=True)
        if not different and options.keep is None:
            shutil.rmtree(runs)
    print(
        f"{equal} of {trainings} trainings bit-equal to one left alone; {kills} kills, {inside} of them inside a save"
    )
    if options.keep is None and equal == trainings:
        shutil.rmtree(work)
    return 0 if equal == trainings else 1


if __name__ == "__main__":
    sys.exit(main())
