"""Varied views of pictures that are numbers already (normalised, on any device), all of a batch at once.

Every decision for a row is drawn from (seed, epoch, its id): it comes out the same in any batch.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from modelyard.core.randomness import uniforms
from modelyard.data.modalities.base import Draw
from modelyard.spec.settings import Settings

__all__ = ["Variation", "varied"]

Draws = npt.NDArray[np.float32]


class Variation(Settings):
    """How a picture may differ from itself and still be the same."""

    crop: float = Field(default=0.4, gt=0, le=1)
    """Smallest share of the picture's area that a view shows, enlarged to the picture's size; 1: always all of it."""
    aspect: float = Field(default=1.33, ge=1, le=4)
    """Most that a crop is stretched along one side."""
    flip: bool = False
    """Mirror left to right, every second view. Off, for a mirrored 2 is no 2."""
    shift: float = Field(default=0.0, ge=0, le=1)
    """Move by up to this share of a side each way, beyond where crops already come from."""
    brightness: float = Field(default=0.4, ge=0)
    """Add up to so many standard deviations of all pixels, or take them away."""
    contrast: float = Field(default=0.4, ge=0, lt=1)
    """Multiply differences from the picture's mean by a factor from 1 − contrast to 1 + contrast."""
    saturation: float = Field(default=0.4, ge=0, lt=1)
    """Multiply differences between channels by a factor from 1 − saturation to 1 + saturation."""
    erase: float = Field(default=0.25, ge=0, le=1)
    """Probability of painting over a box, 4 to 25 % of the area, with the mean colour of training."""


# Which of a row's draws decides what; the order is kept for good.
_AREA, _ASPECT, _LEFT, _TOP, _FLIP, _RIGHT, _DOWN = range(7)
_BRIGHTNESS, _CONTRAST, _SATURATION = range(7, 10)
_ERASE, _BOX_AREA, _BOX_ASPECT, _BOX_LEFT, _BOX_TOP = range(10, 15)
_DRAWS = 15
_SMALLEST_BOX, _LARGEST_BOX = 0.04, 0.25


def varied(images: Tensor, settings: Variation, draw: Draw, purpose: str) -> Tensor:
    """Return a varied view of each picture: crop, flip and shift (interpolated once), then colours, then a box.

    Args:
        images: float (B, C, H, W), normalised so that 0 is the mean colour.
        settings: What may change, and how much.
        draw: Seed, epoch and the B ids that decide.
        purpose: Keeps the draws of one view apart from those of another.

    Returns:
        float (B, C, H, W) in the memory format of `images`; what moves in from outside is 0.
    """
    draws = uniforms(draw.seed, purpose, draw.epoch, draw.ids, _DRAWS)
    views = _moved(images, settings, draws)
    views = _coloured(views, settings, draws)
    if settings.erase > 0:
        views = views.masked_fill(_boxes(settings, draws, images).to(views.device), 0.0)
    return views.contiguous(memory_format=torch.channels_last)


def _either_way(draws: Draws) -> Draws:
    """Spread draws in [0, 1) over [−1, 1)."""
    return 2 * draws - 1


def _moved(images: Tensor, settings: Variation, draws: Draws) -> Tensor:
    if settings.crop == 1 and settings.aspect == 1 and not settings.flip and settings.shift == 0:
        return images
    area = settings.crop + (1 - settings.crop) * draws[:, _AREA]
    stretch = settings.aspect ** (_either_way(draws[:, _ASPECT]) / 2)
    width, height = np.minimum(np.sqrt(area) * stretch, 1), np.minimum(np.sqrt(area) / stretch, 1)
    # In units of the grid, where a picture reaches from −1 to 1: a view's centre, and half its extent.
    x = (1 - width) * _either_way(draws[:, _LEFT]) + 2 * settings.shift * _either_way(draws[:, _RIGHT])
    y = (1 - height) * _either_way(draws[:, _TOP]) + 2 * settings.shift * _either_way(draws[:, _DOWN])
    if settings.flip:
        width = np.where(draws[:, _FLIP] < 0.5, -width, width)
    zero = np.zeros_like(x)
    matrix = np.stack([np.stack([width, zero, x], 1), np.stack([zero, height, y], 1)], 1).astype(np.float32)
    theta = torch.from_numpy(matrix).to(images.device, images.dtype)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _coloured(images: Tensor, settings: Variation, draws: Draws) -> Tensor:
    def rows(values: Draws) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(images.device, images.dtype)[:, None, None, None]

    if settings.contrast > 0:
        mean = images.mean((1, 2, 3), keepdim=True)
        images = mean + (images - mean) * rows(1 + settings.contrast * _either_way(draws[:, _CONTRAST]))
    if settings.saturation > 0 and images.shape[1] > 1:
        grey = images.mean(1, keepdim=True)
        images = grey + (images - grey) * rows(1 + settings.saturation * _either_way(draws[:, _SATURATION]))
    if settings.brightness > 0:
        images = images + rows(settings.brightness * _either_way(draws[:, _BRIGHTNESS]))
    return images


def _boxes(settings: Variation, draws: Draws, images: Tensor) -> Tensor:
    """Return where pictures are painted over, bool (B, 1, H, W)."""
    H, W = images.shape[2:]
    area = (_SMALLEST_BOX + (_LARGEST_BOX - _SMALLEST_BOX) * draws[:, _BOX_AREA]) * H * W
    aspect = 2 ** _either_way(draws[:, _BOX_ASPECT])
    height = np.rint(np.sqrt(area * aspect)).clip(1, H)
    width = np.rint(np.sqrt(area / aspect)).clip(1, W)
    height[draws[:, _ERASE] >= settings.erase] = 0
    top, left = np.floor(draws[:, _BOX_TOP] * (H - height + 1)), np.floor(draws[:, _BOX_LEFT] * (W - width + 1))
    y, x = np.arange(H), np.arange(W)
    inside_y = (y >= top[:, None]) & (y < (top + height)[:, None])
    inside_x = (x >= left[:, None]) & (x < (left + width)[:, None])
    return torch.from_numpy(inside_y[:, None, :, None] & inside_x[:, None, None, :])
