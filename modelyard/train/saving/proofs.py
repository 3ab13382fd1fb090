"""Which folders of checkpoints are intact: proven by their digests, and again only when a file has changed since."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from modelyard.core.errors import CheckpointError
from modelyard.train.saving.files import BestName, Manifest, prove, read_manifest

__all__ = ["Proofs", "best_manifest", "of_best", "step_manifest"]


class Proofs:
    """What this process has proven.

    Reading gigabytes again at every save, for checkpoints that were proven at the last one, would cost the training
    more than the save itself. A file with the same inode, size and times of change is taken for the same.
    """

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[int, int, int, int]]] = {}

    def prove(self, path: Path, manifest: Manifest) -> None:
        """Prove one folder.

        Raises:
            CheckpointError: It is damaged.
        """
        if self._seen.get(manifest.digest) != _stamps(path, manifest):
            with self.proving(path, manifest):
                prove(path, manifest)

    def prove_whole(self, path: Path, manifest: Manifest) -> None:
        """Prove a checkpoint together with the best weights that it names.

        Raises:
            CheckpointError: One of them is damaged.
        """
        self.prove(path, manifest)
        if manifest.best is not None:
            with of_best(manifest.best):
                self.prove(*best_manifest(path.parent, manifest.best))

    def note(self, path: Path, manifest: Manifest) -> None:
        """Take note of a folder that was proven when it was written."""
        self._seen[manifest.digest] = _stamps(path, manifest)

    @contextlib.contextmanager
    def proving(self, path: Path, manifest: Manifest) -> Iterator[None]:
        """Take note of a folder that is read, and thereby proven, inside this context."""
        before = _stamps(path, manifest)
        yield
        self._seen[manifest.digest] = before


def _stamps(path: Path, manifest: Manifest) -> list[tuple[int, int, int, int]]:
    found = []
    for name in manifest.files:
        try:
            about = os.lstat(path / name)
        except OSError as error:
            raise CheckpointError(f"{name} is missing") from error
        found.append((about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns))
    return found


def step_manifest(path: Path) -> Manifest:
    """Read the manifest of a checkpoint.

    Raises:
        CheckpointError: It is none, or the manifest is damaged or of another release.
    """
    if path.is_symlink() or not path.is_dir():
        raise CheckpointError("it is no folder")
    manifest = read_manifest(path)
    if manifest.kind != "step":
        raise CheckpointError("it holds the best weights alone; a checkpoint's name begins with step-")
    return manifest


def best_manifest(folder: Path, name: BestName) -> tuple[Path, Manifest]:
    """Return the folder of best weights of that name, which is the very one that was named, and its manifest.

    Raises:
        CheckpointError: It is missing, damaged or another one.
    """
    path = folder / name.name
    if path.is_symlink() or not path.is_dir():
        raise CheckpointError("the folder is missing")
    manifest = read_manifest(path)
    if manifest.digest != name.manifest or manifest.kind != "best":
        raise CheckpointError("it is not the one that the checkpoint was saved with (digest differs)")
    return path, manifest


@contextlib.contextmanager
def of_best(name: BestName) -> Iterator[None]:
    """Say of what is wrong inside this context that it is so in that folder."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{name.name}: {error}") from error
