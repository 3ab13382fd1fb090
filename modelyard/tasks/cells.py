"""The cells of a table as a model sees them, and back in the user's words and units.

Legend: n rows, W numbers, K categorical columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.data.kinds import Categories, Input, Numbers
from modelyard.data.modalities.base import Modality

__all__ = ["cell_columns", "decoded_cells"]


def cell_columns(inputs: Sequence[Modality]) -> list[str]:
    """Return the column of each cell: of numbers (a number's pieces and its flag are cells), then of categories."""
    numbers = [(one.column, one.describe()) for one in inputs if one.group == "numbers"]
    columns = [column for column, about in numbers if isinstance(about, Numbers) for _ in range(about.width)]
    return [*columns, *(one.column for one in inputs if one.group == "categories")]


def decoded_cells(
    inputs: Sequence[Modality], described: Sequence[Input], cells: npt.NDArray[np.float32]
) -> list[dict[str, Any]]:
    """Return rows of plain values, by column, from cells (n, W + K): numbers on the network's scale, then ids.

    A column whose numbers are embedded in pieces is left out, for pieces do not say one number.
    """
    rows: list[dict[str, Any]] = [{} for _ in cells]
    sizes = next((one.sizes for one in described if isinstance(one, Categories)), ())
    at, category = 0, 0
    for one in [
        *(one for one in inputs if one.group == "numbers"),
        *(one for one in inputs if one.group == "categories"),
    ]:
        about = one.describe()
        if isinstance(about, Numbers):
            values = None if getattr(one.settings, "embedding", "") == "piecewise" else cells[:, at]
            at += about.width
        else:
            labels = getattr(one, "labels", ())
            # the ids before the first label stand for unknown and missing values
            values = np.maximum(cells[:, at].astype(np.int64) - (sizes[category] - len(labels)), -1)
            at, category = at + 1, category + 1
        if values is not None:
            for row, value in zip(rows, one.decode_target(values).to_pylist(), strict=True):
                row[one.column] = value
    return rows
