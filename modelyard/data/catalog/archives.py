"""Takes the wanted members out of archives that strangers wrote: zip and wheel, tar in all compressions, Debian's .deb.

Members are copied byte by byte under names that were checked; no link is ever made, nothing lands outside the folder,
nothing is overwritten, and an archive that expands beyond its limit is refused.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import pyarrow as pa

from modelyard.core.errors import DataError

__all__ = ["decompress", "is_archive", "unpack"]

_CHUNK = 1 << 18
_MOST_MEMBERS = 500_000
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".crate")
_ZIP = (".zip", ".whl")
_refuse_unsafe = getattr(tarfile, "data_filter", lambda member, path: member)
"""Python's own check, a second one after ours; absent before 3.11.4."""
_BROKEN: tuple[type[Exception], ...] = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    struct.error,
    ArithmeticError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What Python's and Arrow's readers raise at broken archives."""
_NOT_THE_DISK = (None, errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ)
"""Error numbers that come from a broken archive or an impossible name; others come from the disk."""


def is_archive(path: Path) -> bool:
    """Whether `unpack` knows this kind of file, judged by its name."""
    return path.name.endswith((*_TAR, *_ZIP, ".deb"))


def unpack(archive: Path, into: Path, root: str, take: tuple[str, ...], limit: int) -> None:
    """Copy the members that are wanted from `archive` into the folder `into`.

    Args:
        root: Leading part of the member names, such as `"package/"`; it is cut off, and members elsewhere are left.
        take: Patterns over the names below `root`, such as `"data/*.json"`. Each must match at least one member.
        limit: The most bytes that the archive may expand to.

    Raises:
        DataError: The archive is broken, too large when expanded, lacks a wanted member, or holds a wanted member
            that is a link, is named twice, or would land outside the folder.
    """
    taken = _Taking(archive, into, root, take, limit)
    try:
        if archive.name.endswith(_ZIP):
            _unpack_zip(archive, taken)
        elif archive.name.endswith(".deb"):
            with _deb_content(archive) as content:
                _unpack_tar(content, taken)
        else:
            with _open_tar(archive) as content:
                _unpack_tar(content, taken)
    except NotImplementedError as error:
        raise DataError(f"{archive.name} uses a compression this Python cannot read: {error}") from error
    except _BROKEN as error:
        raise DataError(f"{archive.name} is not a readable archive: {error}") from error
    except OSError as error:
        if error.errno not in _NOT_THE_DISK:
            raise
        raise DataError(f"{archive.name} is not a readable archive: {error}") from error
    taken.finish()


def _open_tar(archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(archive, "r|*")
    except AttributeError as error:  # early releases of 3.11 stumble over their own handling of a broken header
        raise tarfile.ReadError(f"its header is broken ({error})") from error


def decompress(path: Path, limit: int) -> bytes:
    """Return the content of a `.gz` or `.xz` file.

    Raises:
        DataError: The file is broken or expands to more than `limit` bytes.
    """
    opener = lzma.open if path.name.endswith((".xz", ".compress")) else gzip.open
    try:
        with opener(path, "rb") as file:
            content: bytes = file.read(limit + 1)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path.name} cannot be decompressed: {error}") from error
    if len(content) > limit:
        raise DataError(f"{path.name} expands to more than the {limit} bytes allowed for it")
    return content


class _Taking:
    """Decides member by member what is wanted, where it lands, and when it is too much."""

    def __init__(self, archive: Path, into: Path, root: str, take: tuple[str, ...], limit: int) -> None:
        self.archive, self.into, self.root, self.take, self.limit = archive, into, root, take, limit
        self.missing = set(take)
        self.room = limit
        self.members = 0

    def landing(self, member: str) -> Path | None:
        """Return where the member is to be written, or None when it is not wanted."""
        self.members += 1
        if self.members > _MOST_MEMBERS:
            raise DataError(f"{self.archive.name} holds more than {_MOST_MEMBERS} members")
        name = member.removeprefix("./")
        if not name.startswith(self.root):
            return None
        name = name.removeprefix(self.root)
        matched = {pattern for pattern in self.take if fnmatch.fnmatchcase(name, pattern)}
        if not matched:
            return None
        self.missing -= matched
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or any(c in name for c in "\\:\0"):
            raise DataError(f"{self.archive.name} holds {member!r}, which would land outside its folder")
        return self.into.joinpath(*path.parts)

    def spend(self, size: int) -> None:
        self.room -= size
        if self.room < 0:
            raise DataError(f"{self.archive.name} expands to more than the {self.limit} bytes allowed for it")

    def copy(self, source: IO[bytes], target: Path, member: str) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb") as file:
                while chunk := source.read(_CHUNK):
                    self.spend(len(chunk))
                    file.write(chunk)
        except (FileExistsError, NotADirectoryError) as error:
            raise DataError(f"{self.archive.name} holds {member!r} twice") from error

    def finish(self) -> None:
        if self.missing:
            wanted = ", ".join(sorted(self.root + pattern for pattern in self.missing))
            raise DataError(f"{self.archive.name} does not hold {wanted}")


def _unpack_zip(archive: Path, taken: _Taking) -> None:
    with zipfile.ZipFile(archive) as content:
        for info in content.infolist():
            target = None if info.is_dir() else taken.landing(info.filename)
            if target is None:
                continue
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise DataError(f"{archive.name} holds {info.filename!r}, which is a link or a device, not a file")
            if info.flag_bits & 1:
                raise DataError(f"{archive.name} holds {info.filename!r}, which is encrypted")
            with content.open(info) as source:
                taken.copy(source, target, info.filename)


def _unpack_tar(content: tarfile.TarFile, taken: _Taking) -> None:
    for member in content:
        target = None if member.isdir() else taken.landing(member.name)
        if target is None:
            taken.spend(member.size if member.isreg() else 0)  # a stream is expanded to be passed over
            continue
        if not member.isreg():
            raise DataError(f"{taken.archive.name} holds {member.name!r}, which is a link or a device, not a file")
        _refuse_unsafe(member, str(taken.into))
        source = content.extractfile(member)
        assert source is not None, "a regular member has content"
        with source:
            taken.copy(source, target, member.name)


@contextlib.contextmanager
def _deb_content(archive: Path) -> Iterator[tarfile.TarFile]:
    """Open the files of a Debian package: the member `data.tar.*` of an `ar` archive."""
    with open(archive, "rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise DataError(f"{archive.name} is not a Debian package")
        while len(header := file.read(60)) == 60 and header[58:] == b"`\n":
            name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), header[48:58].strip()
            if not size.isdigit():
                break
            if name.startswith("data.tar"):
                if name.endswith(".zst"):
                    with (
                        pa.CompressedInputStream(pa.PythonFile(file), "zstd") as plain,
                        tarfile.open(fileobj=plain, mode="r|") as content,
                    ):
                        yield content
                else:
                    with tarfile.open(fileobj=file, mode="r|*") as content:
                        yield content
                return
            file.seek(int(size) + int(size) % 2, 1)
    raise DataError(f"{archive.name} is not a complete Debian package: it has no data.tar")
