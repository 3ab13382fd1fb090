"""The comparison page: several runs side by side in one HTML file that holds everything it needs and opens offline.

What the paired tests say stands first, in words; then what the runs were asked, measured and cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.report import compare_paired, compare_results, compare_settings
from modelyard.report.compare_sides import sides
from modelyard.report.page import Section, assemble

__all__ = ["render_comparison"]

_SECTIONS = (
    Section("verdict", "Verdict", "compare_verdict.html", compare_paired.verdict),
    Section("tests", "Paired tests", "compare_tests.html", compare_paired.tests),
    Section("metrics", "Metrics", "compare_table.html", compare_results.metrics),
    Section("agreement", "Agreement", "compare_agreement.html", compare_paired.agreement),
    Section("training", "Training", "compare_training.html", compare_results.curves),
    Section("labels", "Labels and targets", "compare_table.html", compare_results.labels),
    Section("slices", "Slices", "compare_table.html", compare_results.slices),
    Section("calibration", "Calibration", "compare_table.html", compare_results.calibration),
    Section("robustness", "Robustness", "compare_table.html", compare_results.robustness),
    Section("settings", "Settings that differ", "compare_table.html", compare_settings.settings),
    Section("cost", "Cost", "compare_table.html", compare_settings.cost),
)


def render_comparison(comparison: Mapping[str, Any]) -> str:
    """Return the comparison of several runs as HTML.

    Args:
        comparison: `runs`: for each `name`, `path`, `spec` (plain values), `evidence` (records as plain dicts, by
            name), and `link` (address of the run's folder as seen from the page; the path when absent).
            `comparison`: the paired comparison as `Comparison.as_dict` gives it, its bundles being these runs in this
            order; None when there is none. `why`: why there is none.
    """
    runs = sides(comparison.get("runs") or [])
    paired, why = comparison.get("comparison"), str(comparison.get("why") or "")
    return assemble(
        "compare.html",
        _SECTIONS,
        (runs, paired, why),
        ["compare.css"],
        runs=runs,
        targets=list(dict.fromkeys(target for run in runs for target in run.targets)),
    )
