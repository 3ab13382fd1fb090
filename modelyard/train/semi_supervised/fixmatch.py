"""FixMatch (Sohn et al. 2020): what the model answers confidently to a weak view, it must answer to a strong one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from modelyard.data.fitted import Fitted
from modelyard.data.modalities.base import Column, Draw
from modelyard.data.store import SplitStore
from modelyard.data.views import check_kinds, strong_view, weak_view
from modelyard.tasks import losses
from modelyard.tasks.base import Task
from modelyard.train.semi_supervised.base import Guessed, SemiSupervised, SemiSupervisedSettings

__all__ = ["FixMatch"]


class FixMatch(SemiSupervised):
    """Labels are guessed from a weak view of each row and learned on a strong one (`data/views.py`).

    Raises:
        SpecError: An input has no strong view.
    """

    class Settings(SemiSupervisedSettings):
        """Of `fixmatch`."""

        ratio: int = Field(4, ge=1, le=64)
        """Rows without a target for each labelled row of `train.batch_size`, in every step; μ in the paper, 7 there."""
        temperature: float = Field(0.0, ge=0, le=10)
        """0: a guess is one label. Above: it is all probabilities, sharpened below 1 (Xie et al. 2020 use 0.4)."""

    name = "fixmatch"
    settings: Settings

    def __init__(
        self,
        settings: Settings,
        task: Task,
        fitted: Fitted,
        store: SplitStore,
        batch_size: int,
        seed: int,
        steps: int,
    ) -> None:
        super().__init__(settings, task, fitted, store, batch_size, seed, steps)
        check_kinds(self.described, f"train.semi_supervised {self.name}")

    def views(self, columns: Mapping[str, Column], weak: Draw, strong: Draw) -> tuple[dict[str, Tensor], ...]:
        """Return the weak and the strong view."""
        return weak_view(self.fitted, columns, weak), strong_view(self.fitted, columns, strong)

    def guess(self, teacher: Tensor, learner: Tensor) -> Guessed:
        found = super().guess(teacher, learner)
        temperature = self.settings.temperature
        if not temperature:
            return found
        target = losses.log_probabilities(teacher.detach() / temperature).exp()
        loss = -(target * losses.log_probabilities(learner)).sum(dim=1)
        return Guessed(torch.where(found.confident, loss, 0.0), found.labels, found.confident)
