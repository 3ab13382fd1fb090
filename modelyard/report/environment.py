"""Section: the machine and the versions that the model was made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.report.cost import Facts
from modelyard.report.evaluations import Evidence
from modelyard.report.formatting import MISSING, bytes_, number

__all__ = ["view"]


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when nothing of it was recorded."""
    training, environment = evidence.get("training") or {}, evidence.get("environment") or {}
    groups = [
        ("Machine", _machine(environment)),
        ("Software", _software(environment)),
        ("How it was used", _used(spec, training)),
    ]
    shown = [{"title": title, "facts": facts} for title, facts in groups if facts]
    return {"groups": shown} if shown else None


def _machine(environment: Mapping[str, Any]) -> Facts:
    if not environment:
        return []
    accelerators = environment.get("accelerators") or []
    return [
        ("Processor", str(environment.get("processor") or MISSING), ""),
        ("Cores", number(environment.get("cores")), ""),
        ("Memory", bytes_(environment.get("memory_bytes")), ""),
        ("Accelerators", ", ".join(map(str, accelerators)) or "none", ""),
    ]


def _software(environment: Mapping[str, Any]) -> Facts:
    if not environment:
        return []
    names = (("modelyard", "modelyard"), ("PyTorch", "torch"), ("Python", "python"), ("System", "system"))
    facts: Facts = [(name, str(environment[key]), "") for name, key in names if environment.get(key)]
    if environment.get("created"):
        facts.append(("Made", str(environment["created"]), ""))
    return facts


def _used(spec: Mapping[str, Any], training: Mapping[str, Any]) -> Facts:
    if not training:
        return []
    return [
        ("Device", str(training.get("device") or MISSING), ""),
        ("Precision", str(training.get("precision") or MISSING), ""),
        ("Threads", number(training.get("threads")), ""),
        ("Seed", number(spec.get("seed")), ""),
    ]
