"""Two varied views of a picture are to be found again among those of all others: features of pictures without labels.

SimCLR (Chen, Kornblith, Norouzi and Hinton 2020): encoder, projection head, normalised-temperature cross-entropy
(NT-Xent). The features before the projection are what is kept.

Legend: B batch, F features, P width of the projection.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from modelyard.data.batch import Batch
from modelyard.data.images.float_views import Variation, varied
from modelyard.models.base import Family
from modelyard.models.blocks.dense import DenseLayers, output_layer
from modelyard.tasks.from_inputs import FromInputs, draw_of, feature_size, only_picture

__all__ = ["MEASURED_AMONG", "Contrastive", "ContrastiveSettings", "contrast"]

MEASURED_AMONG = 128
"""Rows that a row is looked for among when nothing is learned, whatever the size of the batches: more are harder."""


class ContrastiveSettings(Variation):
    """How views differ, and how they are told apart."""

    temperature: float = Field(default=0.2, gt=0)
    """What similarities are divided by; smaller dwells on the most similar others."""
    projection_size: int = Field(default=64, ge=1)
    """Numbers of the vector that is compared; it has a hidden layer as wide as the features before it."""


class Contrastive(FromInputs):
    """Learn which two views are of one picture. Views follow from (seed, epoch, row); the others of the batch are what
    a picture is told apart from, so larger batches teach more, and batches are not cut into pieces."""

    Settings = ContrastiveSettings
    name = "contrastive"
    metrics = ("retrieval_accuracy", "contrast_loss")
    whole_batches = True
    settings: ContrastiveSettings
    _pixels = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """`contrast`, the loss; `retrieval`, whether the other view is not the most similar of all."""
        return ("contrast", "retrieval")

    @property
    def learned(self) -> int:
        """The loss alone."""
        return 1

    def equip(self, model: Family) -> None:
        """Put the projection in place of the last layer; see `Task`."""
        picture = only_picture(self.name, model.inputs)
        self._pixels = picture.tensors[0]
        self.features = feature_size(self.name, model)
        model.output = _Projection(self.features, self.settings.projection_size)

    def pose(self, batch: Batch) -> Batch:
        """Vary every picture in two ways."""
        own, draw = batch.inputs[self._pixels], draw_of(batch)
        one, other = (varied(own, self.settings, draw, f"contrastive.{view}") for view in ("one", "other"))
        return replace(batch, inputs={self._pixels: one}, targets={"other": other})

    def errors(self, model: Family, batch: Batch) -> tuple[Tensor, Tensor]:
        rows = len(batch)
        views = torch.cat([batch.inputs[self._pixels], batch.targets["other"]])
        projected = cast(_Projection, model.output)(model.features({self._pixels: views})).float()
        size = rows if model.training else min(rows, MEASURED_AMONG)
        found = []
        for start in range(0, rows, size):
            first = min(start, rows - size)  # the last rows are measured among as many as all others are
            both = torch.cat([projected[first : first + size], projected[rows + first : rows + first + size]])
            errors = torch.stack(contrast(both, self.settings.temperature), 1)
            found.append(errors[start - first :])
        others = max(2 * size - 1, 1)
        trivial = torch.tensor([math.log(others), 1 - 1 / others], device=projected.device)
        return torch.cat(found), trivial.expand(rows, 2)


class _Projection(nn.Module):
    """Features → hidden layer → the vector that is compared."""

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.hidden = DenseLayers(features, (features,), "relu")
        self.projection = output_layer(features, size)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Map float (B, F) to float (B, P)."""
        return self.projection(self.hidden(features_BF))  # type: ignore[no-any-return]


def contrast(views_2BP: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return each row's NT-Xent loss and how often its other view was not found, float32 (B,) each, over both views.

    Args:
        views_2BP: Projections of the first views of all rows, then of the second ones.
        temperature: What cosine similarities are divided by.
    """
    B = len(views_2BP) // 2
    unit = functional.normalize(views_2BP, dim=1)
    similar = unit @ unit.T / temperature
    similar = similar.masked_fill(torch.eye(2 * B, dtype=torch.bool, device=unit.device), float("-inf"))
    other = torch.arange(2 * B, device=unit.device).roll(B)
    losses = functional.cross_entropy(similar, other, reduction="none")
    wrong = (similar.argmax(1) != other).float()
    return losses.view(2, B).mean(0), wrong.view(2, B).mean(0)
