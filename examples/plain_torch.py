"""A trained network is an ordinary torch module: take it along into your own code. Takes about 5 seconds.

    python examples/plain_torch.py [FOLDER FOR RUNS]

Here torch differentiates the answer by the inputs, which shows what the network looks at. Data: how diabetes progressed
in 442 patients (comes with scikit-learn).
"""

import sys

import torch
from sklearn.datasets import load_diabetes
from torch import nn

import modelyard


def main(folder: str = "runs") -> None:
    """Train, load, and draw how strongly each measurement moves the answer."""
    table = load_diabetes(as_frame=True, scaled=False).frame.rename(
        columns={"s1": "cholesterol", "s2": "LDL", "s3": "HDL", "s4": "ratio", "s5": "triglycerides", "s6": "sugar"}
    )
    spec = modelyard.Spec.parse(
        {
            "name": "diabetes",
            "data": {"source": table, "inputs": dict.fromkeys(table.columns.drop("target"), "number"),
                     "targets": {"target": "number"}},
            "model": {"family": "mlp", "hidden_sizes": [16]},
            "train": {"epochs": 60, "batch_size": 32, "weight_decay": 0.1},
            "evaluate": {"resamples": 0},
        }
    )  # fmt: skip
    run = modelyard.train(spec, folder)
    network = modelyard.load(run.bundle).network
    assert isinstance(network, nn.Module)
    print(network, "\n")

    # All number columns arrive as one matrix, each scaled to mean 0 and deviation 1: so a normal draw is a made-up
    # patient, and a gradient is the effect of one standard deviation.
    (numbers,) = network.inputs
    patients = torch.randn(2000, numbers.width, generator=torch.Generator().manual_seed(0), requires_grad=True)
    network({"numbers": patients}).sum().backward()
    effect = patients.grad.mean(0)
    for index in effect.abs().argsort(descending=True).tolist():
        bar = ("+" if effect[index] > 0 else "-") * round(60 * abs(float(effect[index])))
        print(f"{numbers.columns[index]:>13} {float(effect[index]):+.2f} {bar}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
