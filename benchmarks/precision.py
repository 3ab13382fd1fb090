"""Whether bfloat16 costs quality: the same trainings in float32 and in bfloat16, five seeds each.

    python benchmarks/precision.py            every training
    python benchmarks/precision.py cnn        those whose titles begin so
    python benchmarks/precision.py --write    and write PRECISION.md from all that was measured so far

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
from modelyard.core.files import cache_directory, write_text

RESULTS = Path(__file__).parent / "PRECISION.md"
SEEDS = 5
_T = 2.776
"""Of Student's distribution: 95% of the mean of five differences lie within so many standard errors."""


@dataclass(frozen=True)
class Case:
    """A training, from a recipe."""

    recipe: str
    overrides: tuple[str, ...]


_PLAIN = ("evaluate.resamples=0", "evaluate.robustness=false", "evaluate.slices=null", "evaluate.calibrate=false",
          "evaluate.require.accuracy=0")  # fmt: skip
CASES = {
    "cnn 32-64-128 with batch norm, 6,000 pictures of MNIST, 3 epochs": Case(
        "mnist", ("data.limit=6000", "train.epochs=3", "model.size=small")
    ),
    "resnet-18, width 16, 3,000 pictures of Fashion-MNIST, 4 epochs": Case(
        "fashion_mnist",
        ("data.limit=3000", "train.epochs=4", "model=null", "model={family: resnet, depth: 18, width: 16}"),
    ),
    "encoder 2 × 128, Chinese reviews, 2 epochs": Case(
        "chinese_reviews",
        ("train.epochs=2", "data.inputs.text=null",
         "data.inputs.text={type: text, max_length: 64}",
         "model=null", "model={family: encoder, width: 128, layers: 2, heads: 4, feed_forward_size: 512}",
         "train.learning_rate=0.001"),
    ),
}  # fmt: skip


def main() -> None:
    """Train everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("titles", nargs="*")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    measured = cache_directory() / "benchmarks" / "precision"
    measured.mkdir(parents=True, exist_ok=True)
    for title, case in CASES.items():
        if options.titles and not title.startswith(tuple(options.titles)):
            continue
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
        row = (
            f"| {title} | {_spread(found['float32'])} | {_spread(found['bfloat16'])} "
            f"| {100 * mean:+.2f} ({100 * (mean - half):+.2f} … {100 * (mean + half):+.2f}) | {ratio:.2f} |"
        )
        print(row)
        write_text(measured / f"{title}.txt", row)
    rows = [path.read_text("utf-8") for title in CASES if (path := measured / f"{title}.txt").exists()]
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
