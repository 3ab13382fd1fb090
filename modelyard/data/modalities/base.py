"""What every modality does, in the order a row meets it: infer · read · fit · encode · collate · decode · show.

A modality object belongs to one column. Its constructor only stores; `partial_fit` and `finish_fit` learn from the
training split alone; `state` and `restore` move what was learned into and out of a bundle. Training and prediction
call these same methods, so they cannot differ.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from torch import Tensor

from modelyard.data.kinds import Input
from modelyard.spec.settings import Settings

__all__ = ["Column", "Draw", "Guess", "Modality", "Ragged", "Reading", "Shown", "State"]


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths in one array: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]
    """int64 (rows + 1,), starting at 0."""

    def __len__(self) -> int:
        return len(self.offsets) - 1


Column = npt.NDArray[Any] | Ragged


@dataclass(frozen=True)
class Guess:
    """A modality's claim on a column it was shown."""

    score: float
    """0 to 1: how well the column fits; the highest claim wins."""
    reason: str
    """Why, in words for the user: `"312 different whole numbers, none missing"`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that follow from what was seen."""


@dataclass(frozen=True)
class Reading:
    """A chunk of a column, brought to the modality's own Arrow type. Nothing is invented: what cannot be read is
    null in `values` and named in `problems`."""

    values: pa.Array
    problems: Mapping[int, str] = field(default_factory=dict)
    """Position in the chunk → what is wrong with the value there. A plainly missing value is null and no problem."""
    notes: Mapping[int, str] = field(default_factory=dict)
    """Position in the chunk → what was unusual about a value that was read all the same (`"16 bit scaled to 8"`)."""


@dataclass(frozen=True)
class State:
    """What a modality learned: a JSON value, and files of its own (such as `tokenizer.json`)."""

    json: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Draw:
    """Where a training batch stands, from which augmentation draws its randomness (`core.randomness.uniforms`)."""

    seed: int
    epoch: int
    ids: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shown:
    """A value as a person sees it in a report: `kind` is `text`, `number`, `label` or `image`."""

    kind: str
    text: str
    """The value as text; for an image, its alternative text."""
    png: bytes | None = None
    """The picture, PNG-encoded, at most 256 pixels on its longer side."""


class Modality(ABC):
    """One column's kind of value. Subclasses are listed in `modalities/table.py`."""

    Settings: ClassVar[type[Settings]]
    name: ClassVar[str]
    """The name in the table."""
    group: ClassVar[str | None] = None
    """`"numbers"` or `"categories"` for modalities whose columns are stored and batched together as one matrix."""

    kind: ClassVar[str | None] = None
    """Kind of input (`data.kinds`) that it makes unless told otherwise; None: the same word as `group`."""
    labelled: ClassVar[bool] = False
    """Whether its values are names out of a closed list, so that a split can hold the same share of each."""
    encodes_before_fit: ClassVar[bool] = False
    """True when `encode` needs nothing that is learned, so that values are read and stored in a single pass."""

    def __init__(self, column: str, settings: Any, role: str = "input") -> None:
        """Store the column's name, its settings and its role: `"input"` or `"target"`."""
        self.column = column
        self.settings = settings
        self.role = role

    # -- before training ------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def infer(cls, values: pa.Array, column: str, folder: str = "") -> Guess | None:
        """Say whether a sample of raw values (any Arrow type; CSV columns arrive as strings) is of this modality.

        `folder` is where relative paths among the values stand.
        """

    @classmethod
    def adapt(cls, settings: Any, accepts: tuple[str, ...]) -> Any:
        """Fill settings left on automatic so that the encoded kind is one of those the model accepts, the
        preferred first."""
        return settings

    @abstractmethod
    def read(self, values: pa.Array, folder: str = "") -> Reading:
        """Bring raw values to this modality's own Arrow type.

        Never raises for a bad value: it is a problem of its row. Reading a value that was already read changes nothing.

        Args:
            values: Raw values of any Arrow type.
            folder: Where relative paths among the values stand; empty for the working directory.
        """

    def row_bytes(self) -> int:
        """About how many bytes a read value takes, when they are many (pictures); 0 for small ones."""
        return 0

    @abstractmethod
    def partial_fit(self, values: pa.Array) -> None:
        """Learn from one chunk of the training split's read values (nulls possible). Called once a chunk, in order."""

    @abstractmethod
    def partial_state(self) -> State:
        """Return what `partial_fit` has gathered so far, so that an interrupted fit can be taken up again."""

    @abstractmethod
    def restore_partial(self, state: State) -> None:
        """Take up, in a new object of the same settings, the fit whose `partial_state` this is.

        The further chunks then lead to the same `state()`, bit for bit, as if there had been no interruption.

        Raises:
            DataError: The state is not one of this modality's, or it is damaged.
        """

    @abstractmethod
    def finish_fit(self) -> None:
        """Conclude what `partial_fit` gathered. Afterwards the modality encodes.

        Raises:
            DataError: Nothing could be learned, such as from a column without a single value.
        """

    @abstractmethod
    def state(self) -> State:
        """Return what was learned."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Take over what another object of this modality learned; afterwards both encode alike, bit for bit.

        Raises:
            BundleError: The state is not one this modality could have written.
        """

    # -- as an input ----------------------------------------------------------------------------------------------

    @abstractmethod
    def describe(self) -> Input:
        """Return the input this fitted column makes, as a model sees it; grouped ones describe their column alone."""

    @abstractmethod
    def encode(self, values: pa.Array) -> dict[str, Column]:
        """Turn read values into stored columns, by part: `{"": array}` or `{"ids": Ragged, "weights": Ragged}`.

        Grouped modalities return one two-dimensional array (rows, width) under `""`.
        """

    @abstractmethod
    def collate(self, parts: Mapping[str, Column], draw: Draw | None) -> dict[str, Tensor]:
        """Turn the gathered stored columns of a batch into the tensors of `describe().tensors`.

        Args:
            parts: As `encode` returned them, restricted to the batch's rows. Of a group, only the first column's
                modality is called, and gets the matrix of the whole group.
            draw: Where the batch stands in training, to augment by; None outside training: no augmentation.
        """

    def from_stored(self, parts: Mapping[str, Column]) -> pa.Array:
        """The inverse of `encode`, for modalities that encode before they are fitted; missing values come back as what
        was stored for them."""
        raise NotImplementedError(f"{self.name} does not encode before it is fitted")

    def remarks(self, values: pa.Array) -> Mapping[int, str]:
        """Say what `encode` will not do justice to among read values that are not missing: position → remark.

        A remark opens with its kind; a colon and details may follow (`"not seen in training: 'purple'"`), so that
        remarks of one kind can be counted together.
        """
        return {}

    # -- as a target ----------------------------------------------------------------------------------------------

    def encode_target(self, values: pa.Array) -> npt.NDArray[Any]:
        """Turn read values into the array a task learns from; a missing target is −1 (labels) or NaN (numbers)."""
        raise NotImplementedError(f"{self.name} cannot be a target")

    def decode_target(self, targets: npt.NDArray[Any]) -> pa.Array:
        """The inverse of `encode_target`: answers in the user's own words and units."""
        raise NotImplementedError(f"{self.name} cannot be a target")

    # -- for people -----------------------------------------------------------------------------------------------

    @abstractmethod
    def show(self, value: Any) -> Shown:
        """Return one read value (a Python object from the Arrow array) as a person sees it."""

    def summary(self) -> dict[str, Any]:
        """Return what was learned in a few plain values, for the report: counts, mean, range, labels …"""
        return {}
