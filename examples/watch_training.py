"""Watch a training from Python: any function can be told of every event. Takes about 5 seconds.

    python examples/watch_training.py [FOLDER FOR RUNS]

The function here draws one line an epoch, with a star when the validation loss is the best so far. Data: 1,797
handwritten digits of 8 × 8 pixels (comes with scikit-learn).
"""

import sys
from typing import Any

from sklearn.datasets import load_digits

import modelyard


def watch(event: dict[str, Any]) -> None:
    """Draw the validation loss as a bar that should get shorter; `events.jsonl` holds the same events."""
    if event["event"] == "training":
        print(f"{event['family']} with {event['parameters']:,} parameters, {event['rows']['train']} rows to learn from")
    if event["event"] == "epoch":
        loss = event["validation"]["loss"]
        star = " ★" if event["best"] else ""
        print(f"epoch {event['epoch']:>2} {'█' * max(1, round(30 * loss))} {loss:.3f}{star}")
    if event["event"] == "finished":
        print(f"done in {event['seconds']:.1f} s, {event['metrics']['accuracy']:.1%} right on the test rows")


def main(folder: str = "runs") -> None:
    """Train for 12 epochs, or fewer when three in a row bring nothing."""
    digits = load_digits()
    spec = modelyard.Spec.parse(
        {
            "name": "digits",
            "data": {
                "source": {"image": (digits.images * 15.9).astype("uint8"), "digit": digits.target},
                "targets": {"digit": "category"},
            },
            "model": {"family": "mlp", "hidden_sizes": [64]},
            "train": {"epochs": 12, "learning_rate": 0.01, "early_stopping": {"metric": "loss", "patience": 3}},
            "evaluate": {"resamples": 0},
        }
    )
    modelyard.train(spec, folder, [watch])


if __name__ == "__main__":
    main(*sys.argv[1:2])
