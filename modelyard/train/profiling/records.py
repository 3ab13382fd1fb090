"""What `profile` hands over: where the time and the memory of a training step go, beside the machine's limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from modelyard.core.limits import MachineLimits
from modelyard.core.records import Record

__all__ = [
    "Account",
    "Advice",
    "MemoryUse",
    "ModuleCost",
    "OperatorCost",
    "Part",
    "Profile",
    "Projection",
    "Spread",
    "StepWork",
]


@dataclass(frozen=True)
class Spread(Record):
    """A time in seconds, over repeats."""

    median: float
    low: float
    """First quartile."""
    high: float
    """Third quartile."""


@dataclass(frozen=True)
class Part(Record):
    """A part of a step."""

    name: str
    """`data`, `transfer`, `forward`, `loss`, `backward`, `optimizer` or `other`."""
    seconds: float
    """Median over the steps; of `data` the median over stretches of steps of their mean, for batches of small rows are
    made many at once. The parts add up to `Profile.parts_seconds`."""
    share: float
    """Of `Profile.parts_seconds`."""


@dataclass(frozen=True)
class ModuleCost(Record):
    """What one module of the model costs in a step, without the modules inside it."""

    name: str
    """Dotted path in the model; empty for the model itself."""
    kind: str
    """Class of the module."""
    parameters: int
    """Its own, without those of the modules inside it."""
    forward_seconds: float
    """Measured under the operators' profiler and scaled to the forward part of a step."""
    backward_seconds: float
    """Likewise, of the backward part."""
    flops: float
    """Floating-point operations, forward and backward; 0 when it does nothing that is counted."""


@dataclass(frozen=True)
class OperatorCost(Record):
    """What one operator costs in a step."""

    name: str
    calls: float
    """A step."""
    seconds: float
    """A step, without the operators it calls; on the accelerator where the step runs on one."""
    share: float
    """Of the time of all operators."""
    kernels: list[str] = field(default_factory=list)
    """Names of the accelerator's kernels it runs, the longest first; empty on a CPU."""


@dataclass(frozen=True)
class StepWork(Record):
    """The counted floating-point operations of a step, and how near to the machine's limit they run."""

    flops_model: float
    """Forward and backward."""
    flops_optimizer: float
    """Matrix products of the optimizer's own."""
    achieved: float
    """Counted operations a second, over the whole step."""
    least_seconds: dict[str, float]
    """Precision → what they would take at its measured limits."""
    share_of_limit: float
    """The least time of the precision in use, over the step's time."""


@dataclass(frozen=True)
class Account(Record):
    """What a step's time is spent on; the four add up to `Profile.step.median`."""

    products: float
    """Seconds in kernels of matrix products, convolutions, attention and recurrent layers."""
    traffic: float
    """Seconds in other kernels, which mostly move memory: elementwise work, norms, pooling, copies, the optimizer."""
    fixed: float
    """Seconds that are in no kernel: calling operators, Python, the autograd engine."""
    input: float
    """Seconds waiting for a batch and for its transfer."""
    calls: float
    """Operator calls a step, inner ones included."""
    bound_by: str
    """`compute`, `memory traffic`, `fixed costs` or `input`: the largest of the four."""

    def share(self, name: str) -> float:
        """Return the share of `products`, `traffic`, `fixed` or `input` in their sum."""
        whole = self.products + self.traffic + self.fixed + self.input
        return float(getattr(self, name)) / whole if whole else 0.0


@dataclass(frozen=True)
class MemoryUse(Record):
    """Bytes that a step holds."""

    weights: int
    """Parameters and buffers."""
    gradients: int
    optimizer: int
    """The optimizer's state."""
    average: int
    """The moving average of the weights; 0 without one."""
    activations: int
    """What the forward pass leaves behind for the backward pass."""
    batch: int
    peak_step: int
    """The most that tensors of a step took at once, all of the above and what lives shortly included."""
    peak_process: int
    """The most main memory this process has held at once, data and libraries included."""
    device_total: int | None = None
    """All memory of the device: the accelerator's, or the computer's; None where it cannot be told."""

    @property
    def lasting(self) -> int:
        """What is there in every moment of a step."""
        return self.weights + self.optimizer + self.average + self.batch


@dataclass(frozen=True)
class Projection(Record):
    """How long training takes at this speed, without validation and saving."""

    steps_per_epoch: int
    epochs: int
    steps: int
    """Of the whole training, `train.max_steps` considered."""
    seconds_per_epoch: float
    seconds: float


@dataclass(frozen=True)
class Advice(Record):
    """Something to change, and why."""

    setting: str
    """The override to try, such as `train.workers=2`; empty when no setting helps."""
    reason: str
    """With the measured numbers it rests on."""


@dataclass(frozen=True)
class Profile(Record):
    """Where a training step's time and memory go."""

    name: str
    family: str
    parameters: int
    device: str
    processor: str
    threads: int
    precision: str
    optimizer: str
    batch_size: int
    """Rows of the measured batches."""
    accumulate: int
    steps: int
    """Steps that were measured."""
    step: Spread
    """A step as training takes it."""
    rows_per_second: float
    parts_seconds: float
    """A step in which the device was waited for at the border of every part."""
    parts: list[Part]
    loading_seconds: float
    """Making a batch, by itself."""
    account: Account
    work: StepWork
    limits: MachineLimits
    modules: list[ModuleCost]
    """The costliest, in their order."""
    operators: list[OperatorCost]
    """The costliest, in their order."""
    memory: MemoryUse
    projection: Projection
    advice: list[Advice]
    notes: list[str] = field(default_factory=list)
    trace: str | None = None
    """Where the trace was written."""

    def part(self, name: str) -> Part:
        """Return the part of that name."""
        return next(part for part in self.parts if part.name == name)
