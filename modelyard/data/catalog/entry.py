"""What the catalogue knows about one data set. An entry is data plus one function; it opens no connection itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.core.records import Record
from modelyard.data.catalog.origins import Origin

__all__ = ["Convert", "Entry"]

Convert = Callable[[Path, Path], None]
"""Reads what was downloaded (first path) and writes the plain files of the data set (second path)."""

_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Entry(Record):
    """A named public data set."""

    name: str
    """What a spec calls it, such as `fashion_mnist`."""
    title: str
    """Its name as people write it."""
    description: str
    """One line: what a row is and what there is to learn."""
    task: str
    """What it is usually used for, such as `classification` or `causal_lm`."""
    rows: dict[str, int]
    """How many rows each split holds."""
    columns: dict[str, str]
    """The columns and what they mean, units included."""
    files: dict[str, str]
    """Where each split lies inside the data set's directory: `train`, `validation`, `test`, or `all` where no
    split was published. For IDX images this is the images file; the labels file lies beside it under the usual
    name (`train-images-idx3-ubyte.gz`, `train-labels-idx1-ubyte.gz`)."""
    licence: str
    """The terms under which it may be used, as its publisher states them."""
    publisher: str
    """Who made and published it."""
    reference: str
    """The paper or page to cite."""
    download_bytes: int
    """Size of what is fetched from the first origin."""
    origins: tuple[Origin, ...]
    """Where it can be fetched from, tried in this order."""
    convert: Convert = field(repr=False, compare=False)
    """Turns the downloaded files into the plain files."""
    digests: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the content of each resulting file (see `contents.content_digest`). Known for every data set whose
    arrival was seen; without it, what came first is recorded in `origin.json`."""
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """For columns of class numbers, the readable name of each class, by number."""
    notes: tuple[str, ...] = ()
    """What a careful user should know: quirks, duplicates, missing values, what was left out."""
    version: str = "1"
    """Version of this entry. It changes when the resulting files change, so old caches are never mistaken for new."""
    expanded_limit: int = 1024 * _MEGABYTE
    """No archive of this data set may expand to more bytes than this."""

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as plain values, without its function."""
        facts = {name: value for name, value in super().as_dict().items() if name not in ("convert", "origins")}
        return {**facts, "origins": [{"label": origin.label, **origin.as_dict()} for origin in self.origins]}
