"""Small linear models, fitted in a moment and written as bundles, for tests that need more than outputs."""

from __future__ import annotations

import pyarrow as pa
import torch

from modelyard.bundle.contents import Contents, make_task, to_files
from modelyard.bundle.format import write_bundle
from modelyard.data.batch import Batch
from modelyard.data.fitted import Fitted, make_modality
from modelyard.evaluate.baseline import fit_baseline
from modelyard.models.build import build
from modelyard.spec.spec import Spec


def fit_contents(columns, inputs, targets, task, evaluate=None, steps=80, files=()):
    """Fit a linear model to columns (name → list of values), `inputs` and `targets` being column → modality."""
    spec = Spec.parse(
        {
            "name": "small",
            "data": {"source": list(files) or "rows.csv", "inputs": inputs, "targets": targets},
            "model": "linear",
            "task": task,
            "evaluate": {"resamples": 100, "mistakes": 3, **(evaluate or {})},
        }
    )
    made = {}
    for role, choices in (("input", spec.data.inputs), ("target", spec.data.targets)):
        for column, choice in choices.items():
            made[column] = modality = make_modality(choice, column, role)
            modality.partial_fit(modality.read(pa.array(columns[column])).values)
            modality.finish_fit()
    fitted = Fitted([made[column] for column in inputs], [made[column] for column in targets])
    learner = make_task(spec, fitted)
    read = {column: modality.read(pa.array(columns[column])).values for column, modality in made.items()}
    encoded = fitted.encode_targets(read)
    learner.prepare(encoded)
    model = build(spec.model, fitted.describe(), learner.output_size, 0)
    tensors = fitted.collate(fitted.encode_inputs(read), None)
    batch = Batch(tensors, {name: torch.from_numpy(values) for name, values in encoded.items()}, None)
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        learner.forward(model, batch)["loss"].backward()
        optimizer.step()
    return Contents(spec, fitted, learner, model.eval()), encoded


def write_small_bundle(path, columns, inputs, targets, task, evaluate=None, steps=80, files=()):
    contents, encoded = fit_contents(columns, inputs, targets, task, evaluate, steps, files)
    baseline = fit_baseline(contents.task, encoded)
    write_bundle(path, "small", to_files(contents, {"baseline": baseline, "data": {"files": [str(f) for f in files]}}))
    return path
