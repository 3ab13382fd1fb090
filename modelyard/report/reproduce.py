"""Section: how to do it again. The commands, the whole spec, and what more could be measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from modelyard.report.evaluations import Evidence, form_of, in_order

__all__ = ["view"]

_MOST_TEXT = 200_000


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Return what the template shows."""
    text = yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True, width=96, default_flow_style=None)
    return {
        "commands": [
            ("See what the data gate says of the data today.", "modelyard check spec.yaml"),
            ("Train it again.", "modelyard train spec.yaml"),
            ("Measure it on other rows whose answers are known.", "modelyard evaluate . --data ROWS"),
            ("Get answers.", "modelyard predict . --input ROWS"),
            ("Set it beside another model, on the same rows.", "modelyard compare . OTHER"),
            ("Prove that no file of the bundle was altered.", "modelyard bundle verify ."),
        ],
        "seed": spec.get("seed"),
        "fingerprint": (evidence.get("data") or {}).get("fingerprint") or "",
        "unmeasured": _unmeasured(spec, evidence),
        "spec": text[:_MOST_TEXT],
        "spec_cut": len(text) > _MOST_TEXT,
    }


def _unmeasured(spec: Mapping[str, Any], evidence: Evidence) -> list[tuple[str, str]]:
    """What this report lacks because nobody asked for it, each with the command that asks for it."""
    evaluations = in_order(evidence)
    if not evaluations:
        return []
    judge = evaluations[0]
    labels = (judge.get("confusion") or {}).get("labels") or []
    found = [
        ("How much more rows would help", "evaluate.learning_curve=[0.25,0.5]", evidence.get("learning_curve")),
        (
            "How much the result depends on the rows it was trained on, and which labels are likely wrong",
            "evaluate.cross_validate=5",
            evidence.get("cross_validation"),
        ),
        ("How groups of people or things fare beside each other", "evaluate.groups=[COLUMN]", judge.get("fairness")),
        ("What damaged inputs do to it", "evaluate.robustness=true", judge.get("robustness")),
    ]
    if form_of(judge) == "classification":
        found.append(
            ("What a temperature would do for its probabilities", "evaluate.calibrate=true", _warm(evaluations))
        )
    if len(labels) == 2:
        found.append(("A threshold for a goal", "evaluate.threshold.goal=f1", judge.get("threshold")))
    return [(what, f'modelyard train spec.yaml "{setting}"') for what, setting, there in found if not there]


def _warm(evaluations: list[Mapping[str, Any]]) -> bool:
    return any((one.get("calibration") or {}).get("temperature") is not None for one in evaluations)
