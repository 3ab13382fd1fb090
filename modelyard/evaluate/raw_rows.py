"""The rows an evaluation looks at again beyond the model's outputs, in bounded memory: for slices and groups what their
columns boil down to, for robustness the inputs as modalities read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.core.errors import DataError, nearest
from modelyard.core.randomness import Permutation
from modelyard.data.fitted import Fitted
from modelyard.data.lookup import Keep, Place, Places, gather_rows
from modelyard.data.modalities.base import Modality
from modelyard.data.sources.base import Source
from modelyard.evaluate.cuts import keep_for_cuts

__all__ = ["choose_rows", "column_names", "read_columns", "read_inputs"]


def choose_rows(count: int, limit: int, seed: int, purpose: str) -> npt.NDArray[np.int64]:
    """Return the numbers of all rows, or of `limit` of them drawn by chance, rising; the same for the same seed."""
    if count <= limit:
        return np.arange(count, dtype=np.int64)
    return np.sort(Permutation(count, seed, purpose).slice(0, limit))


def column_names(sources: Iterable[Source]) -> list[str]:
    """Return the columns of all sources, each once, in order."""
    return list(dict.fromkeys(name for source in sources for name in source.schema().names))


def read_columns(
    sources: Sequence[Source], places: Sequence[Place], columns: Sequence[str], fitted: Fitted
) -> dict[str, pa.Array]:
    """Return what slices and groups need of some columns, whether the model knows them or not.

    Args:
        sources: Where the rows can be read again.
        places: Where they stand, (n,).
        columns: Any columns of the data.
        fitted: Reads those that are inputs or targets.

    Returns:
        Column → what `cuts.keep_for_cuts` keeps of it, (n,).

    Raises:
        DataError: A column does not exist.
    """
    known = column_names(sources)
    for column in columns:
        if column not in known:
            raise DataError(f"no column {column!r} in the data{nearest(column, known)}; columns: {', '.join(known)}")
    modalities = {modality.column: modality for modality in fitted.modalities}
    keep = {column: keep_for_cuts(modalities.get(column)) for column in columns}
    return dict(gather_rows(sources, places, keep).columns)


def read_inputs(sources: Sequence[Source], places: Sequence[Place], fitted: Fitted) -> dict[str, pa.Array]:
    """Return the inputs of some rows as their modalities read them, by column; what cannot be read is null."""

    def reader(modality: Modality) -> Keep:
        return lambda raw, folder: modality.read(raw, folder).values

    keep = {modality.column: reader(modality) for modality in fitted.inputs}
    return dict(gather_rows(sources, Places.of(places), keep).columns)
