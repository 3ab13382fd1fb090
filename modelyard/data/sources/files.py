"""Finding, opening and fingerprinting the files behind the sources: paths, globs and URLs, compression by ending.

Whatever a file system or a decompressor has to say about a broken file leaves this room as a `DataError`.
"""

from __future__ import annotations

import bz2
import contextlib
import difflib
import glob
import gzip
import hashlib
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any

import fsspec
import pyarrow as pa

from modelyard.core.errors import DataError, MissingExtraError, ModelyardError

__all__ = [
    "COMPRESSIONS",
    "Stream",
    "clipped",
    "digest_files",
    "expand",
    "is_folder",
    "is_url",
    "listed",
    "name_of",
    "open_seekable",
    "open_stream",
    "other_columns",
    "reading",
    "recognise",
    "walk",
    "with_compressions",
]

COMPRESSIONS = (".gz", ".bz2", ".zst")
"""Endings that mean a compressed file; what is inside follows from the ending before."""

_CHUNK = 4 << 20
_MAGIC = {
    b"\x1f\x8b": "a gzip file (name it .gz)",
    b"BZh": "a bzip2 file (name it .bz2)",
    b"\x28\xb5\x2f\xfd": "a zstandard file (name it .zst)",
    b"\xfd7zXZ": "an xz file (unpack it first)",
    b"PK\x03\x04": "a zip archive, such as an Excel workbook (unpack or export it first)",
    b"PAR1": "a Parquet file (data.format: parquet)",
    b"ARROW1": "an Arrow file (data.format: parquet)",
    b"\x93NUMPY": "a NumPy array",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an old Office document (export it as CSV first)",
}


def with_compressions(*endings: str) -> tuple[str, ...]:
    """Return each ending plain and followed by each compression: `.csv`, `.csv.gz`, …"""
    return tuple(ending + compression for ending in endings for compression in ("", *COMPRESSIONS))


def recognise(head: bytes) -> str | None:
    """Say what a file's first bytes show it to be, in words for an error message; None when they show nothing."""
    return next((words for magic, words in _MAGIC.items() if head.startswith(magic)), None)


def clipped(text: str, limit: int = 80) -> str:
    """Return at most `limit` characters of foreign text, quoted and printable, for an error message."""
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}…"


# -- finding ----------------------------------------------------------------------------------------------------------


def is_url(location: str) -> bool:
    """Say whether a location names a protocol (`s3://…`) other than the local disk."""
    return "://" in location and not location.startswith(("file://", "local://"))


def name_of(location: Any) -> str:
    """Return a path as text: path objects and `file://` URLs as local paths, `~` expanded, other URLs as they are."""
    try:
        text = os.fsdecode(location)
    except TypeError as error:
        raise DataError(f"expected a path, glob or URL, got {clipped(repr(location))}") from error
    if "\0" in text:
        raise DataError(f"a path cannot hold a NUL character: {text!r}")
    if text.startswith(("file://", "local://")):
        return str(fsspec.core.strip_protocol(text))
    return text if is_url(text) else os.path.expanduser(text)


def is_folder(location: str) -> bool:
    """Say whether the location (as `name_of` returns it) is a folder."""
    if not is_url(location):
        return os.path.isdir(location)
    system, path = _file_system(location)
    with reading(location):
        return bool(system.isdir(path))


def expand(location: Any) -> list[str]:
    """Return the files a location means: one path, a glob (sorted), a URL of fsspec, or a list of those (in order).

    Raises:
        DataError: There is no such file; the message holds what was looked for and what stands nearby.
        MissingExtraError: The URL's protocol needs a package that is not installed.
    """
    if isinstance(location, list | tuple):
        if not location:
            raise DataError("the list of files is empty; expected at least one path")
        return [file for item in location for file in expand(item)]
    name = name_of(location)
    if not name:
        raise DataError("the path is empty; expected a file, a glob or a URL")
    return _expand_url(name) if is_url(name) else _expand_path(name)


def _expand_path(name: str) -> list[str]:
    if os.path.isdir(name):
        raise DataError(
            f"{name} is a folder; expected files. A glob such as {os.path.join(name, '*')} names those inside"
        )
    if os.path.lexists(name) or not glob.has_magic(name):
        _check_regular(name)
        return [name]
    found = sorted(path for path in glob.glob(name, recursive=True) if os.path.isfile(path))
    if not found:
        raise DataError(f"no file matches {name}{_nearby(name)}")
    return found


def _expand_url(name: str) -> list[str]:
    system, path = _file_system(name)
    with reading(name):
        if glob.has_magic(path):
            found = sorted(system.unstrip_protocol(item) for item in system.glob(path) if not system.isdir(item))
        else:
            found = [name] if system.exists(path) and not system.isdir(path) else []
    if not found:
        raise DataError(
            f"there is no file at {name}; expected one (is the address right, and are the credentials set?)"
        )
    return found


def _check_regular(name: str) -> None:
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError as error:
        raise DataError(f"no such file: {name}{_nearby(name)}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {name}: {error}") from error
    if not stat.S_ISREG(mode):
        raise DataError(
            f"{name} is not a regular file (a pipe or device?); rows are read several times, so save it first"
        )


def _nearby(name: str) -> str:
    folder, wanted = os.path.split(name)
    try:
        names = sorted(entry for entry in os.listdir(folder or ".") if not entry.startswith("."))
    except OSError:
        return f"; the folder {folder} does not exist either"
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    if close:
        return f"; similar names there: {', '.join(close)}"
    few = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return f"; {folder or 'the working directory'} holds {few or 'nothing'}"


def walk(root: str) -> Iterator[str]:
    """Yield every file under a folder as a relative path with forward slashes, in no order; links are followed."""
    if is_url(root):
        system, path = _file_system(root)
        with reading(root):
            found = [str(item) for item in system.find(path)]
        prefix = str(system._strip_protocol(path)).rstrip("/") + "/"
        yield from (item[len(prefix) :] for item in found if item.startswith(prefix))
        return
    seen = set()
    folders = os.walk(root, followlinks=True, onerror=_raise)
    while True:
        with reading(root):
            folder, inside, names = next(folders, ("", [], []))
            if not folder:
                return
            facts = os.stat(folder)
        if (facts.st_dev, facts.st_ino) in seen:  # a link back to a folder above
            inside.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        inside.sort()  # which of two links to one folder counts must not depend on the disk
        relative = os.path.relpath(folder, root)
        for name in names:
            yield (name if relative == "." else os.path.join(relative, name)).replace(os.sep, "/")


def _raise(error: OSError) -> None:
    raise error


# -- opening ----------------------------------------------------------------------------------------------------------


def _file_system(url: str) -> tuple[Any, str]:
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        protocol = url.partition("://")[0]
        raise MissingExtraError(f"reading {protocol}:// needs a package that is not installed: {error}") from error
    except ValueError as error:
        raise DataError(f"cannot read {url}: {error}") from error
    return system, str(path)


@contextlib.contextmanager
def reading(place: str) -> Iterator[None]:
    """Turn whatever goes wrong while bytes of `place` are read or decoded into a `DataError` that names it."""
    try:
        yield
    except ModelyardError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"no such file: {place}") from error
    except MemoryError as error:
        raise DataError(f"{place} asks for more memory than there is; it is probably damaged ({error})") from error
    except ImportError as error:
        raise MissingExtraError(f"reading {place} needs a package that is not installed: {error}") from error
    except (OSError, EOFError, ValueError, OverflowError, zlib.error, pa.ArrowException) as error:
        raise DataError(f"cannot read {place}: {_short(error)}") from error
    except Exception as error:
        # Behind a URL stands a package of somebody else's, whose errors have no common root.
        if is_url(place):
            raise DataError(f"cannot read {place}: {type(error).__name__}: {_short(error)}") from error
        raise


def _short(error: Exception) -> str:
    """What an error of somebody else's says, without the pieces of a damaged file that some of them quote."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "…"


class Stream:
    """A file's bytes from first to last, decompressed. `read(n)` returns exactly n bytes unless the file ends."""

    def __init__(self, raw: Any, name: str) -> None:
        self._raw = raw
        self.name = name
        self.closed = False

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end.

        Raises:
            DataError: The file is damaged or cannot be reached any more.
        """
        parts = []
        with reading(self.name):
            while size > 0:
                part = self._raw.read(min(size, _CHUNK))
                if not part:
                    break
                parts.append(part)
                size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


@contextlib.contextmanager
def open_stream(name: str, decompress: bool = True) -> Iterator[Stream]:
    """Open a file of `expand` for reading once, in order, decompressed when its ending says so.

    Raises:
        DataError: It cannot be opened; reading from the stream raises the same when the file is damaged.
    """
    with contextlib.ExitStack() as stack:
        raw: Any = stack.enter_context(open_seekable(name))
        if decompress:
            with reading(name):
                raw = _decompressed(raw, name.lower(), stack)
        stream = Stream(raw, name)
        yield stream
        stream.closed = True


@contextlib.contextmanager
def open_seekable(name: str) -> Iterator[IO[bytes]]:
    """Open a file of `expand` for reading at any place. Errors while reading are for the caller to put in `reading`."""
    with contextlib.ExitStack() as stack:
        with reading(name):
            if is_url(name):
                system, path = _file_system(name)
                raw: IO[bytes] = stack.enter_context(system.open(path, "rb"))
            else:
                _check_regular(name)
                raw = stack.enter_context(open(name, "rb"))
        yield raw


def _decompressed(raw: IO[bytes], name: str, stack: contextlib.ExitStack) -> Any:
    if name.endswith(".gz"):
        return stack.enter_context(gzip.GzipFile(fileobj=raw, mode="rb"))
    if name.endswith(".bz2"):
        return stack.enter_context(bz2.BZ2File(raw))
    if name.endswith(".zst"):
        return stack.enter_context(pa.CompressedInputStream(raw, "zstd"))
    return raw


def digest_files(files: Sequence[str], also: bytes = b"") -> str:
    """SHA-256 over the files' bytes in order, in hexadecimal. One file alone gives the digest that `sha256sum` prints.

    Args:
        files: As `expand` returned them.
        also: Content that is not in the files' bytes, such as the labels that folder names give.
    """
    digests = []
    for name in files:
        digest = hashlib.sha256()
        with open_stream(name, decompress=False) as stream:
            while block := stream.read(_CHUNK):
                digest.update(block)
        digests.append(digest)
    if len(digests) == 1 and not also:
        return digests[0].hexdigest()
    return hashlib.sha256(b"".join(digest.digest() for digest in digests) + also).hexdigest()


def other_columns(file: str, names: Sequence[str], first: str, expected: Sequence[str]) -> DataError | None:
    """Return the error to raise when a file's columns are not those of the first file, in whatever order; else None."""
    have, wanted = set(names), set(expected)
    missing = [name for name in expected if name not in have]
    added = [name for name in names if name not in wanted]
    if not missing and not added:
        return None
    parts = [f"missing: {listed(missing)}"] if missing else []
    parts += [f"additional: {listed(added)}"] if added else []
    return DataError(
        f"{file} has other columns than {first} ({'; '.join(parts)}). Files read together need the same columns; bring "
        "them in line or name only those that belong together"
    )


def listed(names: Sequence[str], most: int = 10) -> str:
    """Return foreign names for an error message: the first few of them, quoted, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(clipped, names[:most])) + more
