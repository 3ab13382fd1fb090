"""A quality gate: say what a model must reach, and a model that misses it is refused. Takes about 6 seconds.

    python examples/own_metric_gate.py [FOLDER FOR RUNS]

On the command line a refusal is exit code 3, so that a nightly job stops there. Data: 569 tumours, thirty measurements
each (comes with scikit-learn).
"""

import sys

from sklearn.datasets import load_breast_cancer

import modelyard


def main(folder: str = "runs") -> None:
    """Train twice with the same demands: after one epoch they are missed, after twenty-five they are met."""
    data = load_breast_cancer(as_frame=True)
    table = data.frame
    table["diagnosis"] = [data.target_names[number] for number in table.pop("target")]

    spec = {
        "name": "gate",
        "data": {"source": table, "targets": ["diagnosis"], "split": {"validation": 0, "test": 0.4}},
        "task": {"type": "classification", "positive": "malignant"},
        "train": {"learning_rate": 0.001, "batch_size": 128},
        # On the test split: at least 85% of the malignant ones are found, and probabilities mean what they say.
        "evaluate": {"require": {"recall": 0.85, "log_loss": 0.25}, "resamples": 200},
    }
    for epochs in (1, 25):
        try:
            run = modelyard.train(modelyard.Spec.parse(spec, [f"train.epochs={epochs}"]), folder)
        except modelyard.GateError as refusal:
            print(f"{epochs} epoch: refused with exit code {refusal.exit_code}\n  {refusal}\n")
            continue
        recall = next(metric for metric in run.evaluations[-1].metrics if metric.name == "recall")
        print(
            f"{epochs} epochs: accepted, {recall.value:.0%} of the malignant tumours found "
            f"(with {recall.rows} rows that means somewhere from {recall.low:.0%} to {recall.high:.0%})"
        )


if __name__ == "__main__":
    main(*sys.argv[1:2])
