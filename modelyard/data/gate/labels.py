"""What can be wrong with the labels themselves: too few, too rare, absent from training, or out of balance."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from modelyard.data.gate.check import Found, RowIndex
from modelyard.data.gate.finding import Finding, Policy
from modelyard.data.gate.profile import ColumnProfile, ProfileCheck
from modelyard.data.gate.tally import Tally
from modelyard.data.gate.words import count, listed, share

__all__ = ["ClassOutsideTraining", "Imbalance", "SingleLabel", "SingleMemberClass"]

Numbers = npt.NDArray[np.int64]
_NO_ROWS: Numbers = np.empty(0, np.int64)
_UNEVEN = 4
"""From how many rows of the commonest label to one of the rarest on a target is called unbalanced."""


class _Labels(ProfileCheck):
    """A check of the targets whose values are names out of a list."""

    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    def finish(self, index: RowIndex) -> list[Found]:
        found = []
        for column, tally in self._labels():
            finding = self._look(column, tally)
            if finding is not None:
                found.append(finding)
        return found

    def _labels(self) -> Iterator[tuple[ColumnProfile, Tally]]:
        for column in self.profile.targets():
            if column.tally is not None and column.modality.labelled:
                column.tally.merge()
                yield column, column.tally

    @abstractmethod
    def _look(self, column: ColumnProfile, tally: Tally) -> Found | None:
        """Return what is wrong with a target's labels, or None."""


class SingleLabel(_Labels):
    """A target with fewer than two labels in training: there is nothing to tell apart."""

    name = "single_label"
    policies: ClassVar[tuple[Policy, ...]] = ("error",)

    def _look(self, column: ColumnProfile, tally: Tally) -> Found | None:
        trained = np.flatnonzero(tally.counts[:, 0])
        if len(trained) >= 2 or not self.profile.rows[0]:
            return None
        labels = [column.show(tally.text(at)) for at in trained.tolist()]
        finding = Finding(
            self.name,
            "refuse",
            f"all training rows have the label {labels[0]!r} of '{column.column}'"
            if labels
            else f"no training row has a label of '{column.column}'",
            f"There is nothing to learn about '{column.column}' from one label. Choose another target or split; "
            "if a marker "
            "of missing values is a label here, set `missing` of the target.",
            int(self.profile.rows[0]),
            [column.column],
        )
        return Found(finding, _NO_ROWS)


class SingleMemberClass(_Labels):
    """Labels that a single row has."""

    name = "single_member_class"

    def _look(self, column: ColumnProfile, tally: Tally) -> Found | None:
        single = np.flatnonzero(tally.counts.sum(axis=1) == 1)
        if not len(single):
            return None
        where = np.minimum(tally.train_first[single, 0], tally.held_first[single, 0])
        order = np.argsort(where)
        labels = [column.show(tally.text(at)) for at in single[order].tolist()]
        total = len(single) * tally.scale
        about = "about " if tally.about else ""
        finding = Finding(
            self.name,
            "warn",
            f"{about}{count(total, 'label')} of '{column.column}' {'has' if total == 1 else 'have'} one row alone: "
            f"{listed(labels)}",
            f"One row cannot both teach a label of '{column.column}' and judge it: it is never learned, or "
            "never measured.",
            total,
            [column.column],
            details={"labels": labels[:100]},
        )
        words = {number: f"the only {label!r}" for number, label in zip(where[order].tolist(), labels, strict=True)}
        return Found(finding, where[order], words=words)


class ClassOutsideTraining(_Labels):
    """Labels that only held-out rows have."""

    name = "class_outside_training"

    def _look(self, column: ColumnProfile, tally: Tally) -> Found | None:
        held = tally.counts[:, 1:].sum(axis=1)
        absent = np.flatnonzero((tally.counts[:, 0] == 0) & (held > 0))
        if not len(absent) or not self.profile.rows[0]:
            return None
        absent = absent[np.argsort(tally.held_first[absent, 0])]
        labels = [column.show(tally.text(at)) for at in absent.tolist()]
        total = int(held[absent].sum()) * tally.scale
        about = "about " if tally.about else ""
        finding = Finding(
            self.name,
            "warn",
            f"{about}{count(len(absent) * tally.scale, 'label')} of '{column.column}' only in held-out rows "
            f"({count(total, 'row')}): {listed(labels)}",
            f"What '{column.column}' never is in training the model can never answer: these rows are wrong for "
            "certain. "
            "A stratified split, or more rows, gives training its share.",
            total,
            [column.column],
            details={
                "labels": {label: int(held[at]) for label, at in zip(labels[:100], absent.tolist(), strict=False)}
            },
        )
        first, words = tally.first_rows(absent, labels, held=True)
        return Found(finding, first, words=words)


class Imbalance(_Labels):
    """Labels of which some are much rarer than others."""

    name = "imbalance"

    def _look(self, column: ColumnProfile, tally: Tally) -> Found | None:
        counts = tally.counts[:, 0]
        known = np.flatnonzero(counts)
        if len(known) < 2 or tally.about:
            return None
        most, least = int(known[counts[known].argmax()]), int(known[counts[known].argmin()])
        if counts[most] < _UNEVEN * counts[least]:
            return None
        majority = float(counts[most] / counts.sum())
        common, rare = column.show(tally.text(most)), column.show(tally.text(least))
        finding = Finding(
            self.name,
            "note",
            f"'{column.column}' is unbalanced: {share(majority)} of the training rows are {common!r}, "
            f"{share(counts[least] / counts.sum())} are {rare!r}",
            f"Always answering {common!r} would be right for {share(majority)} of them: read accuracy beside that, and "
            "balanced accuracy and the results of each label first.",
            0,
            [column.column],
            details={
                "majority": common,
                "majority_share": majority,
                "rarest": rare,
                "rarest_share": float(counts[least] / counts.sum()),
                "labels": len(known),
            },
        )
        return Found(finding, _NO_ROWS)
