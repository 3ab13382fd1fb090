"""Rows that occur more than once: within a split, across splits, and with targets that contradict each other.

Rows count as the same when their inputs are the same; a picture is what it shows, not its path.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from modelyard.data.gate.check import Found, RowIndex
from modelyard.data.gate.finding import Finding, Policy
from modelyard.data.gate.naming import place_rows
from modelyard.data.gate.profile import ProfileCheck
from modelyard.data.gate.repeats import Part
from modelyard.data.gate.tally import NAMED
from modelyard.data.gate.words import count, rows_of, share
from modelyard.data.split import SPLITS

__all__ = ["ContradictoryLabels", "DuplicateRows", "DuplicatesAcrossSplits"]

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class _Rows:
    """Rows of one kind, gathered part by part, with the row that the first of them stand beside."""

    def __init__(self) -> None:
        self.by_split: Numbers = np.zeros(len(SPLITS), np.int64)
        self.beside: dict[int, int] = {}
        """Numbers of the first rows, rising → the other row."""
        self._dropped: list[Numbers] = []

    def add(self, part: Part, rows: Mask, others: Numbers, drop: Mask) -> None:
        """Take in a part: which of its rows count, beside which row each stands, and which are left out on request."""
        self.by_split += np.bincount(part.codes[rows], minlength=len(SPLITS))
        chosen = np.flatnonzero(rows)
        if len(chosen) > NAMED:
            chosen = chosen[np.argpartition(part.rows[chosen], NAMED - 1)[:NAMED]]
        pairs = [*self.beside.items(), *zip(part.rows[chosen].tolist(), others[chosen].tolist(), strict=True)]
        self.beside = dict(sorted(pairs)[:NAMED])
        self._dropped.append(part.rows[drop])

    @property
    def count(self) -> int:
        """How many rows."""
        return int(self.by_split.sum())

    @property
    def splits(self) -> dict[str, int]:
        """Rows by the split's name."""
        return {split: int(self.by_split[code]) for code, split in enumerate(SPLITS) if self.by_split[code]}

    @property
    def drop(self) -> Numbers:
        """Numbers of the rows to leave out, rising."""
        return np.sort(np.concatenate([np.empty(0, np.int64), *self._dropped]))


class _Repeated(ProfileCheck):
    """A check of rows whose inputs occur more than once."""

    policies: ClassVar[tuple[Policy, ...]] = ("keep", "drop", "error")

    def _found(self, finding: Finding, rows: _Rows, index: RowIndex, what: str) -> Found:
        places = place_rows(self.subject, index, rows.beside.values())
        words = {number: f"{what} {places[other]}" for number, other in rows.beside.items()}
        return Found(finding, np.array(list(rows.beside), np.int64), rows.drop, words)


class DuplicateRows(_Repeated):
    """The same inputs with the same targets, more than once in one split."""

    name = "duplicate_rows"

    def finish(self, index: RowIndex) -> list[Found]:
        if not self.subject.inputs:
            return []
        rows = _Rows()
        for part in self.profile.repeated(index):
            again, first = _again(part)
            rows.add(part, again, first, again)
        if not rows.count:
            return []
        total = int(self.profile.rows.sum())
        finding = Finding(
            self.name,
            "note",
            f"{rows_of(rows.count, total)} repeat an earlier row of their split, with the same inputs and "
            f"{self.target}",
            "Rows that occur several times weigh more in training, and held-out ones count several times in the results"
            + ("; with so few different rows the intervals are too narrow." if rows.count > total / 2 else "."),
            rows.count,
            details=rows.splits,
        )
        return [self._found(finding, rows, index, "the same as")]


class DuplicatesAcrossSplits(_Repeated):
    """Held-out rows whose inputs also stand in training, or in the other held-out split."""

    name = "duplicates_across_splits"

    def finish(self, index: RowIndex) -> list[Found]:
        if not self.subject.inputs or not self.profile.held_out():
            return []
        trained, validated, alike = _Rows(), _Rows(), 0
        for part in self.profile.repeated(index):
            train, test = part.codes == 0, part.codes == 2
            in_training = part.any_in_group(train)
            shared = in_training & ~train
            alike += int((shared & _same_target(part)).sum())
            trained.add(part, shared, part.first_in_group(train), train & part.any_in_group(~train))
            chosen = part.codes == 1
            both = test & part.any_in_group(chosen) & ~in_training
            validated.add(part, both, part.first_in_group(chosen), chosen & part.any_in_group(both))
        found = []
        if trained.count:
            held = int(self.profile.rows[1:].sum())
            finding = Finding(
                self.name,
                "warn",
                f"{trained.count:,} of {count(held, 'held-out row')} ({share(trained.count / held)}) also stand in "
                "training, with the same inputs",
                f"The model has seen {self.target} of these rows, or of rows just like them: results on them say how "
                "well it remembers, not how well it does on new rows. `drop` leaves them out of training.",
                trained.count,
                details={
                    **trained.splits,
                    "with_the_same_target": alike,
                    "rows_of_training": len(trained.drop),
                },
            )
            found.append(self._found(finding, trained, index, "trained on as"))
        if validated.count:
            tested = int(self.profile.rows[2])
            finding = Finding(
                self.name,
                "warn",
                f"{validated.count:,} of {count(tested, 'test row')} ({share(validated.count / tested)}) also stand in "
                "validation, with the same inputs",
                "What was chosen on the validation split was chosen for these rows too, so that the test flatters it. "
                "`drop` leaves them out of validation.",
                validated.count,
                details={"rows_of_validation": len(validated.drop)},
            )
            found.append(self._found(finding, validated, index, "in validation as"))
        return found


class ContradictoryLabels(_Repeated):
    """The same inputs with different targets."""

    name = "contradictory_labels"

    def finish(self, index: RowIndex) -> list[Found]:
        if not self.subject.inputs or not self.subject.targets:
            return []
        rows, sets = _Rows(), 0
        for part in self.profile.repeated(index):
            # Of a set, the first row contradicts the first that differs from it, and each that differs the first row.
            differs = part.targets != part.targets[part.starts][part.group]
            contradicted = part.any_in_group(differs)
            first = part.first_in_group(~differs)
            others = np.where(differs, first, part.first_in_group(differs))
            rows.add(part, contradicted, others, contradicted)
            sets += int(contradicted[part.starts].sum())
        if not rows.count:
            return []
        labelled = any(target.labelled for target in self.subject.targets)
        what = "label" if labelled else "target"
        finding = Finding(
            self.name,
            "warn" if labelled else "note",
            f"{count(sets, 'set')} of equal inputs with different {what}s ({self.target}), "
            f"in {rows_of(rows.count, int(self.profile.rows.sum()))}",
            f"No model can tell these rows apart: at most one {what} of each set can be right, or the inputs lack what "
            f"decides {self.target}."
            if labelled
            else f"Equal inputs lead to different values of {self.target}: part of it cannot be predicted from them.",
            rows.count,
            details={"inputs": sets},
        )
        return [self._found(finding, rows, index, "contradicts")]


def _again(part: Part) -> tuple[Mask, Numbers]:
    """Return which rows repeat an earlier one of their split, target included, and the first such row."""
    order = np.lexsort((part.rows, part.targets, part.codes, part.group))
    group, codes, targets = part.group[order], part.codes[order], part.targets[order]
    same = np.zeros(len(order), bool)
    same[1:] = (group[1:] == group[:-1]) & (codes[1:] == codes[:-1]) & (targets[1:] == targets[:-1])
    leader = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
    again, first = np.empty(len(order), bool), np.empty(len(order), np.int64)
    again[order], first[order] = same, part.rows[order[leader]]
    return again, first


def _same_target(part: Part) -> Mask:
    """Return whether a training row has the same inputs and the same target as each row."""
    order = np.lexsort((part.codes, part.targets, part.group))
    group, targets, codes = part.group[order], part.targets[order], part.codes[order]
    starts = np.flatnonzero(np.concatenate([[True], (group[1:] != group[:-1]) | (targets[1:] != targets[:-1])]))
    known = np.empty(len(order), bool)
    known[order] = np.repeat(codes[starts] == 0, np.diff(np.append(starts, len(order))))
    return known
