"""How a page is put together: sections, style and script in one HTML file that holds everything it needs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from modelyard.report.formatting import printable
from modelyard.report.svg import Drawn

__all__ = ["Section", "assemble"]

_HERE = Path(__file__).parent


class Section(NamedTuple):
    """A part of the page."""

    name: str
    """Its anchor."""
    title: str
    template: str
    view: Callable[..., dict[str, Any] | None]
    """Returns what the template shows; None leaves the section out."""


def assemble(
    template: str, sections: Iterable[Section], seen: Sequence[Any], styles: Sequence[str] = (), **values: Any
) -> str:
    """Return a page as HTML.

    Args:
        template: The page's template; it gets `sections`, `names`, `style`, `script` and `script_digest`.
        sections: Its parts, in order.
        seen: What each section's view is called with.
        styles: Style sheets behind the common one.
        values: What else the template shows.
    """
    views = [(section, section.view(*seen)) for section in sections]
    shown = [{**section._asdict(), "it": it} for section, it in views if it is not None]
    script = _text("script.js")
    page = (
        _environment()
        .get_template(template)
        .render(
            **values,
            sections=shown,
            names=[section["name"] for section in shown],
            style=Drawn("".join(_text(name) for name in ("style.css", *styles))),
            script=Drawn(script),
            script_digest=_digest(script),
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
