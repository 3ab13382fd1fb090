"""The report: one HTML file that holds everything it needs and opens without a network.

Each section is a module that chooses what to show and a template that shows it. A new section is such a pair and a
line in `_SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.report import (
    asked,
    calibration,
    cost,
    cross_validation,
    curves,
    data,
    environment,
    fairness,
    gate,
    learning_curve,
    mistakes,
    reproduce,
    results,
    robustness,
    slices,
    suspects,
    threshold,
    training,
    verdict,
)
from modelyard.report.asked import targets_of
from modelyard.report.page import Section, assemble

__all__ = ["render"]

_SECTIONS = (
    Section("verdict", "Verdict", "verdict.html", verdict.view),
    Section("asked", "What was asked", "asked.html", asked.view),
    Section("data", "Data", "data.html", data.view),
    Section("gate", "Data gate", "gate.html", gate.view),
    Section("training", "Training", "training.html", training.view),
    Section("results", "Results", "results.html", results.view),
    Section("curves", "Ranking curves", "curves.html", curves.view),
    Section("calibration", "Calibration", "calibration.html", calibration.view),
    Section("threshold", "Threshold", "threshold.html", threshold.view),
    Section("mistakes", "Worst mistakes", "mistakes.html", mistakes.view),
    Section("suspects", "Doubtful labels", "suspects.html", suspects.view),
    Section("slices", "Slices", "slices.html", slices.view),
    Section("fairness", "Fairness", "fairness.html", fairness.view),
    Section("robustness", "Robustness", "robustness.html", robustness.view),
    Section("learning-curve", "Learning curve", "learning_curve.html", learning_curve.view),
    Section("cross-validation", "Cross-validation", "cross_validation.html", cross_validation.view),
    Section("cost", "Cost", "cost.html", cost.view),
    Section("environment", "Environment", "environment.html", environment.view),
    Section("reproduce", "Do it again", "reproduce.html", reproduce.view),
)


def render(spec: Mapping[str, Any], evidence: Mapping[str, Any]) -> str:
    """Return the report as HTML.

    Args:
        spec: The resolved spec, as `Spec.as_dict` gives it.
        evidence: Records as plain dicts, as the files of a bundle's `evidence/` folder hold them: `data`, `training`,
            `metrics` (a list of evaluations), `baseline`, `environment`, `cost`, `cross_validation`, `learning_curve`.
            What is absent is left out of the page.
    """
    return assemble(
        "page.html", _SECTIONS, (spec, evidence), name=spec.get("name") or "model", targets=targets_of(spec)
    )
