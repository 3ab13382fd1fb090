"""A profile whose every number is made up: nothing stands out in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelyard.core.limits import MachineLimits, Rate
from modelyard.train.profiling.records import (
    Account,
    MemoryUse,
    ModuleCost,
    OperatorCost,
    Part,
    Profile,
    Projection,
    Spread,
    StepWork,
)

MB = 1_000_000


def rate(value: float) -> Rate:
    return Rate(value, value, value, 5, "work")


LIMITS = MachineLimits(
    device="cpu",
    processor="a processor",
    threads=2,
    torch="2.11",
    quick=True,
    products={"float32": rate(100e9), "bfloat16": rate(110e9)},
    convolutions={"float32": rate(200e9), "bfloat16": rate(220e9)},
    memory=rate(10e9),
    call=rate(1e6),
)


def parts(**seconds: float) -> list[Part]:
    """Return the parts of a step; what is not given is of a step of 100 ms where nothing stands out."""
    usual = {"data": 0.001, "transfer": 0.0, "forward": 0.03, "loss": 0.001, "backward": 0.06, "optimizer": 0.007,
             "other": 0.001}  # fmt: skip
    usual |= seconds
    whole = sum(usual.values())
    return [Part(name, value, value / whole) for name, value in usual.items()]


MEMORY = MemoryUse(
    weights=4 * MB,
    gradients=4 * MB,
    optimizer=8 * MB,
    average=0,
    activations=40 * MB,
    batch=MB,
    peak_step=60 * MB,
    peak_process=500 * MB,
    device_total=16_000 * MB,
)


def made_up(**changes: Any) -> Profile:
    """Return a profile of a CPU step of 100 ms, of which 50 ms are products."""
    return replace(
        Profile(
            name="made-up",
            family="cnn",
            parameters=MB,
            device="cpu",
            processor="a processor",
            threads=2,
            precision="float32",
            optimizer="adamw",
            batch_size=128,
            accumulate=1,
            steps=20,
            step=Spread(0.1, 0.09, 0.12),
            rows_per_second=1280.0,
            parts_seconds=0.1,
            parts=parts(),
            loading_seconds=0.001,
            account=Account(0.05, 0.03, 0.019, 0.001, 200.0, "compute"),
            work=StepWork(2e9, 0.0, 20e9, {"float32": 0.02, "bfloat16": 0.018}, 0.2),
            limits=LIMITS,
            modules=[ModuleCost("layers.0", "Conv2d", 1000, 0.02, 0.04, 1e9)],
            operators=[OperatorCost("mm", 12.0, 0.03, 0.4)],
            memory=MEMORY,
            projection=Projection(100, 10, 1000, 10.0, 100.0),
            advice=[],
        ),
        **changes,
    )
