"""What rows without labels are worth: Fashion-MNIST with 25 labels a class, each way of using the other rows.

    python benchmarks/labels.py --write                      everything, five seeds; hours on two cores
    python benchmarks/labels.py supervised contrastive       some ways; what was measured is kept and not measured again
    python benchmarks/labels.py --seeds 1 --rows 600 --labels 5 --epochs 1 --pretraining-epochs 1    a minute, to try it

The labelled rows are drawn anew for each seed and are the same for every way. Test accuracy is measured on the 10,000
test pictures, which nothing has seen. Every way trains the same network with the same steps on labelled rows;
pretraining sees the training pictures without their labels. Seconds are wall-clock time of everything a way needs,
pretraining included.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import modelyard
from modelyard.core.device import environment
from modelyard.core.files import cache_directory, digest_bytes, write_text
from modelyard.core.randomness import stream
from modelyard.data.sources.open import open_sources

RESULTS = Path(__file__).parent / "LABELS.md"
NETWORK = {
    "family": "cnn",
    "layers": [
        *("conv 32 same batch", "conv 32 same batch", "pool 2"),
        *("conv 64 same batch", "conv 64 same batch", "pool 2"),
        *("conv 128 same batch", "global_average"),
    ],
}
AUGMENT = {"type": "image", "augment": {"flip": True, "crop": 2}}
PLAIN = {"type": "image"}
NOT_MEASURED = {"resamples": 0, "robustness": False, "slices": None, "mistakes": 0, "calibrate": False}


@dataclass(frozen=True)
class Pictures:
    """Pictures uint8 (n, 28, 28) with their labels."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[Any]

    def columns(self, rows: npt.NDArray[np.int64], labelled: bool = True) -> dict[str, Any]:
        found: dict[str, Any] = {"image": self.images[rows]}
        return found | ({"label": [str(label) for label in self.labels[rows]]} if labelled else {})


@dataclass(frozen=True)
class Plan:
    """How large everything is."""

    labels: int
    """Labelled rows a class."""
    epochs: int
    """Of training on labelled rows."""
    pretraining_epochs: int
    batch_size: int = 50
    pretraining_batch_size: int = 256


@dataclass
class Result:
    """What a way came to, one value a seed."""

    accuracies: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cores: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Job:
    """One seed's rows and where its runs stand."""

    train: Pictures
    labelled: npt.NDArray[np.int64]
    others: npt.NDArray[np.int64]
    plan: Plan
    seed: int
    runs: Path

    def supervised(self, **train: Any) -> modelyard.Spec:
        """The spec that every way ends in, with its own settings of training."""
        data: dict[str, Any] = {
            "source": self.train.columns(self.labelled),
            "inputs": {"image": AUGMENT},
            "targets": {"label": "category"},
        }
        data["split"] = {"validation": 0.0, "test": 0.0}
        data |= train.pop("data", {})
        base: dict[str, Any] = {
            "epochs": self.plan.epochs,
            "batch_size": self.plan.batch_size,
            "optimizer": "adamw",
            "ema": 0.99,
        }
        base |= {"learning_rate": 0.002, "schedule": "cosine", "warmup": 0.1, "weight_decay": 0.02}
        return self._spec("classification", data, {**base, **train})

    def pretraining(self, task: Mapping[str, Any], rows: int, **train: Any) -> modelyard.Spec:
        """A spec that learns features from all training pictures, labels left out."""
        every = np.concatenate([self.labelled, self.others])
        data = {"source": self.train.columns(np.sort(every)[:rows], labelled=False), "inputs": {"image": PLAIN}}
        data |= {"targets": {}, "split": {"validation": 0.0, "test": 0.0}}
        base: dict[str, Any] = {"epochs": self.plan.pretraining_epochs, "batch_size": self.plan.pretraining_batch_size}
        base |= {
            "optimizer": "adamw",
            "learning_rate": 0.002,
            "schedule": "cosine",
            "warmup": 0.1,
            "weight_decay": 0.02,
        }
        return self._spec(task, data, {**base, **train})

    def _spec(self, task: Any, data: Mapping[str, Any], train: Mapping[str, Any]) -> modelyard.Spec:
        values = {"name": "labels", "seed": self.seed, "data": data, "model": NETWORK, "task": task}
        return modelyard.Spec.parse({**values, "train": dict(train), "evaluate": NOT_MEASURED})


Way = Callable[[Job], modelyard.Spec]


def supervised(job: Job) -> modelyard.Spec:
    return job.supervised()


def pretrained(task: Mapping[str, Any], **fine_tuning: Any) -> Way:
    """Features first, then everything fine-tuned as a network from scratch would be trained.

    Slower blocks near the input (`layer_decay: 0.8`) and a third of the rate were tried with one seed, and did less.
    """

    def way(job: Job) -> modelyard.Spec:
        bundle = modelyard.train(job.pretraining(task, rows=len(job.train.labels)), job.runs).bundle
        return job.supervised(pretrained={"bundle": str(bundle)}, **fine_tuning)

    return way


def semi_supervised(name: str, **settings: Any) -> Way:
    """Labelled rows and the others in one training."""

    def way(job: Job) -> modelyard.Spec:
        unlabelled = job.train.columns(job.others, labelled=False)
        return job.supervised(data={"unlabelled": unlabelled}, semi_supervised={"type": name, **settings})

    return way


WAYS: dict[str, Way] = {
    "supervised": supervised,
    "autoencoding": pretrained({"type": "autoencoding", "code_size": 64}),
    "masked_patches": pretrained({"type": "masked_patches", "share": 0.6, "patch": 4}),
    "contrastive": pretrained({"type": "contrastive", "flip": True}),
    "pseudo_label": semi_supervised("pseudo_label"),
    # The usual 0.95 did less with one seed, on training pictures beyond the first 10,000.
    "fixmatch": semi_supervised("fixmatch", threshold=0.8),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", help=f"some of: {', '.join(WAYS)}; all when none is named")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--labels", type=int, default=25, help="labelled rows a class")
    parser.add_argument("--rows", type=int, default=60_000, help="training pictures that are used at all")
    parser.add_argument("--epochs", type=int, default=200, help="of training on labelled rows")
    parser.add_argument("--pretraining-epochs", type=int, default=10)
    parser.add_argument("--write", action="store_true", help=f"write the table into {RESULTS.name}")
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.ways if name not in WAYS]
    if unknown:
        parser.error(f"no way is called {', '.join(unknown)}; there are {', '.join(WAYS)}")
    plan = Plan(asked.labels, asked.epochs, asked.pretraining_epochs)
    train, test = read_pictures()
    train = Pictures(train.images[: asked.rows], train.labels[: asked.rows])
    results = {name: Result() for name in asked.ways or WAYS}
    for seed in range(asked.seeds):
        labelled = draw_labelled(train.labels, plan.labels, seed)
        others = np.setdiff1d(np.arange(len(train.labels)), labelled)
        for name, result in results.items():
            measured = _measured(name, Job(train, labelled, others, plan, seed, Path()), test)
            result.accuracies.append(measured["accuracy"])
            result.seconds.append(measured["seconds"])
            result.cores.add(measured["cores"])
            print(f"seed {seed}  {name:<16} {result.accuracies[-1]:.4f}  {result.seconds[-1]:.0f} s", flush=True)
    text = table(results, plan, len(train.labels))
    print(text)
    if asked.write:
        RESULTS.write_text(text, encoding="utf-8")


def _measured(name: str, job: Job, test: Pictures) -> dict[str, Any]:
    """Return what one way came to with one seed: from the cache, where it was measured before."""
    about = {"way": name, "seed": job.seed, "rows": len(job.train.labels), **asdict(job.plan)}
    about["modelyard"] = modelyard.__version__
    digest = digest_bytes(json.dumps(about).encode())[:12]
    kept = cache_directory() / "benchmarks" / "labels" / f"{name}-{job.seed}-{digest}.json"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as runs:
            started = time.monotonic()
            run = modelyard.train(WAYS[name](replace(job, runs=Path(runs))), runs)
            seconds = time.monotonic() - started
            found = {"accuracy": accuracy(run.bundle, test), "seconds": seconds, "cores": torch.get_num_threads()}
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, json.dumps({**about, **found}))
    known: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return known


def read_pictures() -> tuple[Pictures, Pictures]:
    """Return the training and the test pictures of Fashion-MNIST."""
    entry = modelyard.catalog.entry("fashion_mnist")
    folder = modelyard.catalog.get("fashion_mnist")
    found = []
    for split in ("train", "test"):
        source = open_sources(str(folder / entry.files[split]), None, {})[None]
        images, labels = [], []
        for chunk in source.read():
            column = chunk.table.column("image")
            images.append(np.asarray(column.to_numpy_ndarray(), np.uint8).reshape(-1, 28, 28))
            labels += chunk.table.column("label").to_pylist()
        found.append(Pictures(np.concatenate(images), np.array(labels)))
    return found[0], found[1]


def draw_labelled(labels: npt.NDArray[Any], count: int, seed: int) -> npt.NDArray[np.int64]:
    """Return `count` rows of each label, drawn by the seed, rising."""
    random = stream(seed, "labels")
    drawn = [random.choice(np.flatnonzero(labels == label), count, replace=False) for label in np.unique(labels)]
    return np.sort(np.concatenate(drawn))


def accuracy(bundle: Path, test: Pictures) -> float:
    answers = modelyard.load(bundle).predict({"image": test.images})
    return float(np.mean([row["label"] == str(label) for row, label in zip(answers, test.labels, strict=True)]))


def table(results: Mapping[str, Result], plan: Plan, rows: int) -> str:
    """Return the results as Markdown."""
    machine = environment()
    seeds = max(len(one.accuracies) for one in results.values())
    cores = " or ".join(map(str, sorted(set().union(*(one.cores for one in results.values())))))
    lines = [
        "# Fashion-MNIST with few labels",
        "",
        f"{plan.labels} labels a class ({10 * plan.labels} in all), {rows:,} training pictures;",
        f"{plan.epochs} epochs on labelled rows, {plan.pretraining_epochs} of pretraining. Test accuracy on 10,000",
        f"pictures, mean ± standard deviation over {seeds} seeds (labelled rows, weights and order drawn anew);",
        f"seconds of one seed on {cores} core(s), all stages. Written by `python benchmarks/labels.py --write`.",
        "",
        "| way | test accuracy | beside supervised | seconds |",
        "|---|---:|---:|---:|",
    ]
    base = results.get("supervised")
    for name, result in results.items():
        values = np.array(result.accuracies)
        spread = f" ± {100 * values.std(ddof=1):.2f}" if len(values) > 1 else ""
        beside = "" if base is None else f"{100 * float((values - np.array(base.accuracies)).mean()):+.2f} points"
        lines.append(f"| `{name}` | {100 * values.mean():.2f}%{spread} | {beside} | {np.mean(result.seconds):.0f} |")
    lines += [
        "",
        f"modelyard {modelyard.__version__}; {', '.join(f'{key} {value}' for key, value in machine.items())}",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
