"""`modelyard new`: look at a person's data and write a spec for it, every choice explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelyard.core.records import Record
from modelyard.core.registry import table
from modelyard.data.inspect import ColumnGuess, resolve_columns, sample_rows
from modelyard.data.prepare import locate
from modelyard.models.build import default_family
from modelyard.spec.settings import Choice
from modelyard.spec.spec import Spec
from modelyard.train.resolve import choose_task

__all__ = ["Draft", "draft"]


_FEW_ROWS = 10_000
"""Below this many rows a drafted spec takes small batches: more steps an epoch."""


@dataclass(frozen=True)
class Draft(Record):
    """A spec written for data that was looked at."""

    name: str
    rows_seen: int
    columns: list[ColumnGuess]
    task: str
    family: str
    family_reason: str
    text: str
    """The spec, as YAML with comments."""


def draft(data: str, targets: Sequence[str], name: str | None = None) -> Draft:
    """Look at the first rows of `data` and write a spec that predicts `targets` from the other columns.

    Args:
        data: A file, glob, folder, URL or `catalog:NAME`.
        targets: Columns to predict.
        name: Name of the run; the data's when None.

    Raises:
        DataError: The data is missing, empty or of no known format.
        SpecError: A target does not exist, or no column is left to learn from.
    """
    name = name or _name_from(data)
    spec = Spec.parse({"name": name, "data": {"source": data, "targets": list(targets)}})
    parts, origin = locate(spec.data)
    source = parts.get("train") or next(iter(parts.values()))
    sample = sample_rows(source)
    inputs, chosen, guesses = resolve_columns(spec.data, sample, None, source.folder())
    reasons: dict[str, str] = {}
    task = choose_task(spec, chosen, reasons)
    modalities = [table("modality").find(choice.name) for choice in inputs.values()]
    kinds = list(dict.fromkeys(modality.kind or modality.group for modality in modalities))
    family, why = default_family(kinds, sample.num_rows)
    text = _write(
        spec, list(parts), inputs, chosen, guesses, task.name, reasons["task"], family, why, origin, sample.num_rows
    )
    return Draft(name, sample.num_rows, guesses, task.name, family, why, text)


def _write(
    spec: Spec,
    parts: Sequence[str | None],
    inputs: Mapping[str, Choice[Any]],
    targets: Mapping[str, Choice[Any]],
    guesses: Sequence[ColumnGuess],
    task: str,
    task_reason: str,
    family: str,
    family_reason: str,
    origin: Mapping[str, Any] | None,
    rows: int,
) -> str:
    batch_size = 32 if rows < _FEW_ROWS else 128
    rate = table("family").find(family).learning_rate
    because = {guess.column: guess.reason for guess in guesses}
    lines = [
        f"# Train:    modelyard train {spec.name}.yaml",
        f"# Change:   modelyard train {spec.name}.yaml train.epochs=3 model.size=large",
        "# Settings: modelyard schema, or docs/spec.md",
        f"name: {_scalar(spec.name)}",
        "seed: 0            # everything random follows from this number",
        "",
        "data:",
        f"  source: {_scalar(spec.data.source)}" + (f"    # {origin['title']}" if origin else ""),
        "  inputs:",
        *(f"    {_scalar(column)}: {_inline(choice)}    # {because[column]}" for column, choice in inputs.items()),
        "  targets:",
        *(f"    {_scalar(column)}: {_inline(choice)}    # {because[column]}" for column, choice in targets.items()),
    ]
    unused = [guess for guess in guesses if guess.modality is None]
    if unused:
        lines += ["  ignore:", *(f"    - {_scalar(guess.column)}    # {guess.reason}" for guess in unused)]
    lines += [f"  split: {_split(parts, targets)}", "", *_model(family, family_reason), ""]
    lines += [
        f"task: {task}    # {task_reason}; options: docs/spec.md",
        "",
        "train:",
        "  epochs: 20",
        f"  batch_size: {batch_size}",
        "  optimizer: adamw",
        f"  learning_rate: {rate:g}    # usual for this family; find runs a range test first",
        "  schedule: cosine",
        "  warmup: 0.05     # share of the steps in which the learning rate rises",
    ]
    if _has_validation(parts):
        lines.append("  early_stopping: {metric: loss, patience: 4}    # keeps the weights of the best epoch")
    return "\n".join(lines) + "\n"


def _model(family: str, reason: str) -> list[str]:
    sizes = getattr(table("family").find(family).Settings, "SIZES", {})
    known = f"    # or: {', '.join(size for size in sizes if size != 'small')}" if sizes else ""
    size = [f"  size: small{known}"] if "small" in sizes else []
    return ["model:", f"  family: {family}    # {reason}", *size]


def _has_validation(parts: Sequence[str | None]) -> bool:
    return None in parts or "train" in parts


def _split(parts: Sequence[str | None], targets: Mapping[str, Choice[Any]]) -> str:
    named = [part for part in parts if part]
    if not named:
        stratified = any(table("modality").find(choice.name).labelled for choice in targets.values())
        how = "the same shares within each label" if stratified else "by a hash of each row"
        return f"{{validation: 0.1, test: 0.1}}    # {how}; rows added later leave the others where they are"
    if "validation" in named and "test" in named:
        return f"{{method: given}}    # the data comes as {', '.join(named)}"
    if "validation" in named:
        return (
            f"{{method: given, test: 0}}    # the data comes as {', '.join(named)}; a test share would come from train"
        )
    return (
        f"{{method: given, validation: 0.1}}    # the data comes as {', '.join(named)}; validation is taken from train"
    )


def _inline(choice: Choice[Any]) -> str:
    said = choice.settings.model_dump(mode="json", include=choice.settings.model_fields_set)
    if not said:
        return choice.name
    return yaml.safe_dump({choice.key: choice.name, **said}, default_flow_style=True, sort_keys=False, width=10**6,
                          allow_unicode=True).strip()  # fmt: skip


def _scalar(value: Any) -> str:
    return (
        yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6).removesuffix("\n...\n").strip()
    )


def _name_from(data: str) -> str:
    stem = Path(data.removeprefix("catalog:").rstrip("/")).name.partition(".")[0]
    cleaned = "".join(letter if letter.isalnum() or letter in "_-" else "-" for letter in stem).strip("-.")
    return cleaned or "model"
