"""Pseudo-labels (Lee 2013): the model's own confident answers count as targets, and count more as training goes on."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from modelyard.data.modalities.base import Column, Draw
from modelyard.data.views import weak_view
from modelyard.train.semi_supervised.base import SemiSupervised, SemiSupervisedSettings

__all__ = ["PseudoLabel"]


class PseudoLabel(SemiSupervised):
    """Labels are guessed in every step from the outputs they are learned on: each row is pushed to one side."""

    class Settings(SemiSupervisedSettings):
        """Of `pseudo_label`."""

        ramp: float = Field(0.5, ge=0, le=1)
        """Share of the steps over which that weight rises from 0."""

    name = "pseudo_label"

    def views(self, columns: Mapping[str, Column], weak: Draw, strong: Draw) -> tuple[dict[str, Tensor], ...]:
        """Return the weak view alone."""
        return (weak_view(self.fitted, columns, weak),)
