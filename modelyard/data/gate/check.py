"""What every check of the data gate does: look at the chunks as they pass, then say what was found in all rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from modelyard.data.gate.examined import Examined, Subject
from modelyard.data.gate.finding import Finding, Policy

__all__ = ["Check", "Found", "RowIndex"]


@dataclass(frozen=True)
class RowIndex:
    """All rows that passed, in order; memory-mapped, so that it may be larger than memory. Row i is number i."""

    hashes: npt.NDArray[np.uint64]
    """Of all columns."""
    input_hashes: npt.NDArray[np.uint64]
    """Of the inputs alone; of a picture, what it shows rather than its path."""
    target_hashes: npt.NDArray[np.uint64]
    """Of the targets alone."""
    codes: npt.NDArray[np.int8]
    """Split, `DROPPED` or `UNLABELLED`."""
    file: npt.NDArray[np.int32]
    """Position of the row's file in `files`."""
    position: npt.NDArray[np.int64]
    files: Sequence[str]

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Found:
    """A finding whose rows are still numbers; the gate names the first of them."""

    finding: Finding
    """With `rows` set; its `examples`, `policy` and `setting` are filled in by the gate."""
    numbers: npt.NDArray[np.int64]
    """Numbers of the rows it is about, rising or in order of importance; may be cut to the first 100,000."""
    drop: npt.NDArray[np.int64] | None = None
    """Numbers of all rows that `drop` leaves out; None when nothing can be dropped."""
    words: Mapping[int, str] | None = None
    """Row number → what is the matter with it, where rows differ (`"same text as photos.csv, line 3"`)."""


class Check(ABC):
    """One kind of thing to look for. Subclasses are listed in `gate/table.py`; a class serves one gate.

    Memory stays bounded however many rows pass: counts, sketches and samples, not rows.
    """

    name: ClassVar[str]
    """Its name in the table and in `data.checks`."""
    policies: ClassVar[tuple[Policy, ...]] = ("error", "keep")
    """What can be done about it, the default first."""
    finishes_alone: ClassVar[bool] = False
    """Whether `finish` asks for nothing that other checks share, so that it may run beside theirs."""

    def __init__(self, subject: Subject) -> None:
        """Store what is examined."""
        self.subject = subject

    def observe(self, chunk: Examined) -> None:
        """Take note of a chunk. Called once a chunk, in order, from one thread at a time."""

    def observe_unlabelled(self, chunk: Examined) -> None:
        """Take note of a chunk of `data.unlabelled`, whose codes are `UNLABELLED` or `DROPPED`; they come last."""

    @abstractmethod
    def finish(self, index: RowIndex) -> list[Found]:
        """Say what was found; called once, after the last chunk."""

    def state(self) -> Mapping[str, Any]:
        """Return what `observe` has gathered so far: JSON values and NumPy arrays, so that an interrupted examination
        goes on where it stopped."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned in another process; afterwards both find the same."""
