"""Large files, written and read in few large pieces, with their digests computed on the way.

Hashing, writing and reading let other threads run, so a thread that saves hardly holds up the one that trains.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from modelyard.core.errors import DataError
from modelyard.core.files import synced

__all__ = ["CHUNK", "FileDigest", "digest_pieces", "plain_file", "read_digest", "write_pieces"]

CHUNK = 8 << 20
"""Bytes hashed, written or read in one call. Between calls a thread takes a moment from the others, so they are few."""


@dataclass(frozen=True)
class FileDigest:
    """What proves that a file is the one that was written."""

    size: int
    """Bytes."""
    sha256: str
    """64 hexadecimal digits."""


def digest_pieces(pieces: Iterable[bytes | memoryview]) -> FileDigest:
    """Return what `write_pieces` would return, and write nothing."""
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(pieces):
        digest.update(chunk)
        size += len(chunk)
    return FileDigest(size, digest.hexdigest())


def write_pieces(path: Path, pieces: Iterable[bytes | memoryview]) -> FileDigest:
    """Write a new file, for use inside an `atomic_directory`: piece after piece, hashed on their way, then fsync.

    Takes no copy of the pieces, and lets other threads run while it hashes and writes.

    Raises:
        OSError: The file exists, or the disk refuses.
    """
    digest = hashlib.sha256()
    with open(path, "xb") as file:
        for chunk in _chunks(pieces):
            digest.update(chunk)
            file.write(chunk)
        size = synced(file)
    return FileDigest(size, digest.hexdigest())


def _chunks(pieces: Iterable[bytes | memoryview]) -> Iterator[memoryview]:
    for piece in pieces:
        view = memoryview(piece).cast("B")
        for start in range(0, len(view), CHUNK):
            yield view[start : start + CHUNK]


def read_digest(path: Path) -> FileDigest:
    """Read a plain file to its end and return its digest; other threads run meanwhile.

    Raises:
        DataError: There is no such file, or it is a link, a folder or a device.
    """
    digest, size = hashlib.sha256(), 0
    with plain_file(path) as file:
        buffer = memoryview(bytearray(min(CHUNK, os.fstat(file.fileno()).st_size + 1)))
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            size += count
    return FileDigest(size, digest.hexdigest())


@contextlib.contextmanager
def plain_file(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file that a stranger may have put there: nothing but a plain file is opened, and no link is followed.

    Raises:
        DataError: There is no such file, or it is a link, a folder or a device.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe waits for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise DataError(f"{path.name} is missing") from error
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        raise DataError(f"{path.name} is not a plain file") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(f"{path.name} is not a plain file")
    with open(descriptor, "rb") as file:
        yield file
