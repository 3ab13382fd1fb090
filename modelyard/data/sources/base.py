"""What every source does: list its files, give its columns, yield its rows in order, as Arrow, in bounded memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa

from modelyard.spec.settings import Settings

__all__ = ["Rows", "Source"]


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of one file."""

    table: pa.RecordBatch
    file: str
    """The file they came from, as the user would name it."""
    start: int
    """Position in the file of the first row, counted from 0 (records, not lines: a quoted cell may hold line ends)."""
    unreadable: Mapping[int, str] = field(default_factory=dict)
    """Position in the file → what is wrong, for records near these rows that could not be read at all
    (a ragged CSV record, a broken JSON line). They have no row in `table` but keep their position."""
    positions: Sequence[int] | None = None
    """Each row's position in the file, when `unreadable` records make them other than start, start + 1, …"""


class Source(ABC):
    """One or more files of one format that make one table. Subclasses are listed in `sources/table.py`."""

    Settings: ClassVar[type[Settings]]
    name: ClassVar[str]
    extensions: ClassVar[tuple[str, ...]] = ()
    """File endings, lower case, that mean this format: `(".csv", ".csv.gz")`."""

    def __init__(self, location: Any, settings: Any) -> None:
        """Store where the rows are: a path, glob or URL (fsspec), or for `memory` a Python object. Reads nothing."""
        self.location = location
        self.settings = settings

    @classmethod
    def claims(cls, location: Any) -> bool:
        """Say whether this format is meant by a location: by its ending, or by a look at the folder or object."""
        return isinstance(location, str) and location.lower().endswith(cls.extensions) if cls.extensions else False

    @abstractmethod
    def files(self) -> list[str]:
        """The files, in reading order.

        Raises:
            DataError: There is none; the message says what was looked for and what stands nearby.
        """

    @abstractmethod
    def schema(self) -> pa.Schema:
        """Column names and raw Arrow types.

        Raises:
            DataError: The first file is empty or not of this format.
        """

    @abstractmethod
    def read(self, columns: Sequence[str] | None = None, chunk: int = 65536) -> Iterator[Rows]:
        """Yield all rows in order, at most `chunk` at a time, restricted to `columns` when given.

        Raises:
            DataError: A file cannot be read any further; names the file and the place.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of the content (not of names or times): equal content, equal digest."""

    def folder(self) -> str:
        """The folder that relative paths in the rows' cells stand under; empty when there is none."""
        return ""

    def label(self) -> str:
        """The file that the rows' `file` names, when it is not one of `files()`: a folder whose files are the rows."""
        return self.folder()

    def place(self, file: str, positions: Sequence[int]) -> list[str]:
        """Return where records of a file stand, as a person finds them.

        Args:
            file: The file, as `Rows.file` names it.
            positions: Positions of records in it, rising.
        """
        return [f"{file}, record {position + 1}" for position in positions]
