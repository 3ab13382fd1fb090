"""Training beside its peers: the same model, data, batch, epochs, optimizer and rate, and the same quality in the end.

    python benchmarks/training.py                        every workload, five repeats
    python benchmarks/training.py W1 W4 --repeats 3      some of them (W1 is W1-128 and W1-32)
    python benchmarks/training.py --write                and write RESULTS.md from all that was measured so far
    python benchmarks/training.py --quick                a few steps of everything, to see that it works

A repeat runs each program once, in turns, each in a process and an environment of its own. A program takes a first
step, trains one epoch to warm up, and then the epochs that are timed; nothing is validated or saved in between.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers import environment_of, run_peer

from modelyard.core.device import environment
from modelyard.core.files import cache_directory, write_json, write_text

SCRIPTS = Path(__file__).parent / "peer_scripts"
RESULTS = Path(__file__).parent / "RESULTS.md"
MIB = 1 << 20
OURS = "modelyard"

Result = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """A program to measure: its script, the packages of its environment, and what its script is told besides."""

    script: str
    environment: str
    packages: tuple[str, ...]
    told: dict[str, str] = field(default_factory=dict)


PEERS = {
    "PyTorch, textbook loop": Peer("training_torch.py", "torch", ("torch", "numpy")),
    "Lightning": Peer("training_lightning.py", "lightning", ("torch", "lightning")),
    "Keras on TensorFlow": Peer("training_keras.py", "tensorflow", ("tensorflow-cpu",), {"backend": "tensorflow"}),
    "Keras on PyTorch": Peer("training_keras.py", "keras_torch", ("torch", "keras"), {"backend": "torch"}),
    "scikit-learn MLPClassifier": Peer("training_sklearn.py", "scikit-learn", ("scikit-learn",)),
    "Hugging Face Trainer": Peer("training_transformers.py", "transformers", ("torch", "transformers[torch]")),
}


@dataclass(frozen=True)
class Workload:
    """What is trained, on what, how, and beside whom."""

    title: str
    kind: str
    """Of network, in `training_nets.py`."""
    data: str
    rows: dict[str, int]
    inputs: dict[str, Any]
    model: dict[str, Any]
    batch: int
    epochs: int
    """The first of them warms up."""
    rate: float
    peers: tuple[str, ...]
    noise: float
    """By how much accuracies may differ for the seed alone, besides the noise of so many test rows."""

    def spec(self, name: str) -> dict[str, Any]:
        """Return modelyard's spec, in which the source is still missing."""
        target = "income" if self.data == "adult" else "label"
        kept = ("duplicates_across_splits", "contradictory_labels", "duplicate_rows", "near_duplicate_images")
        return {
            "name": name.lower(),
            "data": {
                "source": "",
                "inputs": copy.deepcopy(self.inputs),
                "targets": {target: "category"},
                "split": {"method": "given", "validation": 0},
                "checks": dict.fromkeys(kept, "keep"),
            },
            "model": copy.deepcopy(self.model),
            "task": "classification",
            "train": {
                "optimizer": "adam",
                "weight_decay": 0,
                "schedule": "constant",
                # The peers save nothing either.
                "checkpoint": {"minutes": None, "steps": None, "epochs": None},
            },
            "evaluate": {"resamples": 0, "mistakes": 0, "calibrate": False, "slices": None, "robustness": False},
        }


_NUMBERS = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")
_CATEGORIES = ("workclass", "marital_status", "occupation", "relationship", "race", "sex", "native_country")
_TEXT = {"text": {"type": "text", "tokens": "word", "vocabulary_size": 20_000, "max_length": 128}}
_CNN = [
    *("conv 32 same", "pool 2", "conv 64 same", "pool 2", "conv 128 same", "pool 2"),
    *("flatten", "dense 128"),
]
_TORCH, _TENSORFLOW = "PyTorch, textbook loop", "Keras on TensorFlow"


def _w1(batch: int, epochs: int) -> Workload:
    peers = (_TORCH, "Lightning", _TENSORFLOW, "Keras on PyTorch")
    return Workload(
        f"CNN 32-64-128, 28 × 28 (Fashion-MNIST), batch {batch}",
        "cnn", "fashion", {"train": 12_800, "test": 2_000}, {"image": "image"}, {"family": "cnn", "layers": _CNN},
        batch, epochs, 1e-3, peers, 0.015,
    )  # fmt: skip


WORKLOADS = {
    "W1-128": _w1(128, 4),
    "W1-32": _w1(32, 3),
    "W2": Workload(
        "mixed table (Adult), MLP 128-64 on one-hot and standardised columns, batch 256",
        "mlp", "adult", {"train": 32_561, "test": 16_281},
        {**dict.fromkeys(_NUMBERS, "number"), **dict.fromkeys(_CATEGORIES, "category")},
        {"family": "mlp", "hidden_sizes": [128, 64], "category_embedding": "one_hot"},
        256, 7, 1e-3, (_TENSORFLOW, "scikit-learn MLPClassifier"), 0.01,
    ),
    "W3": Workload(
        "text (Chinese reviews), embedding 64 + average + dense 64, at most 128 tokens, batch 128",
        "average", "reviews", {"train": 14_080, "test": 2_500}, _TEXT,
        {"family": "embedding", "embedding_size": 64, "hidden_sizes": [64]},
        128, 7, 3e-3, (_TENSORFLOW, _TORCH), 0.015,
    ),
    "W4": Workload(
        "LSTM 128 on embedding 128, 128 tokens (Chinese reviews strung together), batch 64",
        "lstm", "joined reviews", {"train": 4_096, "test": 800}, _TEXT,
        {"family": "rnn", "cell": "lstm", "embedding_size": 128, "hidden_size": 128},
        64, 5, 3e-3, (_TENSORFLOW, _TORCH), 0.04,
    ),
    "W5": Workload(
        "Transformer encoder 4 × 256, 4 heads, feed-forward 1024, 128 tokens, batch 32",
        "encoder", "joined reviews", {"train": 1_280, "test": 800}, _TEXT,
        {"family": "encoder", "width": 256, "layers": 4, "heads": 4, "feed_forward_size": 1024, "norm_first": False,
         "dropout": 0.1},
        32, 3, 3e-4, ("Hugging Face Trainer", _TENSORFLOW), 0.05,
    ),
    "W6": Workload(
        "ResNet-18, small-image variant, 32 × 32 × 3 (Fashion-MNIST in a border), batch 128",
        "resnet", "fashion colour", {"train": 1_920, "test": 1_000}, {"image": "image"},
        {"family": "resnet", "depth": 18, "width": 64, "stem": "small"},
        128, 2, 1e-3, (_TORCH, _TENSORFLOW), 0.08,
    ),
}  # fmt: skip


# -- running ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Session:
    """How everything is run this time."""

    folder: Path
    threads: int
    repeats: int
    quick: bool

    def prepare(self, name: str) -> dict[str, Any]:
        """Return what is known about a workload's data, which is made when it is not there yet."""
        workload = WORKLOADS[name]
        asked: dict[str, Any] = {"spec": workload.spec(name), "data": workload.data, "kind": workload.kind}
        asked["rows"] = {"train": 2 * workload.batch, "test": 200} if self.quick else workload.rows
        asked["folder"] = str(self.folder / name)
        asked["key"] = json.dumps(asked, sort_keys=True)
        about = self.folder / name / "about.json"
        if about.exists():
            known: dict[str, Any] = json.loads(about.read_text("utf-8"))
            if known.pop("asked") == asked["key"]:
                return known
        return run_peer(sys.executable, SCRIPTS / "training_prepare.py", json.dumps(asked))

    def job(self, name: str, repeat: int, told: dict[str, str]) -> str:
        """Return what a script is told, with the time from which it counts to its first step."""
        workload = WORKLOADS[name]
        job: dict[str, Any] = {"folder": str(self.folder / name), "batch": workload.batch, "rate": workload.rate}
        job |= {"epochs": 2 if self.quick else workload.epochs, "seed": repeat, "threads": self.threads, **told}
        return json.dumps(job | {"started": time.time()})

    def measure(self, name: str) -> dict[str, Any]:
        """Return all results of a workload, the programs in turns."""
        about = self.prepare(name)
        programs: dict[str, Callable[[int], Result]] = {OURS: lambda repeat: self._ours(name, repeat)}
        for peer in WORKLOADS[name].peers:
            programs[peer] = self._peer(name, PEERS[peer])
        results: dict[str, list[Result]] = {program: [] for program in programs}
        commands = []
        for repeat in range(self.repeats):
            for program, run in programs.items():
                result = run(repeat)
                results[program].append(result)
                print(
                    f"  {repeat + 1}. {program:28} {result['rows_per_second']:10,.0f} rows/s  accuracy "
                    f"{result['accuracy']:.4f}  {result['peak_bytes'] / MIB:6,.0f} MiB  first step after "
                    f"{result['to_first_step']:.1f} s, {result['parameters']:,} parameters",
                    flush=True,
                )
            commands.append(self._command(name))
            print(f"     from `modelyard train` to the first step {commands[-1]:.1f} s", flush=True)
        return {"about": about, "results": results, "command_seconds": commands, "date": time.strftime("%Y-%m-%d")}

    def _ours(self, name: str, repeat: int) -> Result:
        return run_peer(sys.executable, SCRIPTS / "training_modelyard.py", self.job(name, repeat, {}))

    def _peer(self, name: str, peer: Peer) -> Callable[[int], Result]:
        python = environment_of(peer.environment, peer.packages)
        return lambda repeat: run_peer(python, SCRIPTS / peer.script, self.job(name, repeat, peer.told))

    def _command(self, name: str) -> float:
        """Return the seconds from the start of `modelyard train` on prepared data to the end of its first step."""
        with tempfile.TemporaryDirectory() as runs:
            spec = self.folder / name / "spec.yaml"
            asked = [f"train.batch_size={WORKLOADS[name].batch}", "train.max_steps=1"]
            program = "from modelyard.cli import main; main()"
            started = time.time()
            done = subprocess.run(
                [sys.executable, "-P", "-c", program, "train", str(spec), *asked, "--runs", runs],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise RuntimeError(f"modelyard train failed:\n{done.stderr[-2000:]}")
            (log,) = Path(runs).glob("*/events.jsonl")
            events = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        return next(float(event["time"]) for event in events if event["event"] == "epoch") - started

    def limits(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the machine's rates in FLOP/s and the operations a row of each workload takes."""
        abouts = {name: self.prepare(name) for name in names}
        size, rounds = (512, 1) if self.quick else (4096, 3)
        asked = {"abouts": abouts, "threads": self.threads, "size": size, "rounds": rounds}
        return run_peer(environment_of("torch", ("torch", "numpy")), SCRIPTS / "training_limits.py", json.dumps(asked))


def disagreements(name: str, measured: dict[str, Any]) -> list[str]:
    """Return in words which peers' accuracy is further from modelyard's than seed and test rows explain."""
    found = {program: middle(runs, "accuracy") for program, runs in measured["results"].items()}
    ours, rows = found[OURS], measured["about"]["test_rows"]
    allowed = WORKLOADS[name].noise + 2 * math.sqrt(2 * ours * (1 - ours) / rows)
    return [
        f"{name}: {program} reaches {value:.4f}, modelyard {ours:.4f}; {allowed:.4f} apart is noise"
        for program, value in found.items()
        if abs(value - ours) > allowed
    ]


def middle(runs: Sequence[Result], key: str) -> float:
    return statistics.median(float(run[key]) for run in runs)


# -- RESULTS.md -------------------------------------------------------------------------------------------------------


_INTRODUCTION = """
Written by `python benchmarks/training.py --write`. Same network, rows, batch, epochs, Adam with the same rate, and
within noise the same test accuracy (the script fails when not). Every repeat runs each program once, in turns, in a
process and an environment of its own; one epoch warms up, the epochs after it are timed: training alone, nothing
validated or saved. Peers compute in float32, as they do when nothing is said; modelyard in the precision it chooses.
Medians, with the least and the most behind them.
"""
_NOTES = """
Shares of the limit: operations of matrix products and convolutions, counted by torch on the plain network (an average
of embeddings has none), over time, beside a square product of 4096 timed in the same run. Memory: the most held at once
(resident) from the start of the process to its last epoch. First step: from the start of the process to the end of the
first step. Parameters differ where a library keeps a second bias (PyTorch's LSTM) or an unused table (BERT's segments).

Ludwig is not among the peers of W2: it needs a torchvision built for the same torch, which the CPU build of torch that
is used here does not have.
"""


def summarise(measured: dict[str, Any]) -> dict[str, Any]:
    """Return a workload's figures beside the fastest and the leanest peer."""
    results = measured["results"]
    peers = [program for program in results if program != OURS]
    fastest = max(peers, key=lambda peer: middle(results[peer], "rows_per_second"))
    leanest = min(peers, key=lambda peer: middle(results[peer], "peak_bytes"))
    pairs = zip(results[OURS], results[fastest], strict=True)
    ratios = [ours["rows_per_second"] / theirs["rows_per_second"] for ours, theirs in pairs]
    rate = middle(results[OURS], "rows_per_second")
    shares = {name: rate * measured["flops_per_row"] / limit for name, limit in measured["limits"].items()}
    memory = middle(results[OURS], "peak_bytes") / middle(results[leanest], "peak_bytes")
    return {"fastest": fastest, "leanest": leanest, "ratios": ratios, "memory": memory, "shares": shares}


def write_results(folder: Path) -> None:
    stored = {name: folder / f"{name}.json" for name in WORKLOADS}
    found = {name: json.loads(path.read_text("utf-8")) for name, path in stored.items() if path.exists()}
    if not found:
        raise SystemExit("nothing was measured yet")
    write_text(RESULTS, report(found))


def report(found: dict[str, dict[str, Any]]) -> str:
    facts = environment()
    lines = [
        "# Training beside its peers",
        "",
        *_INTRODUCTION.strip().splitlines(),
        "",
        f"{facts['processor']}, {facts['cores']} cores, {(facts['memory_bytes'] or 0) / 2**30:.0f} GiB, "
        f"{facts['system']}, Python {facts['python']}.",
        "",
        "| workload | modelyard / fastest peer | fastest peer | memory / leanest peer | leanest peer "
        "| share of float32 limit | of bfloat16 limit | `modelyard train` to first step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, measured in found.items():
        short = summarise(measured)
        shares = " | ".join(f"{short['shares'][kind]:.0%}" for kind in ("float32", "bfloat16"))
        lines.append(
            f"| {name} | **{spread(short['ratios'], 2)}** | {short['fastest']} | {short['memory']:.2f} "
            f"| {short['leanest']} | {shares} | {spread(measured['command_seconds'], 1)} s |"
        )
    lines += [
        "",
        *_NOTES.strip().splitlines(),
    ]
    for name, measured in found.items():
        lines += ["", *_section(name, measured)]
    return "\n".join(lines) + "\n"


def _section(name: str, measured: dict[str, Any]) -> list[str]:
    workload, about, results = WORKLOADS[name], measured["about"], measured["results"]
    limits = ", ".join(f"{kind} {rate / 1e9:,.0f}" for kind, rate in measured["limits"].items())
    lines = [
        f"## {name}: {workload.title}",
        "",
        f"{about['rows']:,} rows of {' × '.join(map(str, about['shape']))}, {workload.epochs} epochs, rate "
        f"{workload.rate:g}; {about['test_rows']:,} test rows; {len(results[OURS])} repeats, {measured['date']}. "
        f"{measured['flops_per_row'] / 1e6:,.1f} MFLOP a row and step; limits in GFLOP/s: {limits}.",
    ]
    if about["filled"] < 1:
        lines[-1] += (
            f" Rows are padded to {about['shape'][0]} tokens for the peers, of which {about['filled']:.0%} are real; "
            "modelyard puts rows of similar length together and pads to the longest of a batch."
        )
    lines += [
        "",
        "| program | rows/s | modelyard is faster by | peak MiB | test accuracy | parameters | first step after |",
        "|---|---|---|---|---|---|---|",
    ]
    ours = results[OURS]
    for program, runs in results.items():
        pairs = zip(ours, runs, strict=True)
        ratios = [mine["rows_per_second"] / theirs["rows_per_second"] for mine, theirs in pairs]
        said = f" ({runs[0]['precision']})" if "precision" in runs[0] else ""
        lines.append(
            f"| {runs[0]['version']}{said} | {spread([run['rows_per_second'] for run in runs], 0)} "
            f"| {'' if program == OURS else spread(ratios, 2)} | {middle(runs, 'peak_bytes') / MIB:,.0f} "
            f"| {spread([run['accuracy'] for run in runs], 4)} | {runs[0]['parameters']:,} "
            f"| {spread([run['to_first_step'] for run in runs], 1)} s |"
        )
    return lines


def spread(values: Sequence[float], digits: int) -> str:
    """Return the median with the least and the most."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):,.{digits}f} ({low:,.{digits}f} … {high:,.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"workloads, or how their names begin: {', '.join(WORKLOADS)}")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a few steps; nothing is kept")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    unknown = [name for name in options.names if not any(known.startswith(name) for known in WORKLOADS)]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(WORKLOADS)}")
    names = [name for name in WORKLOADS if not options.names or name.startswith(tuple(options.names))]
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    home = cache_directory() / "benchmarks" / "training"
    session = Session(home / ("quick" if options.quick else "data"), options.threads, options.repeats, options.quick)
    limits = session.limits(names)
    print(", ".join(f"{kind}: {rate / 1e9:,.0f} GFLOP/s" for kind, rate in limits["limits"].items()))
    problems: list[str] = []
    for name in names:
        print(f"{name}: {WORKLOADS[name].title}", flush=True)
        measured = session.measure(name)
        measured |= {"limits": limits["limits"], "flops_per_row": limits["flops_per_row"][name]}
        short = summarise(measured)
        print(
            f"  modelyard / {short['fastest']}: {spread(short['ratios'], 2)}; memory / {short['leanest']}: "
            f"{short['memory']:.2f}; limit reached: "
            + ", ".join(f"{kind} {share:.0%}" for kind, share in short["shares"].items()),
            flush=True,
        )
        if options.quick:
            continue
        problems += disagreements(name, measured)
        (home / "results").mkdir(parents=True, exist_ok=True)
        write_json(home / "results" / f"{name}.json", measured)
        if options.write:
            write_results(home / "results")
    if options.write and options.quick:
        parser.error("--quick measures nothing that could be written")
    if problems:
        raise SystemExit("not the same quality:\n" + "\n".join(problems))


if __name__ == "__main__":
    main()
