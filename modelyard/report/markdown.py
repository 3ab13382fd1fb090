"""Pieces of Markdown in which nothing that stands in the data can become markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from modelyard.report.formatting import printable

__all__ = ["Fact", "Kind", "bullets", "facts", "prose", "table"]

Kind = Literal["measured", "derived", "declared"]
"""Where something is known from: read from a clock or counted; computed from what was; said by a person."""

_LONGEST = 600
_MARKUP = re.compile(
    r"[\\`*\[\]|~$]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # within a word an underscore means nothing
    r"|(?i:(?<=[a-z]):(?=/)|(?<=www)\.|(?<=\w)@)"  # what would be taken for an address
    r"|^(?:[-+#](?=[-+#\s]|$)|\d+(?=[.)](?:\s|$)))"  # what would begin a list or a heading
)
_TURNING = {code: f"U+{code:04X}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)}
"""Marks that turn the direction of what follows, and so could rewrite a line for the eye."""


@dataclass(frozen=True)
class Fact:
    """One field."""

    name: str
    kind: Kind
    text: str
    """Plain text; empty when it is not known."""


def prose(text: object) -> str:
    """Return plain text as one line of Markdown that shows just this text: no markup, no HTML, no link."""
    line = " ".join(printable(" ".join(str(text).split())).translate(_TURNING).split())
    if len(line) > _LONGEST:
        line = line[: _LONGEST - 1] + "…"
    line = re.sub(r"&(?=#?\w+;)", "&amp;", line).replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(lambda found: found[0][:-1] + _marked(found[0][-1]), line)


def facts(fields: Sequence[Fact]) -> str:
    """Return fields as a list, each with where it is known from; one that is not known says so."""
    lines = []
    for field in fields:
        unknown = "unknown (not declared)" if field.kind == "declared" else "unknown (not measured)"
        lines.append(f"- **{prose(field.name)}** (*{field.kind}*): {prose(field.text) or unknown}")
    return "\n".join(lines)


def bullets(kind: Kind, texts: Sequence[str]) -> str:
    """Return sentences as a list, each with where it is known from."""
    return "\n".join(f"- {prose(text)} (*{kind}*)" for text in texts)


def table(columns: Sequence[tuple[str, Kind | None]], rows: Sequence[Sequence[object]]) -> str:
    """Return a table whose headings say where each column is known from; all cells are plain texts."""
    heads = [f"{prose(name)} (*{kind}*)" if kind else prose(name) for name, kind in columns]
    lines = [heads, ["---"] * len(heads), *([prose(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _marked(character: str) -> str:
    """A digit that would begin a numbered list cannot be escaped by a backslash; its code can stand for it."""
    return f"&#{ord(character)};" if character.isdigit() else f"\\{character}"
