"""What a step learned from rows without a target, and what an epoch's steps come to.

Legend: B labelled rows, U rows without a target, O outputs, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from modelyard.core.records import Record

__all__ = ["Guesses", "GuessesRecord", "Learned"]


@dataclass(frozen=True)
class Learned:
    """What a step computed; tensors without a gradient, on the model's device."""

    loss: Tensor
    """Scalar, mean loss of the labelled rows."""
    weight: Tensor
    """Scalar, the denominator of that mean."""
    output: Tensor
    """(B, O), outputs of the labelled rows."""
    unlabelled_loss: Tensor
    """Scalar, mean loss of the rows without a target, unweighted."""
    total: Tensor
    """Scalar, what the gradients are of: `loss` and the weighted `unlabelled_loss`."""
    rows: int
    """U."""
    counts: Tensor
    """int64 (L,), guesses that counted, by label."""


@dataclass(frozen=True)
class GuessesRecord(Record):
    """What was guessed of the rows without a target in one epoch. Whether it was right nobody knows."""

    rows: int
    """Rows seen, each as often as it came."""
    confident: float
    """Share of them whose guess counted."""
    loss: float
    """Their mean loss, unweighted."""
    labels: dict[str, int] = field(default_factory=dict)
    """Label → guesses that counted. One label that takes nearly all of them means that the guesses went astray."""


class Guesses:
    """Adds up the steps of an epoch; on the device, until it is asked."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        """`rows` int64 (), `loss` float32 () and `counts` int64 (L,), once there was a step: all that a checkpoint of
        an epoch under way must hold."""

    def add(self, learned: Learned) -> None:
        """Take in a step."""
        sums = {
            "rows": torch.tensor(learned.rows),
            "loss": learned.unlabelled_loss * learned.rows,
            "counts": learned.counts,
        }
        self.sums = {name: self.sums[name] + value if self.sums else value for name, value in sums.items()}

    def restore(self, sums: Mapping[str, Tensor], device: torch.device) -> None:
        """Go on from the sums of an interrupted epoch."""
        self.sums = {name: value if name == "rows" else value.to(device) for name, value in sums.items()}

    def record(self, labels: Sequence[str]) -> GuessesRecord | None:
        """Return the sums of the steps so far; None when there was none.

        Args:
            labels: The task's labels, by id.
        """
        if not self.sums:
            return None
        rows, counts = int(self.sums["rows"]), self.sums["counts"].tolist()
        return GuessesRecord(
            rows=rows,
            confident=sum(counts) / rows,
            loss=float(self.sums["loss"]) / rows,
            labels=dict(zip(labels, counts, strict=True)),
        )
