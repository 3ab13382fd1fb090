"""What was trained in a folder: each run's settings, results and time; and what differs between runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelyard.core.errors import DataError, UsageError
from modelyard.core.files import read_json
from modelyard.core.records import Record
from modelyard.train.records import RunRecord

__all__ = ["RunComparison", "compare", "runs"]


@dataclass(frozen=True)
class RunComparison(Record):
    """Runs side by side."""

    runs: list[RunRecord]
    settings: dict[str, list[Any]]
    """Dotted setting → its value in each run, for the settings that differ."""
    metrics: dict[str, list[float | None]]
    """Metric → its value in each run; None where it was not measured."""


def runs(folder: str | Path = "runs") -> list[RunRecord]:
    """Return the runs in a folder, the oldest first. A folder without runs, or none at all, gives an empty list."""
    found = [read_run(path.parent) for path in Path(folder).glob("*/run.json")]
    return sorted(found, key=lambda run: (run.started, run.path.name))


def read_run(path: Path) -> RunRecord:
    """Read what a run's folder says of it.

    Raises:
        UsageError: It is not a run's folder.
        DataError: Its record cannot be read.
    """
    if not (path / "run.json").is_file():
        raise UsageError(f"{path} is not a run: it has no run.json. See which there are: modelyard runs")
    values = read_json(path / "run.json")
    try:
        return RunRecord(**{**values, "path": path})
    except TypeError as error:
        raise DataError(f"{path}/run.json was not written by this release: {error}") from error


def compare(paths: Sequence[str | Path]) -> RunComparison:
    """Put runs side by side: settings that differ, and all metrics.

    Raises:
        UsageError: Fewer than two runs, or a path that is none.
    """
    if len(paths) < 2:
        raise UsageError("comparing takes two runs or more")
    records = [read_run(Path(path)) for path in paths]
    specs = [_flat(_spec(record.path)) for record in records]
    names = list(dict.fromkeys(name for spec in specs for name in spec))
    settings = {name: [spec.get(name) for spec in specs] for name in names}
    differing = {name: values for name, values in settings.items() if any(value != values[0] for value in values)}
    metrics = list(dict.fromkeys(name for record in records for name in record.metrics))
    return RunComparison(
        records, differing, {name: [record.metrics.get(name) for record in records] for name in metrics}
    )


def _spec(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load((path / "spec.yaml").read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{path}/spec.yaml cannot be read: {error}") from error
    return values if isinstance(values, dict) else {}


def _flat(values: Any, place: str = "") -> dict[str, Any]:
    if not isinstance(values, dict) or not values:
        return {place: values} if place else {}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat.update(_flat(value, f"{place}.{name}" if place else str(name)))
    return flat
