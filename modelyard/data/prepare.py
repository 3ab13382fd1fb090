"""From a spec's data section to fitted columns in a store: read, split, fit, encode, each row once a pass.

The store is kept under a fingerprint of the content and the settings; when nothing changed it is used again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import modelyard
from modelyard.core.files import atomic_directory, cache_directory, digest_bytes, to_json
from modelyard.core.registry import table
from modelyard.data.catalog import catalog
from modelyard.data.fitted import Fitted
from modelyard.data.inspect import ColumnGuess, resolve_columns, sample_rows
from modelyard.data.passes import DataRecord, Preparation, Progress
from modelyard.data.sources.base import Source
from modelyard.data.sources.open import open_sources
from modelyard.data.store import FORMAT, SplitStore, open_store
from modelyard.spec.settings import Choice
from modelyard.spec.spec import DataSpec, Spec, SplitSpec

__all__ = ["Prepared", "locate", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """Data that is ready to train on."""

    data: DataSpec
    """The spec's data section with nothing left to infer."""
    fitted: Fitted
    splits: Mapping[str, SplitStore]
    record: DataRecord


def locate(data: DataSpec) -> tuple[dict[str | None, Source], dict[str, Any] | None]:
    """Open a spec's sources, fetching a catalogued data set when it is not here yet.

    Returns:
        Sources by split (None: not split yet), and the origin of a catalogued set.
    """
    location = data.source
    if location is None:
        raise Spec.problem("data.source", "is required: a file, folder, URL or catalog:NAME")
    if not (isinstance(location, str) and location.startswith("catalog:")):
        return open_sources(location, data.format, data.options), None
    entry = catalog.entry(location.removeprefix("catalog:"))
    folder = catalog.get(entry.name)
    parts: dict[str | None, Source] = {}
    for split, file in entry.files.items():
        name = None if split == "all" else split
        parts[name] = open_sources(str(folder / file), data.format, data.options)[None]
    origin: dict[str, Any] = {"name": entry.name, "title": entry.title}
    origin |= {"licence": entry.licence, "reference": entry.reference}
    origin["labels"] = {column: list(names) for column, names in entry.labels.items()}
    return parts, origin


def prepare(
    spec: Spec,
    accepts: tuple[str, ...] | None = None,
    targets_of: tuple[str, ...] | None = None,
    progress: Progress = lambda what, rows: None,
) -> Prepared:
    """Read, split, fit and encode a spec's data, or take up a store where that was already done.

    Args:
        spec: The spec.
        accepts: Kinds of input the model's family takes, the preferred first; None when the family is not said.
        targets_of: Modalities the task learns; None when the task is not said.
        progress: Called as rows go through.

    Raises:
        SpecError: Columns that do not exist, or settings that do not fit the data.
        DataError: Data that is missing, empty or unreadable.
    """
    started = time.monotonic()
    parts, origin = locate(spec.data)
    for source in parts.values():
        source.files()
    data, guesses = _resolve(spec, parts, accepts, targets_of, (origin or {}).pop("labels", {}))
    spec = spec.replace(data=data)
    content = digest_bytes("".join(f"{split}:{source.fingerprint()}\n" for split, source in parts.items()).encode())
    settings = data.model_dump(mode="json", exclude={"source"})
    key = digest_bytes(to_json([FORMAT, modelyard.__version__, content, settings, spec.seed]).encode())
    folder = cache_directory() / "stores" / key
    reused = (folder / "manifest.json").exists()
    if not reused:
        with atomic_directory(folder) as temporary:
            Preparation(spec, parts, progress).run(temporary, content, guesses, origin)
    splits, manifest = open_store(folder)
    fitted = Fitted.load(folder, data.inputs or {}, data.targets or {})
    about = manifest["record"]
    about["columns"] = [ColumnGuess(**guess) for guess in about["columns"]]
    about.update(store=str(folder), reused=reused, seconds=time.monotonic() - started)
    return Prepared(data, fitted, splits, DataRecord(**about))


# -- deciding what is open --------------------------------------------------------------------------------------------


def _resolve(
    spec: Spec,
    parts: Mapping[str | None, Source],
    accepts: tuple[str, ...] | None,
    targets_of: tuple[str, ...] | None,
    labels: Mapping[str, list[str]],
) -> tuple[DataSpec, list[ColumnGuess]]:
    data = spec.data
    source = parts.get("train") or next(iter(parts.values()))
    inputs, targets, guesses = resolve_columns(data, sample_rows(source), targets_of, source.folder())
    if accepts is not None:
        for column, choice in inputs.items():
            modality = table("modality").find(choice.name)
            adapted = modality.adapt(choice.settings, accepts)
            inputs[column] = Choice("modality", choice.name, adapted)
    for column, choice in targets.items():
        # A catalogued set knows what its label numbers mean.
        if column in labels and _labelled(choice) and choice.settings.names is None:
            targets[column] = choice.with_settings(names=labels[column])
    split = _resolve_split(data.split, parts, targets)
    changes = {"inputs": inputs, "targets": targets, "split": split, "format": source.name}
    return data.model_copy(update=changes), guesses


def _labelled(choice: Choice[Any]) -> bool:
    """Whether a column's values are names out of a closed list."""
    return bool(table("modality").find(choice.name).labelled)


def _resolve_split(
    split: SplitSpec, parts: Mapping[str | None, Source], targets: Mapping[str, Choice[Any]]
) -> SplitSpec:
    """Turn `auto` into a method, and a share of what is given already into 0."""
    changes: dict[str, Any] = {}
    if "test" in parts:
        changes["test"] = 0.0
    if "validation" in parts:
        changes["validation"] = 0.0
    if split.test + split.validation >= 1:
        raise Spec.problem("data.split", f"validation and test take all rows ({split.validation} + {split.test})")
    if split.method == "auto":
        if split.by is not None:
            # `by` alone: a label to stratify by, when it is the target; otherwise rows that belong together.
            changes["method"] = "stratified" if split.by in targets else "group"
        else:
            changes["method"] = "stratified" if any(map(_labelled, targets.values())) else "random"
    elif split.method == "given" and None in parts and split.by is None:
        raise Spec.problem(
            "data.split", "method 'given' needs a column that names the split ('by'), or a source for each split"
        )
    if (changes.get("method") or split.method) == "stratified" and split.by is None and targets:
        changes["by"] = next(iter(targets))
    return split.model_copy(update=changes)
