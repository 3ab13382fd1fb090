"""What is said of rows whose fingerprints are nearly the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.data.gate.check import Found, RowIndex
from modelyard.data.gate.examined import Subject
from modelyard.data.gate.finding import Finding, Severity
from modelyard.data.gate.fingerprints import Fingerprints
from modelyard.data.gate.naming import place_rows
from modelyard.data.gate.words import count, share
from modelyard.data.split import SPLITS

__all__ = ["NearPairs", "Wording", "near_found", "with_partners"]

Numbers = npt.NDArray[np.int64]

_NAMED = 100
_KEPT = 100_000
_MANY = 0.01
"""Share of rows from which near duplicates within a split are more than a note."""
_NONE = np.iinfo(np.int64).max


@dataclass(frozen=True)
class NearPairs:
    """Pairs of fingerprints that are nearly the same, by their places in `Fingerprints`."""

    first: Numbers
    second: Numbers
    similarity: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Wording:
    """How findings speak of one check's rows."""

    check: str
    column: str
    what: str
    """What is nearly the same: `"text"`."""
    found_by: str
    """How: `"MinHash (…), 0.8 or more"`."""
    details: Mapping[str, Any]


def near_found(pairs: NearPairs, prints: Fingerprints, index: RowIndex, wording: Wording) -> list[Found]:
    """Say which rows are nearly the same as others: as training (or validation) rows, and within their split.

    A row that repeats several times is one row; the first of its kind within a split is not counted. Rows that are
    left out already take no part. Which row each is nearly the same as: see `with_partners`.
    """
    if not len(pairs.first):
        return []
    near = _Near(pairs, prints, index)
    found = []
    held, compared = int((near.totals[1:]).sum()), int(near.totals.sum())
    to_training, similar = near.beside(0)
    shared = (near.codes > 0) & (to_training < _NONE)
    if shared.any():
        judged = np.minimum(near.beside(1)[0], near.beside(2)[0]) < _NONE
        drop = near.numbers[(near.codes == 0) & judged]
        total = int(shared.sum())
        title = f"{total:,} of {count(held, 'held-out row')} ({share(total / max(held, 1))}) have nearly the same "
        why = (
            "The model has learned from rows almost like these: results on them say how well it remembers, not how "
            f"well it does on new rows. {wording.found_by} `drop` leaves the training rows out."
        )
        title += f"{wording.what} in {wording.column!r} as a training row"
        found.append(near.say(wording, "warn", title, why, shared, to_training, similar, drop))
    to_validation, similar = near.beside(1)
    both = (near.codes == 2) & (to_validation < _NONE) & ~shared
    if both.any():
        drop = near.numbers[(near.codes == 1) & (near.beside(2)[0] < _NONE)]
        total, tested = int(both.sum()), int(near.totals[2])
        title = f"{total:,} of {count(tested, 'test row')} ({share(total / max(tested, 1))}) have nearly the same "
        why = (
            "What was chosen on the validation split was chosen for rows almost like these, so that the test flatters "
            f"it. {wording.found_by} `drop` leaves the validation rows out."
        )
        title += f"{wording.what} in {wording.column!r} as a validation row"
        found.append(near.say(wording, "warn", title, why, both, to_validation, similar, drop))
    others = [near.beside(code) for code in range(len(SPLITS))]
    earlier = np.choose(np.maximum(near.codes, 0), [other for other, _ in others])
    similar = np.choose(np.maximum(near.codes, 0), [value for _, value in others])
    repeated = earlier < near.numbers
    if repeated.any():
        total = int(repeated.sum())
        title = f"{total:,} of {count(compared, 'row')} ({share(total / max(compared, 1))}) have nearly the same "
        title += f"{wording.what} in {wording.column!r} as an earlier row of their split"
        why = (
            "Rows that nearly repeat each other weigh more in training, and held-out ones count several times. "
            f"{wording.found_by} `drop` keeps the first of each."
        )
        severity: Severity = "warn" if total > _MANY * compared else "note"
        found.append(
            near.say(wording, severity, title, why, repeated, earlier, similar, near.numbers[repeated], groups=True)
        )
    return found


def with_partners(found: Sequence[Found], subject: Subject, index: RowIndex) -> list[Found]:
    """Say of the first rows of each finding where the row stands that they are nearly the same as."""
    pairs = [one.finding.details["pairs"] for one in found]
    places = place_rows(subject, index, {other for part in pairs for _, other, _ in part})
    return [
        dataclasses.replace(
            one, words={row: f"nearly the same as {places[other]} ({value:.2f})" for row, other, value in part}
        )
        for one, part in zip(found, pairs, strict=True)
    ]


class _Near:
    """The rows that have a near pair; `contents` are those that are part of one."""

    def __init__(self, pairs: NearPairs, prints: Fingerprints, index: RowIndex) -> None:
        first, second = prints.contents[pairs.first], prints.contents[pairs.second]
        self._contents = np.unique(np.concatenate([first, second]))
        one, other = np.searchsorted(self._contents, first), np.searchsorted(self._contents, second)
        self._from, self._to = np.concatenate([one, other]), np.concatenate([other, one])
        self._similarity = np.concatenate([pairs.similarity, pairs.similarity])
        at = np.searchsorted(self._contents, prints.row_contents)
        at[at == len(self._contents)] = 0
        involved = np.flatnonzero(self._contents[at] == prints.row_contents)
        codes = np.asarray(index.codes)
        rows = prints.row_numbers[involved]
        used = codes[rows] >= 0
        self.numbers: Numbers = rows[used]
        self.codes: npt.NDArray[np.int8] = codes[self.numbers]
        self._content: Numbers = at[involved][used]
        compared = codes[prints.row_numbers] if prints.level else codes
        self.totals: Numbers = np.bincount(compared[compared >= 0], minlength=len(SPLITS))
        """Rows of each split; of a sample, those in it."""
        self._level = prints.level

    def beside(self, code: int) -> tuple[Numbers, npt.NDArray[np.float32]]:
        """Return for each row the first row of a split that is nearly the same, or `_NONE`, and how similar it is."""
        size = len(self._contents)
        first_row = np.full(size, _NONE)
        mine = self.codes == code
        np.minimum.at(first_row, self._content[mine], self.numbers[mine])
        reached = first_row[self._to]
        order = np.lexsort((-self._similarity, reached, self._from))
        owner = self._from[order]
        lead = order[np.concatenate([[True], owner[1:] != owner[:-1]])]
        best, similarity = np.full(size, _NONE), np.zeros(size, np.float32)
        best[self._from[lead]] = reached[lead]
        similarity[self._from[lead]] = self._similarity[lead]
        return best[self._content], similarity[self._content]

    def say(
        self,
        wording: Wording,
        severity: Severity,
        title: str,
        why: str,
        chosen: npt.NDArray[np.bool_],
        others: Numbers,
        similarity: npt.NDArray[np.float32],
        drop: Numbers,
        groups: bool = False,
    ) -> Found:
        at = np.flatnonzero(chosen)
        at = at[np.argsort(self.numbers[at], kind="stable")]
        first = at[:_NAMED]
        named: list[tuple[int, int, float]] = list(
            zip(self.numbers[first].tolist(), others[first].tolist(), similarity[first].tolist(), strict=True)
        )
        by_split = np.bincount(self.codes[at], minlength=len(SPLITS))
        details: dict[str, Any] = {
            **{split: int(by_split[code]) for code, split in enumerate(SPLITS) if by_split[code]},
            **wording.details,
            "pairs": [[number, other, round(value, 2)] for number, other, value in named],
        }
        if groups:
            details["groups"] = len(np.unique(self._groups()[self._content[at]]))
        if self._level:
            details["compared_one_in"] = 1 << self._level
            title += f", compared among one in {1 << self._level:,}"
        finding = Finding(wording.check, severity, title, why, len(at), [wording.column], details=details)
        return Found(finding, self.numbers[at][:_KEPT], np.sort(drop))

    def _groups(self) -> Numbers:
        """Return each content's group: contents that are joined by pairs, by the lowest place among them."""
        labels = np.arange(len(self._contents))
        while True:
            lowest = labels.copy()
            np.minimum.at(lowest, self._from, labels[self._to])
            lowest = lowest[lowest]
            if np.array_equal(lowest, labels):
                return labels
            labels = lowest
