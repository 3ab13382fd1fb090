"""Pieces of HTML and SVG built in Python. Everything put in is escaped, unless it is such a piece itself."""

from __future__ import annotations

from html import escape

__all__ = ["Drawn", "element"]

_VOID = {"br", "img", "input"}


class Drawn(str):
    """Markup that is finished: neither `element` nor a template escapes it again."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def element(name: str, attributes: dict[str, object] | None = None, *children: object) -> Drawn:
    """Return an element as markup.

    Args:
        name: Tag.
        attributes: By name; None or False leaves one out, True writes it without a value, floats are rounded.
        children: `Drawn` pieces are put in as they are, anything else as escaped text, None is left out.
    """
    written = "".join(_attribute(key, value) for key, value in (attributes or {}).items())
    if name in _VOID:
        return Drawn(f"<{name}{written}>")
    inside = "".join(
        child if isinstance(child, Drawn) else escape(str(child)) for child in children if child is not None
    )
    return Drawn(f"<{name}{written}>{inside}</{name}>")


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f' {name}="{escape(text)}"'
