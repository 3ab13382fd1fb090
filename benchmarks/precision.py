"""Whether bfloat16 costs quality: the same trainings in float32 and in bfloat16, five seeds each.

    python benchmarks/precision.py            print
    python benchmarks/precision.py --write    and write PRECISION.md

Weights, optimizer, evaluation and prediction are float32 in both; only the large products of training differ. A seed
decides the first weights, the order of the rows and dropout; both arithmetics get the same five.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import modelyard
from modelyard.core.device import environment
from modelyard.core.files import write_text

RESULTS = Path(__file__).parent / "PRECISION.md"
SEEDS = 5
_T = 2.776
"""Of Student's distribution: 95% of the mean of five differences lie within so many standard errors."""


@dataclass(frozen=True)
class Case:
    """A training, from a recipe."""

    recipe: str
    overrides: tuple[str, ...]


_PLAIN = ("evaluate.resamples=0", "evaluate.robustness=false", "evaluate.slices=null", "evaluate.calibrate=false")
CASES = {
    "cnn 32-64-128 with batch norm, 12,000 pictures of MNIST, 4 epochs": Case(
        "mnist", ("data.limit=12000", "train.epochs=4", "model.size=small")
    ),
    "resnet-18, width 16, 6,000 pictures of Fashion-MNIST, 4 epochs": Case(
        "fashion_mnist", ("data.limit=6000", "train.epochs=4", "model={family: resnet, depth: 18, width: 16}")
    ),
    "encoder 4 × 128, Chinese reviews, 4 epochs": Case(
        "chinese_reviews",
        ("train.epochs=4", "model={family: encoder, size: small}", "data.inputs.text={type: text, max_length: 64}",
         "train.learning_rate=0.0005"),
    ),
}  # fmt: skip


def main() -> None:
    """Train everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows = []
    for title, case in CASES.items():
        found: dict[str, list[float]] = {"float32": [], "bfloat16": []}
        speeds: dict[str, list[float]] = {"float32": [], "bfloat16": []}
        for seed in range(SEEDS):
            for precision in found:
                asked = [*case.overrides, *_PLAIN, f"seed={seed}", f"train.precision={precision}"]
                with tempfile.TemporaryDirectory() as runs:
                    run = modelyard.train(modelyard.open_spec(case.recipe, asked), runs)
                found[precision].append(run.metrics["accuracy"])
                speeds[precision].append(run.training.rows_per_second)
                print(f"{title}: seed {seed}, {precision}: accuracy {found[precision][-1]:.4f}", flush=True)
        differences = [low - high for low, high in zip(found["bfloat16"], found["float32"], strict=True)]
        half = _T * statistics.stdev(differences) / math.sqrt(SEEDS)
        mean = statistics.mean(differences)
        ratio = statistics.median(speeds["bfloat16"]) / statistics.median(speeds["float32"])
        rows.append(
            f"| {title} | {_spread(found['float32'])} | {_spread(found['bfloat16'])} "
            f"| {100 * mean:+.2f} ({100 * (mean - half):+.2f} … {100 * (mean + half):+.2f}) | {ratio:.2f} |"
        )
    facts = environment()
    text = "\n".join(
        [
            "# What bfloat16 costs",
            "",
            "Written by `python benchmarks/precision.py --write`. Test accuracy in percent, mean ± standard deviation",
            "over five seeds; the difference of the two in points, paired by seed, with its 95% interval.",
            "",
            f"{facts['processor']}, {facts['cores']} cores, torch {facts['torch']}.",
            "",
            "| training | float32 | bfloat16 | difference | rows/s, bfloat16 / float32 |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
    print(text)
    if options.write:
        write_text(RESULTS, text)


def _spread(values: list[float]) -> str:
    return f"{100 * statistics.mean(values):.2f} ± {100 * statistics.stdev(values):.2f}"


if __name__ == "__main__":
    main()
