"""Pictures: files, encoded bytes or arrays of pixels in; normalised float tensors out.

Read values are fixed-size lists of height · width · channels bytes (row by row, channels last), so a column is stored
once at its final size and a batch is one gather, one conversion and one multiply-add.

Legend: n rows, B batch, H height, W width, C channels.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from PIL import Image as Pillow
from pydantic import Field, ValidationError, model_validator
from torch import Tensor

from modelyard.core.errors import BundleError, DataError
from modelyard.data.images.augment import Augment, augment
from modelyard.data.images.decode import encode_png
from modelyard.data.images.frame import Frame
from modelyard.data.images.image_values import Origin, Proposal, is_array, propose, read_images, share_of_images
from modelyard.data.images.pixels import claim_arrays, tensor_shape
from modelyard.data.kinds import Image as ImageInput
from modelyard.data.modalities.base import Column, Draw, Guess, Modality, Reading, Shown, State
from modelyard.data.modalities.partial import refusal
from modelyard.data.modalities.restoring import Checked
from modelyard.spec.settings import Settings

__all__ = ["Image", "ImageSettings"]

Shape = tuple[int, int, int]
Statistics = tuple[tuple[float, ...], tuple[float, ...]]

_LARGEST_SIDE = 4096
_FIXED: dict[str, Statistics] = {
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Mean and deviation of each channel that are not learned from the data."""


class ImageSettings(Settings):
    """How pictures are brought to one size and scale, and varied in training."""

    size: int | tuple[int, int] | None = None
    """[height, width] in pixels, or one number for both; none: from the data (for files, at most 224 a side)."""
    channels: Literal[1, 3] | None = None
    """1 (grey) or 3 (red, green, blue); none: from the data, 1 when all images looked at are grey."""
    resize: Literal["stretch", "crop", "fit"] = "stretch"
    """How another size is brought to this one. `stretch` keeps all of the image and changes its proportions; `crop`
    fills the size and cuts off evenly what stands over; `fit` keeps all of it and its proportions, between bars."""
    background: int = Field(255, ge=0, le=255)
    """Brightness seen through transparent pixels, and of the bars of `fit`; 255 is white."""
    normalise: Literal["dataset", "half", "imagenet", "none"] = "dataset"
    """`dataset`: each channel to mean 0 and deviation 1 over the training split; `half`: −1 to 1; `imagenet`: by the
    mean and deviation of ImageNet, as many pretrained models expect; `none`: 0 to 1."""
    augment: Augment = Augment()
    """How training images are varied; not at all unless said."""
    max_pixels: int = Field(64_000_000, ge=1, le=2_000_000_000)
    """An image of more pixels is refused by its header and never decoded."""
    urls: bool = False
    """Whether values that are URLs (https://, s3:// …) are fetched; if not, they are problems: never online unasked."""

    @model_validator(mode="after")
    def _consistent(self) -> ImageSettings:
        if self.sides is not None and not all(1 <= side <= _LARGEST_SIDE for side in self.sides):
            raise ValueError(
                f"size is {self.size}; expected [height, width] or one number, each from 1 to {_LARGEST_SIDE}"
            )
        conflict = self.conflict(self.sides, self.channels)
        if conflict:
            raise ValueError(conflict)
        return self

    def conflict(self, sides: tuple[int, int] | None, channels: int | None) -> str:
        """Say which setting does not go with images of this height, width and channels; empty when all do."""
        if channels == 1 and self.normalise == "imagenet":
            return "normalise: imagenet is for colour images; set channels: 3, or normalise: dataset"
        if channels == 1 and (self.augment.saturation > 0 or self.augment.hue > 0):
            return "augment.saturation and hue do nothing to grey images; leave them out, or set channels: 3"
        if sides is not None and self.augment.crop > min(sides):
            return f"augment.crop is {self.augment.crop}, more than the image's smaller side ({min(sides)})"
        return ""

    @property
    def sides(self) -> tuple[int, int] | None:
        """Height and width; None when not said."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


class _Partial(Checked):
    images: int
    missing: int
    totals: Annotated[list[int], Field(min_length=3, max_length=3)]
    squares: Annotated[list[int], Field(min_length=3, max_length=3)]
    shape: Annotated[list[int], Field(min_length=3, max_length=3)] | None
    converted: dict[str, int]


class Image(Modality):
    """A column of pictures. Read values are FixedSizeList<uint8>[H·W·C], stored columns uint8 (n, H, W, C).

    A plainly missing picture stays null when read and is stored as black pixels; `summary` says how many there were.
    """

    Settings = ImageSettings
    name = "image"
    kind = "image"
    encodes_before_fit = True
    settings: ImageSettings

    def __init__(self, column: str, settings: ImageSettings, role: str = "input") -> None:
        """Store; see the base class."""
        super().__init__(column, settings, role)
        self._shape: Shape | None = None
        if settings.sides is not None and settings.channels is not None:
            self._shape = (*settings.sides, settings.channels)
        self._statistics: Statistics | None = None
        self._images = self._missing = 0
        self._totals, self._squares = [0, 0, 0], [0, 0, 0]
        self._converted: Counter[str] = Counter()
        self._scale = self._offset = torch.empty(0)

    @property
    def shape(self) -> Shape | None:
        """Height, width and channels of a read value; None until settings, an inspection or the first values say."""
        return self._shape

    # -- before training ------------------------------------------------------------------------------------------

    @classmethod
    def infer(cls, values: pa.Array, column: str, folder: str = "") -> Guess | None:
        """Claim arrays that look like pixels, encoded images, and paths with an image's ending; propose a size.

        Files that cannot be opened from `folder` leave the size open: `read` settles it by the first files it is given.
        """
        values = _plain(values).drop_null()
        if not len(values):
            return None
        if tensor_shape(values.type) is not None:
            claim = claim_arrays(values)
            return None if claim is None else Guess(claim[0], claim[1], {"size": claim[2][:2], "channels": claim[2][2]})
        share, what = share_of_images(values)
        if share < 0.9:
            return None
        seen = f"{share:.0%} of the values are {what}"
        proposal = propose(values, Origin(folder))
        if proposal is None:
            return Guess(0.95 * share, f"{seen}; none can be opened from here, so the first ones read decide the size")
        size = {"size": (proposal.height, proposal.width), "channels": proposal.channels}
        return Guess(0.95 * share, f"{seen}; {proposal.why}", size)

    def read(self, values: pa.Array, folder: str = "") -> Reading:
        """Bring pictures to bytes of the column's size and channels; see the base class.

        Takes paths (relative to `folder`), encoded bytes, structs of both (`bytes`, `path`), and arrays or lists of
        whole numbers from 0 to 255 or fractions from 0 to 1: (H, W), (H, W, C), (C, H, W) or, when the size is said,
        flat in H, W, C order. Files are decoded in as many threads as there are cores. While neither the spec nor an
        inspection has said size and channels, the first values settle them: an array's own, or the commonest of the
        first files (at most 224 a side).

        Raises:
            DataError: A setting does not go with the size or channels that the data settled.
        """
        values = _plain(values)
        if self._shape is not None and values.type == _list_type(self._shape):
            return Reading(values)
        origin = Origin(folder, self.settings.max_pixels, self.settings.urls)
        if self._shape is None:
            proposal = propose(values, origin, self.settings.sides)
            if proposal is not None:
                self._shape = self._agreed(proposal)
        if self._shape is None:
            return Reading(pa.nulls(len(values), _list_type((0, 0, 0))), self._unsized(values, origin))
        frame = Frame(*self._shape, self.settings.resize, self.settings.background)
        found = read_images(values, frame, origin)
        self._converted.update(note for said in found.notes.values() for note in said)
        notes = {row: "; ".join(said) for row, said in found.notes.items()}
        kind = _list_type(self._shape)
        if len(found.positions) == len(values):
            flat = pa.array(np.ascontiguousarray(found.pixels).reshape(-1))
            return Reading(pa.FixedSizeListArray.from_arrays(flat, type=kind), found.problems, notes)
        spread = np.zeros((len(values), kind.list_size), np.uint8)
        spread[found.positions] = found.pixels.reshape(len(found.positions), kind.list_size)
        missing = np.ones(len(values), bool)
        missing[found.positions] = False
        flat = pa.array(spread.reshape(-1))
        values = pa.FixedSizeListArray.from_arrays(flat, type=kind, mask=pa.array(missing))
        return Reading(values, found.problems, notes)

    def _unsized(self, values: pa.Array, origin: Origin) -> Mapping[int, str]:
        """Say what is wrong with each of these values, none of which tells a size."""
        if not is_array(values.type):
            return read_images(values, Frame(1, 1, 3), origin).problems  # no header could be read: nothing is decoded
        what = "the size of the image is not said; set `size` and `channels` on this column"
        return dict.fromkeys(np.flatnonzero(np.asarray(values.is_valid())).tolist(), what)

    def _agreed(self, proposal: Proposal) -> Shape:
        """Return what the spec says, and what it leaves open as proposed.

        Raises:
            DataError: A setting does not go with what the data turned out to be.
        """
        sides = self.settings.sides or (proposal.height, proposal.width)
        channels = self.settings.channels or proposal.channels
        conflict = self.settings.conflict(sides, channels)
        if conflict:
            raise DataError(f"the images of {self.column!r} are {_words(*sides, channels)}s: {conflict}")
        return (*sides, channels)

    def row_bytes(self) -> int:
        size = self.settings.size or 224
        height, width = (size, size) if isinstance(size, int) else size
        return height * width * (self.settings.channels or 3)

    def partial_fit(self, values: pa.Array) -> None:
        """Count pictures, and add up each channel's values and squares as whole numbers: chunks make no difference."""
        self._missing += values.null_count
        count = len(values) - values.null_count
        if not count:
            return
        self._images += count
        if self.settings.normalise != "dataset":
            return
        assert self._shape is not None
        channels = self._shape[2]
        pixels = self._bytes(values.drop_null() if values.null_count else values).reshape(-1)
        values, mode = np.arange(256), "RGB" if channels == 3 else "L"
        for start in range(0, len(pixels), channels << 18):
            # How often each value occurs says all, in whole numbers: exact in any order.
            part = pixels[start : start + (channels << 18)]
            picture = Pillow.frombuffer(mode, (len(part) // channels, 1), part, "raw", mode, 0, 1)
            counts = np.array(picture.histogram(), np.int64).reshape(channels, 256)
            for channel in range(channels):
                self._totals[channel] += int(counts[channel] @ values)
                self._squares[channel] += int(counts[channel] @ values**2)

    def finish_fit(self) -> None:
        """Settle each channel's mean and deviation; see the base class."""
        if self._shape is None or not self._images:
            raise DataError(
                f"column {self.column!r} has no readable image in the training split "
                f"({self._missing} missing or unreadable)"
            )
        H, W, C = self._shape
        if self.settings.normalise != "dataset":
            mean, std = _FIXED[self.settings.normalise]
            self._settle((mean[:C], std[:C]))
            return
        n = self._images * H * W
        means = tuple(total / n / 255 for total in self._totals[:C])
        # Exact until the last division. A channel of one value everywhere is only shifted.
        deviations = tuple(
            math.sqrt((n * square - total * total) / (n * n)) / 255 or 1.0
            for total, square in zip(self._totals[:C], self._squares[:C], strict=True)
        )
        self._settle((means, deviations))

    def _settle(self, statistics: Statistics) -> None:
        """Keep what turns a byte into a normalised number, pixel · scale + offset, for a whole row of pixels."""
        assert self._shape is not None
        self._statistics = statistics
        mean, std = np.array(statistics[0]), np.array(statistics[1])
        # Of one channel a single number, which is quicker than one for each column of pixels.
        width = 1 if self._shape[2] == 1 else self._shape[1]
        self._scale = torch.from_numpy((1 / (255 * std)).astype(np.float32)).repeat(width)
        self._offset = torch.from_numpy((-mean / std).astype(np.float32)).repeat(width)

    def partial_state(self) -> State:
        """Return size, counts and totals so far."""
        counts: dict[str, Any] = {"images": self._images, "missing": self._missing, "totals": [*self._totals]}
        counts |= {"squares": [*self._squares], "shape": self._shape and [*self._shape]}
        return State({**counts, "converted": dict(self._converted)})

    def restore_partial(self, state: State) -> None:
        """Take over size, counts and totals; see the base class."""
        try:
            found = _Partial.model_validate(state.json)
        except ValidationError as error:
            raise refusal(self.column, str(error)) from error
        self._images, self._missing = found.images, found.missing
        self._totals, self._squares = list(found.totals), list(found.squares)
        self._shape = None if found.shape is None else (found.shape[0], found.shape[1], found.shape[2])
        self._converted = Counter(found.converted)

    def state(self) -> State:
        """Return size, channels, and each channel's mean and deviation on a scale of 0 to 1."""
        (H, W, C), (mean, std) = self._fitted()
        return State({"size": [H, W], "channels": C, "mean": list(mean), "std": list(std)})

    def restore(self, state: State) -> None:
        """Take over a state; see the base class."""
        self._shape, statistics = _checked(state, self.column, self.settings)
        self._settle(statistics)

    def _fitted(self) -> tuple[Shape, Statistics]:
        if self._shape is None or self._statistics is None:
            raise DataError(f"image column {self.column!r} is not fitted yet; call finish_fit or restore first")
        return self._shape, self._statistics

    # -- as an input ----------------------------------------------------------------------------------------------

    def describe(self) -> ImageInput:
        """Return the column's name, channels, height and width."""
        H, W, C = self._fitted()[0]
        return ImageInput(self.column, (self.column,), C, H, W)

    def encode(self, values: pa.Array) -> dict[str, Column]:
        """Return `pixels`: uint8 (n, H, W, C); a missing picture is black."""
        return {"pixels": self._bytes(values).reshape(len(values), *(self._shape or (0, 0, 0)))}

    def _bytes(self, values: pa.Array) -> npt.NDArray[np.uint8]:
        """Return read values as uint8 (n, H·W·C), without a copy where none is missing."""
        kind = _list_type(self._shape or (0, 0, 0))
        if values.type != kind:
            raise DataError(
                f"image column {self.column!r}: expected read values ({kind}), got {values.type}; read them first"
            )
        if not values.null_count:
            whole: npt.NDArray[np.uint8] = values.flatten().to_numpy().reshape(len(values), kind.list_size)
            return whole
        full = np.zeros((len(values), kind.list_size), np.uint8)
        present = np.asarray(values.is_valid())
        full[present] = values.flatten().to_numpy().reshape(int(present.sum()), kind.list_size)
        return full

    def from_stored(self, parts: Mapping[str, Column]) -> pa.Array:
        """Return stored pixels as read values."""
        assert self._shape is not None, "the size is known once images were read"
        pixels = np.asarray(parts["pixels"], np.uint8)
        return pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), type=_list_type(self._shape))

    def collate(self, parts: Mapping[str, Column], draw: Draw | None) -> dict[str, Tensor]:
        """Return `NAME.pixels`: float32 (B, C, H, W), channels last in memory; augmented when there is a draw."""
        (H, W, C), (mean, _) = self._fitted()
        pixels = parts["pixels"]
        assert isinstance(pixels, np.ndarray)
        if not pixels.flags.writeable or not pixels.flags.c_contiguous:  # torch warns of memory it must not write to
            pixels = pixels.copy()
        if draw is None or not len(pixels) or not self.settings.augment.active:
            images = torch.from_numpy(pixels).to(torch.float32)
        else:
            fill = np.array(mean, np.float32) * np.float32(255)
            images = augment(pixels, self.settings.augment, draw, f"augment.{self.column}", fill)
        images.view(len(pixels), H, W * C).mul_(self._scale).add_(self._offset)
        return {f"{self.column}.pixels": images.permute(0, 3, 1, 2)}

    # -- for people -----------------------------------------------------------------------------------------------

    def show(self, value: Any) -> Shown:
        """Return the picture as read: a PNG of at most 256 pixels a side; small ones are enlarged without smoothing."""
        if value is None:
            return Shown("image", "no image")
        if self._shape is None:
            raise DataError(
                f"image column {self.column!r} has no size yet; read images, or restore, before showing one"
            )
        H, W, C = self._shape
        pixels = np.asarray(value, np.uint8).reshape(self._shape)
        return Shown("image", _words(H, W, C), encode_png(pixels, longest=256, enlarge_to=128))

    def summary(self) -> dict[str, Any]:
        """Return size and normalisation; after a fit also how many images it saw and how many were missing, and what
        this object converted while reading (animated, 16 bit, transparent, mislabelled …), with counts."""
        (H, W, C), (mean, std) = self._fitted()
        learned: dict[str, Any] = {"height": H, "width": W, "channels": C, "mean": list(mean), "std": list(std)}
        if self._images:
            learned |= {"images": self._images, "missing": self._missing}
        return learned | ({"converted": dict(sorted(self._converted.items()))} if self._converted else {})


def _words(height: int, width: int, channels: int) -> str:
    return f"{width}×{height} {'grey' if channels == 1 else 'colour'} image"


def _plain(values: pa.Array) -> pa.Array:
    """Return values whose type Arrow can filter: neither dictionaries nor views."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_string_view(values.type):
        return values.cast(pa.large_string())
    return values.cast(pa.large_binary()) if pa.types.is_binary_view(values.type) else values


def _list_type(shape: Shape) -> pa.FixedSizeListType:
    return pa.list_(pa.uint8(), math.prod(shape))


def _checked(state: State, column: str, settings: ImageSettings) -> tuple[Shape, Statistics]:
    """Return what a state holds.

    Raises:
        BundleError: No fitted image column of these settings could have written it.
    """

    def refuse(what: str) -> BundleError:
        return BundleError(
            f"the fitted state of image column {column!r} {what}; the bundle is damaged or of another spec"
        )

    def numbers(key: str, low: float) -> tuple[float, ...]:
        found = state.json[key]
        if not isinstance(found, list) or len(found) != channels:
            raise refuse(f"has {key} {found!r}, expected {channels} numbers")
        if not all(type(number) in (int, float) and low <= number <= 1 for number in found):
            raise refuse(f"has {key} {found!r}, expected numbers from {low:g} to 1")
        return tuple(float(number) for number in found)

    keys = {"size", "channels", "mean", "std"}
    if not isinstance(state.json, Mapping) or set(state.json) != keys or state.files:
        raise refuse(f"is not exactly {', '.join(sorted(keys))}")
    size, channels = state.json["size"], state.json["channels"]
    if type(channels) is not int or channels not in (1, 3) or channels != (settings.channels or channels):
        raise refuse(f"has channels {channels!r}, expected {settings.channels or '1 or 3'}")
    sides = tuple(size) if isinstance(size, list) else ()
    if len(sides) != 2 or not all(type(side) is int and 1 <= side <= _LARGEST_SIDE for side in sides):
        raise refuse(f"has size {size!r}, expected [height, width], each from 1 to {_LARGEST_SIDE}")
    if settings.sides is not None and sides != settings.sides:
        raise refuse(f"has size {size!r}, expected {list(settings.sides)} by the spec")
    mean, std = numbers("mean", 0.0), numbers("std", 1e-12)
    fixed = _FIXED.get(settings.normalise)
    if fixed is not None and (mean, std) != (fixed[0][:channels], fixed[1][:channels]):
        raise refuse(f"has mean {list(mean)} and std {list(std)}, which normalise: {settings.normalise} does not")
    return (sides[0], sides[1], channels), (mean, std)
