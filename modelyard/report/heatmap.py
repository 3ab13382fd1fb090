"""The confusion table as a picture: a row for each true label, a column for each answer.

Right answers and mistakes have their own colours; depth is the share of the true label's rows. Cells of one colour and
depth are one path, so that a hundred labels stay small.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from modelyard.report.formatting import label, number
from modelyard.report.svg import Drawn, element

__all__ = ["LEVELS", "heat_map", "level_of"]

LEVELS = 8
_DEEP = 6
"""Level from which letters on a cell are light: style.css keeps both sides readable."""
_WITH_NUMBERS = 12
"""Labels up to which cells hold their counts."""
_LETTERS = 18
"""Longest name of a label at the edge."""


def heat_map(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Drawn:
    """Return the picture of a confusion table; `counts[i][j]` rows of label i were answered with label j."""
    size = len(labels)
    cell = max(10, min(72, (380 + 6 * size) // max(size, 1)))
    letter = min(13, max(9, cell - 1))
    names = [_cut(label(name)) for name in labels]
    margin = round(max((len(name) for name in names), default=1) * letter * 0.64) + 10
    slanted = margin > cell + 10
    top = (round(margin * 0.75) if cell >= 16 else margin) + 4 if slanted else letter + 10
    right = round(margin * 0.7) if slanted and cell >= 16 else 6
    side = cell * size
    grid: dict[tuple[str, int], list[str]] = {}
    written = []
    for i, row in enumerate(counts):
        total = sum(row)
        for j, many in enumerate(row):
            if not many:
                continue
            level = level_of(many / total)
            kind = "right" if i == j else "wrong"
            grid.setdefault((kind, level), []).append(f"M{j} {i}h1v1h-1z")
            if size <= _WITH_NUMBERS:
                deep = " deep" if level >= _DEEP else ""
                x, y = cell * (j + 0.5), cell * (i + 0.5)
                written.append(element("text", {"class": f"cell{deep}", "x": x, "y": y}, number(many)))
    cells = [
        element("path", {"class": f"{kind} level-{level}", "d": "".join(paths)})
        for (kind, level), paths in sorted(grid.items())
    ]
    inside = [
        element("rect", {"class": "ground", "width": side, "height": side}),
        element("g", {"transform": f"scale({cell})"}, *cells),
        *written,
        *(element("text", {"class": "true", "x": -6, "y": cell * (i + 0.5)}, name) for i, name in enumerate(names)),
        *(_above(name, cell * (j + 0.5), cell, slanted) for j, name in enumerate(names)),
        element("rect", {"class": "cursor", "width": cell, "height": cell, "visibility": "hidden"}),
    ]
    width, height = margin + side + right, top + side + 2
    wrong = sum(sum(row) for row in counts) - sum(counts[i][i] for i in range(size))
    return element(
        "svg",
        {
            "class": "heat-map",
            "width": width,
            "height": height,
            "viewBox": f"{-margin} {-top} {width} {height}",
            "font-size": letter,
            "role": "img",
            "aria-label": f"Heat map of {size} labels: true ones in rows, answers in columns; {number(wrong)} mistakes."
            " The table of confusions that follows names the most frequent ones.",
            "data-labels": json.dumps([label(name) for name in labels], ensure_ascii=False),
            "data-counts": json.dumps(counts, separators=(",", ":")),
            "data-cell": cell,
        },
        *inside,
    )


def level_of(share: float) -> int:
    """Return a depth from 1 to `LEVELS` for a share above 0; its root, so that rare mistakes can be seen."""
    return max(1, min(LEVELS, math.ceil(LEVELS * math.sqrt(share))))


def _above(name: str, x: float, cell: int, slanted: bool) -> Drawn:
    if not slanted:
        return element("text", {"class": "answer", "x": x, "y": -8}, name)
    angle = -45 if cell >= 16 else -90
    return element("text", {"class": "answer slanted", "transform": f"translate({x:g} -6) rotate({angle})"}, name)


def _cut(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
