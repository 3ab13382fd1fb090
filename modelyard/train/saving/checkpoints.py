"""The checkpoints of one training: saved whole or not at all, proven before an older one goes, and read back proven.

runs/NAME/checkpoints/step-00000120/   one checkpoint
runs/NAME/checkpoints/best-0003/       the best weights so far, of epoch 3, for all checkpoints that name them
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from modelyard.core.digests import digest_pieces
from modelyard.core.errors import CheckpointError, StorageError, UsageError
from modelyard.core.files import (
    locked,
    make_folder,
    remove_directory,
    remove_leftovers,
    require_space,
    storage_errors,
)
from modelyard.core.tensors import TensorFile, lay_out
from modelyard.train.saving.files import (
    BestName,
    Manifest,
    Part,
    UnknownFormat,
    grouped,
    read_folder_tensors,
    read_manifest,
    read_values,
    values_part,
    write_folder,
)
from modelyard.train.saving.proofs import Proofs, best_manifest, of_best, step_manifest

__all__ = ["Checkpoints", "Found", "Snapshot", "Written"]

_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Snapshot:
    """Everything that a training goes on from."""

    step: int
    """Optimizer steps taken."""
    tensors: Mapping[str, Tensor]
    """CPU tensors of any shape, which nobody else writes to. Those named `GROUP/…` share a file with their group."""
    values: Mapping[str, Any]
    """JSON values; every float comes back bit for bit, also infinity and NaN, and tuples come back as lists."""
    best: Mapping[str, Tensor] | None
    """Weights of the best epoch so far, or None."""
    best_epoch: int = 0


@dataclass(frozen=True)
class Found:
    """The newest checkpoint that is whole."""

    path: Path
    snapshot: Snapshot
    passed_over: list[str]
    """Why each checkpoint that is newer, or cannot tell whether it is, was not taken."""


@dataclass(frozen=True)
class Written:
    """A save that is done."""

    path: Path
    step: int
    bytes: int
    """Written now: without best weights that were there already."""
    unreadable: list[str]
    """Older checkpoints that are damaged, and why; they are left where they are and do not count as kept."""


class Checkpoints:
    """The checkpoints in one folder.

    Which one is newest is said by the steps in their manifests, not by names or times. After a save that is proven,
    the `keep` newest intact ones stay, and what is older goes, damaged or not; one without a readable manifest always
    stays. So does every best that a remaining checkpoint names.

    Args:
        folder: Where they are; it is made by the first save.
        keep: How many stay, at least 1.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        if keep < 1:
            raise UsageError(f"keep is {keep}; at least 1 checkpoint must be kept")
        self.folder = folder
        self.keep = keep
        self._proofs = Proofs()
        self._best: tuple[Mapping[str, Tensor], int, BestName] | None = None

    def __iter__(self) -> Iterator[Path]:
        """Yield the checkpoints that look complete, newest first; their contents are not read."""
        for path, manifest in self._scan()[0]:
            sizes = {name: expected.size for name, expected in manifest.files.items()}
            if all(_size(path / name) == size for name, size in sizes.items()):
                yield path

    def save(self, snapshot: Snapshot) -> Path:
        """Save a snapshot, whole or not at all, and return its folder. When this returns it survives a power cut.

        Raises:
            StorageError: The disk is full (needed and free bytes are named), refuses, or gives something else back;
                what was there before is untouched.
            TypeError, ValueError: Something in the snapshot cannot be written.
        """
        return self.write(snapshot).path

    def write(self, snapshot: Snapshot) -> Written:
        """Save a snapshot like `save`, and say what was written and what was found on the way."""
        if snapshot.step < 0 or snapshot.best_epoch < 0:
            raise ValueError(f"step {snapshot.step} of best epoch {snapshot.best_epoch}: both count from 0")
        files = grouped(snapshot.tensors)
        values = values_part(snapshot.values)
        parts = [values, *(Part(name, file.size, file.pieces()) for name, file in files.items())]
        with storage_errors(self.folder):
            make_folder(self.folder)
        with locked(self.folder / ".lock"):
            remove_leftovers(self.folder)
            best, unwritten = self._find_best(snapshot)
            sizes = [part.size for part in parts]
            needed = require_space(self.folder, [*sizes, unwritten.size] if unwritten is not None else sizes)
            if unwritten is not None:
                best = self._write_best(snapshot, unwritten, needed)
            path = self._free_name(f"step-{snapshot.step:08d}")
            same = [manifest.serial for _, manifest in self._scan()[0] if manifest.step == snapshot.step]
            serial = max(same, default=-1) + 1
            try:
                manifest = write_folder(path, "step", snapshot.step, parts, needed, serial, best, snapshot.best_epoch)
            except BaseException:
                if unwritten is not None and best is not None:
                    # On a full disk every byte counts. Should this fail too, the next save removes it.
                    with contextlib.suppress(StorageError):
                        remove_directory(self.folder / best.name)
                raise
            self._proofs.note(path, manifest)
            unreadable = self._rotate(path)
        written = sum(sizes) + (unwritten.size if unwritten is not None else 0)
        return Written(path, snapshot.step, written, unreadable)

    def newest(self) -> Found | None:
        """Read the newest checkpoint that is complete and intact; None when there are no checkpoints.

        Raises:
            CheckpointError: There are checkpoints, and none of them is intact.
        """
        readable, passed_over = self._scan()
        for path, manifest in readable:
            try:
                return Found(path, self._load(path, manifest), passed_over)
            except CheckpointError as error:
                passed_over.append(f"{path.name}: {error}")
        if passed_over:
            listed = "\n".join(f"  {reason}" for reason in passed_over)
            raise CheckpointError(
                f"none of the checkpoints in {self.folder} can be read:\n{listed}\nBring one of them back from a "
                "backup, or begin again: move the folder away or take another run."
            )
        return None

    def read(self, path: Path) -> Snapshot:
        """Read one checkpoint.

        Raises:
            CheckpointError: It is not there, or damaged; no other one is taken in its place.
        """
        if not path.is_dir():
            there = ", ".join(other.name for other in self) or "none"
            raise CheckpointError(f"no checkpoint at {path}; in {self.folder} there are: {there}")
        try:
            return self._load(path, step_manifest(path))
        except CheckpointError as error:
            raise CheckpointError(
                f"the checkpoint {path} is not what was saved: {error}. Name another one, or none to go on from the "
                "newest intact one."
            ) from error

    def remove_beyond(self, step: int) -> list[Path]:
        """Remove the checkpoints of later steps, for a training that goes on from this step on another way.

        Without it, they would be the newest until the new way has come as far.
        """
        if not self.folder.is_dir():
            return []
        with locked(self.folder / ".lock"):
            beyond = [path for path, manifest in self._scan()[0] if manifest.step > step]
            for path in beyond:
                remove_directory(path)
        return beyond

    def _scan(self) -> tuple[list[tuple[Path, Manifest]], list[str]]:
        """Return the checkpoints whose manifests can be read, newest first, and why the others' cannot."""
        readable, unreadable = [], []
        for path in self._folders("step-"):
            try:
                readable.append((path, step_manifest(path)))
            except CheckpointError as error:
                unreadable.append(f"{path.name}: {error}")
        readable.sort(key=lambda found: (found[1].step, found[1].serial), reverse=True)
        return readable, unreadable

    def _folders(self, prefix: str) -> list[Path]:
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        return [self.folder / name for name in sorted(names, reverse=True) if name.startswith(prefix)]

    def _free_name(self, name: str) -> Path:
        """Return a place where nothing is: what is there is never replaced, it is outlived."""
        number, path = 1, self.folder / name
        while os.path.lexists(path):
            number += 1
            path = self.folder / f"{name}-{number}"
        return path

    def _load(self, path: Path, manifest: Manifest) -> Snapshot:
        with self._proofs.proving(path, manifest):
            tensors, values = read_folder_tensors(path, manifest), read_values(path, manifest)
        best = None
        if manifest.best is not None:
            with of_best(manifest.best):
                best_path, its_manifest = best_manifest(path.parent, manifest.best)
                with self._proofs.proving(best_path, its_manifest):
                    weights = read_folder_tensors(best_path, its_manifest)
            best = {name.removeprefix("weights/"): tensor for name, tensor in weights.items()}
            self._best = dict(best), manifest.best_epoch, manifest.best
        return Snapshot(manifest.step, tensors, values, best, manifest.best_epoch)

    def _find_best(self, snapshot: Snapshot) -> tuple[BestName | None, TensorFile | None]:
        """Return the folder that holds a snapshot's best weights, or the file that is still to be written."""
        if snapshot.best is None:
            return None, None
        if self._best is not None and self._best[1] == snapshot.best_epoch and _same(self._best[0], snapshot.best):
            name = self._best[2]
            if self._is_there(name):
                return name, None
        file = lay_out(snapshot.best)
        digest = None
        for path in self._folders("best-"):
            try:
                manifest = read_manifest(path)
                expected = manifest.files.get(_WEIGHTS)
                if manifest.best_epoch != snapshot.best_epoch or expected is None or expected.size != file.size:
                    continue
                digest = digest or digest_pieces(file.pieces())
                name = BestName(path.name, manifest.digest)
                if digest == expected and self._is_there(name):
                    self._best = dict(snapshot.best), snapshot.best_epoch, name
                    return name, None
            except CheckpointError:
                continue  # whoever refers to it is told why; these weights are written again under another name
        return None, file

    def _is_there(self, name: BestName) -> bool:
        try:
            self._proofs.prove(*best_manifest(self.folder, name))
        except CheckpointError:
            return False
        return True

    def _write_best(self, snapshot: Snapshot, file: TensorFile, needed: int) -> BestName:
        assert snapshot.best is not None
        path = self._free_name(f"best-{snapshot.best_epoch:04d}")
        parts = [Part(_WEIGHTS, file.size, file.pieces())]
        manifest = write_folder(path, "best", snapshot.step, parts, needed, best_epoch=snapshot.best_epoch)
        self._proofs.note(path, manifest)
        name = BestName(path.name, manifest.digest)
        self._best = dict(snapshot.best), snapshot.best_epoch, name
        return name

    def _rotate(self, written: Path) -> list[str]:
        """Remove what is older than the `keep` newest intact ones, then the bests that nobody names any more.

        Returns:
            The checkpoints that cannot be read, and why.
        """
        readable, unreadable = self._scan()
        named: set[str] = set()
        steps: list[int] = []
        for path, manifest in readable:
            # Every one that goes is older than one that is proven: enough newer ones, or a later one of the same step.
            if path != written and (len(steps) >= self.keep or manifest.step in steps):
                remove_directory(path)
                continue
            if manifest.best is not None:
                named.add(manifest.best.name)
            try:
                self._proofs.prove_whole(path, manifest)
                steps.append(manifest.step)
            except CheckpointError as error:
                unreadable.append(f"{path.name}: {error}")
        if not self._of_later_releases():
            for path in self._folders("best-"):
                if path.name not in named:
                    remove_directory(path)
        return unreadable

    def _of_later_releases(self) -> bool:
        """Whether a checkpoint is of a format that is not known here, and may name any best."""
        for path in self._folders("step-"):
            try:
                read_manifest(path)
            except UnknownFormat:
                return True
            except CheckpointError:
                continue  # damaged: it will never be read, with its best or without
        return False


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return -1


def _same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    """Whether these are the very same tensors, to which nobody writes."""
    return left.keys() == right.keys() and all(tensor is right[name] for name, tensor in left.items())
