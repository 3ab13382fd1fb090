"""What the data gate sees of the rows: one chunk after the other, already assigned to splits and read by modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.data.modalities.base import Modality
from modelyard.data.sources.base import Rows, Source
from modelyard.spec.spec import Spec

__all__ = ["DROPPED", "UNLABELLED", "Examined", "Subject"]

DROPPED = -1
"""The code of a row that is already left out (unreadable, or without its target)."""
UNLABELLED = -2
"""The code of a row that is learned from without its target. `RowIndex` holds it; where such a row stands among others,
a chunk shows it as `DROPPED`, for what the gate says of the data is about rows with a target."""


@dataclass(frozen=True)
class Subject:
    """What is examined."""

    spec: Spec
    """With its data section resolved: every input and target has a modality, and the split a method."""
    parts: Mapping[str | None, Source]
    """The sources, by given split; None for one that is split by modelyard."""
    inputs: Sequence[Modality]
    targets: Sequence[Modality]
    """Unfitted modality objects, in the spec's order. `labelled` ones have names out of a closed list as values."""
    extras: Sequence[Modality] = ()
    """Columns that are neither and are kept beside the rows all the same, such as a sampler's weights."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Inputs, then targets, then extras."""
        return (*self.inputs, *self.targets, *self.extras)


@dataclass(frozen=True)
class Examined:
    """A chunk of rows. All arrays have one entry per row of `rows.table`."""

    rows: Rows
    """As the source gave them, with all columns of the file."""
    number: int
    """Number of the chunk's first row, counted over all sources; rows that no source could read have none."""
    codes: npt.NDArray[np.int8]
    """Each row's split: a position in `data.split.SPLITS`, or `DROPPED`."""
    positions: npt.NDArray[np.int64]
    """Each row's position in its file."""
    hashes: npt.NDArray[np.uint64]
    """Each row's hash over all columns (`data.rowhash`)."""
    read: Mapping[str, pa.Array]
    """Column → values as its modality reads them, null where missing or unreadable; inputs and targets alone."""
    notes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    """Column → row of the chunk → what was unusual about a value that was read all the same."""
