"""Watches the loss: whether it is a number, and whether it is far above the usual.

Losses are read some steps late, all at once, so that an accelerator is not waited for at every step.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from modelyard.spec.spec import DivergenceSpec

__all__ = ["Trouble", "Watch"]

_REMEMBERED = 64
"""Steps whose median is the usual loss."""
_ENOUGH = 16
"""Steps before a spike can be told from the beginning of a training."""
_TOGETHER = 16
"""Losses read at once."""


@dataclass(frozen=True)
class Trouble:
    """A step whose loss left all bounds."""

    step: int
    """The step, counted from 0."""
    kind: str
    """`not_finite`, `spike`, or `weights`: the losses were numbers, and some weights are not."""
    loss: float
    usual: float
    """Median of the steps before; NaN when there were too few."""


class Watch:
    """Looks at every step's loss, in order."""

    def __init__(self, settings: DivergenceSpec) -> None:
        self.settings = settings
        self._waiting: list[tuple[int, Tensor]] = []
        self._recent: deque[float] = deque(maxlen=_REMEMBERED)
        self._sorted: list[float] = []

    def add(self, step: int, loss: Tensor) -> None:
        """Take a step's loss (scalar, on its device)."""
        self._waiting.append((step, loss))

    def take(self) -> list[Trouble]:
        """Return what is wrong with the losses, once enough of them wait; mostly nothing."""
        return self.look() if len(self._waiting) >= _TOGETHER else []

    def look(self) -> list[Trouble]:
        """Read every loss that waits, and return what is wrong with them. Nothing after a loss that is no number is
        looked at: the weights are gone by then."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return []
        found = []
        for (step, _), loss in zip(waiting, torch.stack([loss for _, loss in waiting]).tolist(), strict=True):
            trouble = self.judge(step, loss)
            if trouble is not None:
                found.append(trouble)
                if trouble.kind == "not_finite":
                    break
        return found

    def judge(self, step: int, loss: float) -> Trouble | None:
        """Say whether a loss is out of bounds; if not, it becomes one of those that make the usual."""
        usual = self._sorted[len(self._sorted) // 2] if len(self._sorted) >= _ENOUGH else math.nan
        if not math.isfinite(loss):
            return Trouble(step, "not_finite", loss, usual)
        spike = loss > self.settings.factor * abs(usual)  # false as long as there is no usual
        if spike and self.settings.spike != "note":
            return Trouble(step, "spike", loss, usual)
        if len(self._recent) == _REMEMBERED:
            del self._sorted[bisect.bisect_left(self._sorted, self._recent[0])]
        self._recent.append(loss)
        bisect.insort(self._sorted, loss)
        return Trouble(step, "spike", loss, usual) if spike else None

    def state(self) -> Mapping[str, Any]:
        """Return what is remembered, as a JSON value. Call `look` before."""
        return {"recent": list(self._recent)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        losses: Sequence[float] = state["recent"]
        self._waiting = []
        self._recent = deque(losses, maxlen=_REMEMBERED)
        self._sorted = sorted(losses)
