"""The report: one HTML file that holds everything it needs and opens without a network.

Each section is a module that chooses what to show and a template that shows it. A new section is such a pair and a
line in `_SECTIONS`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from modelyard.report import asked, cost, data, mistakes, results, training, verdict
from modelyard.report.asked import targets_of
from modelyard.report.evaluations import Evidence
from modelyard.report.formatting import printable
from modelyard.report.svg import Drawn

__all__ = ["render"]

_HERE = Path(__file__).parent


class Section(NamedTuple):
    """A part of the page."""

    name: str
    """Its anchor."""
    title: str
    template: str
    view: Callable[[Mapping[str, Any], Evidence], dict[str, Any] | None]
    """Returns what the template shows; None leaves the section out."""


_SECTIONS = (
    Section("verdict", "Verdict", "verdict.html", verdict.view),
    Section("asked", "What was asked", "asked.html", asked.view),
    Section("data", "Data", "data.html", data.view),
    Section("training", "Training", "training.html", training.view),
    Section("results", "Results", "results.html", results.view),
    Section("mistakes", "Worst mistakes", "mistakes.html", mistakes.view),
    Section("cost", "Cost and machine", "cost.html", cost.view),
    Section("reproduce", "Do it again", "commands.html", cost.view_commands),
)


def render(spec: Mapping[str, Any], evidence: Mapping[str, Any]) -> str:
    """Return the report as HTML.

    Args:
        spec: The resolved spec, as `Spec.as_dict` gives it.
        evidence: Records as plain dicts, as the files of a bundle's `evidence/` folder hold them: `data`, `training`,
            `metrics` (a list of evaluations), `baseline`, `environment`. What is absent is left out of the page.
    """
    views = [(section, section.view(spec, evidence)) for section in _SECTIONS]
    page = (
        _environment()
        .get_template("page.html")
        .render(
            name=spec.get("name") or "model",
            targets=targets_of(spec),
            sections=[{**section._asdict(), "it": it} for section, it in views if it is not None],
            style=Drawn(_text("style.css")),
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
