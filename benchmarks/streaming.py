"""Larger than memory: prepare and train under a limit of memory, and watch what the process holds.

    python benchmarks/streaming.py                                  6 GiB of text and numbers, then 100,000 JPEGs
    python benchmarks/streaming.py --table 1 --images 10000 --limit 1.5

The process stands in a control group of its own whose memory is limited, the pages of files it reads and writes
included; it is killed when it needs more. That takes root. What is resident is sampled twice a second: `own` is what
the process allocated, `mapped` is pages of mapped files, which the system may take back at any time. Some 45 minutes on
two cores, and 30 GiB of disk under --folder.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from PIL import Image

GIB = 1 << 30
_SENTENCES = 20_000


def make_table(path: Path, size: float, seed: int = 0) -> int:
    """Write a CSV file of `size` GiB: a text of 120 words, five numbers, and a label that follows from them."""
    rng = np.random.default_rng(seed)
    words = np.array(["".join(rng.choice(list("abcdefghijklmnoprstuvw"), rng.integers(2, 9))) for _ in range(30_000)])
    ranks = np.minimum(rng.zipf(1.3, (_SENTENCES, 12)) - 1, len(words) - 1)
    sentences = [" ".join(words[row]) for row in ranks]
    rows = 0
    with open(path, "wb") as file:
        while file.tell() < size * GIB:
            count = 50_000
            picked = rng.integers(0, _SENTENCES, (count, 10))
            texts = [". ".join([sentences[at] for at in row]) for row in picked.tolist()]
            numbers = rng.normal(0, 1, (count, 5)).round(4)
            score = numbers.sum(axis=1) + (picked[:, 0] % 7 - 3)
            table = pa.table(
                {
                    "text": texts,
                    **{f"n{at}": numbers[:, at] for at in range(5)},
                    "label": np.where(score > 0, "up", "down"),
                }
            )
            pyarrow.csv.write_csv(table, file, pyarrow.csv.WriteOptions(include_header=rows == 0))
            rows += count
    return rows


def _write_images(folder: Path, start: int, stop: int) -> None:
    for number in range(start, stop):
        rng = np.random.default_rng(number)
        label = number % 4
        coarse = rng.integers(0, 256, (10, 10, 3), np.uint8)
        coarse[:, :, label % 3] //= 1 + label // 3 + 1
        picture = Image.fromarray(coarse).resize((256, 256), Image.Resampling.BICUBIC)
        picture.save(folder / f"class-{label}" / f"{number:06d}.jpg", quality=85)


def make_images(folder: Path, count: int) -> None:
    """Write `count` JPEGs of 256×256, four classes."""
    for label in range(4):
        (folder / f"class-{label}").mkdir(parents=True, exist_ok=True)
    bounds = np.linspace(0, count, 17).astype(int).tolist()
    with concurrent.futures.ProcessPoolExecutor() as pool:
        list(pool.map(_write_images, [folder] * 16, bounds[:-1], bounds[1:]))


_TRAIN = """
import json, sys
import modelyard
spec = modelyard.Spec.parse(json.loads(sys.argv[1]))
def tell(event):
    if event["event"] == "progress":
        print(event.get("doing") or f"epoch {event['epoch']}", flush=True)
    elif event["event"] in ("prepared", "training", "evaluating", "finished"):
        print(event["event"], flush=True)
run = modelyard.train(spec, sys.argv[2], [tell])
print("metrics " + json.dumps(run.metrics), flush=True)
"""


def watch(spec: dict, folder: Path, limit: float) -> None:
    """Train a spec in a process of limited memory and print, stage by stage, what it held."""
    environment = {**os.environ, "MODELYARD_CACHE": str(folder / "cache")}
    group = _control_group(limit)
    join = f'echo $$ > {group}/cgroup.procs && exec "$@"'
    process = subprocess.Popen(
        ["sh", "-c", join, "sh", sys.executable, "-c", _TRAIN, json.dumps(spec), str(folder / "runs")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    stage, seen, lines = ["start"], {}, []

    def follow() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("metrics"):
                lines.append(line.strip())
            stage[0] = line.strip()

    follower = threading.Thread(target=follow)
    follower.start()
    started = time.monotonic()
    while process.poll() is None:
        memory = _memory(process.pid)
        if memory is not None:
            seen.setdefault(stage[0], []).append((time.monotonic() - started, *memory))
        time.sleep(0.5)
    follower.join()
    print(f"{'stage':32}{'from s':>8}{'to s':>8}{'own MiB':>9}{'most':>7}{'mapped MiB':>12}{'most':>7}")
    for name, samples in seen.items():
        times, own, cache = (np.array(column) for column in zip(*samples, strict=True))
        print(
            f"{name:32}{times[0]:8.0f}{times[-1]:8.0f}{np.median(own):9.0f}{own.max():7.0f}"
            f"{np.median(cache):12.0f}{cache.max():7.0f}"
        )
    most = max(sum(sample[1:]) for samples in seen.values() for sample in samples)
    print(f"exit code {process.returncode}; at most {most:.0f} MiB resident; {' '.join(lines)}")
    group.rmdir()


def _control_group(limit: float) -> Path:
    """Make a control group whose memory is limited to so many GiB, by either version of the kernel's interface."""
    for root, file in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root) / f"modelyard-{os.getpid()}-{time.monotonic_ns()}"
        try:
            group.mkdir()
            (group / file).write_text(str(int(limit * GIB)))
        except OSError:
            continue
        return group
    raise SystemExit("memory cannot be limited here: making a control group takes root and a memory controller")


def _memory(process: int) -> tuple[float, float] | None:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    found = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    if "RssAnon" not in found:
        return None
    own, mapped, shared = (int(found[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile", "RssShmem"))
    return own + shared, mapped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=float, default=6.0, help="GiB of CSV; 0 for none")
    parser.add_argument("--images", type=int, default=100_000, help="how many JPEGs; 0 for none")
    parser.add_argument("--limit", type=float, default=1.5, help="GiB of memory")
    parser.add_argument("--steps", type=int, default=2000, help="training steps")
    parser.add_argument("--folder", type=Path, help="where to put the data; a temporary folder when unsaid")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        if options.table:
            started = time.monotonic()
            rows = make_table(folder / "table.csv", options.table)
            print(f"table: {rows:,} rows, {options.table} GiB, made in {time.monotonic() - started:.0f} s")
            inputs = {"text": {"type": "text", "tokens": "word"}, **{f"n{at}": "number" for at in range(5)}}
            data = {"source": str(folder / "table.csv"), "inputs": inputs, "targets": {"label": "category"}}
            train = {"epochs": 1, "max_steps": options.steps, "batch_size": 128}
            watch({"name": "table", "data": data, "train": train}, folder, options.limit)
            (folder / "table.csv").unlink()
        if options.images:
            started = time.monotonic()
            make_images(folder / "images", options.images)
            print(f"images: {options.images:,} JPEGs of 256×256, made in {time.monotonic() - started:.0f} s")
            inputs = {"image": {"type": "image", "size": 128}}
            data = {"source": str(folder / "images"), "inputs": inputs, "targets": {"label": "category"}}
            data["split"] = {"validation": 0.01, "test": 0.01}
            model = {"family": "cnn", "size": "small"}
            train = {"epochs": 1, "max_steps": min(options.steps, 40), "batch_size": 32, "evaluation_batch_size": 32}
            watch({"name": "images", "data": data, "model": model, "train": train}, folder, options.limit)


if __name__ == "__main__":
    main()
