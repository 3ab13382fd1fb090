"""What tables of measured values share: the key a cell is sorted by, the scale a column of strips is drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelyard.report.formatting import finite
from modelyard.report.metric_names import name_of
from modelyard.report.scales import Scale, linear

__all__ = ["scale_of", "sort_key"]


def scale_of(metric: str, values: Sequence[float | None]) -> Scale:
    """Return the scale of a metric's values: its own bounds where it has them, else what holds the values."""
    name = name_of(metric)
    bounds = [bound for bound in (name.low, name.high) if bound is not None]
    scale = linear([value for value in values if value is not None], bounds or [0.0])
    return Scale(bounds[0], bounds[1]) if len(bounds) == 2 else scale


def sort_key(value: Any) -> str:
    """Return what a cell with a number is sorted by; empty for what is not known."""
    known = finite(value)
    return "" if known is None else repr(known)
