"""A journal of what a process asks of the file system, and what a disk may hold when the power goes after any entry.

Recorded are the calls themselves: open, write, fsync, mkdir, rename, unlink, rmdir below one folder. Three disks are
made of a prefix of the journal:

kept        every call took effect: the process was killed, the machine lives
synced      only what was fsynced took effect: contents of files, and names in folders
reordered   all names took effect, but of the files only what was fsynced: they are there, and empty or cut short
"""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DISKS = ("kept", "synced", "reordered")


@dataclass
class File:
    content: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


@dataclass
class Folder:
    entries: dict[str, File | Folder] = field(default_factory=dict)
    synced: dict[str, File | Folder] = field(default_factory=dict)


class Journal:
    """Records between `start` and the end of `monkeypatch`, below `root`, which is empty and on the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entries: list[tuple] = []

    def note(self, *entry: object) -> None:
        self.entries.append(entry)

    def inside(self, path: object, folder: int | None = None) -> str | None:
        """The path below the root, or None."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        text = os.path.join(os.readlink(f"/proc/self/fd/{folder}") if folder is not None else "", os.fspath(path))
        relative = os.path.relpath(text, self.root)
        return None if relative.startswith("..") else relative

    def start(self, monkeypatch) -> None:
        journal = self
        real_open, real = builtins.open, {name: getattr(os, name) for name in ("fsync", "mkdir", "replace")}
        real |= {name: getattr(os, name) for name in ("rename", "unlink", "rmdir")}

        class Recorded(io.FileIO):
            def write(self, data):
                at = self.tell()
                count = super().write(data)
                journal.note("write", journal.inside(self.name), at, bytes(memoryview(data).cast("B")[:count]))
                return count

        def recorded_open(file, mode="r", *given, **named):
            name = None if isinstance(file, int) else journal.inside(file)
            if name is None or not set(mode) & set("wax+"):
                return real_open(file, mode, *given, **named)
            assert set(mode) <= set("wxb"), f"this journal knows no files opened as {mode}"
            raw = Recorded(file, mode.replace("b", ""))
            journal.note("create", name)
            return io.BufferedWriter(raw)

        def fsync(descriptor):
            real["fsync"](descriptor)
            if (name := journal.inside(descriptor)) is not None:
                journal.note("fsync", name)

        def wrapped(call, names):
            def recorded(*paths, src_dir_fd=None, dst_dir_fd=None, dir_fd=None, **named):
                folders = {"src_dir_fd": src_dir_fd, "dst_dir_fd": dst_dir_fd, "dir_fd": dir_fd}
                at = (src_dir_fd, dst_dir_fd) if names == 2 else (dir_fd,)
                inside = [journal.inside(path, folder) for path, folder in zip(paths[:names], at, strict=True)]
                real[call](*paths, **{key: value for key, value in folders.items() if value is not None}, **named)
                if None not in inside:
                    journal.note("rename" if names == 2 else call, *inside)

            return recorded

        monkeypatch.setattr(builtins, "open", recorded_open)
        monkeypatch.setattr(io, "open", recorded_open)
        monkeypatch.setattr(os, "fsync", fsync)
        for call, names in {"mkdir": 1, "unlink": 1, "rmdir": 1, "rename": 2, "replace": 2}.items():
            monkeypatch.setattr(os, call, wrapped(call, names))

    def disks(self, kind: str) -> Iterator[dict[str, bytes | None]]:
        """What is on the disk before the first entry, and after each: files with their contents, folders with None."""
        root = Folder()
        yield {}
        for entry in self.entries:
            _apply(root, entry)
            yield dict(_listed(root, kind))


def _find(root: Folder, path: str) -> File | Folder:
    found: File | Folder = root
    for name in Path(path).parts:
        assert isinstance(found, Folder)
        found = found.entries[name]
    return found


def _apply(root: Folder, entry: tuple) -> None:
    call, path = entry[:2]
    parent = _find(root, os.path.dirname(path))
    name = os.path.basename(path)
    if call == "create":
        parent.entries[name] = File()
    elif call == "mkdir":
        parent.entries[name] = Folder()
    elif call == "write":
        file, (at, data) = _find(root, path), entry[2:]
        file.content[at : at + len(data)] = data
    elif call == "fsync":
        found = _find(root, path)
        if isinstance(found, File):
            found.synced = bytes(found.content)
        else:
            found.synced = dict(found.entries)
    elif call == "rename":
        moved = parent.entries.pop(name)
        _find(root, os.path.dirname(entry[2])).entries[os.path.basename(entry[2])] = moved
    else:
        assert call in ("unlink", "rmdir")
        gone = parent.entries.pop(name)
        assert isinstance(gone, File if call == "unlink" else Folder)


def _listed(folder: Folder, kind: str, below: str = "") -> Iterator[tuple[str, bytes | None]]:
    for name, found in (folder.synced if kind == "synced" else folder.entries).items():
        if isinstance(found, Folder):
            yield below + name, None
            yield from _listed(found, kind, f"{below}{name}/")
        else:
            yield below + name, bytes(found.content) if kind == "kept" else found.synced


def materialise(disk: dict[str, bytes | None], path: Path) -> None:
    """Write a disk's content as real files."""
    path.mkdir()
    for name, content in disk.items():
        if content is None:
            (path / name).mkdir()
        else:
            (path / name).write_bytes(content)
