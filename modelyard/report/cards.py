"""Rows shown as what they are: pictures, texts and columns on a card, named so that they can be looked up."""

from __future__ import annotations

import base64
import binascii
import io
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from modelyard.report.formatting import finite, label, number, percent, short_paths
from modelyard.report.scales import Scale
from modelyard.report.strips import difference_strip
from modelyard.report.svg import Drawn

__all__ = ["PICTURE_BUDGET", "Budget", "cards_of"]

PICTURE_BUDGET = 3_000_000
"""Most characters of base64 that all pictures of a page may take."""
_LARGE = 24_000
"""Characters of base64 above which a picture is made smaller."""
_SIDE = 192
"""Longest side of such a picture then, in pixels."""
_MOST_PIXELS = 4096 * 4096
_COLUMNS = 8
"""Columns of a row shown at once; the others are folded away."""
_MOST_COLUMNS = 200
_BEGINNING = 360
"""Letters of a text shown at once."""
_MOST_TEXT = 6000
_SEARCHED = 2000
"""Letters of a row that the search looks at."""
_SHARP = 200
"""Widest picture, in pixels, that is enlarged without smoothing; larger ones are made smaller."""


class Budget:
    """How much room is left for pictures."""

    def __init__(self, size: int = PICTURE_BUDGET) -> None:
        self.left = size
        self.left_out = 0

    def take(self, size: int) -> bool:
        """Say whether there is room for so many characters more, and count what is left out."""
        if size > self.left:
            self.left_out += 1
            return False
        self.left -= size
        return True


def cards_of(rows: Sequence[Mapping[str, Any]], budget: Budget, scale: Scale | None = None) -> list[dict[str, Any]]:
    """Return what the template of a card shows for each row: `Mistake` records as plain dicts.

    Args:
        rows: The rows.
        budget: Room for pictures, shared by all cards of a page.
        scale: Of numbers, where truth and answer are drawn; None draws nothing.
    """
    names = short_paths(list(dict.fromkeys(str(row.get("file")) for row in rows)))
    return [_card(row, names, budget, scale) for row in rows]


def _card(mistake: Mapping[str, Any], names: Mapping[str, str], budget: Budget, scale: Scale | None) -> dict[str, Any]:
    true, answered = mistake.get("target"), mistake.get("answer")
    shown: Mapping[str, Mapping[str, Any]] = mistake.get("shown") or {}
    pictures, texts, fields = [], [], []
    for column, value in list(shown.items())[:_MOST_COLUMNS]:
        picture = _picture(value, budget) if value.get("png") else None
        if picture is not None:
            pictures.append({"column": column, **picture})
        elif value.get("kind") == "text":
            texts.append({"column": column, **_text(str(value.get("text") or ""))})
        else:
            fields.append({"column": column, "text": str(value.get("text") or "")})
    file = str(mistake.get("file"))
    return {
        "true": _answer(true),
        "answered": _answer(answered),
        "true_labels": json.dumps(_labels(true), ensure_ascii=False),
        "answers": json.dumps(_labels(answered), ensure_ascii=False),
        "searched": _searched(shown, file, true, answered),
        "confidence": "" if finite(mistake.get("confidence")) is None else percent(mistake["confidence"]),
        "loss": number(mistake.get("loss")),
        "off": _off(true, answered),
        "strip": _strip(true, answered, scale),
        "file": names[file],
        "path": file,
        "position": number(mistake.get("position")),
        "pictures": pictures,
        "texts": texts,
        "one_text": len(shown) == 1,
        "fields": fields[:_COLUMNS],
        "more_fields": fields[_COLUMNS:],
        "columns_left_out": number(len(shown) - _MOST_COLUMNS) if len(shown) > _MOST_COLUMNS else "",
    }


# -- what is shown of a row -------------------------------------------------------------------------------------------


def _picture(value: Mapping[str, Any], budget: Budget) -> dict[str, Any] | None:
    """A picture and its size; None when it is no PNG, or when there is no room for it."""
    png = str(value["png"])
    try:
        head = base64.b64decode(png[:32], validate=True)
    except binascii.Error:
        return None
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n":
        return None
    width, height = struct.unpack(">II", head[16:24])
    kind = "png"
    if len(png) > _LARGE:
        smaller = _smaller(png, width, height)
        if smaller is None:
            return None
        kind, png, (width, height) = smaller
    if not budget.take(len(png)):
        return None
    return {
        "kind": kind,
        "data": png,
        "text": str(value.get("text") or ""),
        "width": width,
        "height": height,
        "sharp": kind == "png" and width <= _SHARP,
    }


def _smaller(png: str, width: int, height: int) -> tuple[str, str, tuple[int, int]] | None:
    """The picture as a JPEG of at most `_SIDE` pixels; None when it cannot be read."""
    if width * height > _MOST_PIXELS:
        return None
    try:
        with Image.open(io.BytesIO(base64.b64decode(png)), formats=["PNG"]) as image:
            picture = image.convert("L" if image.mode in ("1", "L") else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises on broken files
        return None
    picture.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=82)
    return "jpeg", base64.b64encode(file.getvalue()).decode(), picture.size


def _text(text: str) -> dict[str, str]:
    """A text's beginning, cut between words, and its rest."""
    cut = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
    if len(cut) <= _BEGINNING * 1.2:
        return {"beginning": cut, "rest": ""}
    space = max(cut.rfind(" ", 0, _BEGINNING), cut.rfind("\n", 0, _BEGINNING))
    at = space if space > _BEGINNING // 2 else _BEGINNING
    return {"beginning": cut[:at], "rest": cut[at:].lstrip()}


def _answer(value: Any) -> list[dict[str, str]]:
    """A target or an answer as pieces: one label, one number, several labels, or several named numbers."""
    if isinstance(value, Mapping):
        return [{"name": str(name), "text": number(part, 6)} for name, part in value.items()]
    if isinstance(value, list | tuple):
        return [{"name": "", "text": label(part)} for part in value] or [{"name": "", "text": "none"}]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [{"name": "", "text": number(value, 6)}]
    return [{"name": "", "text": label(value)}] if value is not None else [{"name": "", "text": number(None)}]


def _labels(value: Any) -> list[str]:
    if isinstance(value, str):
        return [label(value)]
    return [label(part) for part in value] if isinstance(value, list | tuple) else []


def _off(true: Any, answered: Any) -> str:
    """How far a number is from the truth, with its direction."""
    left, right = finite(true), finite(answered)
    if left is None or right is None:
        return ""
    difference = right - left
    return f"{'+' if difference > 0 else ''}{number(difference)}"


def _strip(true: Any, answered: Any, scale: Scale | None) -> Drawn | None:
    left, right = finite(true), finite(answered)
    if left is None or right is None or scale is None:
        return None
    return difference_strip(left, right, scale, f"true {number(left, 6)}, answered {number(right, 6)}")


def _searched(shown: Mapping[str, Mapping[str, Any]], file: str, true: Any, answered: Any) -> str:
    """What the search of the page looks at: all values of the row in small letters."""
    values = [*(value.get("text") for value in shown.values()), *_labels(true), *_labels(answered), file]
    return " ".join(str(value or "") for value in values).lower()[:_SEARCHED]
