"""modelyard: the public way, a spec through `modelyard.train`, watched by an observer."""

import tempfile
from pathlib import Path

import torch
from training_measure import Clock, Job

import modelyard

job = Job()
clock = Clock(job)
facts = {}


def watch(event):
    if event["event"] == "training":
        facts.update(event)
        clock.epoch_ended(event["time"])
    elif event["event"] == "progress" and "batch" in event:
        clock.stepped(event["time"])
    elif event["event"] == "epoch":
        clock.stepped(event["time"])
        clock.epoch_ended(event["time"])


asked = [f"seed={job.seed}", f"train.epochs={job.epochs}", f"train.batch_size={job.batch}",
         f"train.learning_rate={job.rate}"]  # fmt: skip
with tempfile.TemporaryDirectory() as folder:
    run = modelyard.train(modelyard.open_spec(Path(job.folder) / "spec.yaml", asked), folder, [watch])
clock.report(
    run.metrics["accuracy"],
    None,
    facts["parameters"],
    f"modelyard {modelyard.__version__}, PyTorch {torch.__version__}",
    rows=facts["rows"]["train"],
    precision=facts["precision"],
    choices=facts["choices"],
)
