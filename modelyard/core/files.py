"""Files that appear whole or not at all, and the digests that prove it. Nobody else in modelyard writes files.

A file: temporary name → write → flush → fsync → rename → fsync the folder. A directory is built under a
temporary name and renamed when it is complete and on the disk. What a death leaves behind has a temporary name.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from modelyard.core.errors import DataError, StorageError

__all__ = [
    "atomic_directory",
    "atomic_file",
    "cache_directory",
    "copy_file",
    "digest_bytes",
    "digest_file",
    "locked",
    "make_folder",
    "read_json",
    "remove_directory",
    "remove_leftovers",
    "require_space",
    "storage_errors",
    "synced",
    "to_json",
    "write_json",
    "write_text",
]

_LOCKS: set[int] = set()
"""File descriptors of this process's locks."""

_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.(tmp|old)")
_BLOCK = 4096


def cache_directory() -> Path:
    """Where downloads and prepared data are kept: `$MODELYARD_CACHE`, else `~/.cache/modelyard`."""
    override = os.environ.get("MODELYARD_CACHE")
    if override:
        return Path(override).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard"


def digest_bytes(content: bytes) -> str:
    """SHA-256 of the bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of the file's content, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def storage_errors(path: Path, needed: int | None = None) -> Iterator[None]:
    """Turn an operating-system refusal to write under `path` into a `StorageError` that says what to do.

    Args:
        path: What is being written.
        needed: How many bytes the whole of it takes, where that is known.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            asked = "" if needed is None else f"{needed} bytes needed, "
            raise StorageError(
                f"no space left while writing {path} ({asked}{_free_bytes(path)} bytes free there). Nothing "
                "half-written was kept. Free some space, or choose another place for runs (--runs) or the cache "
                "(MODELYARD_CACHE)."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOTDIR, errno.EEXIST, errno.EFBIG):
            raise StorageError(
                f"cannot write {path}: {error.strerror}. Choose a place that can be written to."
            ) from error
        raise


def require_space(path: Path, sizes: Iterable[int]) -> int:
    """Check, before anything is written, that files of these sizes fit on the disk beside all that is there.

    Returns:
        The bytes needed, with each file's share of a block and something for the folder.

    Raises:
        StorageError: They do not fit; the message names the needed and the free bytes.
    """
    needed = sum(-(-size // _BLOCK) * _BLOCK for size in sizes) + 4 * _BLOCK
    usage = shutil.disk_usage(_existing(path))
    if usage.total and usage.free < needed:  # file systems that tell nothing say 0 of 0
        raise StorageError(
            f"no space left for {path}: {needed} bytes needed, {usage.free} bytes free there. Nothing was written and "
            "what was there before is untouched. Free some space, or choose another place for runs (--runs)."
        )
    return needed


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(_existing(path)).free


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def make_folder(path: Path) -> None:
    """Make a folder and those above it, each of them on the disk when this returns."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync_folder(path.parent)


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a temporary file for binary writing; on success it takes the place of `path`, on any error it is removed.

    Raises:
        StorageError: The disk is full, read-only or gone. What stood at `path` before is untouched.
    """
    path = Path(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def atomic_directory(path: str | Path, needed: int | None = None) -> Iterator[Path]:
    """Yield an empty temporary directory; on success it becomes `path`, on any error it is removed.

    What stood at `path` before is replaced, by two renames: a death between them leaves the former one under a
    temporary name only. Every file inside is flushed to the disk before the directory takes its name.

    Args:
        path: Where it will stand.
        needed: How many bytes the whole of it takes, for the message when the disk is full.
    """
    path = Path(path)
    with storage_errors(path, needed):
        make_folder(path.parent)
        temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
        temporary.mkdir()
        try:
            yield temporary
            for folder, _, names in os.walk(temporary):
                for name in names:
                    with open(os.path.join(folder, name), "rb") as file:
                        os.fsync(file.fileno())
                _sync_folder(Path(folder))
            if path.exists():
                old = path.parent / f".{path.name}.{secrets.token_hex(4)}.old"
                os.replace(path, old)
                os.replace(temporary, path)
                # The renames reach the disk before anything is removed, or a power cut could leave `path` half empty.
                _sync_folder(path.parent)
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.replace(temporary, path)
                _sync_folder(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def remove_directory(path: Path) -> None:
    """Remove a directory so that its name never stands for a part of it, also when this is cut short."""
    with storage_errors(path):
        old = path.parent / f".{path.name}.{secrets.token_hex(4)}.old"
        os.replace(path, old)
        _sync_folder(path.parent)
        # What cannot be removed now (a network file system keeps files that somebody reads) has a temporary name.
        shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what a death left of directories and files that were being written or removed in `folder`.

    Call it only while nobody else writes there: under `locked`.
    """
    with os.scandir(folder) as entries:
        left = [Path(entry.path) for entry in entries if _LEFTOVER.fullmatch(entry.name)]
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file `path`: whoever else asks for it, in this process or another, waits. Death releases it.

    Args:
        path: The file; made when it is not there.
        wait: Whether to wait for another holder; otherwise false is yielded at once, and nothing is held.
    """
    with storage_errors(path):
        make_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    _LOCKS.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        if descriptor in _LOCKS:  # it is closed already in a process that was forked meanwhile
            _LOCKS.discard(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing alone waits for a fork that is just closing its copy
            os.close(descriptor)


def _let_go() -> None:
    """Close a parent's locks in a process forked from it, which else would hold them beyond the parent's death."""
    while _LOCKS:
        os.close(_LOCKS.pop())


os.register_at_fork(after_in_child=_let_go)


def synced(file: IO[bytes]) -> int:
    """Bring an open file to the disk and return where its writing stands."""
    file.flush()
    os.fsync(file.fileno())
    return file.tell()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_file(source: Path, path: Path) -> None:
    """Copy a file's content to `path`, whole or not at all."""
    with open(source, "rb") as original, atomic_file(path) as file:
        shutil.copyfileobj(original, file)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text to `path`, whole or not at all."""
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as JSON (two-space indent, no NaN: a number that is not finite is written as null)."""
    write_text(path, to_json(value, indent=2) + "\n")


def to_json(value: Any, indent: int | None = None) -> str:
    """Return `value` as strict JSON text: non-ASCII kept, NumPy numbers as numbers, non-finite numbers as null."""
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if hasattr(value, "as_dict"):
        return _plain(value.as_dict())
    if hasattr(value, "tolist"):  # NumPy scalars and arrays, torch tensors
        return _plain(value.tolist())
    return str(value)


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: The file is absent or is not JSON (NaN and Infinity are not JSON either).
    """
    path = Path(path)
    try:
        return json.loads(path.read_text("utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise DataError(f"no such file: {path}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
