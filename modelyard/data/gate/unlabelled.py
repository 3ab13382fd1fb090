"""Rows that are learned from without their target: how many there are, and whether they also judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from modelyard.data.gate.check import Check, Found, RowIndex
from modelyard.data.gate.examined import UNLABELLED, Examined, Subject
from modelyard.data.gate.finding import Finding, Policy
from modelyard.data.gate.naming import place_rows
from modelyard.data.gate.tally import NAMED
from modelyard.data.gate.words import count, listed, rows_of, share
from modelyard.data.sources.unlabelled import UNLABELLED_PART, Unlabelled

__all__ = ["UnlabelledHeldOut", "UnlabelledRows"]

Numbers = npt.NDArray[np.int64]
_BLOCK = 1 << 20


class UnlabelledRows(Check):
    """How many rows are learned from without a target, and where they are from; and what is not used of them."""

    name = "unlabelled"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.further = 0
        """Rows of `data.unlabelled` that can be used."""

    def observe_unlabelled(self, chunk: Examined) -> None:
        self.further += int((chunk.codes == UNLABELLED).sum())

    def state(self) -> Mapping[str, Any]:
        return {"further": self.further}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.further = int(state["further"])

    def finish(self, index: RowIndex) -> list[Found]:
        spec = self.subject.spec
        if spec.train.semi_supervised is None:
            return [] if spec.data.unlabelled is None else [_unused()]
        source = self.subject.parts.get(UNLABELLED_PART)
        total = 0
        first: Numbers = np.empty(0, np.int64)
        for rows in _unlabelled(index):
            total += len(rows)
            first = np.concatenate([first, rows])[:NAMED]
        of_training = total - self.further
        found = []
        if total:
            target = " and ".join(f"'{one.column}'" for one in self.subject.targets) or "the target"
            finding = Finding(
                self.name,
                "note",
                f"{count(total, 'row')} are learned from without {target}"
                + (f", {of_training:,} of them out of the training split" if of_training else ""),
                "Their labels are guessed by the model while it trains: no figure of this data (labels, statistics, "
                "what the columns learned) counts them.",
                total,
                details={"of_the_training_split": of_training, "of_data_unlabelled": self.further},
            )
            found.append(Found(finding, first))
        if isinstance(source, Unlabelled) and source.ignored:
            found.append(_ignored(source.ignored))
        return found


def _unused() -> Found:
    finding = Finding(
        UnlabelledRows.name,
        "note",
        "data.unlabelled is not read: nothing learns from it",
        "Rows without a target are learned from when train.semi_supervised names a method (pseudo_label, fixmatch).",
    )
    return Found(finding, np.empty(0, np.int64))


def _ignored(columns: list[str]) -> Found:
    finding = Finding(
        UnlabelledRows.name,
        "note",
        f"data.unlabelled has the column{'s' if len(columns) > 1 else ''} {listed(columns)}, which "
        f"{'are' if len(columns) > 1 else 'is'} not looked at",
        "Its rows count as rows without a target. To learn from these targets, add the rows to data.source.",
        columns=columns,
    )
    return Found(finding, np.empty(0, np.int64))


class UnlabelledHeldOut(Check):
    """Rows that are learned from without a target and have the inputs of a held-out row."""

    name = "unlabelled_held_out"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "drop", "error")

    def finish(self, index: RowIndex) -> list[Found]:
        if not self.subject.inputs or self.subject.spec.train.semi_supervised is None:
            return []
        held, rows_of_held = _held_out(index)
        shared: list[Numbers] = [np.empty(0, np.int64)]
        total = 0
        for rows in _unlabelled(index):
            total += len(rows)
            hashes = np.asarray(index.input_hashes)[rows]
            at = np.searchsorted(held, hashes).clip(max=max(len(held) - 1, 0))
            if len(held):
                shared.append(rows[held[at] == hashes])
        numbers = np.concatenate(shared)
        if not len(numbers):
            return []
        known = np.unique(index.input_hashes[numbers])
        judged = int(np.isin(index.input_hashes[rows_of_held], known).sum())
        finding = Finding(
            self.name,
            "warn",
            f"{rows_of(len(numbers), total)} without a target have the inputs of a held-out row",
            f"The model trains on the inputs of {judged:,} of {count(len(rows_of_held), 'held-out row')} "
            f"({share(judged / len(rows_of_held))}), though not on their targets: it settles on an answer to them, and "
            "results on them say less about new rows. `drop` leaves these rows out of training.",
            len(numbers),
            details={"held_out_rows": judged},
        )
        beside = self._beside(index, numbers[:NAMED], held, rows_of_held)
        return [Found(finding, numbers[:100_000], numbers, beside)]

    def _beside(
        self, index: RowIndex, numbers: Numbers, held: npt.NDArray[np.uint64], rows_of_held: Numbers
    ) -> dict[int, str]:
        others = rows_of_held[np.searchsorted(held, index.input_hashes[numbers])].tolist()
        places = place_rows(self.subject, index, others)
        return {number: f"held out as {places[other]}" for number, other in zip(numbers.tolist(), others, strict=True)}


def _unlabelled(index: RowIndex) -> Iterator[Numbers]:
    """Yield the numbers of the rows, rising, a block at a time."""
    for start in range(0, len(index), _BLOCK):
        yield np.flatnonzero(np.asarray(index.codes[start : start + _BLOCK]) == UNLABELLED) + start


def _held_out(index: RowIndex) -> tuple[npt.NDArray[np.uint64], Numbers]:
    """Return the input hashes of the held-out rows, rising, and these rows' numbers."""
    rows = [
        np.flatnonzero(np.asarray(index.codes[start : start + _BLOCK]) > 0) + start
        for start in range(0, len(index), _BLOCK)
    ]
    numbers = np.concatenate([np.empty(0, np.int64), *rows])
    hashes = np.asarray(index.input_hashes)[numbers]
    order = np.argsort(hashes, kind="stable")
    return hashes[order], numbers[order]
