"""Random changes of training images that leave their meaning: settings, and the whole batch changed at once.

Every decision for a row is drawn from (seed, epoch, its id): it comes out the same, bit for bit, in any batch.
Order: flips, shift, rotation, scale and shear (together, interpolated at most once) · RandAugment · colours · erasing.

Legend: B batch, H height, W width, C channels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from modelyard.core.randomness import uniforms
from modelyard.data.images.randaugment import luminance, randaugment, sums
from modelyard.data.images.warp import Affine, Edge, flip, shift, warp
from modelyard.data.modalities.base import Draw
from modelyard.spec.settings import Settings

__all__ = ["Augment", "RandAugment", "augment"]

Pixels = npt.NDArray[np.uint8]
Draws = npt.NDArray[np.float32]


class RandAugment(Settings):
    """A few operations for each image, drawn from fourteen and all of one strength (Cubuk et al. 2019)."""

    operations: int = Field(2, ge=1, le=8)
    """How many operations each image goes through."""
    magnitude: float = Field(9.0, ge=0, le=30)
    """Strength of the operations, 0 to 30."""


class Augment(Settings):
    """How training images are varied. All off: say what does not change an image's meaning (a mirrored 2 is no 2)."""

    flip: bool = False
    """Mirror left to right, every second image."""
    vertical_flip: bool = False
    """Mirror top to bottom, every second image."""
    crop: int = Field(0, ge=0, le=1024)
    """Move by up to so many pixels each way: a random crop of the image padded by as many."""
    edge: Edge = "zero"
    """What moves in from outside: `zero` (black) or `reflect` (the image mirrored)."""
    rotate: float = Field(0.0, ge=0, le=180)
    """Turn by up to so many degrees either way."""
    scale: float = Field(0.0, ge=0, lt=1)
    """Enlarge by a factor from 1 − scale to 1 + scale."""
    shear: float = Field(0.0, ge=0, le=60)
    """Slant by up to so many degrees either way."""
    brightness: float = Field(0.0, ge=0, le=1)
    """Multiply all values by a factor from 1 − brightness to 1 + brightness."""
    contrast: float = Field(0.0, ge=0, le=1)
    """Multiply differences from the image's mean brightness by a factor from 1 − contrast to 1 + contrast."""
    saturation: float = Field(0.0, ge=0, le=1)
    """Multiply differences from grey by a factor from 1 − saturation to 1 + saturation. Three channels only."""
    hue: float = Field(0.0, ge=0, le=0.5)
    """Turn the colour circle by up to this part of a full turn either way, at equal brightness. Three channels only."""
    erase: float = Field(0.0, ge=0, le=1)
    """Probability of painting over a random box, 2 to 33 % of the area, with the mean colour (Zhong et al. 2017)."""
    randaugment: RandAugment | None = None
    """Operations drawn at random for each image."""

    @property
    def interpolates(self) -> bool:
        """Whether pixels come to stand between pixels."""
        return self.rotate > 0 or self.scale > 0 or self.shear > 0

    @property
    def colours(self) -> bool:
        """Whether colours are jittered."""
        return max(self.brightness, self.contrast, self.saturation, self.hue) > 0

    @property
    def active(self) -> bool:
        """Whether anything is done at all."""
        moves = self.flip or self.vertical_flip or self.crop > 0 or self.interpolates
        return moves or self.colours or self.erase > 0 or self.randaugment is not None


# Which of a row's draws decides what; the order is kept for good, so that one setting never changes another's draws.
_FLIP, _VERTICAL, _RIGHT, _DOWN, _ROTATE, _SCALE, _SHEAR = range(7)
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(7, 11)
_ERASE, _AREA, _ASPECT, _LEFT, _TOP = range(11, 16)
_DRAWS = 16

_SMALLEST, _LARGEST, _ASPECT_RATIO = 0.02, 0.33, 0.3

_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def augment(pixels_BHWC: Pixels, settings: Augment, draw: Draw, purpose: str, fill: npt.NDArray[np.float32]) -> Tensor:
    """Vary a batch of images.

    Args:
        pixels_BHWC: uint8 (B, H, W, C), with C 1 or 3.
        settings: What to do.
        draw: Seed, epoch and the B ids that decide.
        purpose: Keeps the draws of one column apart from those of another.
        fill: The colour of erased boxes, (C,), on the scale of the pixels.

    Returns:
        float32 (B, H, W, C) on the scale of the pixels, 0 to 255.
    """
    draws = uniforms(draw.seed, purpose, draw.epoch, draw.ids, _DRAWS)
    # Taken before anything moves: sums of whole numbers are exact in any order.
    totals = sums(pixels_BHWC) if settings.contrast > 0 else None
    images = _move(pixels_BHWC, settings, draws)
    if settings.randaugment is not None:
        whole = images.round_().to(torch.uint8).numpy() if isinstance(images, Tensor) else images
        operations = settings.randaugment.operations
        chosen = uniforms(draw.seed, f"{purpose}.randaugment", draw.epoch, draw.ids, 2 * operations)
        images = randaugment(whole, settings.randaugment.magnitude, chosen)
    floats = images if isinstance(images, Tensor) else torch.from_numpy(images).to(torch.float32)
    if settings.colours:
        floats = _jitter(floats, settings, draws, totals)
    if settings.erase > 0:
        floats = _erase(floats, settings.erase, draws, fill)
    return floats


def _either_way(draws: Draws) -> npt.NDArray[np.float64]:
    """Spread draws in [0, 1) over [−1, 1)."""
    return 2.0 * draws.astype(np.float64) - 1.0


def _move(pixels: Pixels, settings: Augment, draws: Draws) -> Pixels | Tensor:
    none = np.zeros(len(pixels), bool)
    across = draws[:, _FLIP] < 0.5 if settings.flip else none
    down = draws[:, _VERTICAL] < 0.5 if settings.vertical_flip else none
    steps = 2 * settings.crop + 1
    move_right = (draws[:, _RIGHT] * steps).astype(np.int64) - settings.crop
    move_down = (draws[:, _DOWN] * steps).astype(np.int64) - settings.crop
    if not settings.interpolates:
        pixels = flip(pixels, across, down)
        return shift(pixels, move_right, move_down, settings.crop, settings.edge) if settings.crop else pixels
    affine = Affine.mirror(across, down)
    if settings.shear > 0:
        affine = affine.then(Affine.shear(np.tan(np.deg2rad(settings.shear * _either_way(draws[:, _SHEAR])))))
    degrees = settings.rotate * _either_way(draws[:, _ROTATE])
    affine = affine.then(Affine.turn(degrees, 1.0 + settings.scale * _either_way(draws[:, _SCALE])))
    affine = affine.then(Affine.move(move_right.astype(np.float64), move_down.astype(np.float64)))
    return warp(torch.from_numpy(pixels).to(torch.float32), affine, settings.edge)


def _jitter(images: Tensor, settings: Augment, draws: Draws, totals: npt.NDArray[np.int64] | None) -> Tensor:
    """Brightness, contrast, saturation and hue are all linear in a pixel's colour: one product and one sum a row."""
    B, H, W, _ = images.shape
    brightness = 1.0 + settings.brightness * _either_way(draws[:, _BRIGHTNESS])
    contrast = 1.0 + settings.contrast * _either_way(draws[:, _CONTRAST])
    gain, offset = brightness * contrast, np.zeros(B)
    if totals is not None:
        offset = (1.0 - contrast) * brightness * luminance(totals / (H * W))
    if settings.saturation > 0 or settings.hue > 0:
        saturation = 1.0 + settings.saturation * _either_way(draws[:, _SATURATION])
        angle = 2 * np.pi * settings.hue * _either_way(draws[:, _HUE])
        return _mix_channels(images, gain, offset, saturation * np.cos(angle), saturation * np.sin(angle))
    images = images * _per_row(gain)
    return images.add_(_per_row(offset)).clamp_(0, 255)


def _per_row(values: npt.NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))[:, None, None, None]


def _mix_channels(
    images: Tensor,
    gain: npt.NDArray[np.float64],
    offset: npt.NDArray[np.float64],
    cos: npt.NDArray[np.float64],
    sin: npt.NDArray[np.float64],
) -> Tensor:
    """Turn and stretch the colour plane of YIQ by (cos, sin), then apply gain and a grey offset."""
    matrices = np.empty((len(gain), 3, 3))
    for to in range(3):
        for of in range(3):
            y = _FROM_YIQ[to, 0] * _TO_YIQ[0, of]
            same = _FROM_YIQ[to, 1] * _TO_YIQ[1, of] + _FROM_YIQ[to, 2] * _TO_YIQ[2, of]
            turned = _FROM_YIQ[to, 2] * _TO_YIQ[1, of] - _FROM_YIQ[to, 1] * _TO_YIQ[2, of]
            matrices[:, to, of] = gain * (y + same * cos + turned * sin)
    weights = torch.from_numpy(matrices.astype(np.float32))[:, :, :, None, None]
    base = torch.from_numpy(offset.astype(np.float32))[:, None, None]
    planes = images.permute(3, 0, 1, 2).contiguous()
    mixed = torch.empty_like(planes)
    for to in range(3):
        torch.mul(planes[0], weights[:, to, 0], out=mixed[to])
        for of in (1, 2):
            mixed[to].add_(planes[of] * weights[:, to, of])
        mixed[to].add_(base)
    return mixed.clamp_(0, 255).permute(1, 2, 3, 0).contiguous()


def _erase(images: Tensor, probability: float, draws: Draws, fill: npt.NDArray[np.float32]) -> Tensor:
    _, H, W, _ = images.shape
    rows = np.flatnonzero(draws[:, _ERASE] < probability)
    if not len(rows):
        return images
    chosen = draws[rows].astype(np.float64)
    area = (_SMALLEST + (_LARGEST - _SMALLEST) * chosen[:, _AREA]) * H * W
    aspect = np.exp(np.log(_ASPECT_RATIO) * _either_way(chosen[:, _ASPECT].astype(np.float32)))
    height = np.rint(np.sqrt(area * aspect)).clip(1, H)
    width = np.rint(np.sqrt(area / aspect)).clip(1, W)
    top = np.floor(chosen[:, _TOP] * (H - height + 1))
    left = np.floor(chosen[:, _LEFT] * (W - width + 1))
    y, x = np.arange(H), np.arange(W)
    inside_y = (y >= top[:, None]) & (y < (top + height)[:, None])
    inside_x = (x >= left[:, None]) & (x < (left + width)[:, None])
    box = torch.from_numpy(inside_y[:, :, None] & inside_x[:, None, :])[..., None]
    index = torch.from_numpy(rows)
    images[index] = torch.where(box, torch.from_numpy(fill), images[index])
    return images
