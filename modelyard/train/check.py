"""`check`: what the data gate says of a spec's data, or of data without a spec; nothing is prepared or trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelyard.core.errors import UsageError
from modelyard.core.registry import table
from modelyard.data.chunks import Progress
from modelyard.data.prepare import check_data
from modelyard.data.records import DataCheck
from modelyard.spec.spec import Spec
from modelyard.train.recipes import open_spec, recipes

__all__ = ["check", "open_data"]


def check(
    data: Spec | str | Path,
    targets: Sequence[str] = (),
    overrides: Sequence[str] = (),
    progress: Progress = lambda what, rows: None,
) -> DataCheck:
    """Look at all rows of some data with the data gate.

    Args:
        data: A spec, a YAML file's path, a recipe's name; or a file, glob, folder, URL or `catalog:NAME` with rows.
        targets: For data without a spec: what is to be predicted, so that the gate knows what to look for.
        overrides: Dotted assignments to the spec.
        progress: Called as rows go through.

    Raises:
        SpecError: Columns that do not exist, or settings that do not fit the data.
        DataError: Data that is missing, empty or cannot be read any further.
        UsageError: Targets were named beside a spec, which names its own.
    """
    spec = data if isinstance(data, Spec) else open_data(data, targets, overrides)
    accepts = None if spec.model is None else table("family").find(spec.model.name).accepts
    targets_of = None if spec.task is None else table("task").find(spec.task.name).targets_of
    return check_data(spec, accepts, targets_of, progress)


def open_data(data: str | Path, targets: Sequence[str] = (), overrides: Sequence[str] = ()) -> Spec:
    """Return the spec behind a path or a recipe's name; for rows without a spec, one that says only where they are."""
    name = str(data)
    is_spec = name.endswith((".yaml", ".yml")) or (not Path(name).exists() and name in {one.name for one in recipes()})
    if not is_spec:
        return Spec.parse({"data": {"source": name, "targets": list(targets)}}, overrides)
    if targets:
        raise UsageError(
            f"{name} is a spec and names its targets itself; leave out the target, or give the data instead"
        )
    return open_spec(name, overrides)
