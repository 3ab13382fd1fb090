"""The optimizers, schedules and observers by name. Adding one: a class, and a line here."""

from __future__ import annotations

from modelyard.core.registry import Table

OPTIMIZERS = Table(
    "optimizer",
    {
        "sgd": "modelyard.train.optimizing.optimizers:Sgd",
        "adam": "modelyard.train.optimizing.optimizers:Adam",
        "adamw": "modelyard.train.optimizing.optimizers:AdamW",
        "rmsprop": "modelyard.train.optimizing.optimizers:RmsProp",
        "adagrad": "modelyard.train.optimizing.optimizers:Adagrad",
        "lion": "modelyard.train.optimizing.lion:Lion",
        "muon": "modelyard.train.optimizing.muon:Muon",
    },
)

SCHEDULES = Table(
    "schedule",
    {
        "constant": "modelyard.train.schedules:Constant",
        "linear": "modelyard.train.schedules:Linear",
        "cosine": "modelyard.train.schedules:Cosine",
        "step": "modelyard.train.schedules:Step",
        "one_cycle": "modelyard.train.schedules:OneCycle",
        "plateau": "modelyard.train.schedules:Plateau",
    },
)

OBSERVERS = Table(
    "observer",
    {
        "tensorboard": "modelyard.train.observers:TensorBoard",
        "mlflow": "modelyard.train.observers:MLflow",
    },
)
