"""What a bundle is on disk: the manifest, its digests, and the two ways through them: writing one and checking one.

manifest.json            format version, digest and size of every file, parents, versions, time
spec.yaml                the resolved spec: nothing left to default
weights.safetensors      all tensors
inputs/ outputs/         fitted state of each modality, and of the task
evidence/                data.json · training.json · metrics.json · environment.json
report.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import modelyard
from modelyard.core.device import environment
from modelyard.core.errors import BundleError, DataError
from modelyard.core.files import atomic_directory, digest_file, read_json, write_json
from modelyard.core.records import Record

__all__ = ["FORMAT", "FileCheck", "Manifest", "check_files", "read_manifest", "write_bundle"]

FORMAT = 1
"""Raised when a bundle's layout changes; `_MIGRATIONS` then says how older ones are read."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*){0,3}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest(Record):
    """The list of what a bundle holds; its presence makes the bundle complete."""

    format: int
    name: str
    created: str
    """ISO 8601, UTC."""
    modelyard: str
    versions: dict[str, str]
    parents: list[str]
    """Digests of the manifests of the bundles this one was made from."""
    files: dict[str, dict[str, Any]]
    """Relative path → `{"size": bytes, "sha256": digest}`."""


@dataclass(frozen=True)
class FileCheck(Record):
    """What a look at a bundle's files found."""

    path: str
    files: int
    bytes: int
    problems: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether every file is there, unaltered, and nothing else is."""
        return not self.problems


def write_bundle(path: Path, name: str, files: Mapping[str, bytes], parents: list[str] | None = None) -> Manifest:
    """Write a bundle, whole or not at all.

    Raises:
        StorageError: It could not be written; nothing is left behind.
    """
    with atomic_directory(path) as folder:
        listed: dict[str, dict[str, Any]] = {}
        for relative, content in sorted(files.items()):
            file = folder / relative
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            listed[relative] = {"size": len(content), "sha256": digest_file(file)}
        facts = environment()
        manifest = Manifest(
            format=FORMAT,
            name=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            modelyard=modelyard.__version__,
            versions={"python": facts["python"], "torch": facts["torch"]},
            parents=parents or [],
            files=listed,
        )
        write_json(folder / "manifest.json", manifest)
    return manifest


def read_manifest(path: Path) -> Manifest:
    """Read and check a bundle's manifest; its files are not touched.

    Raises:
        BundleError: There is no bundle, it is incomplete, or its manifest is not one modelyard wrote.
    """
    if not path.exists():
        raise BundleError(f"no bundle at {path}. A finished run keeps its bundle in RUN/bundle: modelyard runs")
    if not (path / "manifest.json").is_file():
        inner = path / "bundle"
        hint = f"; did you mean {inner}?" if (inner / "manifest.json").is_file() else ""
        raise BundleError(f"{path} is not a complete bundle: it has no manifest.json{hint}")
    try:
        values = read_json(path / "manifest.json")
    except DataError as error:
        raise BundleError(f"the manifest cannot be read: {error}") from error
    if not isinstance(values, dict) or set(values) != set(Manifest.__dataclass_fields__):
        raise BundleError(f"{path}/manifest.json is not a bundle's manifest")
    if values["format"] != FORMAT:
        raise BundleError(
            f"{path} has bundle format {values['format']!r}; this release ({modelyard.__version__}) reads format "
            f"{FORMAT}. It was written by modelyard {values['modelyard']}; install that release or a later one"
        )
    files = values["files"]
    if not isinstance(files, dict):
        raise BundleError(f"{path}/manifest.json lists no files")
    for name, about in files.items():
        fine = (
            _NAME.fullmatch(name)
            and isinstance(about, dict)
            and isinstance(about.get("size"), int)
            and isinstance(about.get("sha256"), str)
            and _DIGEST.fullmatch(about["sha256"])
        )
        if not fine:
            raise BundleError(f"{path}/manifest.json lists a file with no proper name, size or digest: {name[:80]!r}")
    return Manifest(**values)


def check_files(path: Path, manifest: Manifest) -> FileCheck:
    """Recompute every digest of a bundle."""
    problems = []
    total = 0
    for name, about in manifest.files.items():
        file = path / name
        if not file.is_file() or file.is_symlink():
            problems.append(f"{name} is missing")
            continue
        size = file.stat().st_size
        total += size
        if size != about["size"]:
            problems.append(f"{name} has {size} bytes, expected {about['size']}")
        elif digest_file(file) != about["sha256"]:
            problems.append(f"{name} was altered: its digest differs from the manifest's")
    present = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()} - {"manifest.json"}
    problems += [f"{name} is not in the manifest" for name in sorted(present - set(manifest.files))]
    return FileCheck(str(path), len(manifest.files), total, problems)
