"""Files that appear whole or not at all, and the digests that prove it. Nobody else in modelyard writes files.

A file: temporary name → write → flush → fsync → rename → fsync the folder. A directory is built under a
temporary name and renamed when it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator
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
    "read_json",
    "storage_errors",
    "synced",
    "to_json",
    "write_json",
    "write_text",
]

_CHUNK = 1 << 20


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
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an operating-system refusal to write under `path` into a `StorageError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = _free_bytes(path)
            raise StorageError(
                f"no space left while writing {path} ({free} bytes free there). Nothing half-written was kept. "
                "Free some space, or choose another place for runs (--runs) or the cache (MODELYARD_CACHE)."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOTDIR, errno.EEXIST, errno.EFBIG):
            raise StorageError(
                f"cannot write {path}: {error.strerror}. Choose a place that can be written to."
            ) from error
        raise


def _free_bytes(path: Path) -> int:
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


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
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary directory; on success it becomes `path`, on any error it is removed.

    What stood at `path` before is replaced. Every file inside is flushed to the disk before the directory takes its
    name.
    """
    path = Path(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
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
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.replace(temporary, path)
            _sync_folder(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`: whoever else asks for it, in this process or another, waits. Death releases it."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


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
