"""The comparison page: several runs side by side in one HTML file that holds everything it needs and opens offline.

What the paired tests say stands first, in words; then what the runs were asked, measured and cost.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from modelyard.report import compare_paired, compare_results, compare_settings
from modelyard.report.compare_sides import Side, sides
from modelyard.report.formatting import printable
from modelyard.report.svg import Drawn

__all__ = ["render_comparison"]

_HERE = Path(__file__).parent
Paired = Mapping[str, Any] | None
View = Callable[[Sequence[Side], Paired, str], dict[str, Any] | None]


class Section(NamedTuple):
    """A part of the page."""

    name: str
    """Its anchor."""
    title: str
    template: str
    view: View
    """Returns what the template shows; None leaves the section out."""


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
    views = [(section, section.view(runs, paired, why)) for section in _SECTIONS]
    page = (
        _environment()
        .get_template("compare.html")
        .render(
            runs=runs,
            targets=list(dict.fromkeys(target for run in runs for target in run.targets)),
            sections=[{**section._asdict(), "it": it} for section, it in views if it is not None],
            style=Drawn(_text("style.css") + _text("compare.css")),
            script=Drawn(_text("script.js")),
            script_digest=_digest(_text("script.js")),
        )
    )
    return printable(page)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


@cache
def _text(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


def _digest(script: str) -> str:
    """What the page's security policy knows its script by: no other script can run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
