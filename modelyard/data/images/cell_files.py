"""Files that the cells of a table name: paths and URLs in, bytes out."""

from __future__ import annotations

import os
import stat

import fsspec

from modelyard.core.errors import DataError

__all__ = ["load_bytes", "short_name"]


def load_bytes(path: str, folder: str, max_bytes: int, urls: bool) -> bytes:
    """Return the content of a file that a cell names.

    Args:
        path: A path, relative to `folder` unless absolute, or a URL (any that fsspec knows).
        folder: A local folder or a URL; empty for the working directory.
        max_bytes: Longer content is refused unread.
        urls: Whether a value that is itself a URL may be fetched.

    Raises:
        DataError: There is no such file, it is empty, too long, not a plain file, or cannot be read.
    """
    name = short_name(path)
    if not path:
        raise DataError("an empty path")
    remote = "://" in path
    if remote and not urls:
        raise DataError(f"{name} is a URL, and fetching is off; set `urls: true` on this column to allow it")
    if not remote and "://" in folder and not path.startswith("/"):
        path, remote = f"{folder.rstrip('/')}/{path}", True
    if remote:
        return _fetch(path, max_bytes)
    full = os.path.join(folder, path)
    try:
        found = os.stat(full)
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{name} is {'a folder' if stat.S_ISDIR(found.st_mode) else 'not a plain file'}")
        if found.st_size > max_bytes:
            raise DataError(f"{name} has {found.st_size} bytes, more than the {max_bytes} allowed")
        with open(full, "rb", buffering=0) as file:
            return file.readall()
    except FileNotFoundError as error:
        raise DataError(f"{name}: no such file{f' in {short_name(folder)}' if folder else ''}") from error
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a null byte in the path, or letters that no file name can hold
        raise DataError(f"{name} cannot be read: {short_name(str(error))}") from error


def _fetch(url: str, max_bytes: int) -> bytes:
    name = short_name(url)
    try:
        with fsspec.open(url, "rb") as file:
            content: bytes = file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise DataError(f"{name}: no such file") from error
    except Exception as error:  # every file system behind fsspec brings errors of its own
        raise DataError(f"{name} cannot be fetched: {type(error).__name__}: {short_name(str(error))}") from error
    if len(content) > max_bytes:
        raise DataError(f"{name} has more than the {max_bytes} bytes allowed")
    return content


def short_name(path: str) -> str:
    """Return a path as a message shows it: its last 90 characters, on one line."""
    shown = path if path.isprintable() else repr(path)
    return shown if len(shown) <= 90 else f"…{shown[-89:]}"
