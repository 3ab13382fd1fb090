"""Brings one data set home: tries its origins in order, checks what came, converts it, and puts it in place whole."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import fnmatch
import gzip
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelyard.core.errors import DataError, UnreachableError
from modelyard.core.files import atomic_directory, digest_file, read_json, storage_errors, write_json
from modelyard.data.catalog.archives import is_archive, unpack
from modelyard.data.catalog.contents import companions, content_digest, count_rows
from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import Origin

__all__ = ["RECORD", "fetch", "is_complete", "locked"]

RECORD = "origin.json"
"""The file beside the data that says what was fetched from where and when, with digests and licence."""

_SCRATCH = ".arriving"
_UNLIKE: tuple[type[Exception], ...] = (
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    FileNotFoundError,
    csv.Error,
    struct.error,
    gzip.BadGzipFile,
)
"""What a conversion raises when its input is laid out otherwise than expected."""

Progress = Callable[[str, int, int | None], None]


def is_complete(entry: Entry, place: Path) -> bool:
    """Whether the data set stands at `place`. Opens no connection and reads only sizes.

    Raises:
        DataError: Something stands there that is not what arrived.
    """
    if not place.exists():
        return False
    advice = f"Delete {place} to fetch the data set again."
    if not (place / RECORD).is_file():
        raise DataError(f"{place} is not a data set that the catalogue put there: it has no {RECORD}. {advice}")
    try:
        arrived = {str(name): int(facts["bytes"]) for name, facts in read_json(place / RECORD)["files"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{place / RECORD} does not say what arrived: {error!r}. {advice}") from error
    for name, expected in arrived.items():
        path = place / name
        size = _size(path) if path.exists() else None
        if size != expected:
            found = "is missing" if size is None else f"holds {size} bytes"
            raise DataError(
                f"{path} {found}, where {expected} bytes arrived: it was changed since {entry.name} was fetched. "
                + advice
            )
    return True


@contextlib.contextmanager
def locked(place: Path) -> Iterator[None]:
    """Hold the only right to build `place`, among all processes and threads, and clear what a killed one left."""
    lock = place.parent / f".{place.name}.lock"
    while True:
        descriptor = _open_lock(lock)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _same_file(descriptor, lock):
                continue  # another holder finished and removed the name between our open and our lock
            for rest in place.parent.glob(f".{place.name}.*.tmp"):
                shutil.rmtree(rest, ignore_errors=True)
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    place.parent.rmdir()  # goes only when nothing was put there
            return
        finally:
            os.close(descriptor)


def fetch(entry: Entry, place: Path, by_hand: Path, progress: Progress) -> None:
    """Fetch, check and convert the data set, and put it at `place`, whole or not at all.

    Args:
        by_hand: A folder where a person may have put the files; they are used first, and no connection is opened.

    Raises:
        UnreachableError: No origin could be used; names every one and says why, and what to do.
        DataError: A file put there by hand is not the right one.
        StorageError: The disk is full or read-only.
    """
    failures: list[str] = []
    with atomic_directory(place) as building:
        for origin, hand in _attempts(entry, by_hand):
            scratch = building / _SCRATCH
            try:
                record = _attempt(entry, origin, hand, scratch, progress)
            except (UnreachableError, DataError) as error:
                if hand:
                    raise DataError(f"{error} (the file was put into {by_hand} by hand)") from error
                failures.append(str(error) if str(error).startswith("http") else f"{origin.label}: {error}")
                shutil.rmtree(scratch, ignore_errors=True)
                continue
            for path in sorted((scratch / "out").iterdir()):
                path.replace(building / path.name)
            shutil.rmtree(scratch)
            write_json(building / RECORD, record)
            return
        raise UnreachableError(_advice(entry, failures, by_hand))


def _attempts(entry: Entry, by_hand: Path) -> list[tuple[Origin, list[Path]]]:
    """The origins in order, each with the files a person put there by hand; those that are complete come first."""
    present = sorted(by_hand.iterdir()) if by_hand.is_dir() else []
    attempts: list[tuple[Origin, list[Path]]] = []
    for origin in entry.origins:
        files = [[path for path in present if fnmatch.fnmatchcase(path.name, pattern)] for pattern in origin.files]
        attempts.append((origin, [found[-1] for found in files] if all(files) else []))
    return sorted(attempts, key=lambda attempt: not attempt[1])


def _attempt(entry: Entry, origin: Origin, hand: list[Path], scratch: Path, progress: Progress) -> dict[str, Any]:
    """Fetch from one origin into `scratch/out`, and return the record of it."""
    arrived, raw, out = scratch / "arrived", scratch / "raw", scratch / "out"
    for folder in (arrived, raw, out):
        folder.mkdir(parents=True)
    if not hand:
        origin.fetch(arrived, lambda done, total: progress(entry.name, min(done, total) if total else done, total))
    files = hand or sorted(arrived.iterdir())
    fetched = [_checked(path, origin) for path in files]
    for path in files:
        if is_archive(path):
            unpack(path, raw, origin.root, origin.take, entry.expanded_limit)
        else:
            shutil.copyfile(path, raw / path.name)
        if not hand:
            path.unlink()
    try:
        entry.convert(raw, out)
        facts = _files(entry, out)
    except _UNLIKE as error:
        raise DataError(f"what came is not laid out as {entry.name} is: {error!r}") from error
    return {
        "name": entry.name,
        "version": entry.version,
        "title": entry.title,
        "licence": entry.licence,
        "publisher": entry.publisher,
        "reference": entry.reference,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "from": f"files put there by hand, of {origin.label}" if hand else origin.label,
        "downloads": fetched,
        "files": facts,
        "notes": entry.notes,
    }


def _checked(path: Path, origin: Origin) -> dict[str, Any]:
    """The facts of a downloaded file, once its digest is found right."""
    expected = next((sha for name, sha in origin.files.items() if fnmatch.fnmatchcase(path.name, name)), None)
    received = digest_file(path)
    if expected is not None and received != expected:
        raise DataError(f"{path.name} is not the expected file: SHA-256 {expected} expected, {received} received")
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": received, "pinned": expected is not None}


def _files(entry: Entry, out: Path) -> dict[str, Any]:
    """The facts of every resulting file, once rows and content are found right."""
    facts: dict[str, Any] = {}
    for split, name in entry.files.items():
        rows = count_rows(out / name)
        if rows != entry.rows[split]:
            raise DataError(f"{name} came with {rows} rows, where {entry.rows[split]} were expected")
        for path in companions(out / name):
            relative, digest = path.relative_to(out).as_posix(), content_digest(path)
            expected = entry.digests.get(relative)
            if expected not in (None, digest):
                raise DataError(f"the content of {relative} has SHA-256 {digest}, where {expected} was expected")
            facts[relative] = {
                "split": split,
                "rows": rows,
                "bytes": _size(path),
                "content_sha256": digest,
                "pinned": expected is not None,
            }
    return facts


def _advice(entry: Entry, failures: list[str], by_hand: Path) -> str:
    lines = [f"cannot fetch {entry.name}: none of its {len(failures)} origins could be used"]
    lines += [f"  {failure}" for failure in failures]
    lines.append(
        "Check the connection or set a mirror (PIP_INDEX_URL, NPM_CONFIG_REGISTRY, apt's sources, HF_ENDPOINT,"
    )
    lines.append(f"https_proxy), or fetch the files of one origin elsewhere, put them into {by_hand} and ask again:")
    there = [path.name for path in by_hand.iterdir()] if by_hand.is_dir() else []
    for origin in entry.origins:
        files = [f"{name} (is there)" if fnmatch.filter(there, name) else name for name in origin.files]
        lines.append(f"  {', '.join(files)} ({origin.label})")
    return "\n".join(lines)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def _open_lock(lock: Path) -> int:
    with storage_errors(lock):
        while True:
            lock.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # another holder may remove the empty folder meanwhile
                return os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
