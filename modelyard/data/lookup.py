"""Find raw rows again by file and position, to show them to a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from modelyard.data.modalities.base import Modality, Shown
from modelyard.data.sources.base import Source

__all__ = ["Place", "show_rows"]

Place = tuple[str, int]
"""A row: its file, and its position there."""


def show_rows(
    sources: Iterable[Source], wanted: Sequence[Place], modalities: Sequence[Modality]
) -> dict[Place, dict[str, Shown]]:
    """Return the asked rows as a person sees them: place → column → shown value. Columns a file lacks are left out.

    The sources are read through until all rows are found.
    """
    open_places = set(wanted)
    found: dict[Place, dict[str, Shown]] = {}
    for source in sources:
        present = [modality for modality in modalities if modality.column in source.schema().names]
        if not open_places or not present:
            continue
        for rows in source.read([modality.column for modality in present]):
            count = rows.table.num_rows
            positions = rows.positions if rows.positions is not None else range(rows.start, rows.start + count)
            index = {position: row for row, position in enumerate(positions)}
            hits = [place for place in open_places if place[0] == rows.file and place[1] in index]
            if hits:
                chosen = pa.array([index[position] for _, position in hits])
                shown = {m.column: _show(m, rows.table.column(m.column).take(chosen), source) for m in present}
                for at, place in enumerate(hits):
                    found[place] = {column: values[at] for column, values in shown.items()}
                open_places -= set(hits)
            if not open_places:
                break
    return found


def _show(modality: Modality, raw: pa.Array, source: Source) -> list[Shown]:
    values = modality.read(raw, source.folder()).values
    return [modality.show(value.as_py() if isinstance(value, pa.Scalar) else value) for value in _scalars(values)]


def _scalars(values: pa.Array) -> list[Any]:
    return [values[index] for index in range(len(values))]
