"""Named public data sets: list them, read what is known of each, and get one as plain files in a directory.

directory = get("fashion_mnist")
images = directory / entry("fashion_mnist").files["train"]
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from modelyard.core.files import cache_directory
from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.fetch import fetch, is_complete, locked
from modelyard.data.catalog.table import DATASETS

__all__ = ["entry", "get", "names", "place"]


def names() -> list[str]:
    """The names of all data sets, sorted."""
    return sorted(DATASETS)


def entry(name: str) -> Entry:
    """What the catalogue knows about one data set.

    Raises:
        UsageError: There is no data set of that name; the message gives the nearest one.
    """
    found = DATASETS.find(name)
    assert isinstance(found, Entry), f"the table names {found!r}, which is not an entry"
    return found


def place(name: str, cache: Path | None = None) -> Path:
    """Where the data set lies once it is fetched: `CACHE/data/NAME/VERSION`. Opens no connection.

    Args:
        cache: Instead of `core.files.cache_directory()`.

    Raises:
        UsageError: There is no data set of that name.
    """
    known = entry(name)
    return (cache or cache_directory()) / "data" / known.name / known.version


def get(
    name: str,
    cache: Path | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Path:
    """Return the directory with the data set's plain files, fetching it when it is not there yet.

    It appears whole and verified, or not at all; `origin.json` beside the files says where it came from. Once it is
    there, no connection is opened. Several processes may ask at once: one fetches, the others wait for it.

    Args:
        cache: Where to keep data sets, instead of `core.files.cache_directory()`.
        progress: Called while it comes with the data set's name, the bytes that have come, and the bytes there are
            (None when that is not known).

    Raises:
        UsageError: There is no data set of that name.
        UnreachableError: None of its origins could be used; the message says why for each, and what to do.
        DataError: Its directory was changed since it arrived, or a file put there by hand is not the right one.
        StorageError: The disk is full or read-only.
    """
    known = entry(name)
    directory = place(name, cache)
    if not is_complete(known, directory):
        with locked(directory):
            if not is_complete(known, directory):
                fetch(known, directory, directory.parent / "by-hand", progress or _quiet)
    return directory


def _quiet(name: str, done: int, total: int | None) -> None:
    """Report nothing."""
