"""Hide square patches of a picture and paint them again from what is left: features of pictures without labels.

The idea of He et al. 2021 (masked autoencoders) for convolutional encoders: hidden patches are grey at the input, the
loss is on hidden pixels alone, and a light decoder works on the encoder's last maps, or on its features where it makes
none. Simpler than sparse convolutions (Tian et al. 2023): the encoder sees the edges of the grey patches, and its
normalisation sees emptier pictures than those it is used on later.

Legend: B batch, C channels, H height, W width, F features, P patches of a picture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from modelyard.core.errors import Problem, SpecError
from modelyard.core.randomness import uniforms
from modelyard.data.batch import Batch
from modelyard.data.kinds import Image
from modelyard.models.base import Family
from modelyard.spec.settings import Settings
from modelyard.tasks.decoders import MapDecoder, PictureDecoder
from modelyard.tasks.from_inputs import FromInputs, Running, draw_of, feature_size, only_picture

__all__ = ["MaskedPatches", "MaskedPatchesSettings"]


class MaskedPatchesSettings(Settings):
    """How much is hidden, in which pieces."""

    share: float = Field(default=0.6, gt=0, lt=1)
    """Share of each picture's patches that are hidden, at least one."""
    patch: int = Field(default=4, ge=1)
    """Pixels along a side of a patch."""


class MaskedPatches(FromInputs):
    """Learn the hidden pixels of pictures. Which patches are hidden follows from (seed, epoch, row)."""

    Settings = MaskedPatchesSettings
    name = "masked_patches"
    settings: MaskedPatchesSettings
    _picture: Image | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """`pixels`, the hidden ones."""
        return ("pixels",)

    def equip(self, model: Family) -> None:
        """Put the decoder in place of the last layer; see `Task`."""
        picture = only_picture(self.name, model.inputs)
        if self.settings.patch >= max(picture.height, picture.width):
            message = (
                f"is {self.settings.patch}, and the picture has {picture.height} × {picture.width} pixels; take less"
            )
            raise SpecError([Problem("task.patch", message)])
        self._picture = picture
        self.features = feature_size(self.name, model)
        model.output = _Head(self.features, model, picture)

    def pose(self, batch: Batch) -> Batch:
        """Make hidden patches grey, and ask for their pixels."""
        picture, patch, draw = self._picture, self.settings.patch, draw_of(batch)
        assert picture is not None, "the task has equipped a model"
        rows, columns = -(-picture.height // patch), -(-picture.width // patch)
        drawn = uniforms(draw.seed, "masked_patches", draw.epoch, draw.ids, rows * columns)
        count = min(rows * columns - 1, max(1, round(self.settings.share * rows * columns)))
        hidden = np.zeros(drawn.shape, bool)
        np.put_along_axis(hidden, np.argsort(drawn, axis=1, kind="stable")[:, :count], True, axis=1)
        own = batch.inputs[picture.tensors[0]]
        cells = torch.from_numpy(hidden.reshape(len(batch), 1, rows, columns)).to(own.device)
        mask = cells.repeat_interleave(patch, 2).repeat_interleave(patch, 3)[:, :, : picture.height, : picture.width]
        # 0 is the training mean once pictures are normalised
        seen = own.masked_fill(mask, 0.0)
        return replace(batch, inputs={picture.tensors[0]: seen}, targets={"pixels": own, "hidden": mask})

    def errors(self, model: Family, batch: Batch) -> tuple[Tensor, Tensor]:
        assert self._picture is not None, "the task has equipped a model"
        head = cast(_Head, model.output)
        maps = model.maps(batch.inputs) if head.from_maps else None
        painted = head(model.features(batch.inputs)) if maps is None else head.paint(maps)
        own, hidden = batch.targets["pixels"].float(), batch.targets["hidden"]
        count = hidden.sum((1, 2, 3)) * own.shape[1]
        trivial = head.trivial(own.flatten(1)).view(own.shape[1:])
        of = [((guess.float() - own).square() * hidden).sum((1, 2, 3)) / count for guess in (painted, trivial)]
        return of[0][:, None], of[1][:, None]


class _Head(nn.Module):
    """The decoder. From features alone (`forward`) only where the family has no maps."""

    def __init__(self, features: int, model: Family, picture: Image) -> None:
        super().__init__()
        with torch.no_grad():
            was, _ = model.training, model.eval()
            empty = torch.zeros(1, picture.channels, picture.height, picture.width)
            maps = model.maps({picture.tensors[0]: empty})
            model.train(was)
        self.from_maps = maps is not None
        self.paint: nn.Module = (
            PictureDecoder(features, picture)
            if maps is None
            else MapDecoder((maps.shape[1], maps.shape[2], maps.shape[3]), picture)
        )
        self.trivial = Running(picture.channels * picture.height * picture.width)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return pictures, float (B, C, H, W); where they are painted from maps, the features themselves."""
        return features_BF if self.from_maps else self.paint(features_BF)
