"""Any number of labels for each row: one yes-or-no question a label.

Legend: B batch, n rows, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import model_validator
from torch import Tensor

from modelyard.core.errors import BundleError, DataError, ModelyardError, Problem, SpecError, nearest
from modelyard.data.batch import Batch
from modelyard.data.modalities.base import Modality
from modelyard.spec.settings import Settings
from modelyard.tasks import losses
from modelyard.tasks.base import Outcome, Task
from modelyard.tasks.probabilities import check_output, log_loss_of, ranked, sigmoid
from modelyard.tasks.targets import check_targets, constant, labels_of, shares, weighted_mean

__all__ = ["Multilabel", "MultilabelSettings"]


class MultilabelSettings(Settings):
    """What can be said about a multi-label classification."""

    pos_weight: Literal["none", "balanced"] = "none"
    """`balanced` lets the rows that have a label count as much as those that lack it, label by label."""
    threshold: float | dict[str, float] = 0.5
    """A label is answered from this probability on; one number, or `{label: number}` (0.5 for labels not named)."""

    @model_validator(mode="after")
    def _between_0_and_1(self) -> MultilabelSettings:
        given = self.threshold.values() if isinstance(self.threshold, dict) else [self.threshold]
        for value in given:
            if not 0 < value < 1:
                raise ValueError(f"threshold: {value} is not between 0 and 1")
        return self


class Multilabel(Task):
    """Learn one target that holds any number of labels."""

    Settings = MultilabelSettings
    name = "multilabel"
    targets_of = ("labels",)
    metrics = ("micro_f1", "macro_f1", "subset_accuracy", "hamming_loss", "average_precision")
    more_metrics = ("jaccard", "label_ranking_average_precision", "coverage_error")
    calibrates = True
    settings: MultilabelSettings

    def __init__(self, settings: MultilabelSettings, targets: Sequence[Modality]) -> None:
        """Store settings and target; see `Task`.

        Raises:
            SpecError: Not exactly one target of modality labels, or a threshold for an unknown label.
            DataError: The target has no label.
        """
        super().__init__(settings, targets)
        check_targets(self.name, targets, self.targets_of, several=False)
        self.column = targets[0].column
        self.labels = labels_of(targets[0], at_least=1)
        given = settings.threshold if isinstance(settings.threshold, dict) else {}
        problems = [
            Problem("task.threshold", f"{self.column} has no label {label!r}{nearest(label, self.labels)}")
            for label in given
            if label not in self.labels
        ]
        if self.column == "probabilities":
            problems.append(
                Problem("data.targets", "'probabilities' is also a column of every answer; rename the target")
            )
        if problems:
            raise SpecError(problems)
        default = 0.5 if isinstance(settings.threshold, dict) else settings.threshold
        self._thresholds = np.array([given.get(label, default) for label in self.labels])
        self._rows = 0
        self._counts: npt.NDArray[np.int64] | None = None
        self._weights: Tensor | None = None

    @property
    def output_size(self) -> int:
        """L: one logit a label."""
        return len(self.labels)

    # -- training -------------------------------------------------------------------------------------------------

    def prepare(self, targets: Mapping[str, npt.NDArray[Any]]) -> None:
        """Count the training split's labels.

        Raises:
            DataError: No row has a target.
        """
        encoded = targets[self.column]
        present = ~(encoded < 0).any(axis=1)
        self._rows = int(present.sum())
        if not self._rows:
            raise DataError(
                f"no targets: column {self.column!r} is missing in all {len(encoded)} rows of the training split"
            )
        self._counts = (encoded[present] > 0).sum(axis=0).astype(np.int64)
        self._weights = None

    def state(self) -> dict[str, Any]:
        """Return the training's labels, `{"rows": n, "counts": {label: rows}}`, and the temperature."""
        if self._counts is None:
            return super().state()
        counts = dict(zip(self.labels, self._counts.tolist(), strict=True))
        return {"rows": self._rows, "counts": counts, **super().state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over the counts and the temperature.

        Raises:
            BundleError: The counts are not whole numbers for exactly this target's labels, or the temperature is not a
                number above 0.
        """
        super().restore(state)
        if not state.keys() - {"temperature"}:
            return
        rows, counts = state.get("rows"), state.get("counts")
        if (
            type(rows) is not int
            or not isinstance(counts, Mapping)
            or set(counts) != set(self.labels)
            or not all(type(count) is int and 0 <= count <= rows for count in counts.values())
        ):
            raise BundleError(
                f"the stored label counts do not fit the labels of {self.column!r}; the bundle is altered"
            )
        self._rows = rows
        self._counts = np.array([counts[label] for label in self.labels], dtype=np.int64)
        self._weights = None

    def positive_weights(self) -> npt.NDArray[np.float64]:
        """Return how much each label's presence counts, (L,): rows without it / rows with it; 1 if either is none.

        Raises:
            ModelyardError: Weights are `balanced` and neither `prepare` nor `restore` has brought the counts.
        """
        if self.settings.pos_weight == "none":
            return np.ones(len(self.labels))
        if self._counts is None:
            raise ModelyardError("balanced label weights need the training split's label counts; call prepare first")
        absent = self._rows - self._counts
        return np.where((self._counts > 0) & (absent > 0), absent / np.maximum(self._counts, 1), 1.0)

    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (mean over rows of the mean over labels of binary cross-entropy, rows with a target)."""
        self._weights = constant(self.positive_weights(), output.device, self._weights)
        logits = output.float()
        terms = []
        for targets, share in shares(batch):
            target = targets[self.column]
            present = ~(target < 0).any(dim=1)
            row_losses = losses.binary_cross_entropy(logits, target.clamp(min=0).float(), self._weights)
            terms.append((row_losses, share * present))
        return weighted_mean(terms)

    # -- answers --------------------------------------------------------------------------------------------------

    def outcome(self, output: npt.NDArray[np.float32], targets: Mapping[str, npt.NDArray[Any]] | None) -> Outcome:
        """Return one probability a label, and the labels whose probability reaches its threshold.

        Raises:
            DataError: The output is not finite or of another shape, or a row has no target.
        """
        score = sigmoid(check_output(output, self.output_size))
        answer = (score >= self._thresholds).astype(np.uint8)
        encoded = np.empty((0, len(self.labels)), np.int8) if targets is None else targets[self.column]
        missing = int((encoded < 0).any(axis=1).sum())
        if missing:
            raise DataError(f"{missing} rows have no target {self.column!r}; leave them out first")
        return Outcome((encoded > 0).astype(np.uint8), score, answer, self.labels)

    def decode(self, output: npt.NDArray[np.float32]) -> dict[str, list[Any]]:
        """Return the answered labels under the target's name, most probable first, and ranked `probabilities`."""
        return self._answers(self.outcome(output, None))

    def decode_calibrated(self, output: npt.NDArray[np.float32]) -> dict[str, list[Any]]:
        return self._answers(self.calibrated(output))

    def _answers(self, outcome: Outcome) -> dict[str, list[Any]]:
        counts = outcome.answer.sum(axis=1, dtype=np.int64)
        order = np.argsort(-np.where(outcome.answer > 0, outcome.score, -1.0), axis=1, kind="stable").tolist()
        return {
            self.column: [
                [self.labels[label] for label in row[:count]] for row, count in zip(order, counts.tolist(), strict=True)
            ],
            "probabilities": ranked(outcome.score, self.labels, at_least=counts),
        }

    def row_losses(self, outcome: Outcome) -> npt.NDArray[np.float64]:
        """Return the mean over labels of -ln of the probability given to what was true, float64 (n,)."""
        right = np.where(outcome.target > 0, outcome.score, 1 - outcome.score)
        result: npt.NDArray[np.float64] = log_loss_of(right).mean(axis=1)
        return result
