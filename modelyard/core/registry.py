"""Names to things. A table maps a short name to `"module:Class"` and imports nothing until the name is asked for.

Each table stands beside what it lists (`modelyard/models/table.py`, `modelyard/data/modalities/table.py`, …).
`table("family")` finds one by what it lists, so that the spec can check names and settings without
importing the rooms on its right.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from modelyard.core.errors import UsageError, nearest
from modelyard.core.optional import resolve

__all__ = ["Table", "table"]

_TABLES = {
    "source": "modelyard.data.sources.table:SOURCES",
    "modality": "modelyard.data.modalities.table:MODALITIES",
    "check": "modelyard.data.gate.table:CHECKS",
    "sampler": "modelyard.data.samplers.table:SAMPLERS",
    "family": "modelyard.models.table:FAMILIES",
    "task": "modelyard.tasks.table:TASKS",
    "optimizer": "modelyard.train.table:OPTIMIZERS",
    "schedule": "modelyard.train.table:SCHEDULES",
    "metric": "modelyard.evaluate.table:METRICS",
    "observer": "modelyard.train.table:OBSERVERS",
    "semi_supervised": "modelyard.train.semi_supervised.table:SEMI_SUPERVISED",
}


class Table(Mapping[str, str]):
    """A closed list of names of one kind, each with the place of the thing it names.

    Third parties add entries through the entry-point group `modelyard.KIND`, with no change here.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._builtin = dict(entries)

    @property
    def _entries(self) -> dict[str, str]:
        return {**_third_party(self.kind), **self._builtin}

    def __getitem__(self, name: str) -> str:
        return self._entries[name]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: str) -> Any:
        """Import and return what `name` names.

        Raises:
            UsageError: No entry has that name; the message lists those that exist and the nearest one.
        """
        entries = self._entries
        if not isinstance(name, str) or name not in entries:
            known = ", ".join(sorted(entries))
            raise UsageError(f"unknown {self.kind} {name!r}{nearest(str(name), entries)}; known: {known}")
        return resolve(entries[name])


@cache
def _third_party(kind: str) -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=f"modelyard.{kind}")}


@cache
def table(kind: str) -> Table:
    """Return the table that lists things of `kind`, such as `"family"` or `"modality"`."""
    found = resolve(_TABLES[kind])
    assert isinstance(found, Table)
    return found
