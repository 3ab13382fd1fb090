"""From a spec's data section to columns that are ready to train on: examine, fit, encode; nothing is done twice.

Results stand in the cache, each under a name made of all it depends on. A run that changes nothing takes up everything;
one that changes a column's settings does that column again; one that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import modelyard
from modelyard.core.errors import DataError
from modelyard.core.files import cache_directory, digest_bytes, locked, to_json
from modelyard.core.memory import give_back
from modelyard.core.registry import table
from modelyard.data.catalog import catalog
from modelyard.data.chunks import Chunks, Progress
from modelyard.data.decide import decide, make_modalities
from modelyard.data.early import EarlyReader
from modelyard.data.examine import Examination, examine, open_examination
from modelyard.data.fitted import Fitted
from modelyard.data.gate.examined import Subject
from modelyard.data.gate.finding import Finding, NamedRow
from modelyard.data.gate.gate import Gate, GateResult, refuse
from modelyard.data.lookup import Places
from modelyard.data.modalities.base import Column, Modality, State
from modelyard.data.passes import Encoded, encode_units, fit_columns, take_over, units_of
from modelyard.data.records import DataCheck, DataRecord
from modelyard.data.sources.base import Source
from modelyard.data.sources.open import open_sources
from modelyard.data.sources.unlabelled import UNLABELLED_PART, Unlabelled
from modelyard.data.store import SplitStore, Stored
from modelyard.spec.spec import DataSpec, Spec

__all__ = ["Prepared", "check_data", "locate", "prepare", "row_places"]

_FORMAT = 2
"""Of the folders in the cache; another number makes everything anew."""


@dataclass(frozen=True)
class Prepared:
    """Data that is ready to train on."""

    data: DataSpec
    """The spec's data section with nothing left to infer."""
    fitted: Fitted
    splits: Mapping[str, SplitStore]
    """`train`, `validation`, `test`, and `unlabelled` for rows that are learned from without a target."""
    record: DataRecord


def locate(data: DataSpec) -> tuple[dict[str | None, Source], dict[str, Any] | None]:
    """Open a spec's sources, fetching a catalogued data set when it is not here yet.

    Returns:
        Sources by split (None: not split yet), and the origin of a catalogued set.
    """
    if data.source is None:
        raise Spec.problem("data.source", "is required: a file, folder, URL or catalog:NAME")
    return _locate(data.source, data)


def _locate(location: Any, data: DataSpec) -> tuple[dict[str | None, Source], dict[str, Any] | None]:
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


def _locate_unlabelled(spec: Spec) -> Source | None:
    """Open the rows without a target, when something learns from them; of a divided set its training rows.

    Raises:
        SpecError: They are of another format than the data's source would be read in.
    """
    if spec.data.unlabelled is None or spec.train.semi_supervised is None:
        return None
    parts, _ = _locate(spec.data.unlabelled, spec.data)
    part = next((one for one in (None, "train") if one in parts), "")
    if part == "":
        found = ", ".join(map(str, parts))
        raise Spec.problem("data.unlabelled", f"is divided into {found} and has no training rows; name one file of it")
    return parts[part]


def check_data(
    spec: Spec,
    accepts: tuple[str, ...] | None = None,
    targets_of: tuple[str, ...] | None = None,
    progress: Progress = lambda what, rows: None,
) -> DataCheck:
    """Look at all rows of a spec's data with the data gate, without preparing anything.

    A gate that would refuse to train is no error here: its findings say so.

    Args:
        spec: The spec; without targets only what needs none is looked for.
        accepts: Kinds of input the model's family takes, the preferred first; None when the family is not said.
        targets_of: Modalities the task learns; None when the task is not said.
        progress: Called as rows go through.

    Raises:
        SpecError: Columns that do not exist, or settings that do not fit the data.
        DataError: Data that is missing, empty or cannot be read any further.
    """
    started = time.monotonic()
    work = _Work(spec, accepts, targets_of, progress, need_targets=False)
    with locked(work.folder.with_suffix(".lock")):
        seen = work.examine()
    return DataCheck(**work.about(seen), seconds=time.monotonic() - started)


def prepare(
    spec: Spec,
    accepts: tuple[str, ...] | None = None,
    targets_of: tuple[str, ...] | None = None,
    progress: Progress = lambda what, rows: None,
    inherited: Mapping[str, State] | None = None,
) -> Prepared:
    """Read, examine, split, fit and encode a spec's data, or take up what of that was done before.

    Args:
        spec: The spec.
        accepts: Kinds of input the model's family takes, the preferred first; None when the family is not said.
        targets_of: Modalities the task learns; None when the task is not said.
        progress: Called as rows go through.
        inherited: Input column → what it learned from other rows, for models that begin from a bundle; those columns
            are not fitted again.

    Raises:
        SpecError: Columns that do not exist, or settings that do not fit the data or what is inherited.
        DataError: Data that is missing, empty or unreadable.
        GateError: The data gate refuses; the message names the rows and the settings that accept it.
    """
    started = time.monotonic()
    work = _Work(spec, accepts, targets_of, progress)
    work.inherited = dict(inherited or {})
    with locked(work.folder.with_suffix(".lock")):
        seen = work.examine()
        about = work.about(seen)
        refuse(GateResult(about["findings"], {}, []))
        if not seen.rows.get("train"):
            raise DataError(
                f"no rows are left to train on: {len(seen.index)} read, {sum(seen.dropped.values())} left out "
                f"({seen.dropped or 'none unreadable'}), {seen.rows.get('validation', 0)} to validate, "
                f"{seen.rows.get('test', 0)} to test"
            )
        if spec.train.semi_supervised is not None and not seen.rows.get(UNLABELLED_PART):
            raise DataError(
                "train.semi_supervised learns from rows without a target, and there are none: no row of the training "
                "split lacks its target, and data.unlabelled "
                f"{'names no usable row' if spec.data.unlabelled is not None else 'is not set'}. Name such rows in "
                "data.unlabelled, or leave train.semi_supervised out"
            )
        encoded, reused = work.encode(seen)
    fitted = Fitted(work.inputs, work.targets)
    stored: dict[str, Stored | Column] = {**encoded.columns}
    stored |= {"row.file": seen.index.file, "row.position": seen.index.position, "row.hash": seen.index.hashes}
    splits = {split: SplitStore(stored, seen.split_rows(split)) for split in seen.rows}
    record = DataRecord(
        **about,
        summaries={
            modality.column: encoded.summaries.get(modality.column) or modality.summary()
            for modality in fitted.modalities
        },
        labels=encoded.labels,
        store=str(work.folder),
        reused=reused,
        seconds=time.monotonic() - started,
    )
    give_back()
    return Prepared(work.spec.data, fitted, splits, record)


def row_places(prepared: Prepared, split: str, rows: npt.NDArray[np.int64]) -> Places:
    """Return where some rows of a split (by position in it) stand in the sources."""
    found = prepared.splits[split].take(["row.file", "row.position"], rows)
    return Places(prepared.record.files, np.asarray(found["row.file"]), np.asarray(found["row.position"]))


class _Work:
    """One spec's data on its way: what it is, and where in the cache its parts stand."""

    def __init__(
        self,
        spec: Spec,
        accepts: tuple[str, ...] | None,
        targets_of: tuple[str, ...] | None,
        progress: Progress,
        need_targets: bool = True,
    ) -> None:
        self.parts, origin = locate(spec.data)
        further = _locate_unlabelled(spec)
        every = dict(self.parts) if further is None else {**self.parts, UNLABELLED_PART: further}
        for source in every.values():
            source.files()
        with ThreadPoolExecutor(max_workers=1) as reader:
            content = reader.submit(_content, every)
            labels = (origin or {}).pop("labels", {})
            decided = decide(spec.data, self.parts, accepts, targets_of, labels, need_targets, content.result)
            self.content = content.result()
        data, self.guesses = decided.data, decided.guesses
        self.spec = spec.replace(data=data)
        self.origin = origin if origin or not data.origin else {"title": data.origin, "declared": True}
        self.licence = data.licence or str((origin or {}).get("licence", ""))
        self.progress = progress
        self.inherited: dict[str, State] = {}
        self.inputs = make_modalities(data.inputs, "input")
        self.targets = make_modalities(data.targets, "target")
        self.extras = _extras(self.spec)
        if further is not None:
            if further.name != data.format:
                message = f"is read as {further.name}, and data.source as {data.format}; both must be of one format"
                raise Spec.problem("data.unlabelled", message)
            hidden = [modality.column for modality in (*self.targets, *self.extras)]
            self.parts[UNLABELLED_PART] = Unlabelled(further, hidden)
        self.chunks = Chunks(self.parts, data.limit, decided.chunk)
        reading = [_FORMAT, modelyard.__version__, self.content, data.format, data.options, data.limit]
        self.folder = cache_directory() / "stores" / _digest(reading)

    def examine(self) -> Examination:
        """Carry out the first pass, or take up its result."""
        settings = self.spec.data.model_dump(mode="json", exclude={"source", "unlabelled", "origin", "licence"})
        extras = [modality.column for modality in self.extras]
        learns = self.spec.train.semi_supervised is not None
        further = [["unlabelled", learns]] if learns or self.spec.data.unlabelled is not None else []
        place = self.folder / "examined" / _digest([settings, self.spec.seed, extras, *further])
        if not (place / "manifest.json").exists():
            subject = Subject(self.spec, self.parts, self.inputs, self.targets, self.extras)
            examine(place, subject, Gate(subject), self.chunks, self._early(), self.progress)
        return open_examination(place)

    def _early(self) -> dict[str, Path]:
        return {
            modality.column: self.folder / "early" / _digest(_settings(modality))
            for modality in self.inputs
            if modality.encodes_before_fit
        }

    def encode(self, seen: Examination) -> tuple[Encoded, bool]:
        """Fit and encode all columns, or take up what stands there; say whether everything did."""
        keyed = {f"input.{modality.column}": modality for modality in self.inputs}
        keyed |= {f"target.{modality.column}": modality for modality in self.targets}
        keyed |= {f"row.{modality.column}": modality for modality in self.extras}
        places = {
            key: self.folder / "fitted" / _digest([_settings(modality), seen.selection])
            for key, modality in keyed.items()
        }
        for modality in self.inputs:
            if modality.column in self.inherited:
                state = self.inherited[modality.column]
                files = {name: digest_bytes(content) for name, content in state.files.items()}
                key = f"input.{modality.column}"
                places[key] = self.folder / "fitted" / _digest(["inherited", _settings(modality), state.json, files])
                take_over(modality, places[key], state)
        early = {
            f"input.{modality.column}": EarlyReader(modality, self._early()[modality.column])
            for modality in self.inputs
            if modality.encodes_before_fit
        }

        units = units_of(self.inputs, self.targets, self.extras, places, self.folder / "columns")
        reused = all((path / "state.json").exists() for path in places.values())
        reused = reused and all((unit.place / "manifest.json").exists() for unit in units)
        fit_columns(keyed, places, early, seen, self.chunks, self.progress)
        encoded = encode_units(units, seen, self.chunks, self.progress)
        for reader in early.values():
            encoded.columns.update(reader.columns)
        return encoded, reused

    def about(self, seen: Examination) -> dict[str, Any]:
        """Return the fields of a `DataCheck`, the time excepted."""
        gate = seen.gate
        return {
            "source": self.spec.data.model_dump(mode="json", include={"source"})["source"],
            "files": list(seen.index.files),
            "fingerprint": self.content,
            "rows": seen.rows,
            "split": self.spec.data.split.model_dump(mode="json"),
            "columns": self.guesses,
            "schema": seen.schema,
            "findings": [_finding(one) for one in gate["findings"]],
            "statistics": gate["statistics"],
            "drift": gate["drift"],
            "dropped": seen.dropped,
            "dropped_rows": seen.dropped_rows,
            "quarantine": str(seen.folder / "quarantine.jsonl") if seen.dropped else "",
            "origin": self.origin,
            "licence": self.licence,
        }


def _extras(spec: Spec) -> list[Modality]:
    """Return the columns of numbers that the sampler needs."""
    sampler, number = spec.train.sampler, table("modality").find("number")
    columns = [] if sampler is None else table("sampler").find(sampler.name).columns(sampler.settings)
    return [number(column, number.Settings(scale="none"), "target") for column in columns]


def _finding(plain: Mapping[str, Any]) -> Finding:
    return Finding(**{**plain, "examples": [NamedRow(**row) for row in plain["examples"]]})


def _settings(modality: Modality) -> list[Any]:
    return [modality.role, modality.column, modality.name, modality.settings.model_dump(mode="json")]


def _content(sources: Mapping[str | None, Source]) -> str:
    """A digest of all rows."""
    return digest_bytes("".join(f"{split}:{source.fingerprint()}\n" for split, source in sources.items()).encode())


def _digest(value: Any) -> str:
    return digest_bytes(to_json(value).encode())[:32]
