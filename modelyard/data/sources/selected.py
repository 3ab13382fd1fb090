"""Some rows of other sources, by their places; never opened by name, so it stands in no table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.core.files import digest_bytes
from modelyard.data.sources.base import Rows, Source

__all__ = ["Selected"]


class Selected(Source):
    """The rows of a source that stand at given places, each once and in the source's order.

    Records that cannot be read have no place among them and are not told of.

    Args:
        source: The source.
        places: File → positions there of the rows that are kept.
        name: What these rows are, for people.
    """

    name = "selected"

    def __init__(self, source: Source, places: Mapping[str, npt.NDArray[np.int64]], name: str) -> None:
        super().__init__(name, source.settings)
        self.source = source
        self.places = {file: np.unique(np.asarray(places[file], np.int64)) for file in sorted(places)}

    def files(self) -> list[str]:
        return self.source.files()

    def schema(self) -> pa.Schema:
        return self.source.schema()

    def folder(self) -> str:
        return self.source.folder()

    def label(self) -> str:
        return self.source.label()

    def place(self, file: str, positions: Sequence[int]) -> list[str]:
        return self.source.place(file, positions)

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
        chosen = [digest_bytes(positions.astype("<i8").tobytes()) for positions in self.places.values()]
        return digest_bytes("\n".join([self.source.fingerprint(), *chosen]).encode())
