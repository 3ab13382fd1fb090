"""Parts of the training rows: folds, and shares that contain one another. Rows that belong together stay together.

Both follow from the rows' content and the seed alone, so that they are the same in every run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.core.errors import DataError
from modelyard.core.randomness import derive, mix
from modelyard.data.lookup import Places, gather_rows
from modelyard.data.prepare import Prepared, locate
from modelyard.data.rowhash import row_hashes
from modelyard.spec.spec import Spec

__all__ = ["Units", "assign_folds", "choose_shares", "find_units"]

Integers = npt.NDArray[np.int64]


class Units:
    """The training rows in units that must not be torn apart: equal rows, or all rows of a group.

    Args:
        keys: One number a row, equal for the rows of a unit; uint64 (n,).
        labels: One label id a row, to be spread evenly; int64 (n,). All alike where there are no labels.
        seed: The spec's seed.
        group: The column that says which rows belong together; None where equal rows do.
    """

    def __init__(self, keys: npt.NDArray[np.uint64], labels: Integers, seed: int, group: str | None = None) -> None:
        distinct, unit_of_row = np.unique(keys, return_inverse=True)
        self.of_row: Integers = unit_of_row.astype(np.int64)
        """Each row's unit, (n,)."""
        self.rows: Integers = np.bincount(self.of_row, minlength=len(distinct)).astype(np.int64)
        """Each unit's number of rows, (units,)."""
        self.label: Integers = _most_frequent(self.of_row, labels, len(distinct))
        """Each unit's most frequent label, (units,)."""
        self.what = "distinct row" if group is None else f"group of equal {group!r}"
        """What a unit is, in words."""
        self.together = "equal rows" if group is None else f"rows of equal {group!r}"
        """What stays together, in words."""
        self.order = mix(distinct ^ np.uint64(derive(seed, "portions")))
        """A random number for each unit that depends on its key and the seed alone, uint64 (units,)."""

    def __len__(self) -> int:
        return len(self.rows)


def find_units(spec: Spec, prepared: Prepared) -> Units:
    """Return the units of the training rows: groups where the spec declares them, else equal rows.

    Groups are those of `data.group`, or of `data.split.by` when the split is by group; they are read from the source.

    Raises:
        DataError: The groups' column is not in the training rows' source.
    """
    store = prepared.splits["train"]
    split = spec.data.split
    group = spec.data.group or (split.by if split.method == "group" else None)
    labels = np.zeros(len(store), np.int64)
    targets = [name for name in store.columns if name.startswith("target.")]
    if len(targets) == 1:
        target = store.whole(targets[0])
        if isinstance(target, np.ndarray) and target.ndim == 1 and target.dtype.kind in "iu":
            labels = target.astype(np.int64)
    if group is None:
        return Units(_array(store.whole("row.hash")).astype(np.uint64), labels, spec.seed)
    return Units(_group_hashes(spec, prepared, group), labels, spec.seed, group)


def assign_folds(units: Units, folds: int) -> Integers:
    """Return each row's fold, int64 (n,), from 0: folds of nearly equal numbers of units of each label.

    Raises:
        SpecError: There are fewer units than folds.
    """
    if len(units) < folds:
        raise Spec.problem(
            "evaluate.cross_validate",
            f"asks for {folds} folds, and the training rows hold {len(units)} in all that may be told apart "
            f"({units.together} stay together); ask for fewer folds, or leave it out",
        )
    # Dealt label by label, the largest first: each fold gets its share of every label, and units of all sizes.
    dealt = np.lexsort((units.order, -units.rows, units.label))
    fold = np.empty(len(units), np.int64)
    fold[dealt] = np.arange(len(units)) % folds
    return fold[units.of_row]


def choose_shares(units: Units, share: float) -> Integers:
    """Return the positions of a share of the rows, int64 rising; that share of each label's units, one at least.

    A larger share holds all rows of a smaller one.
    """
    ordered = np.lexsort((units.order, units.label))
    labels = units.label[ordered]
    starts = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    counts = np.diff([*starts, len(labels)])
    rank = np.arange(len(labels)) - np.repeat(starts, counts)
    chosen = np.zeros(len(units), bool)
    chosen[ordered] = rank < np.repeat(np.maximum(1, np.round(share * counts)), counts)
    return np.flatnonzero(chosen[units.of_row]).astype(np.int64)


def _most_frequent(unit_of_row: Integers, labels: Integers, units: int) -> Integers:
    """Each unit's most frequent label, (units,); of equally frequent ones the smallest id."""
    many = int(labels.max(initial=0)) + 1
    pairs, counts = np.unique(unit_of_row * many + labels, return_counts=True)
    unit, label = pairs // many, pairs % many
    ordered = np.lexsort((label, -counts, unit))
    first = ordered[np.flatnonzero(np.diff(unit[ordered], prepend=-1))]
    result: Integers = label[first]
    assert len(result) == units
    return result


def _group_hashes(spec: Spec, prepared: Prepared, column: str) -> npt.NDArray[np.uint64]:
    """Return a hash of the group of each training row, uint64 (n,), read from the source again."""
    store = prepared.splits["train"]
    places = Places(prepared.record.files, _array(store.whole("row.file")), _array(store.whole("row.position")))
    gathered = gather_rows(locate(spec.data)[0].values(), places, {column: lambda raw, folder: raw})
    held = gathered.held[column]
    if not held.all():
        raise DataError(
            f"the group of {int((~held).sum())} of {len(held)} training rows cannot be read: their source has no "
            f"column {column!r}, or has changed since it was prepared; check data.group and the files"
        )
    return row_hashes(pa.table({column: gathered.columns[column]}))


def _array(column: object) -> npt.NDArray[Any]:
    assert isinstance(column, np.ndarray)
    return column
