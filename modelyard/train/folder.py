"""A run's folder: what was asked for, what was resolved, how it stands; found again when it was interrupted.

run.json             name, status, times, results; the digest of what was asked for
asked.yaml           the spec as it was asked for
spec.yaml            the resolved spec: nothing left to default
choices.json         why each open setting was chosen, and what was measured for it
events.jsonl         what happened, as it happened
checkpoints/         the training's state
bundle/              the result
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelyard.core.energy import EnergyMeter
from modelyard.core.errors import CheckpointError, DataError, UsageError
from modelyard.core.files import digest_bytes, locked, read_json, storage_errors, to_json, write_json, write_text
from modelyard.spec.spec import Spec
from modelyard.train.records import RateSearch, RunRecord
from modelyard.train.runs import read_run

__all__ = ["Resolved", "RunFolder", "now"]


@dataclass(frozen=True)
class Resolved:
    """What a run made of its spec before it began to train, kept so that it goes on with the same."""

    spec: Spec
    reasons: dict[str, str]
    search: RateSearch | None
    fingerprint: str
    """Of the data."""


class RunFolder:
    """One run's folder. Made by `begin` or found by `unfinished` and `open`."""

    def __init__(self, path: Path, record: RunRecord) -> None:
        self.path = path
        self.record = record

    @classmethod
    def begin(cls, folder: Path, spec: Spec) -> RunFolder:
        """Make a new folder `NAME-DATE-TIME`, numbered when that one exists already."""
        path = _make(folder, spec.name)
        run = cls(path, RunRecord(spec.name, path, "running", now(), 0.0, {}, "", asked=_digest(spec)))
        write_text(path / "asked.yaml", spec.to_yaml())
        write_json(path / "run.json", run.record)
        return run

    @classmethod
    def unfinished(cls, folder: Path, spec: Spec) -> RunFolder | None:
        """Return the newest run of exactly this spec that was interrupted and that nobody is carrying on, if any."""
        if _is_from_python(spec):  # nobody can tell whether it is the same data
            return None
        asked = _digest(spec)
        found = []
        for path in folder.glob("*/run.json"):
            try:
                record = read_run(path.parent)
            except DataError:  # of another release; it is none of this spec's
                continue
            if record.asked == asked and record.status in ("running", "stopped"):
                found.append(record)
        for record in sorted(found, key=lambda record: (record.started, record.path.name), reverse=True):
            run = cls(record.path, record)
            with run.held(or_else=False) as free:
                if free:
                    return run
        return None

    @classmethod
    def open(cls, path: Path) -> tuple[RunFolder, Spec]:
        """Return a run that the user names, to be continued, and what was asked for.

        Raises:
            UsageError: It is no run, it is finished, or its data was given from Python.
        """
        record = read_run(path)
        if record.status == "finished":
            raise UsageError(f"{path} is finished: its bundle is {path / 'bundle'}. Train its spec again with --new")
        try:
            spec = Spec.load(path / "asked.yaml")
        except DataError as error:
            raise UsageError(f"{path} does not say what was asked for (asked.yaml): {error}") from error
        if _is_from_python(spec):
            raise UsageError(f"{path} was given its data from Python; continue it there: train(spec, resume=path)")
        return cls(path, record), spec

    @property
    def checkpoints(self) -> Path:
        """Where its checkpoints are."""
        return self.path / "checkpoints"

    @contextlib.contextmanager
    def held(self, or_else: bool | None = None) -> Iterator[bool]:
        """Hold the run, so that no other process carries it on at the same time.

        Args:
            or_else: What to yield when another process holds it; None: raise.

        Raises:
            UsageError: Another process holds it.
        """
        with locked(self.path / ".lock", wait=False) as free:
            if not free and or_else is None:
                raise UsageError(f"{self.path} is being trained by another process; wait for it, or stop it first")
            yield free

    def tell(self, status: str, seconds: float, message: str = "", **results: Any) -> None:
        """Write how the run stands into run.json."""
        self.record = replace(self.record, status=status, seconds=seconds, message=message, **results)
        write_json(self.path / "run.json", self.record)

    def keep_resolved(self, resolved: Resolved) -> None:
        """Write the resolved spec and the reasons of its choices."""
        search = resolved.search
        choices = {
            "reasons": resolved.reasons,
            "search": None if search is None else search.as_dict(),
            "fingerprint": resolved.fingerprint,
        }
        write_json(self.path / "choices.json", choices)
        write_text(self.path / "spec.yaml", resolved.spec.to_yaml())

    def resolved(self, fingerprint: str) -> Resolved | None:
        """Return what was resolved before an interruption; None when it did not come to that.

        Raises:
            CheckpointError: The data has changed since.
        """
        if not (self.path / "spec.yaml").is_file() or not (self.path / "choices.json").is_file():
            return None
        choices = read_json(self.path / "choices.json")
        if choices["fingerprint"] != fingerprint:
            raise CheckpointError(
                f"{self.path} cannot be continued: its data has changed since it was interrupted (fingerprint "
                f"{choices['fingerprint'][:12]}… then, {fingerprint[:12]}… now). Bring the data back, or begin a new "
                "run: modelyard train SPEC --new"
            )
        search = choices["search"]
        return Resolved(
            Spec.load(self.path / "spec.yaml"),
            dict(choices["reasons"]),
            None if search is None else RateSearch(**search),
            fingerprint,
        )

    def keep_spent(self, meter: EnergyMeter) -> None:
        """Write what was spent so far, for the run's account when it is continued."""
        write_json(self.path / "spent.json", {"seconds": meter.so_far(), "joules": meter.joules})

    def take_spent(self, meter: EnergyMeter) -> None:
        """Begin a meter with what was spent before an interruption."""
        if (self.path / "spent.json").is_file():
            spent = read_json(self.path / "spent.json")
            meter.begin_with(spent["seconds"], spent["joules"])


def now() -> str:
    """The time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _digest(spec: Spec) -> str:
    """Digest of what was asked for; when it is saved is no part of it."""
    values = spec.as_dict()
    values["train"].pop("checkpoint")
    return digest_bytes(to_json(values).encode())


def _is_from_python(spec: Spec) -> bool:
    return "given from Python>" in str(spec.as_dict()["data"]["source"])


def _make(folder: Path, name: str) -> Path:
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            path = folder / (f"{name}-{stamp}" + (f"-{number}" if number > 1 else ""))
            try:
                path.mkdir()
                return path
            except FileExistsError:
                number += 1
