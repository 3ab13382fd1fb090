"""Section: what was asked. The job in a sentence, what the spec left open and how it was settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from modelyard.report.evaluations import Evidence
from modelyard.report.formatting import count, listed, number

__all__ = ["choice_name", "source_words", "targets_of", "view"]


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Return what the template shows."""
    training = evidence.get("training") or {}
    choices: Mapping[str, str] = training.get("choices") or {}
    return {
        "about": spec.get("about") or "",
        "targets": targets_of(spec),
        "inputs": _inputs(spec),
        "source": source_words((evidence.get("data") or {}).get("source") or (spec.get("data") or {}).get("source")),
        "task": choice_name(spec.get("task")),
        "family": choice_name(spec.get("model")),
        "family_reason": training.get("family_reason") or "",
        "seed": spec.get("seed"),
        "choices": [
            {"setting": setting, "value": _value_at(spec, setting), "why": why} for setting, why in choices.items()
        ],
    }


def targets_of(spec: Mapping[str, Any]) -> list[str]:
    """Return the columns that are predicted."""
    return list((spec.get("data") or {}).get("targets") or {})


def source_words(source: Any) -> str:
    """Return a data source on one line."""
    if isinstance(source, Mapping):
        return ", ".join(f"{split}: {source_words(part)}" for split, part in source.items())
    if isinstance(source, list | tuple):
        return listed([str(part) for part in source], most=4)
    return "" if source is None else str(source)


def _inputs(spec: Mapping[str, Any]) -> str:
    """What is learned from: the names of a few columns, or how many there are of each modality."""
    inputs = (spec.get("data") or {}).get("inputs") or {}
    if len(inputs) <= 4:
        return listed([_described(column, choice_name(choice)) for column, choice in inputs.items()])
    counts = Counter(choice_name(choice) for choice in inputs.values())
    if len(counts) == 1:
        return f"{count(len(inputs), 'column')} ({next(iter(counts))})"
    kinds = listed([f"{number(many)} {name}" for name, many in counts.most_common()])
    return f"{count(len(inputs), 'column')} ({kinds})"


def _described(column: str, modality: str) -> str:
    return column if modality in ("", column) else f"{column} ({modality})"


def choice_name(choice: Any) -> str:
    """Return the name in a choice, which is written as a name or as a mapping with `type` or `family`."""
    if isinstance(choice, Mapping):
        return str(choice.get("type") or choice.get("family") or "")
    return "" if choice is None else str(choice)


def _value_at(spec: Mapping[str, Any], setting: str) -> str:
    value: Any = spec
    for key in setting.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        return choice_name(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return "" if value is None else str(value)
