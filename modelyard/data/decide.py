"""What a spec's data section leaves open, decided by a look at the first rows.

It is kept in the cache with the digest of the data it was decided on, so that the same data is not looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import modelyard
from modelyard.core.errors import DataError
from modelyard.core.files import cache_directory, digest_bytes, read_json, to_json, write_json
from modelyard.core.registry import table
from modelyard.data.chunks import chunk_rows
from modelyard.data.fitted import make_modality
from modelyard.data.inspect import ColumnGuess, resolve_columns, sample_rows
from modelyard.data.modalities.base import Modality
from modelyard.data.sources.base import Source
from modelyard.spec.parse import parse
from modelyard.spec.settings import Choice
from modelyard.spec.spec import DataSpec, Spec, SplitSpec

__all__ = ["Decided", "decide", "make_modalities"]

_FORMAT = 1
"""Of what is kept; another number decides everything anew."""


@dataclass(frozen=True)
class Decided:
    """What was decided."""

    data: DataSpec
    """The spec's data section with nothing left to infer."""
    guesses: list[ColumnGuess]
    chunk: int
    """Rows of this data that make a chunk."""


def decide(
    data: DataSpec,
    parts: Mapping[str | None, Source],
    accepts: tuple[str, ...] | None,
    targets_of: tuple[str, ...] | None,
    labels: Mapping[str, list[str]],
    need_targets: bool,
    content: Callable[[], str],
) -> Decided:
    """Decide every column's modality, the split's method and the size of chunks, or take up what was decided before.

    Args:
        data: The data section as it was asked for.
        parts: Its sources by split.
        accepts: Kinds of input the model's family takes, the preferred first; None when the family is not said.
        targets_of: Modalities the task learns; None when the task is not said.
        labels: Target → names of its labels, of a catalogued data set.
        need_targets: Whether a section without targets is a problem.
        content: Waits for the digest of all rows and returns it.

    Raises:
        SpecError: Columns that do not exist, no target, or no usable input.
        DataError: A source has no rows, or cannot be read.
    """
    source = parts.get("train") or next(iter(parts.values()))
    asked = [data.model_dump(mode="json"), accepts, targets_of, labels, need_targets]
    key = [_FORMAT, modelyard.__version__, dict(table("modality")), source.name, *asked]
    place = cache_directory() / "decided" / f"{digest_bytes(to_json(key).encode())[:32]}.json"
    known = _take_up(place, data, source, content)
    if known is not None:
        return known
    found = _look(data, parts, source, accepts, targets_of, labels, need_targets)
    # A picture's size is asked of its file, which the digest of a table with paths does not cover.
    if not any(modality.encodes_before_fit for modality in make_modalities(found.data.inputs, "input")):
        kept = found.data.model_dump(mode="json", include=set(_KEPT))
        guesses = [guess.as_dict() for guess in found.guesses]
        write_json(place, {"content": content(), "data": kept, "guesses": guesses, "chunk": found.chunk})
    return found


_KEPT = ("inputs", "targets", "split")
"""Fields of the data section that are decided."""


def _take_up(place: Path, data: DataSpec, source: Source, content: Callable[[], str]) -> Decided | None:
    """Return what was decided before; None when it was not, or not on this data or by these modalities."""
    try:
        known = read_json(place)
    except DataError:
        return None
    if not isinstance(known, dict) or not known.keys() >= {"content", "data", "guesses", "chunk"}:
        return None  # altered by somebody
    if known["content"] != content():
        return None
    kept, _ = parse(DataSpec, known["data"], "data")
    if kept is None:
        return None
    changes = {name: getattr(kept, name) for name in _KEPT} | {"format": source.name}
    guesses = [ColumnGuess(**guess) for guess in known["guesses"]]
    return Decided(data.model_copy(update=changes), guesses, int(known["chunk"]))


def _look(
    data: DataSpec,
    parts: Mapping[str | None, Source],
    source: Source,
    accepts: tuple[str, ...] | None,
    targets_of: tuple[str, ...] | None,
    labels: Mapping[str, list[str]],
    need_targets: bool,
) -> Decided:
    sample = sample_rows(source)
    inputs, targets, guesses = resolve_columns(data, sample, targets_of, source.folder(), need_targets)
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
    chunk = chunk_rows(sample, make_modalities(inputs, "input"))
    return Decided(data.model_copy(update=changes), guesses, chunk)


def make_modalities(choices: Mapping[str, Choice[Any] | None] | None, role: str) -> list[Modality]:
    """Return the modalities of the columns that are decided, unfitted; `role` is `input` or `target`."""
    chosen = (choices or {}).items()
    return [make_modality(choice, column, role) for column, choice in chosen if choice is not None]


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
