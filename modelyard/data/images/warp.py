"""Moving pixels of a whole batch at once: shifts and flips by copying, everything else by one bilinear interpolation.

A row's result depends on that row alone, bit for bit, whatever batch it stands in: only elementwise arithmetic is used
(no matrix product, whose order of summation may follow the batch's size).

Legend: B batch, H height, W width, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.stride_tricks import as_strided
from torch import Tensor
from torch.nn import functional

__all__ = ["Affine", "Edge", "flip", "shift", "warp"]

Edge = Literal["zero", "reflect"]
"""What lies outside a picture: black, or its mirror image (the outermost pixel repeated)."""

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Affine:
    """Where each output pixel (x′, y′) comes from: x = xx·x′ + xy·y′ + x0 and y = yx·x′ + yy·y′ + y0.

    Coordinates are pixels from the picture's centre, y downwards. Each coefficient is an array (B,) or one number.
    """

    xx: Floats | float = 1.0
    xy: Floats | float = 0.0
    x0: Floats | float = 0.0
    yx: Floats | float = 0.0
    yy: Floats | float = 1.0
    y0: Floats | float = 0.0

    @classmethod
    def mirror(cls, across: Flags, down: Flags) -> Affine:
        """Left and right changed places where `across` is set, top and bottom where `down` is."""
        return cls(xx=np.where(across, -1.0, 1.0), yy=np.where(down, -1.0, 1.0))

    @classmethod
    def turn(cls, degrees: Floats, scale: Floats | float = 1.0) -> Affine:
        """Turned counter-clockwise and enlarged by `scale`, about the centre."""
        cos, sin = np.cos(np.deg2rad(degrees)) / scale, np.sin(np.deg2rad(degrees)) / scale
        return cls(xx=cos, xy=-sin, yx=sin, yy=cos)

    @classmethod
    def shear(cls, across: Floats | float = 0.0, down: Floats | float = 0.0) -> Affine:
        """Rows moved right by `across` a row below the centre, columns down by `down` a column to its right."""
        area = 1.0 - across * down
        return cls(xx=1.0 / area, xy=-across / area, yx=-down / area, yy=1.0 / area)

    @classmethod
    def move(cls, right: Floats | float = 0.0, down: Floats | float = 0.0) -> Affine:
        """Moved by so many pixels."""
        return cls(x0=-right, y0=-down)

    def then(self, other: Affine) -> Affine:
        """Return the map of pictures that go through this one first and then through the other."""
        return Affine(
            self.xx * other.xx + self.xy * other.yx,
            self.xx * other.xy + self.xy * other.yy,
            self.xx * other.x0 + self.xy * other.y0 + self.x0,
            self.yx * other.xx + self.yy * other.yx,
            self.yx * other.xy + self.yy * other.yy,
            self.yx * other.x0 + self.yy * other.y0 + self.y0,
        )

    def rows(self, chosen: Flags) -> Affine:
        """Return the maps of the rows that are flagged (B,)."""
        values = (self.xx, self.xy, self.x0, self.yx, self.yy, self.y0)
        return Affine(*(np.broadcast_to(np.asarray(value), chosen.shape)[chosen] for value in values))


def warp(images_BHWC: Tensor, affine: Affine, edge: Edge = "zero") -> Tensor:
    """Return float32 images (B, H, W, C) taken through an affine map, by bilinear interpolation."""
    B, H, W, _ = images_BHWC.shape
    x = (np.arange(W, dtype=np.float32) - np.float32((W - 1) / 2))[None, None, :]
    y = (np.arange(H, dtype=np.float32) - np.float32((H - 1) / 2))[None, :, None]

    def coefficient(value: Floats | float, side: int) -> npt.NDArray[np.float32]:
        # grid_sample counts from −1 to 1 over the whole side, border pixels included.
        scaled = np.broadcast_to(np.asarray(value, np.float64) * (2 / side), (B,))
        return scaled.astype(np.float32)[:, None, None]

    grid_BHW2 = np.empty((B, H, W, 2), np.float32)
    for axis, side, along_x, along_y, start in (
        (0, W, affine.xx, affine.xy, affine.x0),
        (1, H, affine.yx, affine.yy, affine.y0),
    ):
        rows = coefficient(along_y, side) * y + coefficient(start, side)
        np.add(coefficient(along_x, side) * x, rows, out=grid_BHW2[..., axis])
    warped_BCHW = functional.grid_sample(
        images_BHWC.permute(0, 3, 1, 2),
        torch.from_numpy(grid_BHW2),
        mode="bilinear",
        padding_mode="zeros" if edge == "zero" else "reflection",
        align_corners=False,
    )
    return warped_BCHW.permute(0, 2, 3, 1).contiguous()


def flip(pixels_BHWC: Pixels, across: Flags, down: Flags) -> Pixels:
    """Return pixels with the rows of the batch that are flagged mirrored left to right, and top to bottom."""
    if not across.any() and not down.any():
        return pixels_BHWC
    flipped = torch.from_numpy(pixels_BHWC.copy())
    for flags, axis in ((across, 2), (down, 1)):
        rows = torch.from_numpy(np.flatnonzero(flags))
        if len(rows):
            flipped[rows] = flipped[rows].flip(axis)
    return flipped.numpy()


def shift(
    pixels_BHWC: Pixels, right: npt.NDArray[np.int64], down: npt.NDArray[np.int64], most: int, edge: Edge
) -> Pixels:
    """Return pixels moved by whole pixels, each in [−most, most]: a random crop out of the padded picture."""
    B, H, W, C = pixels_BHWC.shape
    around = ((0, 0), (most, most), (most, most), (0, 0))
    padded = np.pad(pixels_BHWC, around, mode="constant" if edge == "zero" else "symmetric")
    height, width = H + 2 * most, W + 2 * most
    # A row of a crop is one run of W·C bytes of the padded pictures: copied whole, from where it starts.
    runs = as_strided(padded, (B * height * width - W + 1, W * C), (C, 1), writeable=False)
    first = (np.arange(B) * height + most - down) * width + most - right
    starts = first[:, None] + np.arange(H) * width
    moved: Pixels = runs[starts].reshape(B, H, W, C)
    return moved
