"""Three runs side by side: what was set differently, and what it did. Takes about 8 seconds.

    python examples/compare_runs.py [FOLDER FOR RUNS]

On the terminal the same comparison is `modelyard compare RUN RUN RUN`. The data is made up: two half moons.
"""

import math
import random
import sys

import modelyard


def moons(count: int) -> list[dict[str, object]]:
    """Return points on two half circles that reach into each other, with some noise."""
    chance = random.Random(3)
    rows: list[dict[str, object]] = []
    for number in range(count):
        angle, upper = chance.uniform(0, math.pi), number % 2 == 0
        x, y = (math.cos(angle), math.sin(angle)) if upper else (1 - math.cos(angle), 0.5 - math.sin(angle))
        point = {"x": x + chance.gauss(0, 0.2), "y": y + chance.gauss(0, 0.2)}
        rows.append({**point, "moon": "upper" if upper else "lower"})
    return rows


def main(folder: str = "runs") -> None:
    """Train a straight line, a small and a wider network on the same rows, and compare."""
    base = {
        "name": "moons",
        "data": {"source": moons(800), "targets": ["moon"]},
        "train": {"epochs": 20, "batch_size": 32, "learning_rate": 0.01},
        "evaluate": {"resamples": 0},
    }
    models = [
        ["model.family=linear"],
        ["model.family=mlp", "model.hidden_sizes=[4]"],
        ["model.family=mlp", "model.hidden_sizes=[32, 32]"],
    ]
    finished = [modelyard.train(modelyard.Spec.parse(base, overrides), folder) for overrides in models]

    comparison = modelyard.compare([run.path for run in finished])
    for setting, values in comparison.settings.items():
        print(f"{setting:<24}", *(f"{'–' if value is None else str(value):>12}" for value in values))
    print()
    for metric in ("accuracy", "roc_auc", "log_loss"):
        print(f"{metric:<24}", *(f"{value:12.3f}" for value in comparison.metrics[metric]))
    accuracies = comparison.metrics["accuracy"]
    print(f"\nA straight line cannot part two moons: the curve gains {accuracies[2] - accuracies[0]:.0%} of the rows.")


if __name__ == "__main__":
    main(*sys.argv[1:2])
