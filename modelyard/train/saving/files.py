"""One folder of a checkpoint on the disk: how it is written, how it is proven, how it is read.

manifest.json         what the folder is, and size and digest of every other file; it proves itself by its own digest
*.safetensors         tensors, one file for each group of them
values.json           everything else; absent where there are only weights

Errors are `CheckpointError`s that say what is wrong with the folder, and leave its name to the caller.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

import modelyard
from modelyard.core.digests import FileDigest, plain_file, read_digest, write_pieces
from modelyard.core.errors import CheckpointError, DataError, StorageError
from modelyard.core.exact_json import exact_json, from_exact_json
from modelyard.core.files import atomic_directory, digest_bytes, to_json
from modelyard.core.tensors import TensorFile, lay_out, read_tensors

__all__ = [
    "FORMAT",
    "BestName",
    "Manifest",
    "Part",
    "UnknownFormat",
    "grouped",
    "prove",
    "read_folder_tensors",
    "read_manifest",
    "read_values",
    "values_part",
    "write_folder",
]

FORMAT = 1
_VALUES = "values.json"
_UNGROUPED = "tensors"
_GROUP = re.compile(r"[a-z0-9_\-]{1,40}")
_FILE = re.compile(r"[a-z0-9_\-]{1,40}\.safetensors|values\.json")
_BEST = re.compile(r"best-[0-9]{4,12}(-[0-9]{1,6})?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LARGEST_MANIFEST = 1 << 20


class UnknownFormat(CheckpointError):
    """A folder that is whole, and of another release."""


@dataclass(frozen=True)
class BestName:
    """Which folder of best weights a checkpoint goes with."""

    name: str
    manifest: str
    """The digest of that folder's manifest."""


@dataclass(frozen=True)
class Manifest:
    """What a folder is and holds."""

    kind: str
    """`step` or `best`."""
    step: int
    serial: int
    """Tells checkpoints of the same step apart: the later one has the larger number."""
    created: str
    """ISO 8601, UTC; for people alone."""
    modelyard: str
    best: BestName | None
    best_epoch: int
    files: dict[str, FileDigest]

    def content(self) -> dict[str, Any]:
        """Return the manifest as JSON values, without its own digest."""
        return {"format": FORMAT, **asdict(self)}

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return digest_bytes(_text(self.content()))


def _text(content: Mapping[str, Any]) -> bytes:
    return (to_json(content, indent=1) + "\n").encode()


@dataclass(frozen=True)
class Part:
    """A file that is not written yet."""

    name: str
    size: int
    pieces: Iterable[bytes | memoryview]


def grouped(tensors: Mapping[str, Tensor]) -> dict[str, TensorFile]:
    """Return a file for each group of tensors: `optimizer/…` goes to `optimizer.safetensors`, and what has no group to
    `tensors.safetensors`.

    Raises:
        TypeError, ValueError: As `core.tensors.lay_out`.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        if not rest or group == _UNGROUPED or not _GROUP.fullmatch(group):
            group, rest = _UNGROUPED, name
        groups.setdefault(group, {})[rest] = tensor
    return {f"{group}.safetensors": lay_out(members) for group, members in groups.items()}


def write_folder(
    path: Path,
    kind: str,
    step: int,
    parts: Iterable[Part],
    needed: int,
    serial: int = 0,
    best: BestName | None = None,
    best_epoch: int = 0,
) -> Manifest:
    """Write a folder, whole or not at all: its files, then the manifest; then read all back and compare digests; then
    give it its name.

    Raises:
        StorageError: The disk refuses, or what it gives back is not what was written.
    """
    with atomic_directory(path, needed) as folder:
        files = {part.name: write_pieces(folder / part.name, part.pieces) for part in parts}
        created = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = Manifest(kind, step, serial, created, modelyard.__version__, best, best_epoch, files)
        write_pieces(folder / "manifest.json", [_text({**manifest.content(), "sha256": manifest.digest})])
        try:
            if read_manifest(folder) != manifest:
                raise CheckpointError("manifest.json was altered (digest differs)")
            prove(folder, manifest)
        except CheckpointError as error:
            raise StorageError(
                f"{path} was written, and the disk gave something else back: {error}. Nothing of it was kept, and what "
                "was there before is untouched. The disk or the memory of this machine may be failing; choose another "
                "place for runs (--runs)."
            ) from error
    return manifest


def read_manifest(path: Path) -> Manifest:
    """Read and check a folder's manifest; the files it lists are not touched.

    Raises:
        CheckpointError: It is missing, altered or of an unknown format.
    """
    with _reasons(), plain_file(path / "manifest.json") as file:
        text = file.read(_LARGEST_MANIFEST + 1)
    try:
        value = json.loads(text.decode())
        content = {key: item for key, item in value.items() if key != "sha256"}
        # Compared as bytes: a manifest is exactly what `_text` makes of it, so that no changed byte goes unnoticed.
        genuine = _text({**content, "sha256": digest_bytes(_text(content))}) == text
    except (ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError("manifest.json was altered (it is no manifest)") from error
    if not genuine:
        raise CheckpointError("manifest.json was altered (digest differs)")
    if content.get("format") != FORMAT:
        raise UnknownFormat(
            f"it has checkpoint format {content.get('format')!r}, and this release ({modelyard.__version__}) reads "
            f"format {FORMAT}; it was written by modelyard {content.get('modelyard')!r}"
        )
    return _manifest(content)


def _manifest(content: dict[str, Any]) -> Manifest:
    """Check everything a manifest says: its digest shows that it was not damaged, not who wrote it."""
    best, files = content.get("best"), content.get("files")
    proper = (
        set(content) == {"format", *(field.name for field in fields(Manifest))}
        and content["kind"] in ("step", "best")
        and all(type(content[name]) is int and content[name] >= 0 for name in ("step", "serial", "best_epoch"))
        and all(isinstance(content[name], str) for name in ("created", "modelyard"))
        and (best is None or (isinstance(best, dict) and set(best) == {"name", "manifest"}))
        and (best is None or (_matches(_BEST, best["name"]) and _matches(_DIGEST, best["manifest"])))
        and isinstance(files, dict)
        and all(_matches(_FILE, name) and _proper_digest(about) for name, about in files.items())
    )
    if not proper:
        raise CheckpointError("manifest.json says what no release writes")
    assert isinstance(files, dict)
    return Manifest(
        **{name: content[name] for name in ("kind", "step", "serial", "created", "modelyard", "best_epoch")},
        best=None if best is None else BestName(**best),
        files={name: FileDigest(**about) for name, about in files.items()},
    )


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _proper_digest(about: Any) -> bool:
    return (
        isinstance(about, dict)
        and set(about) == {"size", "sha256"}
        and type(about["size"]) is int
        and about["size"] >= 0
        and _matches(_DIGEST, about["sha256"])
    )


@contextlib.contextmanager
def _reasons() -> Iterator[None]:
    """Say of whatever cannot be read that the checkpoint cannot."""
    try:
        yield
    except DataError as error:
        raise CheckpointError(str(error)) from error
    except OSError as error:
        raise CheckpointError(f"it cannot be read: {error}") from error


def prove(path: Path, manifest: Manifest) -> None:
    """Read every file of a folder and compare it with the manifest; nothing is kept in memory.

    Raises:
        CheckpointError: A file is missing or altered.
    """
    for name, expected in manifest.files.items():
        with _reasons():
            found = read_digest(path / name)
        if found.size != expected.size:
            raise CheckpointError(f"{name} has {found.size} bytes, expected {expected.size}")
        if found != expected:
            raise CheckpointError(f"{name} was altered (digest differs)")


def read_folder_tensors(path: Path, manifest: Manifest) -> dict[str, Tensor]:
    """Read all tensors of a folder, and prove each file while it is read.

    Raises:
        CheckpointError: A file is missing, altered, or holds something else than tensors.
    """
    tensors: dict[str, Tensor] = {}
    for name, expected in manifest.files.items():
        group, _, kind = name.rpartition(".")
        if kind != "safetensors":
            continue
        prefix = "" if group == _UNGROUPED else f"{group}/"
        with _reasons():
            tensors |= {prefix + key: tensor for key, tensor in read_tensors(path / name, expected).items()}
    return tensors


def values_part(values: Mapping[str, Any]) -> Part:
    """Return the file of the values.

    Raises:
        TypeError, ValueError: As `core.exact_json.exact_json`.
    """
    text = exact_json(values)
    return Part(_VALUES, len(text), [text])


def read_values(path: Path, manifest: Manifest) -> dict[str, Any]:
    """Read the values of a folder, and prove their file.

    Raises:
        CheckpointError: The file is missing, altered, or holds something else.
    """
    expected = manifest.files.get(_VALUES)
    if expected is None:
        raise CheckpointError(f"manifest.json lists no {_VALUES}")
    with _reasons(), plain_file(path / _VALUES) as file:
        size = os.fstat(file.fileno()).st_size
        text = file.read() if size == expected.size else b""
    if size != expected.size:
        raise CheckpointError(f"{_VALUES} has {size} bytes, expected {expected.size}")
    if digest_bytes(text) != expected.sha256:
        raise CheckpointError(f"{_VALUES} was altered (digest differs)")
    try:
        values = from_exact_json(text)
    except DataError as error:
        raise CheckpointError(f"{_VALUES} {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{_VALUES} is not a JSON object")
    return values
