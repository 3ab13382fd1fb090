"""Some rows of other sources, by their places; never opened by name, so it stands in no table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from modelyard.core.files import digest_bytes
from modelyard.data.sources.base import Rows, Source

__all__ = ["Selected"]


class Selected(Source):
    """The rows of a source that stand at given places.

    Args:
        source: The source.
        places: File → positions there of the rows that are kept.
        name: What these rows are, for people.
    """

    name = "selected"

    def __init__(self, source: Source, places: dict[str, np.ndarray], name: str) -> None:
        super().__init__(name, source.settings)
        self.source = source
        self.places = {file: np.sort(positions) for file, positions in places.items()}

    def files(self) -> list[str]:
        return self.source.files()

    def schema(self) -> pa.Schema:
        return self.source.schema()

    def folder(self) -> str:
        return self.source.folder()

    def read(self, columns: Sequence[str] | None = None, chunk: int = 65536) -> Iterator[Rows]:
        for rows in self.source.read(columns, chunk):
            wanted = self.places.get(rows.file)
            if wanted is None:
                continue
            count = rows.table.num_rows
            positions = np.arange(rows.start, rows.start + count) if rows.positions is None else rows.positions
            at = np.flatnonzero(np.isin(positions, wanted, assume_unique=True))
            if len(at):
                kept = np.asarray(positions)[at]
                yield Rows(rows.table.take(pa.array(at)), rows.file, int(kept[0]), {}, kept.tolist())

    def fingerprint(self) -> str:
        said = "".join(f"{file}\n" + positions.astype("<i8").tobytes().hex() for file, positions in self.places.items())
        return digest_bytes((self.source.fingerprint() + said).encode())
