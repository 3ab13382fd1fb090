"""From what the user wrote under `data.source` to sources: of which format, and whether divided into splits."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError

from modelyard.core.errors import DataError, Problem, SpecError, UsageError, nearest
from modelyard.data.sources.base import Source
from modelyard.data.sources.files import clipped, expand, is_folder, is_url, name_of, reading, walk
from modelyard.data.sources.splits import SPLITS, Divided, split_of
from modelyard.data.sources.table import SOURCES
from modelyard.spec.settings import Settings

__all__ = ["open_sources"]


def open_sources(
    location: Any, format: str | None = None, options: Mapping[str, Any] | None = None
) -> dict[str | None, Source]:
    """Return the sources behind a location: one for each split when it is divided, else one under None.

    Divided are: a mapping of split to location; a folder that holds train.* (and validation.*, test.*) files, or
    MNIST's train-images… and t10k-images…; an image folder with train/ and others; an archive with x_train, x_test.

    Args:
        location: A path, glob or URL, a list of those, a folder, an object with rows, or a mapping of split → one.
        format: A name out of the table of sources; by default what the ending, the folder or the object shows.
        options: The format's settings (`data.options`).

    Raises:
        DataError: There is nothing at the location, or its format does not show.
        SpecError: The format or an option does not exist, or an option's value does not fit.
        MissingExtraError: The URL's protocol needs a package that is not installed.
    """
    options = {} if options is None else options
    if isinstance(location, Mapping) and _names_splits(location):
        return _open_splits(location, format, options)
    if isinstance(location, str | os.PathLike):
        location = name_of(location)
        if is_folder(location):
            return _open_folder(location, format, options)
        if format is None and _class("images").claims(location):
            format = "images"
    source = _make(format or _format_of(location), location, options)
    source.files()  # what is missing is said now
    return _divide(source)


def _divide(source: Source) -> dict[str | None, Source]:
    parts = source.parts() if isinstance(source, Divided) else {}
    return dict(parts.items()) if parts else {None: source}


def _make(format: str, location: Any, options: Mapping[str, Any]) -> Source:
    found = _class(format)
    return found(location, _settings(found, options))


def _class(format: str) -> type[Source]:
    try:
        return cast(type[Source], SOURCES.find(format))
    except UsageError as error:
        raise SpecError([Problem("data.format", str(error))]) from error


def _settings(source: type[Source], options: Mapping[str, Any]) -> Settings:
    known = source.Settings.model_fields
    try:
        return source.Settings.model_validate(dict(options))
    except ValidationError as error:
        problems = []
        for found in error.errors():
            place = ".".join(["data", "options", *map(str, found["loc"])])
            if found["type"] == "extra_forbidden":
                name = str(found["loc"][-1])
                listed = ", ".join(known) or "none"
                message = f"the format {source.name} has no such option{nearest(name, known)}; known: {listed}"
            else:
                message = f"{found['msg']}, got {clipped(str(found['input']))}"
            problems.append(Problem(place, message))
        raise SpecError(problems) from error


# -- a mapping of splits ----------------------------------------------------------------------------------------------


def _names_splits(location: Mapping[Any, Any]) -> bool:
    """Whether a mapping means split → location, not column → values."""
    if not location:
        return False
    if all(isinstance(key, str) and split_of(key) is not None for key in location):
        return True
    return all(isinstance(value, str | os.PathLike) for value in location.values())


def _open_splits(
    location: Mapping[Any, Any], format: str | None, options: Mapping[str, Any]
) -> dict[str | None, Source]:
    parts: dict[str | None, Source] = {}
    for key, place in location.items():
        split = split_of(str(key))
        if split is None:
            raise DataError(f"unknown split {key!r}{nearest(str(key), SPLITS)}; expected train, validation or test")
        if split in parts:
            raise DataError(f"{', '.join(map(str, location))} name the split {split} twice; expected it once")
        found = open_sources(place, format, options)
        if None not in found:
            raise DataError(
                f"the location of {key} is itself divided, into {', '.join(map(str, found))}; expected one table. Give "
                "the whole location as data.source, or name its parts"
            )
        parts[split] = found[None]
    return parts


# -- a folder ---------------------------------------------------------------------------------------------------------


def _open_folder(root: str, format: str | None, options: Mapping[str, Any]) -> dict[str | None, Source]:
    if format == "images":
        return _divide(_make(format, root, options))
    tables = _tables(root, format)
    splits = _by_split(tables)
    if "train" in splits:
        return {split: _over(files, tables, root, options) for split, files in splits.items()}
    has_images = format is None and _class("images").claims(root)
    if tables and has_images:
        some = ", ".join(os.path.basename(file) for file in list(tables)[:3])
        raise DataError(
            f"{root} holds both images and tables ({some}); name the table's file as the source, or set data.format: "
            "images"
        )
    if tables:
        return _divide(_over(list(tables), tables, root, options))
    if has_images:
        return _divide(_make("images", root, options))
    wanted = f"files of the format {format}" if format else f"images, or files ending in {_endings()}"
    inside = ", ".join(sorted(os.path.basename(name) for name in _top(root))[:10])
    raise DataError(
        f"{root} is a folder without {wanted}; it holds {inside or 'nothing'}. Set data.format, or name the files"
    )


def _over(files: list[str], tables: Mapping[str, str], root: str, options: Mapping[str, Any]) -> Source:
    formats = sorted({tables[file] for file in files})
    if len(formats) > 1:
        raise DataError(
            f"{root} holds files of several formats ({', '.join(formats)}): "
            f"{', '.join(map(os.path.basename, files[:5]))}. Set data.format, or name the files"
        )
    return _make(formats[0], files, options)


def _tables(root: str, format: str | None) -> dict[str, str]:
    """The files that stand in the folder itself → their formats."""
    formats = [format] if format else [name for name in SOURCES if name not in ("images", "memory")]
    found = {}
    for name in sorted(_top(root)):
        claimed = next((format for format in formats if _class(format).claims(name)), None)
        if claimed is not None and not os.path.basename(name).startswith((".", "_")):
            found[name] = claimed
    return found


def _top(root: str) -> list[str]:
    if is_url(root):
        return [f"{root.rstrip('/')}/{name}" for name in walk(root) if "/" not in name]
    with reading(root), os.scandir(root) as entries:
        return [os.path.join(root, entry.name) for entry in entries if entry.is_file()]


def _by_split(tables: Mapping[str, str]) -> dict[str, list[str]]:
    """Group the files whose names begin with a split: train.csv, test-00001.parquet, t10k-images-idx3-ubyte."""
    splits: dict[str, list[str]] = {}
    for file in tables:
        first = re.split(r"[.\-_]", os.path.basename(file), maxsplit=1)[0]
        split = "test" if first == "t10k" else split_of(first)
        if split is not None and not (tables[file] == "idx" and "labels" in os.path.basename(file)):
            splits.setdefault(split, []).append(file)
    return splits


# -- the format of files and objects ----------------------------------------------------------------------------------


def _format_of(location: Any) -> str:
    if isinstance(location, str):
        named = [location]
    elif (
        isinstance(location, list | tuple)
        and location
        and all(isinstance(item, str | os.PathLike) for item in location)
    ):
        named = [name_of(item) for item in location]
    else:
        if _class("memory").claims(location):
            return "memory"
        raise DataError(
            f"rows cannot be read from {clipped(repr(location))}; expected a path, glob or URL, a list of those, or an "
            "object with rows (data frame, Arrow table, list of dicts, dict of columns)"
        )
    formats = {_by_ending(name) for name in named}
    if None in formats:
        formats = {_by_ending(name) for name in expand(location)}
    if len(formats) > 1 or None in formats:
        shown = clipped(", ".join(named))
        given = (
            "is of no known format" if None in formats else f"are of several formats ({', '.join(map(str, formats))})"
        )
        raise DataError(
            f"{shown} {given}; known by their endings are {_endings()}. Say what it is with data.format "
            f"({', '.join(sorted(SOURCES))})"
        )
    return cast(str, formats.pop())


def _by_ending(name: str) -> str | None:
    if is_url(name):
        name = re.split(r"[?#]", name, maxsplit=1)[0]
    return next((format for format in SOURCES if _class(format).extensions and _class(format).claims(name)), None)


def _endings() -> str:
    endings = [ending for format in SOURCES for ending in _class(format).extensions]
    return ", ".join(ending for ending in endings if not ending.endswith((".gz", ".bz2", ".zst")))
