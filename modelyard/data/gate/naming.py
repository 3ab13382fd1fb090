"""Where rows stand, as a person finds them: `reviews.csv, line 17`, or the path of a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelyard.data.gate.check import RowIndex
from modelyard.data.gate.examined import Subject
from modelyard.data.sources.base import Source

__all__ = ["place_rows", "places_of"]


def place_rows(subject: Subject, index: RowIndex, numbers: Iterable[int]) -> dict[int, str]:
    """Return the place of each row, by number; each file is gone through at most once."""
    where = {number: (index.files[int(index.file[number])], int(index.position[number])) for number in numbers}
    places = places_of(subject, where.values())
    return {number: places[place] for number, place in where.items()}


def places_of(subject: Subject, wanted: Iterable[tuple[str, int]]) -> Mapping[tuple[str, int], str]:
    """Return the place of each (file, position)."""
    by_file: dict[str, set[int]] = {}
    for file, position in wanted:
        by_file.setdefault(file, set()).add(position)
    owners = _owners(subject) if by_file else {}
    places: dict[tuple[str, int], str] = {}
    for file, positions in by_file.items():
        ordered = sorted(positions)
        source = owners.get(file) or next(iter(subject.parts.values()))
        places.update(zip(((file, at) for at in ordered), source.place(file, ordered), strict=True))
    return places


def _owners(subject: Subject) -> dict[str, Source]:
    """Return which source has which file; a folder counts as one, for sources whose rows are files."""
    owners: dict[str, Source] = {}
    for source in subject.parts.values():
        owners[source.label()] = source
        owners.update(dict.fromkeys(source.files(), source))
    return owners
