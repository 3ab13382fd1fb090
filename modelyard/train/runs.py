"""What was trained in a folder: each run's settings, results and time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from modelyard.core.errors import DataError, UsageError
from modelyard.core.files import read_json
from modelyard.train.records import RunRecord

__all__ = ["differing_settings", "read_run", "read_spec", "runs"]


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


def differing_settings(folders: Sequence[Path]) -> dict[str, list[Any]]:
    """Return the dotted settings that differ between runs, each with its value in every run; None where it is not set.

    Raises:
        DataError: A run's spec cannot be read.
    """
    specs = [_flat(read_spec(folder)) for folder in folders]
    names = dict.fromkeys(name for spec in specs for name in spec)
    settings = {name: [spec.get(name) for spec in specs] for name in names}
    return {name: values for name, values in settings.items() if any(value != values[0] for value in values)}


def read_spec(folder: Path) -> dict[str, Any]:
    """Return a run's resolved spec as nested plain values; empty when there is none yet.

    Raises:
        DataError: It cannot be read.
    """
    try:
        values = yaml.safe_load((folder / "spec.yaml").read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{folder}/spec.yaml cannot be read: {error}") from error
    return values if isinstance(values, dict) else {}


def _flat(values: Any, place: str = "") -> dict[str, Any]:
    if not isinstance(values, dict) or not values:
        return {place: values} if place else {}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat.update(_flat(value, f"{place}.{name}" if place else str(name)))
    return flat
