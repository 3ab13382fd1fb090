"""What happens to inputs in nature: noise, blur, typos, missing and unseen values; and which modality meets which.

A corruption works on read values (Arrow, as `Modality.read` returns them) and returns as many of the same type; the
model's own encoding follows. Missing values stay missing. For pictures: Hendrycks and Dietterich 2019, on pixels of the
model's size. Severity goes from 1 (slight) to 3 (strong).

Legend: n rows, H height, W width, C channels.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from PIL import Image as Pillow
from PIL import ImageFilter

from modelyard.data.images.warp import Affine, warp
from modelyard.data.kinds import Image
from modelyard.data.modalities.base import Modality

__all__ = ["CORRUPTIONS", "Change", "Corruption", "missing"]

Random = np.random.Generator
Change = Callable[[Modality, pa.Array, int, Random], pa.Array]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Corruption:
    """One thing that happens to values of one modality."""

    name: str
    change: Change
    """(modality, read values, severity, source of randomness) → values."""
    severities: tuple[int, ...] = (1, 2, 3)


def missing(modality: Modality, values: pa.Array, severity: int, random: Random) -> pa.Array:
    """Take a whole column away: as many values of the same type, all missing. For every modality."""
    return pa.nulls(len(values), values.type)


# -- cells of a table -------------------------------------------------------------------------------------------------

_SHARE = {1: 0.1, 2: 0.3, 3: 1.0}
_SOME = {1: 0.05, 2: 0.15, 3: 0.4}


def _noise(modality: Modality, values: pa.Array, severity: int, random: Random) -> pa.Array:
    """Add Gaussian noise of 10%, 30% or 100% of the deviation that the column had in training."""
    numbers = np.asarray(values.to_numpy(zero_copy_only=False), np.float64)
    spread = _SHARE[severity] * float(modality.summary()["deviation"])
    return pa.array(numbers + spread * random.standard_normal(len(numbers)), values.type, from_pandas=True)


def _missing_cells(modality: Modality, values: pa.Array, severity: int, random: Random) -> pa.Array:
    """Lose 5%, 15% or 40% of the values."""
    kept = random.random(len(values)) >= _SOME[severity]
    return values.take(pa.array(np.arange(len(values)), mask=~kept))


def _unseen(modality: Modality, values: pa.Array, severity: int, random: Random) -> pa.Array:
    """Put a value that training never saw in 5%, 15% or 40% of the cells."""
    word = "a value that training never saw"
    while word in getattr(modality, "labels", ()):
        word += "!"
    hit = (random.random(len(values)) < _SOME[severity]) & np.asarray(values.is_valid())
    texts = values.to_pylist()
    return pa.array([word if new else text for new, text in zip(hit, texts, strict=True)], values.type)


# -- texts ------------------------------------------------------------------------------------------------------------

_TYPOS = {1: 0.02, 2: 0.05, 3: 0.1}
_DROPPED = {1: 0.1, 2: 0.25, 3: 0.5}
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_PIECE = re.compile(r"\s+|\S+")


def _neighbours() -> dict[str, str]:
    """Keys beside and below each other on a QWERTY keyboard."""
    found: dict[str, str] = {}
    for number, keys in enumerate(_ROWS):
        for at, key in enumerate(keys):
            beside = keys[max(0, at - 1) : at] + keys[at + 1 : at + 2]
            above = _ROWS[number - 1][at : at + 2] if number else ""
            below = _ROWS[number + 1][max(0, at - 1) : at + 1] if number + 1 < len(_ROWS) else ""
            found[key] = beside + above + below
    return found


_KEYS = _neighbours()


def _each(values: pa.Array, change: Callable[[str], str]) -> pa.Array:
    return pa.array([None if text is None else change(text) for text in values.to_pylist()], values.type)


def _typos(modality: Modality, values: pa.Array, severity: int, random: Random) -> pa.Array:
    """At 2%, 5% or 10% of the characters: swap it with the next, drop it, or add a neighbouring key's."""

    def change(text: str) -> str:
        hit = np.flatnonzero(random.random(len(text)) < _TYPOS[severity])
        kinds, keys = random.integers(0, 3, len(hit)), random.integers(0, 1 << 16, len(hit))
        letters = list(text)
        for at, kind, key in zip(hit[::-1].tolist(), kinds.tolist(), keys.tolist(), strict=True):
            if kind == 0 and at + 1 < len(letters):
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
            elif kind == 1:
                letters[at] = ""
            else:
                near = _KEYS.get(letters[at].lower()[:1], letters[at])  # a letter of no key is doubled
                letters[at] += near[key % len(near)] if near else ""
        return "".join(letters)

    return _each(values, change)


def _lower(modality: Modality, values: pa.Array, severity: int, random: Random) -> pa.Array:
    return _each(values, str.lower)


def _upper(modality: Modality, values: pa.Array, severity: int, random: Random) -> pa.Array:
    return _each(values, str.upper)


def _dropped_words(modality: Modality, values: pa.Array, severity: int, random: Random) -> pa.Array:
    """Leave out 10%, 25% or 50% of the words; of the characters, in a text without spaces."""

    def change(text: str) -> str:
        pieces = _PIECE.findall(text)
        if len(pieces) < 2:
            pieces = list(text)
        kept = random.random(len(pieces)) >= _DROPPED[severity]
        return "".join(piece for piece, keep in zip(pieces, kept, strict=True) if keep or piece.isspace())

    return _each(values, change)


def _cut(modality: Modality, values: pa.Array, severity: int, random: Random) -> pa.Array:
    """Keep the first half of the characters."""
    return _each(values, lambda text: text[: (len(text) + 1) // 2])


# -- pictures ---------------------------------------------------------------------------------------------------------


def _pictures(change: Callable[[Pixels, int, Random], Pixels]) -> Change:
    """Let a function of pixels, uint8 (n, H, W, C), work on read pictures."""

    def whole(modality: Modality, values: pa.Array, severity: int, random: Random) -> pa.Array:
        size = modality.describe()
        assert isinstance(size, Image)
        present = np.asarray(values.is_valid())
        seen = values.drop_null() if values.null_count else values
        if not len(seen):
            return values
        pixels = seen.flatten().to_numpy().reshape(len(seen), size.height, size.width, size.channels)
        changed = np.ascontiguousarray(change(pixels, severity, random))
        result = pa.FixedSizeListArray.from_arrays(pa.array(changed.reshape(-1)), type=values.type)
        if len(seen) == len(values):
            return result
        return result.take(pa.array(np.cumsum(present) - 1, mask=~present))

    return whole


def _bytes(values: npt.NDArray[Any]) -> Pixels:
    pixels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def _pixel_noise(pixels: Pixels, severity: int, random: Random) -> Pixels:
    """Gaussian noise of 4%, 8% or 16% of the full range."""
    spread = np.float32(255 * {1: 0.04, 2: 0.08, 3: 0.16}[severity])
    return _bytes(pixels.astype(np.float32) + spread * random.standard_normal(pixels.shape, np.float32))


def _blur(pixels: Pixels, severity: int, random: Random) -> Pixels:
    """A Gaussian blur of a deviation of 1, 2 or 3 parts in 112 of the shorter side, and at least 0.4, 0.8 or 1.2."""
    radius = severity * max(0.4, min(pixels.shape[1:3]) / 112)
    return _by_pillow(pixels, lambda picture: picture.filter(ImageFilter.GaussianBlur(radius)))


def _jpeg(pixels: Pixels, severity: int, random: Random) -> Pixels:
    """Compressed as JPEG at quality 40, 20 or 10."""
    quality = {1: 40, 2: 20, 3: 10}[severity]

    def change(picture: Pillow.Image) -> Pillow.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Pillow.open(file)

    return _by_pillow(pixels, change)


def _by_pillow(pixels: Pixels, change: Callable[[Pillow.Image], Pillow.Image]) -> Pixels:
    result = np.empty_like(pixels)
    is_grey = pixels.shape[3] == 1
    for row, picture in enumerate(pixels):
        changed = change(Pillow.fromarray(picture[:, :, 0] if is_grey else picture))
        result[row] = np.asarray(changed).reshape(pixels.shape[1:])
    return result


def _brightness(pixels: Pixels, severity: int, random: Random) -> Pixels:
    """Lighter in half of the pictures, darker in the others, by 10%, 20% or 30% of the full range."""
    step = np.float32(255 * {1: 0.1, 2: 0.2, 3: 0.3}[severity])
    sign = np.where(random.random((len(pixels), 1, 1, 1)) < 0.5, np.float32(-1), np.float32(1))
    return _bytes(pixels.astype(np.float32) + step * sign)


def _contrast(pixels: Pixels, severity: int, random: Random) -> Pixels:
    """Drawn towards each picture's mean: 60%, 40% or 20% of its contrast is left."""
    left = np.float32({1: 0.6, 2: 0.4, 3: 0.2}[severity])
    mean = pixels.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64).astype(np.float32)
    return _bytes(mean + left * (pixels.astype(np.float32) - mean))


def _moved(pixels: Pixels, severity: int, random: Random) -> Pixels:
    """Turned by up to 5°, 10° or 20° and shifted by up to 4%, 8% or 12% of each side; what enters mirrors the edge."""
    turn, step = {1: (5.0, 0.04), 2: (10.0, 0.08), 3: (20.0, 0.12)}[severity]
    drawn = random.uniform(-1, 1, (3, len(pixels)))
    affine = Affine.turn(turn * drawn[0]).then(
        Affine.move(step * pixels.shape[2] * drawn[1], step * pixels.shape[1] * drawn[2])
    )
    return _bytes(warp(torch.from_numpy(pixels.astype(np.float32)), affine, "reflect").numpy())


CORRUPTIONS: dict[str, tuple[Corruption, ...]] = {
    "number": (Corruption("noise", _noise), Corruption("missing values", _missing_cells)),
    "category": (Corruption("missing values", _missing_cells), Corruption("unseen values", _unseen)),
    "labels": (Corruption("missing values", _missing_cells),),
    "text": (
        Corruption("typos", _typos),
        Corruption("lower case", _lower, (1,)),
        Corruption("upper case", _upper, (1,)),
        Corruption("dropped words", _dropped_words),
        Corruption("cut in half", _cut, (3,)),
    ),
    "image": (
        Corruption("noise", _pictures(_pixel_noise)),
        Corruption("blur", _pictures(_blur)),
        Corruption("brightness", _pictures(_brightness)),
        Corruption("contrast", _pictures(_contrast)),
        Corruption("JPEG compression", _pictures(_jpeg)),
        Corruption("shift and rotation", _pictures(_moved)),
    ),
}
"""What values of each modality, by its name, meet. A modality that is not named is only taken away as a whole."""
