"""Sections: what it cost and on what machine; and how to do it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.report.evaluations import Evidence
from modelyard.report.formatting import MISSING, bytes_, count, duration, number, rate

__all__ = ["view", "view_commands"]

Facts = list[tuple[str, str, str]]
"""Name, value, and whether it was `measured`, `derived` or neither."""


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when neither the training nor the machine was recorded."""
    training, environment = evidence.get("training") or {}, evidence.get("environment") or {}
    groups = [
        ("Time", _time(evidence, training)),
        ("Model", _model(spec, training)),
        ("Machine", _machine(training, environment)),
    ]
    shown = [{"title": title, "facts": facts} for title, facts in groups if facts]
    return {"groups": shown} if shown else None


def view_commands(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Return what the template of the commands shows."""
    name = str(spec.get("name") or "model")
    return {
        "commands": [
            ("Train it again, from the spec in this bundle.", f"modelyard train runs/{name}-…/bundle/spec.yaml"),
            ("Prove that no file of the bundle was altered.", f"modelyard bundle verify runs/{name}-…/bundle"),
            (
                "Measure it on other rows whose answers are known.",
                f"modelyard evaluate runs/{name}-…/bundle --data ROWS",
            ),
            ("Get answers.", f"modelyard predict runs/{name}-…/bundle --input ROWS"),
        ],
        "seed": spec.get("seed"),
        "fingerprint": (evidence.get("data") or {}).get("fingerprint") or "",
    }


def _time(evidence: Evidence, training: Mapping[str, Any]) -> Facts:
    data = evidence.get("data") or {}
    facts: Facts = []
    if training:
        facts.append(("Training and validation", duration(training.get("seconds")), "measured"))
        facts.append(("Speed of training", rate(training.get("rows_per_second")), "measured"))
        facts.append(("Steps", number(training.get("steps")), "measured"))
    if data:
        again = ", taken up from an earlier run" if data.get("reused") else ""
        facts.append(("Preparing the data", f"{duration(data.get('seconds'))}{again}", "measured"))
    for evaluation in evidence.get("metrics") or []:
        facts.append((f"Evaluating, {evaluation.get('split')}", duration(evaluation.get("seconds")), "measured"))
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


def _machine(training: Mapping[str, Any], environment: Mapping[str, Any]) -> Facts:
    facts: Facts = []
    if training:
        facts.append(("Device", str(training.get("device") or MISSING), ""))
        facts.append(("Precision", str(training.get("precision") or MISSING), ""))
        facts.append(("Threads", number(training.get("threads")), ""))
    if environment:
        accelerators = environment.get("accelerators") or []
        facts += [
            ("Processor", str(environment.get("processor") or MISSING), ""),
            ("Cores", number(environment.get("cores")), ""),
            ("Memory", bytes_(environment.get("memory_bytes")), ""),
            ("Accelerators", ", ".join(map(str, accelerators)) or "none", ""),
            ("System", str(environment.get("system") or MISSING), ""),
            ("Python, PyTorch", f"{environment.get('python') or MISSING}, {environment.get('torch') or MISSING}", ""),
        ]
    return facts
