"""From values to places on a line: round ticks, linear and logarithmic scales."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Scale", "linear", "logarithmic", "ticks", "whole_ticks"]


@dataclass(frozen=True)
class Scale:
    """Maps the range from `low` to `high` to percent of a length."""

    low: float
    high: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value in percent, held within -5 and 105."""
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, max(value, self._floor)))
        return min(105.0, max(-5.0, 100 * (at - low) / (high - low)))

    @property
    def _floor(self) -> float:
        return self.low / 1e6 if self.log else -math.inf

    def ticks(self, most: int = 5) -> list[float]:
        """Return round values within the range, at most about `most`."""
        if not self.log:
            return ticks(self.low, self.high, most)
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        step = max(1, math.ceil((last - first + 1) / most))
        powers = [10.0**power for power in range(first, last + 1, step)]
        return powers if len(powers) > 1 else ticks(self.low, self.high, most)


def linear(values: Iterable[float], include: Iterable[float] = (), room: float = 0.05) -> Scale:
    """Return a linear scale that holds all values with some room at both ends, and reaches `include` exactly."""
    values, include = list(values), list(include)
    known = [*values, *include]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if low == high:
        space = abs(low) / 2 or 0.5
        return Scale(low - space, high + space)
    space = room * (high - low)
    return Scale(low if low in include else low - space, high if high in include else high + space)


def logarithmic(values: Iterable[float]) -> Scale:
    """Return a logarithmic scale from the least to the greatest value, all of them positive."""
    values = list(values)
    low, high = min(values), max(values)
    return Scale(low, high, log=True) if low < high else Scale(low / 10, high * 10, log=True)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten between `low` and `high`, `most` of them or fewer."""
    if not low < high:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1, 2, 5, 10, 20):
        step = factor * power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            break
    # rounding removes 0.30000000000000004 and the like
    digits = max(0, 1 - math.floor(math.log10(step)))
    return [round(index * step, digits) + 0.0 for index in range(first, last + 1)]


def whole_ticks(low: int, high: int, most: int = 6) -> list[int]:
    """Return whole numbers from `low` to `high`, both included: what counts epochs."""
    if high - low < most:
        return list(range(low, high + 1))
    inner = sorted({round(tick) for tick in ticks(low, high, most)})
    gap = (high - low) / most / 2
    return [low, *(tick for tick in inner if low + gap < tick < high - gap), high]
