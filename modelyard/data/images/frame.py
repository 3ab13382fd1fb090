"""The frame every picture of a column is brought to, and how another size becomes this one.

Bilinear, averaged over all covered pixels when a picture shrinks, in whole numbers: every machine gives the same bytes.

Legend: H height, W width, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["Frame", "fit_pixels", "inner_size"]

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """What every picture is brought to."""

    height: int
    width: int
    channels: int
    """1 (grey) or 3 (red, green, blue)."""
    resize: str = "stretch"
    """`stretch`: both sides to the size; `crop`: fill it and cut off what stands over; `fit`: inside it, with bars."""
    background: int = 255
    """Brightness behind transparent pixels and of the bars."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels


def fit_pixels(pixels: Pixels, frame: Frame) -> Pixels:
    """Bring pixels (H, W, 1 or 3) to the frame's size; their channels must be the frame's already."""
    H, W, C = pixels.shape
    if frame.resize == "crop":
        scale = max(frame.height / H, frame.width / W)
        down, across = (max(1, min(H, round(frame.height / scale))), max(1, min(W, round(frame.width / scale))))
        top, left = (H - down) // 2, (W - across) // 2
        return _resized(pixels[top : top + down, left : left + across], frame.height, frame.width)
    if frame.resize == "fit":
        height, width = inner_size(H, W, frame)
        canvas = np.full((frame.height, frame.width, C), frame.background, np.uint8)
        top, left = (frame.height - height) // 2, (frame.width - width) // 2
        canvas[top : top + height, left : left + width] = _resized(pixels, height, width)
        return canvas
    return _resized(pixels, frame.height, frame.width)


def inner_size(height: int, width: int, frame: Frame) -> tuple[int, int]:
    """Return the height and width that a picture gets before anything is cut off or added; for `crop` a little more
    or less than what is computed, as only its middle is."""
    scales = frame.height / height, frame.width / width
    if frame.resize == "stretch":
        return frame.height, frame.width
    scale = max(scales) if frame.resize == "crop" else min(scales)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _resized(pixels: Pixels, height: int, width: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    # Torch's uint8 kernel rounds like Pillow's, is several times faster, and lets go of the interpreter's lock.
    source = np.require(pixels, requirements=["C", "W"])
    source_1CHW = torch.from_numpy(source)[None].permute(0, 3, 1, 2)
    resized_1CHW = torch.nn.functional.interpolate(source_1CHW, (height, width), mode="bilinear", antialias=True)
    resized: Pixels = resized_1CHW[0].permute(1, 2, 0).numpy()
    return resized
