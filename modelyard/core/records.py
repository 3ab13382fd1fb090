"""A stage returns a record: a small typed value that Python gets, the command line prints, `--json` dumps,
the evidence stores and the report draws. One shape, five readers."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["Record"]


@dataclasses.dataclass(frozen=True)
class Record:
    """Base of all records. Subclasses are frozen dataclasses whose fields hold plain values, records, or
    lists and dicts of those."""

    def as_dict(self) -> dict[str, Any]:
        """Return the record as nested dicts and lists, ready for `core.files.to_json`."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.as_dict()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
