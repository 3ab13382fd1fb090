"""Which rows train, which choose and which judge: decided row by row, the same on every machine and in every run.

A row's place follows from a hash of its key, so rows that are appended later leave the others where they are, and equal
rows always share a split.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.core.errors import DataError, SpecError
from modelyard.core.randomness import derive, mix
from modelyard.data.rowhash import row_hashes
from modelyard.spec.spec import Spec, SplitSpec

__all__ = ["SPLITS", "Assigner", "split_code", "time_cutoffs"]

SPLITS = ("train", "validation", "test")
"""Names of the splits; a row's code is its position here."""

_ALIASES = {
    "train": 0, "training": 0, "trn": 0,
    "validation": 1, "valid": 1, "val": 1, "dev": 1, "development": 1,
    "test": 2, "testing": 2, "tst": 2, "held-out": 2, "heldout": 2,
}  # fmt: skip
_DEALT = 1 << 18
"""Distinct rows that stratified splitting deals exactly and remembers. Of more rows, each further one goes by its hash:
shares of so many come out right by themselves, and memory stays bounded."""
_SIEVE = np.uint64(42)
_OPEN = -1
_BLOCKS = (20, 100, 1000)
"""Rows of one label are dealt in blocks of so many, so that each block has the same share of every split: the smallest
in which the shares come out as whole rows."""


def split_code(name: str) -> int | None:
    """Return the code of a split by any of its usual names (`val`, `dev`, …), or None."""
    return _ALIASES.get(name.strip().lower())


class Assigner:
    """Assigns rows to splits, a chunk after the other.

    Args:
        split: What the spec asks for, with `method` resolved (not `auto`).
        seed: The spec's seed.
        target: Column to stratify by when `split.by` is unsaid.
        cutoffs: For `time`, the values from `time_cutoffs`.
    """

    def __init__(
        self, split: SplitSpec, seed: int, target: str | None = None, cutoffs: tuple[Any, Any] | None = None
    ) -> None:
        self.split = split
        self.cutoffs = cutoffs
        self.stratify_by = split.by or target
        self._key = derive(seed, "split")
        shares = (split.test, split.test + split.validation)
        self._block = next(
            (block for block in _BLOCKS if all(abs(share * block - round(share * block)) < 1e-9 for share in shares)),
            _BLOCKS[-1],
        )
        self._dealt: dict[Any, int] = {}
        self._seen_hashes = np.empty(0, np.uint64)
        self._seen_codes = np.empty(0, np.int8)

    @property
    def columns(self) -> list[str] | None:
        """The columns `assign` needs; None for all of them."""
        method, by = self.split.method, self.split.by
        if method in ("given", "group", "time"):
            return [] if by is None else [by]
        if self.split.key is None:
            return None
        return list(dict.fromkeys([*self.split.key, *([self.stratify_by] if self.stratify_by else [])]))

    def assign(self, rows: pa.RecordBatch, hashes: npt.NDArray[np.uint64] | None = None) -> npt.NDArray[np.int8]:
        """Return each row's split code, int8 (rows,): a position in `SPLITS`.

        Args:
            rows: Some rows, with the columns named by `columns`.
            hashes: The rows' hashes over all columns, where they are known.

        Raises:
            DataError: A column is missing, or the split column holds a word that names no split.
        """
        method = self.split.method
        if method == "given":
            return self._given(rows)
        if method == "time":
            return self._time(rows)
        if method == "group":
            return self._by_share(_hashes(rows, [self._by()]))
        if hashes is None or self.split.key is not None:
            hashes = _hashes(rows, self.split.key)
        return self._by_share(hashes) if method == "random" else self._stratified(rows, hashes)

    def _by(self) -> str:
        if self.split.by is None:
            raise Spec.problem("data.split.by", f"is required for method '{self.split.method}': the column's name")
        return self.split.by

    def _given(self, rows: pa.RecordBatch) -> npt.NDArray[np.int8]:
        names = _column(rows, self._by()).cast(pa.string()).to_pylist()
        codes = {name: None if name is None else split_code(name) for name in set(names)}
        unknown = sorted(str(name) for name, code in codes.items() if code is None)
        if unknown:
            raise DataError(
                f"column {self._by()!r} should name each row's split (train, validation or test), "
                f"but holds {', '.join(map(repr, unknown[:5]))}"
            )
        return np.array([codes[name] for name in names], np.int8)

    def _time(self, rows: pa.RecordBatch) -> npt.NDArray[np.int8]:
        assert self.cutoffs is not None
        values = _sortable(_column(rows, self._by()))
        codes = np.zeros(len(values), np.int8)
        for code, cutoff in ((1, self.cutoffs[0]), (2, self.cutoffs[1])):
            if cutoff is not None:
                codes[values >= cutoff] = code
        return codes

    def _by_share(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int8]:
        return self._codes((mix(hashes ^ np.uint64(self._key)) >> np.uint64(11)) * 2.0**-53)

    def _codes(self, uniform: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int8]:
        test, validation = self.split.test, self.split.validation
        return np.where(uniform < test, 2, np.where(uniform < test + validation, 1, 0)).astype(np.int8)

    def _stratified(self, rows: pa.RecordBatch, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int8]:
        """Deal the distinct rows of each label, in their order, over the splits in shuffled blocks."""
        if self.stratify_by is None:
            raise Spec.problem("data.split.by", "is required for method 'stratified': the label's column")
        if len(self._seen_hashes) >= _DEALT:
            codes = self._by_share(hashes)
            maybe = np.flatnonzero(self._sieve[hashes >> _SIEVE])  # most rows are told from those dealt before by a bit
            codes[maybe] = self._like_seen(hashes[maybe], codes[maybe])
            return codes
        # A row seen before keeps its split; of equal rows within this chunk the first decides.
        unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        codes = self._like_seen(unique, np.full(len(unique), _OPEN, np.int8))
        new = np.flatnonzero(codes == _OPEN)
        new = new[np.argsort(first[new], kind="stable")]
        new, late = np.split(new, [max(0, _DEALT - len(self._seen_hashes))])
        codes[late] = self._by_share(unique[late])
        labels = _column(rows, self.stratify_by).cast(pa.string()).take(pa.array(first[new])).dictionary_encode()
        indices = pc.fill_null(labels.indices, len(labels.dictionary)).to_numpy(zero_copy_only=False)
        for index, label in enumerate([*labels.dictionary.to_pylist(), None]):
            members = new[indices == index]
            if len(members):
                codes[members] = self._codes(self._deal(label, len(members)))
        if not len(new):
            return codes[inverse]
        order = np.argsort(np.concatenate([self._seen_hashes, unique[new]]), kind="stable")
        self._seen_codes = np.concatenate([self._seen_codes, codes[new]])[order]
        self._seen_hashes = np.concatenate([self._seen_hashes, unique[new]])[order]
        return codes[inverse]

    @cached_property
    def _sieve(self) -> npt.NDArray[np.bool_]:
        """Which leading bits the hashes of dealt rows have; asked for once all that are dealt are known."""
        sieve = np.zeros(1 << (64 - int(_SIEVE)), bool)
        sieve[self._seen_hashes >> _SIEVE] = True
        return sieve

    def _like_seen(self, hashes: npt.NDArray[np.uint64], codes: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """Return the codes, with those of rows that were dealt before in their places."""
        spot = np.searchsorted(self._seen_hashes, hashes)
        spot[spot == len(self._seen_hashes)] = 0
        known = self._seen_hashes[spot] == hashes if len(self._seen_hashes) else np.zeros(len(hashes), bool)
        return np.where(known, self._seen_codes[spot], codes).astype(np.int8) if known.any() else codes

    def state(self) -> dict[str, Any]:
        """Return what was dealt so far, for an interrupted examination to go on."""
        dealt = [[label, count] for label, count in self._dealt.items()]
        return {"dealt": dealt, "hashes": self._seen_hashes, "codes": self._seen_codes}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self._dealt = dict(state["dealt"])
        self._seen_hashes, self._seen_codes = state["hashes"], state["codes"]

    def _deal(self, label: str | None, count: int) -> npt.NDArray[np.float64]:
        start = self._dealt.get(label, 0)
        self._dealt[label] = start + count
        positions = np.arange(start, start + count)
        block = self._block
        first, last = positions[0] // block, positions[-1] // block
        key = np.uint64(derive(self._key, "label", "\x00" if label is None else label))
        cells = np.arange(first * block, (last + 1) * block, dtype=np.uint64)
        slots = mix(cells ^ key).reshape(-1, block).argsort(axis=1).argsort(axis=1)
        # The middle of a slot: 0.1 of a block of 20 is exactly its slots 0 and 1.
        dealt: npt.NDArray[np.float64] = (slots.reshape(-1)[positions - first * block] + 0.5) / block
        return dealt


def time_cutoffs(chunks: Iterable[pa.Array], split: SplitSpec) -> tuple[Any, Any]:
    """Return the first time of the validation split and of the test split (None where that split has no share).

    Rows of equal time stay together.
    """
    values = np.sort(np.concatenate([_sortable(chunk) for chunk in chunks]))
    if not len(values):
        return None, None
    count = len(values)
    test = values[min(count - 1, round(count * (1 - split.test)))] if split.test else None
    validation = (
        values[min(count - 1, round(count * (1 - split.test - split.validation)))] if split.validation else None
    )
    return validation, test


def _sortable(values: pa.Array) -> npt.NDArray[Any]:
    """Times as something that sorts: numbers as float64, dates as int64, ISO texts as themselves."""
    if values.null_count:
        raise DataError(f"{values.null_count} rows have no time; a split by time needs one in every row")
    sortable: npt.NDArray[Any]
    if pa.types.is_temporal(values.type):
        sortable = values.cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy(zero_copy_only=False)
        return sortable
    try:
        sortable = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        sortable = values.cast(pa.string()).to_numpy(zero_copy_only=False).astype(str)
    return sortable


def _column(rows: pa.RecordBatch, name: str) -> pa.Array:
    if name not in rows.schema.names:
        raise SpecError([_unknown_column(name, rows.schema.names)])
    return rows.column(name)


def _unknown_column(name: str, names: Sequence[str]) -> Any:
    from_spec = Spec.problem("data.split", f"no column {name!r} in the data; columns: {', '.join(names)}")
    return from_spec.problems[0]


def _hashes(rows: pa.RecordBatch, columns: Sequence[str] | None) -> npt.NDArray[np.uint64]:
    for name in columns or ():
        _column(rows, name)
    return row_hashes(rows, columns)
