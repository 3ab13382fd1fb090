"""One label out of several for each row: two labels through one logit, more through a softmax.

Legend: B batch, O outputs, n rows, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor
from torch.nn import functional

from modelyard.core.errors import BundleError, DataError, ModelyardError, Problem, SpecError, nearest
from modelyard.data.batch import Batch
from modelyard.data.modalities.base import Modality
from modelyard.spec.settings import Settings
from modelyard.tasks import losses
from modelyard.tasks.base import Outcome, Task
from modelyard.tasks.probabilities import MANY_LABELS, check_output, log_loss_of, ranked, sigmoid, softmax
from modelyard.tasks.targets import check_targets, constant, labels_of, shares, weighted_mean

__all__ = ["Classification", "ClassificationSettings"]

_MARGINS = ("hinge", "squared_hinge")


class ClassificationSettings(Settings):
    """What can be said about a classification."""

    loss: Literal["cross_entropy", "focal", "hinge", "squared_hinge"] = "cross_entropy"
    """`cross_entropy`; `focal`, which dwells on hard rows; `hinge` (Crammer and Singer) or `squared_hinge` (each label
    against the rest), as linear SVMs have. After a hinge loss the probabilities are the softmax of the margins:
    they rank the labels and are not calibrated."""
    focal_gamma: float = Field(default=2.0, ge=0)
    """How strongly `focal` turns away from easy rows; 0 is cross-entropy."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each target that is spread evenly over all labels."""
    class_weights: Literal["none", "balanced"] | dict[str, float] = "none"
    """How much a row counts in the loss, by its label: `none` (all alike), `balanced` (each label as much as any
    other, by the training split's counts), or `{label: weight}`; a label that is not named counts 1."""
    positive: str | None = None
    """Of two labels, the one that precision, recall and ROC are about; unsaid, the second."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Of two labels, the positive one is answered from this probability on."""

    @field_validator("class_weights", mode="before")
    @classmethod
    def _keys_as_text(cls, value: Any) -> Any:
        return {_as_label(key): weight for key, weight in value.items()} if isinstance(value, Mapping) else value

    @field_validator("positive", mode="before")
    @classmethod
    def _positive_as_text(cls, value: Any) -> Any:
        return None if value is None else _as_label(value)

    @model_validator(mode="after")
    def _fit_together(self) -> ClassificationSettings:
        if isinstance(self.class_weights, dict):
            for label, weight in self.class_weights.items():
                if not 0 < weight < float("inf"):
                    raise ValueError(f"class_weights: {label!r} has weight {weight}; a weight is a number above 0")
        if self.loss in _MARGINS and self.label_smoothing:
            raise ValueError(f"label_smoothing has no meaning with loss {self.loss!r}; set it to 0, or change the loss")
        if self.loss != "focal" and self.focal_gamma != 2.0:
            raise ValueError(f"focal_gamma is given, and the loss is {self.loss!r}; set loss: focal, or leave it out")
        return self


def _as_label(value: Any) -> Any:
    """Labels are text; YAML reads `5: 2.0` as a number. A bare yes or no became a truth value and lost its spelling."""
    if isinstance(value, bool):
        raise ValueError(f"a label was read as {value}; put it in quotes, as it is written in the data")
    return str(value) if isinstance(value, int | float) else value


class Classification(Task):
    """Learn one category target. Inside this task, and in its outcomes, the positive one of two labels has id 1."""

    Settings = ClassificationSettings
    name = "classification"
    targets_of = ("category",)
    more_metrics = ("cohen_kappa",)
    calibrates = True
    settings: ClassificationSettings

    def __init__(self, settings: ClassificationSettings, targets: Sequence[Modality]) -> None:
        """Store settings and target; see `Task`.

        Raises:
            SpecError: Not exactly one category target, or settings that its labels do not allow.
            DataError: The target has fewer than two labels.
        """
        super().__init__(settings, targets)
        check_targets(self.name, targets, self.targets_of, several=False)
        self.column = targets[0].column
        labels = labels_of(targets[0], at_least=2)
        self._check(labels)
        self._swapped = len(labels) == 2 and settings.positive == labels[0]
        self.labels = labels[::-1] if self._swapped else labels
        """Label names in the order of `Outcome.labels`."""
        self.binary = len(labels) == 2
        self.metrics = self._metrics()
        if settings.loss in _MARGINS:
            self.about_probabilities = (
                f"loss {settings.loss} learns margins: plain probabilities are their softmax, which ranks labels and "
                "says nothing of how often an answer is right; divided by a temperature they become probabilities"
            )
        self._counts: npt.NDArray[np.int64] | None = None
        self._weights: Tensor | None = None

    def _check(self, labels: tuple[str, ...]) -> None:
        settings, problems = self.settings, []
        named = list(settings.class_weights) if isinstance(settings.class_weights, dict) else []
        if settings.positive is not None:
            named.append(settings.positive)
        for label in named:
            if label not in labels:
                known = ", ".join(labels[:20]) + (" …" if len(labels) > 20 else "")
                problems.append(
                    Problem("task", f"{self.column} has no label {label!r}{nearest(label, labels)}; known: {known}")
                )
        if len(labels) > 2:
            for setting in ("positive", "threshold"):
                if getattr(settings, setting) != type(settings).model_fields[setting].default:
                    message = f"it is about two labels, and {self.column} has {len(labels)}; leave it out"
                    problems.append(Problem(f"task.{setting}", message))
        if self.column in ("probability", "probabilities"):
            message = f"{self.column!r} is also a column of every answer; rename the target"
            problems.append(Problem("data.targets", message))
        if problems:
            raise SpecError(problems)

    def _metrics(self) -> tuple[str, ...]:
        # log loss and Brier score judge probabilities, and a hinge loss does not learn any
        judged = () if self.settings.loss in _MARGINS else ("log_loss", "brier")
        if self.binary:
            ranking = ("accuracy", "roc_auc", "f1", "average_precision", "balanced_accuracy")
            return (*ranking, "precision", "recall", "matthews", *judged)
        top = ("top_5_accuracy",) if len(self.labels) > MANY_LABELS else ()
        return ("accuracy", "balanced_accuracy", "macro_f1", *top, "matthews", *judged)

    @property
    def output_size(self) -> int:
        """1 for two labels, else L."""
        return 1 if self.binary else len(self.labels)

    # -- training -------------------------------------------------------------------------------------------------

    def prepare(self, targets: Mapping[str, npt.NDArray[Any]]) -> None:
        """Count the training split's labels.

        Raises:
            DataError: No row has a target.
        """
        ids = self._ids(targets[self.column])
        self._counts = np.bincount(ids[ids >= 0], minlength=len(self.labels)).astype(np.int64)
        self._weights = None
        if not self._counts.any():
            raise DataError(
                f"no targets: column {self.column!r} is missing in all {len(ids)} rows of the training split"
            )

    def state(self) -> dict[str, Any]:
        """Return how often each label occurred in training, `{"counts": {label: rows}}`, and the temperature."""
        if self._counts is None:
            return super().state()
        return {"counts": dict(zip(self.labels, self._counts.tolist(), strict=True)), **super().state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over the counts and the temperature.

        Raises:
            BundleError: The counts are not whole numbers for exactly this target's labels, or the temperature is not a
                number above 0.
        """
        super().restore(state)
        if not state.keys() - {"temperature"}:
            return
        counts = state.get("counts")
        if (
            not isinstance(counts, Mapping)
            or set(counts) != set(self.labels)
            or not all(type(count) is int and count >= 0 for count in counts.values())
        ):
            raise BundleError(
                f"the stored label counts do not fit the labels of {self.column!r}; the bundle is altered"
            )
        self._counts = np.array([counts[label] for label in self.labels], dtype=np.int64)
        self._weights = None

    def class_weights(self) -> npt.NDArray[np.float64]:
        """Return each label's weight, (L,). `balanced` is rows / (labels seen · rows of the label); 1 if never seen.

        Raises:
            ModelyardError: Weights are `balanced` and neither `prepare` nor `restore` has brought the counts.
        """
        choice = self.settings.class_weights
        if isinstance(choice, dict):
            return np.array([choice.get(label, 1.0) for label in self.labels])
        if choice == "none":
            return np.ones(len(self.labels))
        if self._counts is None:
            raise ModelyardError("balanced class weights need the training split's label counts; call prepare first")
        seen = self._counts > 0
        return np.where(seen, self._counts.sum() / (seen.sum() * np.maximum(self._counts, 1)), 1.0)

    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (mean loss, Σ class weights of the rows with a target); see `Task.loss` and `Task.forward`.

        A row's weight multiplies its whole loss, the smoothed part included.
        """
        quick = self._plain_loss(output, batch)
        if quick is not None:
            return quick
        self._weights = constant(self.class_weights(), output.device, self._weights)
        settings, output = self.settings, output.float()
        scores = output if settings.loss in _MARGINS else losses.log_probabilities(output)
        terms = []
        for targets, share in shares(batch):
            encoded = targets[self.column]
            target = encoded.clamp(min=0)  # what stands at a missing target plays no part: its weight is 0
            if self._swapped:
                target = 1 - target
            weights = self._weights[target] * share * (encoded >= 0)
            terms.append((self._row_losses(scores, target), weights))
        return weighted_mean(terms)

    def _plain_loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """As `loss`, by one kernel of torch's, for what is the rule: cross-entropy of rows that all have a target and
        count alike. None where it is not, or where that could only be seen by waiting for an accelerator."""
        settings = self.settings
        plain = settings.loss == "cross_entropy" and settings.class_weights == "none" and not settings.label_smoothing
        if not plain or batch.mix is not None or output.device.type != "cpu":
            return None
        target = batch.targets[self.column]
        if not len(target) or int(target.min()) < 0:
            return None
        if self._swapped:
            target = 1 - target
        output = output.float()
        if self.binary:
            loss = functional.binary_cross_entropy_with_logits(output[:, 0], target.float())
        else:
            loss = functional.cross_entropy(output, target)
        return loss, torch.tensor(float(len(target)))

    def _row_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        settings = self.settings
        match settings.loss:
            case "hinge":
                return losses.hinge(scores, target)
            case "squared_hinge":
                return losses.squared_hinge(scores, target)
            case "focal":
                return losses.focal(scores, target, settings.focal_gamma, settings.label_smoothing)
            case _:
                return losses.cross_entropy(scores, target, settings.label_smoothing)

    # -- answers --------------------------------------------------------------------------------------------------

    def outcome(self, output: npt.NDArray[np.float32], targets: Mapping[str, npt.NDArray[Any]] | None) -> Outcome:
        """Return probabilities and chosen labels; `Outcome.labels` has the positive label second.

        Raises:
            DataError: The output is not finite or of another shape, or a row has no target.
        """
        logits = check_output(output, self.output_size)
        score = np.hstack([sigmoid(-logits), sigmoid(logits)]) if self.binary else softmax(logits)
        answer = (score[:, 1] >= self.settings.threshold) if self.binary else score.argmax(axis=1)
        target = np.empty(0, dtype=np.int64) if targets is None else self._ids(targets[self.column])
        if (target < 0).any():
            raise DataError(f"{int((target < 0).sum())} rows have no target {self.column!r}; leave them out first")
        return Outcome(target, score, answer.astype(np.int64), self.labels)

    def decode(self, output: npt.NDArray[np.float32]) -> dict[str, list[Any]]:
        """Return the answered label under the target's name, its `probability`, and ranked `probabilities`."""
        return self._answers(self.outcome(output, None))

    def decode_calibrated(self, output: npt.NDArray[np.float32]) -> dict[str, list[Any]]:
        return self._answers(self.calibrated(output))

    def _answers(self, outcome: Outcome) -> dict[str, list[Any]]:
        probability = np.take_along_axis(outcome.score, outcome.answer[:, None], axis=1)[:, 0]
        return {
            self.column: [self.labels[label] for label in outcome.answer.tolist()],
            "probability": probability.tolist(),
            "probabilities": ranked(outcome.score, self.labels),
        }

    def use_threshold(self, threshold: float) -> None:
        """Answer the positive one of two labels from this probability on.

        Raises:
            SpecError: The target does not have two labels, or the threshold is not between 0 and 1.
        """
        if not self.binary:
            raise SpecError([Problem("task.threshold", f"it is about two labels, and there are {len(self.labels)}")])
        if not 0 < threshold < 1:
            raise SpecError([Problem("task.threshold", f"is {threshold}, and a threshold lies between 0 and 1")])
        self.settings = self.settings.model_copy(update={"threshold": threshold})

    def row_losses(self, outcome: Outcome) -> npt.NDArray[np.float64]:
        """Return -ln of the probability that the true label got, float64 (n,)."""
        return log_loss_of(np.take_along_axis(outcome.score, outcome.target[:, None], axis=1)[:, 0])

    def _ids(self, encoded: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        ids = np.asarray(encoded, dtype=np.int64)
        return np.where(ids < 0, -1, 1 - ids) if self._swapped else ids
