"""RandAugment on whole batches of bytes (Cubuk et al. 2019): each row draws operations; rows of one go together.

Operations that change a pixel by its value alone are tables of 256 entries, one for each row and channel.

Legend: n rows of one operation, H height, W width, C channels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from modelyard.data.images.warp import Affine, warp

__all__ = ["COLOURS", "GEOMETRY", "OPERATIONS", "luminance", "randaugment", "sums"]

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Colouring = Callable[[Pixels, Floats, float], Pixels]

_VALUES = np.arange(256, dtype=np.float64)
_WEIGHTS = np.array([0.299, 0.587, 0.114])
_STEEPEST = 30.0
"""Magnitude at which every operation is at its strongest."""


def randaugment(pixels: Pixels, magnitude: float, draws: npt.NDArray[np.float32]) -> Pixels:
    """Apply operations to uint8 pixels (B, H, W, C), one after the other.

    Args:
        magnitude: Strength of all operations, 0 to 30.
        draws: Two numbers in [0, 1) for each row and turn, (B, 2 · operations): which operation, and its direction.
    """
    pixels = pixels.copy()
    _, H, W, _ = pixels.shape
    level = magnitude / _STEEPEST
    for turn in range(draws.shape[1] // 2):
        choice = (draws[:, 2 * turn] * len(OPERATIONS)).astype(np.int64)
        sign = np.where(draws[:, 2 * turn + 1] < 0.5, -1.0, 1.0)
        affine, moved = Affine(), np.zeros(len(pixels), bool)
        for index, name in enumerate(OPERATIONS):
            chosen = choice == index
            if name in GEOMETRY:  # one interpolation serves all of them: each is nothing to the rows of the others
                affine = affine.then(GEOMETRY[name](np.where(chosen, level * sign, 0.0), H, W))
                moved |= chosen
            elif chosen.any():
                pixels[chosen] = COLOURS[name](pixels[chosen], sign[chosen], level)
        if moved.any():
            pixels[moved] = _warped(pixels[moved], affine.rows(moved))
    return pixels


def sums(pixels: Pixels) -> npt.NDArray[np.int64]:
    """Return each row's channels summed over all pixels, int64 (n, C)."""
    # Down the columns first: whole rows are added at a time, and 32 bit hold 2²⁴ of them.
    total: npt.NDArray[np.int64] = pixels.sum(axis=1, dtype=np.uint32).sum(axis=1, dtype=np.int64)
    return total


def luminance(means: Floats) -> Floats:
    """Return the brightness (n,) of mean colours (n, C): the only channel, or ITU-R BT.601's weighted sum of three."""
    if means.shape[1] == 1:
        return means[:, 0]
    weighted: Floats = means[:, 0] * _WEIGHTS[0] + means[:, 1] * _WEIGHTS[1] + means[:, 2] * _WEIGHTS[2]
    return weighted


def _mean_luminance(pixels: Pixels) -> Floats:
    return np.rint(luminance(sums(pixels) / (pixels.shape[1] * pixels.shape[2])))


def _bytes(values: Floats) -> Pixels:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _look_up(pixels: Pixels, tables: Pixels) -> Pixels:
    """Replace each pixel by its entry in its row's and channel's table (n, C or 1, 256)."""
    n, _, _, C = pixels.shape
    tables = np.broadcast_to(tables, (n, C, 256)).reshape(-1)
    start = (np.arange(n * C, dtype=np.int64) * 256).reshape(n, 1, 1, C)
    return tables[start + pixels]


def _identity(pixels: Pixels, sign: Floats, level: float) -> Pixels:
    return pixels


def _autocontrast(pixels: Pixels, sign: Floats, level: float) -> Pixels:
    """Stretch each channel's values over the whole range."""
    low = pixels.min(axis=1).min(axis=1).astype(np.float64)[:, :, None]
    high = pixels.max(axis=1).max(axis=1).astype(np.float64)[:, :, None]
    flat = high <= low
    stretched = (_VALUES - low) * (255 / np.where(flat, 1, high - low))
    return _look_up(pixels, _bytes(np.where(flat, _VALUES, stretched)))


def _equalize(pixels: Pixels, sign: Floats, level: float) -> Pixels:
    """Spread each channel's values so that all are equally frequent (histogram equalisation)."""
    n, H, W, C = pixels.shape
    start = (np.arange(n * C, dtype=np.int64) * 256).reshape(n, 1, 1, C)
    counts = np.bincount((start + pixels).ravel(), minlength=n * C * 256).reshape(n, C, 256)
    highest = 255 - np.argmax(counts[:, :, ::-1] > 0, axis=2)
    step = (H * W - np.take_along_axis(counts, highest[:, :, None], axis=2)) // 255
    below = np.cumsum(counts, axis=2) - counts
    spread = (below + step // 2) // np.maximum(step, 1)
    return _look_up(pixels, np.where(step == 0, np.arange(256), spread).clip(0, 255).astype(np.uint8))


def _solarize(pixels: Pixels, sign: Floats, level: float) -> Pixels:
    """Invert what is brighter than a threshold."""
    return np.where(pixels >= 256 * (1 - level), 255 - pixels, pixels)


def _posterize(pixels: Pixels, sign: Floats, level: float) -> Pixels:
    """Keep only the upper 8 to 4 bits."""
    return pixels & np.uint8(0xFF << round(4 * level) & 0xFF)


def _brightness(pixels: Pixels, sign: Floats, level: float) -> Pixels:
    factor = 1 + 0.9 * level * sign
    return _look_up(pixels, _bytes(_VALUES * factor[:, None, None]))


def _contrast(pixels: Pixels, sign: Floats, level: float) -> Pixels:
    factor, mean = (1 + 0.9 * level * sign)[:, None, None], _mean_luminance(pixels)[:, None, None]
    return _look_up(pixels, _bytes(mean + factor * (_VALUES - mean)))


def _colour(pixels: Pixels, sign: Floats, level: float) -> Pixels:
    """Less or more saturation; grey pictures stay."""
    if pixels.shape[3] == 1:
        return pixels
    red, green, blue = (pixels[..., channel].astype(np.float64) for channel in range(3))
    grey = np.rint(red * _WEIGHTS[0] + green * _WEIGHTS[1] + blue * _WEIGHTS[2])[..., None]
    return _bytes(grey + (1 + 0.9 * level * sign)[:, None, None, None] * (pixels - grey))


def _sharpness(pixels: Pixels, sign: Floats, level: float) -> Pixels:
    """Towards or away from a smoothed picture (each pixel five times, its eight neighbours once); the border stays."""
    if min(pixels.shape[1:3]) < 3:
        return pixels
    wide = pixels.astype(np.int64)
    columns = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    around = columns[:, :, :-2] + columns[:, :, 1:-1] + columns[:, :, 2:]
    inner = wide[:, 1:-1, 1:-1]
    smooth = np.rint((around + 4 * inner) / 13)
    result = pixels.copy()
    result[:, 1:-1, 1:-1] = _bytes(smooth + (1 + 0.9 * level * sign)[:, None, None, None] * (inner - smooth))
    return result


def _warped(pixels: Pixels, affine: Affine) -> Pixels:
    warped = warp(torch.from_numpy(pixels).to(torch.float32), affine)
    return warped.round_().to(torch.uint8).numpy()


COLOURS: dict[str, Colouring] = {
    "identity": _identity,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "solarize": _solarize,
    "colour": _colour,
    "posterize": _posterize,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
}
"""(uint8 pixels (n, H, W, C), direction ±1 (n,), strength 0 to 1) → uint8 pixels."""

GEOMETRY: dict[str, Callable[[Floats, int, int], Affine]] = {
    "rotate": lambda amount, H, W: Affine.turn(30 * amount),
    "shear_x": lambda amount, H, W: Affine.shear(across=0.3 * amount),
    "shear_y": lambda amount, H, W: Affine.shear(down=0.3 * amount),
    "translate_x": lambda amount, H, W: Affine.move(right=np.rint(0.45 * W * amount)),
    "translate_y": lambda amount, H, W: Affine.move(down=np.rint(0.45 * H * amount)),
}
"""(signed strength −1 to 1 (n,), H, W) → where pixels come from; a strength of 0 changes nothing."""

OPERATIONS = (*COLOURS, *GEOMETRY)
"""The paper's fourteen."""
