"""Columns that are encoded while they are read, because that needs nothing learned: pictures.

Their folders outlive everything but their own settings: another split or another column never decodes a picture again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from modelyard.core.files import read_json, synced, to_json, write_json
from modelyard.data.column_files import UnitWriter, open_unit
from modelyard.data.modalities.base import Modality, Reading, State
from modelyard.data.store import Stored

__all__ = ["EarlyReader", "EarlyWriter", "is_stored"]

_ODDITIES = "oddities.jsonl"


def is_stored(folder: Path) -> bool:
    """Whether a column was encoded completely before."""
    return (folder / "manifest.json").exists()


class EarlyWriter:
    """Encodes and stores a column as its rows are read, with what was odd about them: pixels do not show that.

    Args:
        modality: Reads and encodes the column.
        folder: Where it goes.
        progress: What `flush` returned before an interruption.
    """

    def __init__(self, modality: Modality, folder: Path, progress: Mapping[str, Any] | None) -> None:
        self.modality = modality
        self.folder = folder
        if progress is not None:
            modality.restore_partial(State(progress["reading"]))
        self._columns = UnitWriter(folder, None if progress is None else progress["columns"])
        self._oddities: IO[bytes] = open(folder / _ODDITIES, "wb" if progress is None else "r+b")  # noqa: SIM115
        if progress is not None:
            self._oddities.truncate(progress["oddities"])
            self._oddities.seek(progress["oddities"])

    def append(self, number: int, reading: Reading) -> None:
        """Store the rows of a chunk whose first row has this number."""
        name = self.modality.column
        encoded = self.modality.encode(reading.values)
        self._columns.append({f"{name}.{part}": values for part, values in encoded.items()})
        missing = np.flatnonzero(np.asarray(reading.values.is_null())).tolist()
        lines = [{"row": number + at, "missing": ""} for at in missing if at not in reading.problems]
        lines += [{"row": number + at, "problem": reason} for at, reason in reading.problems.items()]
        lines += [{"row": number + at, "note": note} for at, note in reading.notes.items()]
        self._oddities.write("".join(to_json(line) + "\n" for line in lines).encode())

    def flush(self) -> dict[str, Any]:
        """Bring everything to the disk and return how far it goes."""
        reading = dict(self.modality.partial_state().json)
        return {"columns": self._columns.flush(), "reading": reading, "oddities": synced(self._oddities)}

    def close(self) -> None:
        """Complete the column."""
        synced(self._oddities)
        reading = dict(self.modality.partial_state().json)
        write_json(self.folder / "manifest.json", {"columns": self._columns.close(), "reading": reading})
        self.abandon()

    def abandon(self) -> None:
        """Close without a word."""
        self._columns.abandon()
        self._oddities.close()


@dataclass(frozen=True)
class _Oddity:
    missing: bool = False
    problem: str | None = None
    note: str | None = None


class EarlyReader:
    """A column that was stored while it was read; it also lets its modality know what reading settled (size …)."""

    def __init__(self, modality: Modality, folder: Path) -> None:
        self.modality = modality
        self.folder = folder
        about = read_json(folder / "manifest.json")
        modality.restore_partial(State(about["reading"]))
        self.columns: dict[str, Stored] = open_unit(folder, about["columns"])
        self._odd = _oddities((folder / _ODDITIES).read_text("utf-8").splitlines())

    def read(self, number: int, count: int) -> Reading:
        """Return rows `number` to `number + count - 1` as the modality read them."""
        prefix = f"{self.modality.column}."
        numbers = np.arange(number, number + count)
        parts = {name.removeprefix(prefix): stored.take(numbers) for name, stored in self.columns.items()}
        values = self.modality.from_stored(parts)
        odd = {at: self._odd[number + at] for at in range(count) if number + at in self._odd} if self._odd else {}
        valid = np.ones(count, bool)
        valid[[at for at, oddity in odd.items() if oddity.missing or oddity.problem is not None]] = False
        if not valid.all():
            values = pa.FixedSizeListArray.from_arrays(values.flatten(), type=values.type, mask=pa.array(~valid))
        problems = {at: oddity.problem for at, oddity in odd.items() if oddity.problem is not None}
        return Reading(values, problems, {at: oddity.note for at, oddity in odd.items() if oddity.note is not None})


def _oddities(lines: Iterable[str]) -> dict[int, _Oddity]:
    found: dict[int, dict[str, Any]] = {}
    for line in lines:
        about = json.loads(line)
        found.setdefault(about.pop("row"), {}).update(about)
    return {row: _Oddity("missing" in about, about.get("problem"), about.get("note")) for row, about in found.items()}
