"""From a model's raw outputs to probabilities and ranked answers, in float64, outside training.

Legend: n rows, O outputs, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.core.errors import DataError

__all__ = ["MANY_LABELS", "check_output", "log_loss_of", "ranked", "sigmoid", "softmax"]

Floats = npt.NDArray[np.float64]

MANY_LABELS = 10
"""Beyond this many labels an answer lists only the most probable ones."""
_TOP = 5


def check_output(output: npt.NDArray[Any], size: int) -> Floats:
    """Return outputs (n, O) as float64.

    Raises:
        DataError: The shape is not (n, size), or numbers in it are not finite; names the first rows.
    """
    if output.ndim != 2 or output.shape[1] != size:
        raise DataError(f"the model's output has shape {output.shape}, and the task expects (rows, {size})")
    values = output.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        rows = ", ".join(str(row) for row in bad[:5])
        raise DataError(
            f"the model's output is not a finite number in {bad.size} of {len(values)} rows (first: {rows}); "
            "the weights or these rows' inputs hold NaN or infinity, or the precision overflows"
        )
    return values


def sigmoid(logits: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) without overflow, same shape."""
    tail = np.exp(-np.abs(logits))
    result: Floats = np.where(logits >= 0, 1.0, tail) / (1.0 + tail)
    return result


def softmax(logits: Floats) -> Floats:
    """Return probabilities (n, L) that add up to 1 in each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = powers / powers.sum(axis=1, keepdims=True)
    return result


def log_loss_of(probability: Floats) -> Floats:
    """Return -ln p, with p kept at or above the smallest step of float64 so that the loss stays finite."""
    result: Floats = -np.log(np.clip(probability, np.finfo(np.float64).eps, 1.0))
    return result


def ranked(
    scores: Floats, labels: Sequence[str], at_least: npt.NDArray[np.int64] | None = None
) -> list[dict[str, float]]:
    """Return for each row its labels with their probabilities, the most probable first; equal ones in label order.

    With more than `MANY_LABELS` labels only the first 5 are kept, or `at_least[i]` where that is more.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    keep = np.full(len(scores), len(labels) if len(labels) <= MANY_LABELS else _TOP)
    if at_least is not None:
        keep = np.maximum(keep, at_least)
    order = order[:, : int(keep.max(initial=0))]
    names, sorted_scores = order.tolist(), np.take_along_axis(scores, order, axis=1).tolist()
    return [
        {labels[name]: score for name, score in zip(row[:kept], row_scores[:kept], strict=True)}
        for row, row_scores, kept in zip(names, sorted_scores, keep.tolist(), strict=True)
    ]
