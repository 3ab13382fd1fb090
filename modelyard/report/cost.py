"""Section: what it cost. Time by stage, energy, floating-point operations and memory, each with how it is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.report.evaluations import Evidence
from modelyard.report.formatting import MISSING, bytes_, count, duration, finite, number, percent, rate
from modelyard.report.strips import stacked_bar
from modelyard.report.svg import Drawn

__all__ = ["Facts", "view"]

Facts = list[tuple[str, str, str]]
"""Name, value, and whether it was `measured`, `derived` or neither."""
_STAGES = {"data": "train", "training": "test", "evaluation": "validation"}
"""Stage → the split whose colour it borrows."""
_KILOWATT_HOUR = 3.6e6


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when no training was recorded."""
    training, cost = evidence.get("training") or {}, evidence.get("cost") or {}
    groups = [
        ("Time", _time(evidence, training, cost), ""),
        ("Energy", _energy(cost), str(cost.get("energy_how") or "")),
        ("Work", _work(cost), str(cost.get("flops_how") or "")),
        ("Memory", _memory(cost), ""),
        ("Model", _model(spec, training), ""),
    ]
    shown = [{"title": title, "facts": facts, "how": how} for title, facts, how in groups if facts]
    if not shown:
        return None
    return {"groups": shown, "stages": _stages(cost)}


def _stages(cost: Mapping[str, Any]) -> dict[str, Any] | None:
    """Time by stage as one bar."""
    seconds = {
        str(stage): value
        for stage, taken in (cost.get("seconds") or {}).items()
        if (value := finite(taken)) and value > 0
    }
    total = sum(seconds.values())
    if not total:
        return None
    spoken = "Time by stage: " + ", ".join(f"{stage} {duration(taken)}" for stage, taken in seconds.items())
    kinds = {stage: f"split-{_STAGES.get(stage, 'other')}" for stage in seconds}
    bar: Drawn = stacked_bar([(kinds[stage], taken / total) for stage, taken in seconds.items()], spoken)
    return {
        "bar": bar,
        "total": duration(total),
        "legend": [
            {"kind": kinds[stage], "name": stage, "time": duration(taken), "share": percent(taken / total)}
            for stage, taken in seconds.items()
        ],
    }


def _time(evidence: Evidence, training: Mapping[str, Any], cost: Mapping[str, Any]) -> Facts:
    data = evidence.get("data") or {}
    facts: Facts = []
    if training:
        facts.append(("Training and validation", duration(training.get("seconds")), "measured"))
        facts.append(("Speed of training", rate(training.get("rows_per_second")), "measured"))
        facts.append(("Steps", number(training.get("steps")), "measured"))
    if data and "seconds" in data:
        again = ", taken up from an earlier run" if data.get("reused") else ""
        facts.append(("Preparing the data", f"{duration(data.get('seconds'))}{again}", "measured"))
    for evaluation in evidence.get("metrics") or []:
        facts.append((f"Evaluating, {evaluation.get('split')}", duration(evaluation.get("seconds")), "measured"))
    crossed = evidence.get("cross_validation") or {}
    if crossed:
        facts.append(("Cross-validation", duration(crossed.get("seconds")), "measured"))
    # the last point of a learning curve is the training itself
    shares = [
        finite(one.get("seconds")) or 0.0 for one in ((evidence.get("learning_curve") or {}).get("points") or [])[:-1]
    ]
    if shares:
        facts.append(("Learning curve", duration(sum(shares)), "measured"))
    return facts


def _energy(cost: Mapping[str, Any]) -> Facts:
    if not cost:
        return []
    joules = finite(cost.get("energy_joules"))
    if joules is None:
        return [("Energy", MISSING, "")] if cost.get("energy_how") else []
    estimated = "estimate" in str(cost.get("energy_how") or "")
    kind = "derived" if estimated else "measured"
    about = "about " if estimated else ""
    return [
        ("Energy", f"{about}{_joules(joules)}", kind),
        ("In kilowatt hours", f"{about}{number(joules / _KILOWATT_HOUR, 3)} kWh", "derived"),
    ]


def _work(cost: Mapping[str, Any]) -> Facts:
    facts: Facts = []
    for name, key in (
        ("All training steps", "flops_training"),
        ("One step", "flops_per_step"),
        ("One row’s answer", "flops_per_row_forward"),
    ):
        if finite(cost.get(key)) is not None:
            facts.append((name, f"{_flops(cost[key])}", "derived" if key == "flops_training" else "measured"))
    return facts or ([("Operations", MISSING, "")] if cost.get("flops_how") else [])


def _memory(cost: Mapping[str, Any]) -> Facts:
    facts: Facts = []
    if finite(cost.get("peak_memory_bytes")) is not None:
        facts.append(("Most main memory", bytes_(cost["peak_memory_bytes"]), "measured"))
    if finite(cost.get("peak_accelerator_bytes")) is not None:
        facts.append(("Most accelerator memory", bytes_(cost["peak_accelerator_bytes"]), "measured"))
    return facts


def _model(spec: Mapping[str, Any], training: Mapping[str, Any]) -> Facts:
    if not training:
        return []
    batch = (spec.get("train") or {}).get("batch_size")
    return [
        ("Family", str(training.get("family") or MISSING), ""),
        ("Parameters", number(training.get("parameters")), "measured"),
        ("Size of the weights", bytes_(4 * (training.get("parameters") or 0)), "derived"),
        ("Optimizer", str(training.get("optimizer") or MISSING), ""),
        ("Learning rate", number(training.get("learning_rate")), ""),
        ("Weight decay", number(training.get("weight_decay")), ""),
        ("Batch", count(batch, "row") if batch else MISSING, ""),
    ]


def _joules(joules: float) -> str:
    for unit in ("J", "kJ", "MJ", "GJ"):
        if joules < 999.5:
            return f"{number(joules, 3)} {unit}"
        joules /= 1000
    return f"{number(joules, 3)} TJ"


def _flops(operations: float) -> str:
    """Floating-point operations with the prefix that keeps the number small."""
    for prefix in ("", "k", "M", "G", "T", "P"):
        if operations < 999.5:
            return f"{number(operations, 3)} {prefix}FLOP"
        operations /= 1000
    return f"{number(operations, 3)} EFLOP"
