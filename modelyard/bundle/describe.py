"""What a bundle is, in a record: for `modelyard bundle show`, and for whoever is handed one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.bundle.format import read_manifest
from modelyard.core.errors import BundleError, DataError, SpecError
from modelyard.core.files import digest_file, read_json
from modelyard.core.records import Record
from modelyard.spec.spec import Spec

__all__ = ["BundleDescription", "describe"]


@dataclass(frozen=True)
class BundleDescription(Record):
    """A bundle in a few lines."""

    path: str
    name: str
    digest: str
    """SHA-256 of the manifest, which holds every other file's: the bundle's identity."""
    created: str
    modelyard: str
    versions: dict[str, str]
    parents: list[str]
    inputs: dict[str, str]
    """Column → modality."""
    targets: dict[str, str]
    task: str
    family: str
    parameters: int
    rows: dict[str, int]
    metrics: list[dict[str, Any]]
    """As measured when it was trained, on `split`."""
    split: str
    files: dict[str, int]
    """File → bytes."""


def describe(bundle: str | Path) -> BundleDescription:
    """Return what a bundle says of itself. Digests are not recomputed: that is `verify`.

    Raises:
        BundleError: The bundle is incomplete or unreadable.
    """
    path = Path(bundle)
    manifest = read_manifest(path)
    try:
        spec = Spec.from_yaml((path / "spec.yaml").read_text("utf-8"), source=str(path / "spec.yaml"))
        training = read_json(path / "evidence" / "training.json")
        data = read_json(path / "evidence" / "data.json")
        metrics = read_json(path / "evidence" / "metrics.json")
        last: dict[str, Any] = metrics[-1] if metrics else {"metrics": [], "split": ""}
        return BundleDescription(
            path=str(path),
            name=manifest.name,
            digest=digest_file(path / "manifest.json"),
            created=manifest.created,
            modelyard=manifest.modelyard,
            versions=manifest.versions,
            parents=manifest.parents,
            inputs={column: choice.name for column, choice in (spec.data.inputs or {}).items() if choice},
            targets={column: choice.name for column, choice in (spec.data.targets or {}).items() if choice},
            task=spec.task.name if spec.task else "",
            family=spec.model.name if spec.model else "",
            parameters=training["parameters"],
            rows=data["rows"],
            metrics=last["metrics"],
            split=last["split"],
            files={name: about["size"] for name, about in manifest.files.items()},
        )
    except (OSError, UnicodeDecodeError, DataError, SpecError, KeyError, TypeError, IndexError) as error:
        raise BundleError(f"the bundle {path} cannot be read: {error}") from error
