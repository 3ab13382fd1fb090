"""Sections of the comparison page about what was asked and what it cost: settings that differ, time, energy, memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelyard.report.compare_sides import Cell, Line, Side, Table, as_number, cut
from modelyard.report.formatting import MISSING, bytes_, duration, finite, number, rate

__all__ = ["cost", "settings"]

_LONGEST = 200

Paired = Mapping[str, Any] | None
Tables = dict[str, Any]


def settings(runs: Sequence[Side], paired: Paired, why: str) -> Tables:
    """Return the dotted settings that are not the same in all runs."""
    flat = [_flat(run.spec) for run in runs]
    names = dict.fromkeys(name for spec in flat for name in spec)
    lines = [
        Line(name, [_value(spec, name) for spec in flat])
        for name in names
        if any(spec.get(name, _UNSET) != flat[0].get(name, _UNSET) for spec in flat[1:])
    ]
    shown, left_out = cut(lines)
    what = "Each run’s resolved settings, where they are not the same"
    intro = "" if lines else "None: the runs were asked the same."
    tables = [Table(what, ("declared",), "Setting", shown, left_out=left_out)] if lines else []
    return {"tables": tables, "intro": intro}


_UNSET = object()


def _flat(values: Any, place: str = "") -> dict[str, Any]:
    if not isinstance(values, Mapping) or not values:
        return {place: values} if place else {}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat.update(_flat(value, f"{place}.{name}" if place else str(name)))
    return flat


def _value(spec: Mapping[str, Any], name: str) -> Cell:
    if name not in spec:
        return Cell()
    value = spec[name]
    if isinstance(value, bool):
        return Cell(str(value).lower())
    if isinstance(value, int | float):
        return as_number(value, 6)
    text = "none" if value is None else str(value)
    return Cell((text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…") or "(empty)")


def cost(runs: Sequence[Side], paired: Paired, why: str) -> Tables | None:
    """Return what each run took: rows, time, operations, energy, memory, and on what machine."""
    rows: Sequence[tuple[str, str, Callable[[Side], Any], Callable[[Any], str]]] = (
        ("Parameters", "", lambda run: run.training.get("parameters"), number),
        ("Training rows", "", lambda run: _data(run).get("train"), number),
        ("Epochs", "", lambda run: len(run.training.get("epochs") or []) or None, number),
        ("Kept epoch", "", lambda run: run.training.get("kept_epoch"), number),
        ("Training and validation", "", lambda run: run.training.get("seconds"), duration),
        ("Speed of training", "", lambda run: run.training.get("rows_per_second"), rate),
        ("Operations of one answer", "floating-point", lambda run: _cost(run).get("flops_per_row_forward"), number),
        ("Operations of training", "floating-point", lambda run: _cost(run).get("flops_training"), number),
        ("Energy", "read or estimated, as each report says", lambda run: _cost(run).get("energy_joules"), _joules),
        ("Most memory at once", "", lambda run: _cost(run).get("peak_memory_bytes"), bytes_),
        ("Most accelerator memory", "", lambda run: _cost(run).get("peak_accelerator_bytes"), bytes_),
    )
    lines = []
    for title, note, read, write in rows:
        values = [finite(read(run)) for run in runs]
        if any(value is not None for value in values):
            lines.append(Line(title, [Cell(write(value), "", value) for value in values], note))
    machines = [Cell(_machine(run)) for run in runs]
    if any(cell.text != MISSING for cell in machines):
        lines.append(Line("Machine", machines))
    if not lines:
        return None
    return {"tables": [Table("What each run took", ("measured", "derived"), "", lines)], "intro": ""}


def _data(run: Side) -> Mapping[str, Any]:
    return (run.evidence.get("data") or {}).get("rows") or {}


def _cost(run: Side) -> Mapping[str, Any]:
    return run.evidence.get("cost") or {}


def _joules(value: Any) -> str:
    joules = finite(value)
    if joules is None:
        return MISSING
    return f"{number(joules, 3)} J" if joules < 36_000 else f"{number(joules / 3.6e6, 3)} kWh"


def _machine(run: Side) -> str:
    environment = run.evidence.get("environment") or {}
    parts = [run.training.get("device"), environment.get("processor"), *(environment.get("accelerators") or [])]
    return ", ".join(str(part) for part in parts if part) or MISSING
