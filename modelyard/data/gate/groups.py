"""Rows that belong together (a patient, a user, a session) on both sides of a split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from modelyard.data.gate.check import Found, RowIndex
from modelyard.data.gate.examined import Examined, Subject
from modelyard.data.gate.finding import Finding, Policy
from modelyard.data.gate.profile import ProfileCheck
from modelyard.data.gate.tally import Tally
from modelyard.data.gate.words import count, share

__all__ = ["GroupLeakage"]

_GROUPS = 1 << 19
_NAMED_LIKE_A_GROUP = re.compile(
    r"(?i)(^|[_\s.-])(patient|subject|person|people|participant|user|customer|client|visitor|member|account|household|"
    r"family|session|visit|device|speaker|author|writer|student|employee|driver|vehicle|company|store|group|case)"
    r"([_\s.-]?(id|ids|no|nr|num|number|key|code|uuid|name))?$|[a-z]I[Dd]$|[_\s.-]id$"
)
_LEAST_GROUPS = 10
_LARGEST_MEAN = 100


class GroupLeakage(ProfileCheck):
    """Looks at the column that `data.group` declares; without one, at columns that are named like such a group, hold at
    least ten of them, and repeat each at most a hundred times on average."""

    name = "group_leakage"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.tallies: dict[str, Tally] = {}

    def _is_looked_at(self, name: str) -> bool:
        data = self.subject.spec.data
        if data.split.method == "group" and data.split.by == name:
            return data.group == name  # cannot leak, unless the splits were given
        if data.group is not None:
            return name == data.group
        targets = {target.column for target in self.subject.targets}
        return name not in targets and bool(_NAMED_LIKE_A_GROUP.search(name))

    def observe(self, chunk: Examined) -> None:
        view = self.profile.view
        for name in chunk.rows.table.schema.names:
            if not self._is_looked_at(name) or not view.rows:
                continue
            kind = chunk.rows.table.schema.field(name).type
            if pa.types.is_nested(kind):
                continue
            encoded = view.encoded(name, is_read=False)
            tally = self.tallies.setdefault(name, Tally(_GROUPS, texts=False))
            tally.add(encoded.keys, encoded.counts, encoded.index, view.lanes, view.held, view.start)

    def finish(self, index: RowIndex) -> list[Found]:
        return [found for name, tally in self.tallies.items() if (found := self._look(name, tally)) is not None]

    def _look(self, name: str, tally: Tally) -> Found | None:
        tally.merge()
        declared = self.subject.spec.data.group == name
        held = tally.counts[:, 1:].sum(axis=1)
        trained = tally.counts[:, 0]
        total = int(trained.sum() + held.sum())
        groups = len(tally)
        if not declared and not (groups >= _LEAST_GROUPS and 1.05 * groups < total <= _LARGEST_MEAN * groups):
            return None
        both = np.flatnonzero((trained > 0) & (held > 0))
        if not len(both):
            return None
        rows = int(held[both].sum()) * tally.scale
        all_held = int(self.profile.rows[1:].sum())
        about = "about " if tally.about else ""
        first = tally.held_first[both]
        numbers = np.sort(first[first < np.iinfo(np.int64).max])
        why = (
            f"A model can recognise the '{name}' instead of learning {self.target}: its results hold for groups it "
            f"knows, not for new ones. Keep groups together with data.split={{method: group, by: {name}}}."
        )
        if not declared:
            why += f" ('{name}' was taken for a group by its name; say so with data.group={name}, or accept this.)"
        finding = Finding(
            self.name,
            "refuse" if declared else "warn",
            f"{about}{rows:,} of {count(all_held, 'held-out row')} ({share(rows / max(all_held, 1))}) belong to "
            f"a '{name}' "
            f"that also trains: {about}{count(len(both) * tally.scale, 'group')} on both sides",
            why,
            rows,
            [name],
            details={
                "groups": groups * tally.scale,
                "groups_on_both_sides": len(both) * tally.scale,
                "training_rows": int(trained[both].sum()) * tally.scale,
                "declared": declared,
            },
        )
        return Found(finding, numbers)

    def state(self) -> Mapping[str, Any]:
        return {name: tally.state() for name, tally in self.tallies.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, stored in state.items():
            self.tallies[name] = Tally(_GROUPS, texts=False)
            self.tallies[name].restore(stored)
