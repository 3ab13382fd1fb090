"""`compare`: runs side by side, and their models on the same held-out rows with paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.core.errors import DataError, ModelyardError, UsageError
from modelyard.core.files import read_json, write_text
from modelyard.core.records import Record
from modelyard.data.prepare import locate, prepare, row_places
from modelyard.data.sources.base import Source
from modelyard.data.sources.selected import Selected
from modelyard.evaluate.compare import compare_bundles
from modelyard.evaluate.comparison import Comparison
from modelyard.report.compare_page import render_comparison
from modelyard.spec.spec import Spec
from modelyard.train.records import RunRecord
from modelyard.train.runs import differing_settings, read_run, read_spec

__all__ = ["RunComparison", "compare", "write_comparison"]


@dataclass(frozen=True)
class RunComparison(Record):
    """Runs side by side."""

    runs: list[RunRecord]
    settings: dict[str, list[Any]]
    """Dotted setting → its value in each run, for the settings that differ."""
    metrics: dict[str, list[float | None]]
    """Metric → its value in each run, as measured then; None where it was not."""
    paired: Comparison | None
    """All of them on the same rows, the others tested against the first; None when that could not be done."""
    unpaired_because: str
    """Why there is no paired comparison; empty when there is one."""


def compare(paths: Sequence[str | Path], data: Any = None, format: str | None = None) -> RunComparison:
    """Put runs side by side: settings that differ, all metrics, and their models on the same rows.

    Args:
        paths: Two or more runs' folders; differences are told from the first.
        data: Rows with known answers to compare on; None: the held-out rows that the runs have in common.
        format: Name of the format of `data`, when its ending does not tell.

    Raises:
        UsageError: Fewer than two runs, a path that is none, or models that predict different things.
        DataError: `data` cannot be used.
    """
    if len(paths) < 2:
        raise UsageError(f"comparing takes two runs or more, got {len(paths)}")
    folders = [Path(path) for path in paths]
    records = [read_run(folder) for folder in folders]
    metrics = list(dict.fromkeys(name for record in records for name in record.metrics))
    paired, reason = _paired(folders, data, format)
    return RunComparison(
        records,
        differing_settings(folders),
        {name: [record.metrics.get(name) for record in records] for name in metrics},
        paired,
        reason,
    )


def write_comparison(comparison: RunComparison, path: Path) -> None:
    """Write a comparison as one HTML page that opens offline.

    Raises:
        StorageError: The page cannot be written.
    """
    runs = []
    for record in comparison.runs:
        evidence = record.path / "bundle" / "evidence"
        found = {file.stem: read_json(file) for file in sorted(evidence.glob("*.json"))}
        about = {"name": record.name, "path": str(record.path), "spec": read_spec(record.path), "evidence": found}
        runs.append(about)
    paired = None if comparison.paired is None else comparison.paired.as_dict()
    write_text(path, render_comparison({"runs": runs, "comparison": paired, "why": comparison.unpaired_because}))


def _paired(folders: Sequence[Path], data: Any, format: str | None) -> tuple[Comparison | None, str]:
    unfinished = [str(folder) for folder in folders if not (folder / "bundle" / "manifest.json").exists()]
    if unfinished:
        return None, f"{', '.join(unfinished)} holds no bundle"
    bundles = [folder / "bundle" for folder in folders]
    if data is not None:
        return compare_bundles(bundles, data, format), ""
    known = [read_json(bundle / "evidence" / "data.json") for bundle in bundles]
    for name, what in (("fingerprint", "data"), ("split", "splits"), ("rows", "rows")):
        if any(one.get(name) != known[0].get(name) for one in known):
            return None, f"the runs have different {what}; name rows that none of them trained on with --data"
    try:
        sources = _held_out(Spec.load(folders[0] / "bundle" / "spec.yaml"))
    except ModelyardError as error:
        return None, f"the held-out rows cannot be read again ({str(error).splitlines()[0]}); name rows with --data"
    return compare_bundles(bundles, sources), ""


def _held_out(spec: Spec) -> list[Source]:
    """Return the rows that judged a run: its test split, or its validation split when there is no test."""
    prepared = prepare(spec)
    split = next((name for name in ("test", "validation") if name in prepared.splits), None)
    if split is None:
        raise DataError("no rows were held out")
    places = row_places(prepared, split, np.arange(len(prepared.splits[split])))
    wanted = {
        file: places.positions[places.numbers == number]
        for number, file in enumerate(places.files)
        if (places.numbers == number).any()
    }
    return [Selected(source, wanted, f"{split} rows of {spec.name}") for source in locate(spec.data)[0].values()]
