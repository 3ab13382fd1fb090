"""The rows a model got most wrong, shown as what they are."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.data.fitted import Fitted
from modelyard.data.lookup import Place, show_rows
from modelyard.data.modalities.base import Shown
from modelyard.data.sources.base import Source
from modelyard.evaluate.assess import worst
from modelyard.evaluate.records import Mistake
from modelyard.tasks.base import Outcome, Task

__all__ = ["describe_rows", "find_mistakes"]


def find_mistakes(
    task: Task, outcome: Outcome, places: Sequence[Place], sources: Iterable[Source], fitted: Fitted, count: int
) -> list[Mistake]:
    """Return the worst rows of an outcome, the worst first, with their inputs as a person sees them.

    Args:
        task: Says how wrong a row is.
        outcome: The rows' targets and answers.
        places: Where each row of the outcome stands in the sources.
        sources: Where the rows can be read again.
        fitted: The fitted columns.
        count: How many at most.
    """
    if count == 0:
        return []
    return describe_rows(task, outcome, worst(task, outcome, count)[0], places, sources, fitted)


def describe_rows(
    task: Task,
    outcome: Outcome,
    rows: npt.NDArray[np.int64],
    places: Sequence[Place],
    sources: Iterable[Source],
    fitted: Fitted,
) -> list[Mistake]:
    """Return some rows of an outcome, by number, in the order asked for, with their inputs as a person sees them."""
    if not len(rows):
        return []
    losses = task.row_losses(outcome)[rows]
    where = [places[int(row)] for row in rows]
    shown = show_rows(sources, where, fitted.inputs)
    return [
        Mistake(
            file=place[0],
            position=place[1],
            target=_word(outcome, outcome.target[row]),
            answer=_word(outcome, outcome.answer[row]),
            loss=float(loss),
            confidence=_confidence(outcome, int(row)),
            shown={column: _plain(value) for column, value in shown.get(place, {}).items()},
        )
        for row, place, loss in zip(rows, where, losses, strict=True)
    ]


def _word(outcome: Outcome, value: npt.NDArray[Any]) -> Any:
    """Return a target or answer in the user's words: a label, a list of labels, or a number."""
    if outcome.target.dtype.kind == "f":
        values = [float(number) for number in np.atleast_1d(value)]
        return values[0] if len(values) == 1 else dict(zip(outcome.labels, values, strict=True))
    if outcome.target.ndim == 2:
        return [label for label, present in zip(outcome.labels, value, strict=True) if present]
    return outcome.labels[int(value)]


def _confidence(outcome: Outcome, row: int) -> float | None:
    if outcome.target.dtype.kind == "f" or outcome.target.ndim == 2:
        return None
    return float(outcome.score[row, outcome.answer[row]])


def _plain(shown: Shown) -> dict[str, Any]:
    png = None if shown.png is None else base64.b64encode(shown.png).decode()
    return {"kind": shown.kind, "text": shown.text, "png": png}
