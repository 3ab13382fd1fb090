"""`compare`: runs side by side, and their models on the same held-out rows with paired tests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.core.errors import DataError, ModelyardError, UsageError
from modelyard.core.files import read_json, write_text
from modelyard.core.records import Record
from modelyard.data.prepare import Prepared, locate, prepare, row_places
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
        link = Path(os.path.relpath(record.path, path.parent)).as_posix()
        about = {"name": record.name, "path": str(record.path), "link": link, "evidence": found}
        runs.append({**about, "spec": read_spec(record.path)})
    paired = None if comparison.paired is None else comparison.paired.as_dict()
    write_text(path, render_comparison({"runs": runs, "comparison": paired, "why": comparison.unpaired_because}))


def _paired(folders: Sequence[Path], data: Any, format: str | None) -> tuple[Comparison | None, str]:
    unfinished = [str(folder) for folder in folders if not (folder / "bundle" / "manifest.json").exists()]
    if unfinished:
        holds = "holds" if len(unfinished) == 1 else "hold"
        return None, f"{', '.join(unfinished)} {holds} no bundle"
    bundles = [folder / "bundle" for folder in folders]
    if data is not None:
        return compare_bundles(bundles, data, format), ""
    known = [read_json(bundle / "evidence" / "data.json").get("fingerprint") for bundle in bundles]
    if any(one != known[0] for one in known):
        return None, "the runs have different data; name rows that none of them trained on with --data"
    try:
        sources, notes = _held_out([Spec.load(bundle / "spec.yaml") for bundle in bundles], known[0])
    except ModelyardError as error:
        return None, f"the held-out rows cannot be had ({str(error).splitlines()[0]}); name rows with --data"
    return replace(compare_bundles(bundles, sources), notes=notes), ""


def _held_out(specs: Sequence[Spec], fingerprint: str) -> tuple[list[Source], list[str]]:
    """Return the rows that were held out from every run, and what to know of them.

    Seeds and settings decide which rows a run holds out, and a row that one of them trained on would favour it. A run
    without a test split is judged by its validation split.
    """
    common: npt.NDArray[np.int64] | None = None
    first: Prepared | None = None
    counts, notes = [], []
    for spec in specs:
        prepared = prepare(spec)
        if prepared.record.fingerprint != fingerprint:
            raise DataError("the data has changed since the runs were made")
        split = next((name for name in ("test", "validation") if name in prepared.splits), None)
        if split is None:
            raise DataError(f"{spec.name} held out no rows")
        if split == "validation":
            notes.append(f"{spec.name} has no test split: its validation rows helped to choose its weights")
        here = row_places(prepared, split, np.arange(len(prepared.splits[split])))
        # equal fingerprints are equal files in equal order, whatever their names
        places = np.stack([here.numbers.astype(np.int64), here.positions], axis=1)
        common = places if common is None else _shared(common, places)
        counts.append(len(places))
        first = first or prepared
    assert common is not None and first is not None
    if not len(common):
        raise DataError("no row was held out from all of the runs")
    if len(common) < max(counts):
        told = ", ".join(map(str, counts))
        notes.append(
            f"the runs held out {told} rows, and have these {len(common)} in common: the others trained on some"
        )
    files = first.record.files
    wanted = {file: common[common[:, 0] == number, 1] for number, file in enumerate(files)}
    name = "held out from all runs"
    return [Selected(source, wanted, name) for source in locate(specs[0].data)[0].values()], list(dict.fromkeys(notes))


def _shared(some: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the rows of (n, 2) that also stand in (m, 2)."""
    known = set(map(tuple, others.tolist()))
    kept: npt.NDArray[np.bool_] = np.fromiter((tuple(row) in known for row in some.tolist()), bool, len(some))
    result: npt.NDArray[np.int64] = some[kept]
    return result
