"""Strongly varied pictures, for learning that what is shown stays the same: RandAugment of changing strength, cutout.

Every decision for a row is drawn from (seed, epoch, its id): it comes out the same, bit for bit, in any batch.

Legend: B batch, H height, W width, C channels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from modelyard.core.randomness import uniforms
from modelyard.data.images.randaugment import randaugment, sums
from modelyard.data.modalities.base import Draw

__all__ = ["strong_views"]

Pixels = npt.NDArray[np.uint8]

_OPERATIONS = 2
_MAGNITUDES = (3.0, 9.0, 15.0, 21.0)
"""Strengths of the operations, 0 to 30; each row has one of them."""
_LARGEST = 0.5
"""Longest side of the box that is cut out, as a share of the picture's."""
_MAGNITUDE, _SIDE, _TOP, _LEFT = range(4)


def strong_views(pixels_BHWC: Pixels, draw: Draw, purpose: str = "strong") -> Pixels:
    """Return strongly varied copies of pictures.

    Two operations of RandAugment (Cubuk et al. 2019), of a strength drawn for each row as Sohn et al. 2020 do; then
    cutout (DeVries and Taylor 2017): a square, up to half a side long, painted over with the picture's mean colour.

    Args:
        pixels_BHWC: uint8 (B, H, W, C), with C 1 or 3; left as they are.
        draw: Seed, epoch (or step) and the B ids that decide.
        purpose: Keeps the draws of one column, or of one of several views, apart from those of another.
    """
    chosen = uniforms(draw.seed, f"{purpose}.views", draw.epoch, draw.ids, 4)
    turns = uniforms(draw.seed, f"{purpose}.randaugment", draw.epoch, draw.ids, 2 * _OPERATIONS)
    varied = np.empty_like(pixels_BHWC, order="C")
    strength = (chosen[:, _MAGNITUDE] * len(_MAGNITUDES)).astype(np.int64)
    for number, magnitude in enumerate(_MAGNITUDES):
        rows = np.flatnonzero(strength == number)
        if len(rows):
            varied[rows] = randaugment(pixels_BHWC[rows], magnitude, turns[rows])
    return _cut_out(varied, chosen)


def _cut_out(pixels: Pixels, chosen: npt.NDArray[np.float32]) -> Pixels:
    """Paint a square of each picture over, in place; at the border a part of it falls outside."""
    B, H, W, C = pixels.shape
    half = np.ceil(chosen[:, _SIDE] * _LARGEST * min(H, W)) / 2
    y, x = chosen[:, _TOP] * H, chosen[:, _LEFT] * W
    inside_y = np.abs(np.arange(H) + 0.5 - y[:, None]) < half[:, None]
    inside_x = np.abs(np.arange(W) + 0.5 - x[:, None]) < half[:, None]
    means = np.rint(sums(pixels) / (H * W)).astype(np.uint8).reshape(B, 1, 1, C)
    np.copyto(pixels, means, where=(inside_y[:, :, None] & inside_x[:, None, :])[..., None])
    return pixels
