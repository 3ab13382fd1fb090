"""`Spec`: everything a user can ask for, declared once: types, defaults and documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_serializer, field_validator

from modelyard.core.errors import DataError, Problem, SpecError
from modelyard.spec.overrides import apply_overrides
from modelyard.spec.parse import parse
from modelyard.spec.places import Places
from modelyard.spec.settings import Choice, Of, Settings

__all__ = [
    "CheckpointSpec",
    "DataSpec",
    "DivergenceSpec",
    "EarlyStopping",
    "EvaluateSpec",
    "MemorySpec",
    "PretrainedSpec",
    "Spec",
    "SplitSpec",
    "ThresholdSpec",
    "TrainSpec",
]

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


class SplitSpec(Settings):
    """Which rows train, which choose (validation), which judge (test)."""

    method: Literal["auto", "given", "random", "stratified", "group", "time"] = "auto"
    """`given`: separate sources, folders or a column named by `by`; `random`: by a hash of the row; `stratified`: the
    same within each label; `group`: rows that share `by` stay together; `time`: the latest rows by `by` are held out.
    `auto`: given where the data says so, stratified for labels, random otherwise."""
    validation: Fraction = 0.1
    """Share of the rows for validation; 0 for none."""
    test: Fraction = 0.1
    """Share of the rows for the test; 0 for none."""
    by: str | None = None
    """Column that holds the split's name, the group, the time, or the label to stratify by."""
    key: list[str] | None = None
    """Columns whose hash decides a row's split; all columns when unsaid. Equal rows always share a split."""


class DataSpec(Settings):
    """Where the rows are, what the columns mean, and which rows are held out."""

    source: Any = None
    """A file, glob, folder, URL or `catalog:NAME`; a mapping `{train: …, validation: …, test: …}`; or, from Python, a
    pandas or Arrow table, a list of dicts, or a dict of arrays."""
    format: str | None = None
    """Name of the source's format; told from the ending when unsaid."""
    options: dict[str, Any] = {}
    """Settings of the format, such as `{delimiter: ";"}` for CSV."""
    inputs: Annotated[dict[str, Choice[Any] | None] | None, Of("modality")] = None
    """Column → modality with its settings; a column without a modality has it inferred. Unsaid: every usable column
    that is not a target."""
    targets: Annotated[dict[str, Choice[Any] | None] | None, Of("modality")] = None
    """Column → modality of what is to be predicted; `{}` for a task that learns from the inputs alone."""
    unlabelled: Any = None
    """Further rows for training whose targets are unknown: a file, glob, folder, URL or `catalog:NAME`, read like
    `source`. Only `train.semi_supervised` learns from them."""
    ignore: list[str] = []
    """Columns to leave out when inputs are inferred."""
    limit: Annotated[int, Field(gt=0)] | None = None
    """Read at most this many rows of each file set; for trying things out."""
    split: SplitSpec = SplitSpec()
    """How rows are assigned to training, validation and test."""
    group: str | None = None
    """Column that says which rows belong together (patient, user, session); groups torn apart are found."""
    time: str | None = None
    """Column that says when a row was; rows that train on the future of those that judge are found."""
    checks: dict[str, Literal["error", "drop", "keep"]] = {}
    """What to do about what the data gate finds: check → `error` (refuse to train), `drop` (leave the rows out and list
    them in `quarantine.jsonl`) or `keep` (accept it)."""
    unreadable_limit: Fraction = 0.01
    """Largest share of rows that may be left out because they cannot be read; above it the gate refuses."""
    origin: str = ""
    """Where the data comes from, in your words, for the evidence and the model card."""
    licence: str = ""
    """Under which licence it may be used, for the evidence and the model card."""

    @field_serializer("source", "unlabelled")
    def _describe_source(self, source: Any) -> Any:
        if source is None or isinstance(source, str):
            return source
        if isinstance(source, Mapping) and all(isinstance(part, str) for part in source.values()):
            return dict(source)
        if isinstance(source, Sequence) and all(isinstance(part, str) for part in source):
            return list(source)
        return f"<{type(source).__module__.partition('.')[0]}.{type(source).__name__} given from Python>"


class EarlyStopping(Settings):
    """Stop when a validation metric no longer improves, and keep the best weights."""

    metric: str = "loss"
    """`loss`, or any metric of the task."""
    patience: Annotated[int, Field(ge=0)] = 3
    """Epochs without improvement that are borne."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """Smallest change that counts as an improvement."""


class CheckpointSpec(Settings):
    """When a training is saved so that it can be continued. Whatever is set, it is saved when it is asked to stop."""

    minutes: Annotated[float, Field(gt=0)] | None = 1.0
    """Save when so many minutes have passed since the last time; None: not by time."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Save after every so many optimizer steps; None: not by steps."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Save at the end of every so many epochs; None: only at the end of the last one."""
    keep: Annotated[int, Field(ge=1)] = 2
    """How many checkpoints are kept, the newest ones; the best weights are kept besides."""


class DivergenceSpec(Settings):
    """What to do when the loss leaves all bounds."""

    not_finite: Literal["stop", "skip"] = "stop"
    """A loss or gradient that is infinite or not a number: `stop` names the step and its rows; `skip` goes back to the
    last checkpoint and takes the same way without that batch."""
    spike: Literal["note", "stop", "skip"] = "note"
    """A loss far above the usual: `note` says so and goes on."""
    factor: Annotated[float, Field(gt=1)] = 10.0
    """A spike is a loss above this many times the median of the last 64 steps."""
    most: Annotated[int, Field(ge=1)] = 10
    """Batches that may be skipped in one training; one more stops it."""


class MemorySpec(Settings):
    """What may cost time to save memory in training (docs/memory.md has the measured effects)."""

    activation_checkpointing: bool = False
    """Forget what a block computed on the way forward and compute it again on the way back (Chen et al. 2016)."""
    fused_backward: bool = False
    """Step each parameter as soon as its gradient is there and free the gradient at once; not with `gradient_clip` or
    `accumulate`, which need all gradients together (Lv et al. 2023)."""
    optimizer_bits: Literal[32, 8] = 32
    """Bits of each number in the optimizer's state; 8 for `adam`, `adamw` and `sgd` (Dettmers et al. 2022)."""
    offload: Literal["none", "optimizer"] = "none"
    """`optimizer`: keep the optimizer's state in the computer's memory and step there; for weights on an
    accelerator."""


class PretrainedSpec(Settings):
    """Which bundle the weights begin from, and how they are let go."""

    bundle: str
    """Folder of a bundle whose model has the same family and inputs; its head may differ."""
    freeze: bool = False
    """Train only the new head."""
    unfreeze_every: Annotated[int, Field(ge=1)] | None = None
    """Free one more block, from the last to the first, after every so many epochs (Howard and Ruder 2018)."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor of the learning rate from one block to the one before it."""


class TrainSpec(Settings):
    """How the model is trained."""

    epochs: Annotated[int, Field(ge=0)] = 10
    """Passes over the training rows."""
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Stop after this many optimizer steps, even within an epoch; None: no limit."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = 128
    """Rows an optimizer step learns from. `auto`: `global_batch_size`, cut into the largest pieces that memory can
    hold."""
    global_batch_size: Annotated[int, Field(ge=1)] = 256
    """Rows an optimizer step learns from when `batch_size` is `auto`."""
    sampler: Annotated[Choice[Any] | None, Of("sampler")] = None
    """Which training rows come in an epoch and how often; `shuffled` (every row once) when unsaid."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Pieces a batch is cut into, one after the other, to save memory. The step is the same."""
    evaluation_batch_size: Annotated[int, Field(ge=1)] = 512
    """Rows per batch where nothing is learned."""
    optimizer: Annotated[Choice[Any] | None, Of("optimizer")] = None
    """Optimizer with its settings; `adamw` when unsaid."""
    learning_rate: Annotated[float, Field(gt=0)] | Literal["find"] | None = None
    """Peak learning rate; the optimizer's usual one when unsaid; `find` runs a range test first (Smith 2017)."""
    schedule: Annotated[Choice[Any] | None, Of("schedule")] = None
    """How the learning rate moves over the steps; `constant` when unsaid."""
    warmup: Annotated[float, Field(ge=0)] = 0.0
    """Linear warm-up: a share of all steps when below 1, else a number of steps."""
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    """Decoupled weight decay (L2 added to the gradient for `sgd`, `adam`, `rmsprop`, `adagrad`), on matrices and
    kernels, not on biases and norms; the optimizer's usual one when unsaid."""
    l1: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the sum of absolute weights in the loss."""
    l2: Annotated[float, Field(ge=0)] = 0.0
    """Weight of half the sum of squared weights in the loss."""
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of all gradients together; None: no clipping."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of the weights, which is then what is evaluated and kept."""
    semi_supervised: Annotated[Choice[Any] | None, Of("semi_supervised")] = None
    """How rows without a target are learned from: `pseudo_label`, `fixmatch`; None: they are left out."""
    pretrained: PretrainedSpec | None = None
    """Begin from the weights of a bundle; None: from random ones."""
    mixup: Annotated[float, Field(gt=0)] | None = None
    """Alpha of mixup for image inputs (Zhang et al. 2017); None: off."""
    cutmix: Annotated[float, Field(gt=0)] | None = None
    """Alpha of cutmix for image inputs (Yun et al. 2019); None: off."""
    mix_probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the batches that are mixed."""
    early_stopping: EarlyStopping | None = None
    """When to stop early; None: run all epochs and keep the last weights."""
    checkpoint: CheckpointSpec = CheckpointSpec()
    """When the training is saved."""
    divergence: DivergenceSpec = DivergenceSpec()
    """What to do when the loss leaves all bounds."""
    precision: Literal["auto", "float32", "bfloat16", "float8"] = "auto"
    """Arithmetic of the large products in training; weights and evaluation stay float32. `auto`: what was measured to
    be the fastest for this model on this machine. `float8`: on accelerators that have it."""
    compile: bool | Literal["auto"] = "auto"
    """Whether the model is compiled by `torch.compile`; `auto`: where it was measured to pay."""
    memory: MemorySpec = MemorySpec()
    """What may cost time to save memory."""
    side_by_side: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Parts of a batch that are computed at the same time, each on its share of the CPU threads; 1: the whole batch on
    all of them. `auto`: what was measured to be the fastest. Not where a layer looks at the whole batch or draws random
    numbers."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Threads that make batches ready ahead of time; 0: none. The batches are the same."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`, …; `auto`: the first accelerator, else the CPU."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """CPU threads; when unsaid, all cores, or one where these were not measured to be clearly faster."""
    observers: Annotated[list[Choice[Any]], Of("observer")] = []
    """Others that are told of every event: `tensorboard`, `mlflow`."""

    @property
    def step_rows(self) -> int:
        """Rows an optimizer step learns from."""
        return self.global_batch_size if self.batch_size == "auto" else self.batch_size


class ThresholdSpec(Settings):
    """From which probability on the positive one of two labels is answered, chosen on the validation split."""

    goal: Literal["f1", "balanced_accuracy", "youden", "precision", "recall", "cost"] = "f1"
    """What is made as good as possible. `precision`: the best recall with at least this precision; `recall`: the best
    precision with at least this recall; `cost`: the least total cost."""
    at_least: Annotated[float, Field(gt=0, le=1)] | None = None
    """The precision or recall that must be reached, for these two goals."""
    false_positive: Annotated[float, Field(ge=0)] = 1.0
    """What a wrongly answered positive costs, for `cost`."""
    false_negative: Annotated[float, Field(ge=0)] = 1.0
    """What a missed positive costs, for `cost`."""


class EvaluateSpec(Settings):
    """How results are measured."""

    resamples: Annotated[int, Field(ge=0)] = 1000
    """Bootstrap resamples behind every interval; 0: no intervals."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Level of the intervals."""
    mistakes: Annotated[int, Field(ge=0)] = 24
    """How many of the worst mistakes the report shows."""
    calibrate: bool = True
    """Whether a temperature is fitted on the validation split; the bundle keeps it, to be used when asked for."""
    threshold: ThresholdSpec | None = None
    """How to choose the threshold of two labels; None: the task's own."""
    slices: list[str] | Literal["auto"] | None = "auto"
    """Columns whose values are measured apart; `auto`: all columns, and the slices where the model does worst are kept;
    None: no slices."""
    groups: list[str] = []
    """Columns whose groups are compared for fairness, such as sex or region; they need not be inputs."""
    robustness: bool = True
    """Whether inputs are corrupted as happens in nature (noise, blur, typos, missing columns) to see what is lost."""
    robustness_rows: Annotated[int, Field(ge=1)] = 1000
    """At most how many held-out rows are corrupted."""
    learning_curve: list[Annotated[float, Field(gt=0, lt=1)]] = []
    """Shares of the training rows to train on as well, such as [0.1, 0.3], to see what more rows would give."""
    cross_validate: Annotated[int, Field(ge=2, le=20)] | None = None
    """Folds of a cross-validation after training, which names the training rows that are likely mislabelled."""
    require: dict[str, float] | None = None
    """Metric → value the test must reach (at most this, for metrics where lower is better); else the quality gate
    refuses, with exit code 3."""


class Spec(Settings):
    """A whole job, from rows to a bundle."""

    name: str = "model"
    """Name of the run and the bundle: letters, digits, `.`, `_` and `-`."""
    about: str = ""
    """What this is for, in a sentence or two."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Everything random follows from this number."""
    data: DataSpec
    """The rows."""
    model: Annotated[Choice[Any] | None, Of("family", key="family")] = None
    """Family of models with its dimensions; chosen by the inputs when unsaid."""
    task: Annotated[Choice[Any] | None, Of("task")] = None
    """What is learned; chosen by the targets when unsaid."""
    train: TrainSpec = TrainSpec()
    """How."""
    evaluate: EvaluateSpec = EvaluateSpec()
    """How results are measured."""

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not name or not all(letter.isalnum() or letter in "._-" for letter in name) or name.startswith("."):
            raise ValueError(f"a name has letters, digits, '.', '_' and '-' and does not start with '.'; got {name!r}")
        return name

    # -- reading --------------------------------------------------------------------------------------------------

    @classmethod
    def parse(cls, values: Mapping[str, Any], overrides: Sequence[str] = ()) -> Spec:
        """Build a spec from nested dicts, as YAML would give them.

        Args:
            values: The spec; choices are written as a name or as a mapping with `type` (`family` for the model).
            overrides: Dotted assignments, such as `"train.epochs=3"`; values are read as YAML.

        Raises:
            SpecError: Lists every problem at once.
        """
        return cls._parse(values, overrides, None)

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Spec:
        """Read a spec from a YAML file. A relative `data.source` is taken from the working directory.

        Raises:
            DataError: There is no such file.
            SpecError: Lists every problem at once, with its line.
        """
        path = Path(path)
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError as error:
            raise DataError(
                f"no such spec: {path}. Write one with: modelyard new DATA --target COLUMN; "
                "or name a recipe: modelyard recipes"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read {path} as a spec: {error}") from error
        return cls.from_yaml(text, overrides, str(path))

    @classmethod
    def from_yaml(cls, text: str, overrides: Sequence[str] = (), source: str | None = None) -> Spec:
        """Read a spec from YAML text; `source` names it in messages. Raises `SpecError` with lines."""
        places = Places.of(text, source)
        return cls._parse(places.values, overrides, places)

    @classmethod
    def _parse(cls, values: Mapping[str, Any], overrides: Sequence[str], places: Places | None) -> Spec:
        values, problems = apply_overrides(values, overrides)
        overridden = {override.partition("=")[0].strip() for override in overrides}
        spec, found = parse(cls, values, "")
        problems.extend(found)
        if problems or spec is None:
            located = [
                problem if places is None or problem.place in overridden else places.locate(problem)
                for problem in problems
            ]
            raise SpecError(located, places.source if places else None)
        return spec

    # -- writing --------------------------------------------------------------------------------------------------

    def as_dict(self) -> dict[str, Any]:
        """Return the whole spec, defaults included, as nested plain values."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Return the whole spec, defaults included, as YAML that `Spec.from_yaml` reads back."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True, width=110)

    def replace(self, **changes: Any) -> Spec:
        """Return the spec with some parts replaced by typed values: `spec.replace(train=…)`."""
        return self.model_copy(update=changes)

    @classmethod
    def problem(cls, place: str, message: str) -> SpecError:
        """Return a `SpecError` with one problem, for later stages that find a spec unusable with the data at hand."""
        return SpecError([Problem(place, message)])
