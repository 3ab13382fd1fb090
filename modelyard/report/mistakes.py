"""Section: the worst mistakes, shown as what they are (pictures, texts, rows) and named so that they can be found."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.evaluations import Evidence, form_of, in_order, rows_of
from modelyard.report.formatting import finite, label, number, percent, short_paths
from modelyard.report.scales import Scale, linear
from modelyard.report.strips import difference_strip
from modelyard.report.svg import Drawn

__all__ = ["PICTURE_BUDGET", "view"]

PICTURE_BUDGET = 3_500_000
"""Most characters of base64 that all pictures together may take."""
_COLUMNS = 8
"""Columns of a row shown at once; the others are folded away."""
_MOST_COLUMNS = 200
_BEGINNING = 360
"""Letters of a text shown at once."""
_MOST_TEXT = 6000
_SHARP = 200
"""Widest picture, in pixels, that is enlarged without smoothing; larger ones are made smaller."""


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when nothing was measured."""
    evaluations = in_order(evidence)
    if not evaluations:
        return None
    budget = _Budget(PICTURE_BUDGET)
    scale = _scale(spec, evidence)
    parts = [_part(evaluation, budget, scale) for evaluation in evaluations]
    return {
        "parts": parts,
        "true_labels": _choices(parts, "true_labels"),
        "answers": _choices(parts, "answers"),
        "left_out": number(budget.left_out) if budget.left_out else "",
    }


class _Budget:
    """How much room is left for pictures."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.left_out = 0

    def take(self, size: int) -> bool:
        if size > self.left:
            self.left_out += 1
            return False
        self.left -= size
        return True


def _part(evaluation: Mapping[str, Any], budget: _Budget, scale: Scale | None) -> dict[str, Any]:
    mistakes: Sequence[Mapping[str, Any]] = evaluation.get("mistakes") or []
    names = short_paths(list(dict.fromkeys(str(mistake.get("file")) for mistake in mistakes)))
    numbers = form_of(evaluation) == "regression"
    return {
        "name": str(evaluation.get("split", "")),
        "rows": rows_of(evaluation),
        "numbers": numbers,
        "cards": [_card(mistake, names, budget, scale) for mistake in mistakes],
    }


def _card(mistake: Mapping[str, Any], names: Mapping[str, str], budget: _Budget, scale: Scale | None) -> dict[str, Any]:
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


def _picture(value: Mapping[str, Any], budget: _Budget) -> dict[str, Any] | None:
    """A picture and its size; None when it is no PNG, or when there is no room for it."""
    png = str(value["png"])
    try:
        head = base64.b64decode(png[:32], validate=True)
    except binascii.Error:
        return None
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n" or not budget.take(len(png)):
        return None
    width, height = struct.unpack(">II", head[16:24])
    return {
        "png": png,
        "text": str(value.get("text") or ""),
        "width": width,
        "height": height,
        "sharp": width <= _SHARP,
    }


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


def _scale(spec: Mapping[str, Any], evidence: Evidence) -> Scale | None:
    """One scale for all numbers: true and answered ones, and the target's range in training."""
    targets = list((spec.get("data") or {}).get("targets") or {})
    values = [
        value
        for evaluation in evidence.get("metrics") or []
        for mistake in evaluation.get("mistakes") or []
        for value in (finite(mistake.get("target")), finite(mistake.get("answer")))
        if value is not None
    ]
    if not values or len(targets) != 1:
        return None
    summary = ((evidence.get("data") or {}).get("summaries") or {}).get(targets[0]) or {}
    ends = [end for key in ("minimum", "maximum") if (end := finite(summary.get(key))) is not None]
    return linear([*values, *ends], room=0)


def _choices(parts: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return sorted({name for part in parts for card in part["cards"] for name in json.loads(card[key])})
