"""Encoded images in, uint8 pixels out: for files nobody has vetted.

The header is read first, and an image of too many pixels is never decoded. Formats come from a closed list, without
those whose readers start another program. What cannot be decoded raises `DataError` with its cause; what was converted
on the way is named in `Decoded.notes`.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL.ImageFile import ImageFile

from modelyard.core.errors import DataError
from modelyard.data.images.cell_files import short_name
from modelyard.data.images.frame import Frame, fit_pixels, inner_size

__all__ = [
    "ENDINGS",
    "Decoded",
    "Header",
    "decode",
    "encode_png",
    "is_image",
    "look",
]

Pillow.init()  # makes all formats known that this Pillow was built with
_FORMATS = tuple(
    name for name in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF") if name in Pillow.OPEN
)
ENDINGS = {
    ".png": "PNG",
    ".apng": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".gif": "GIF",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pbm": "PPM",
    ".jp2": "JPEG2000",
    ".avif": "AVIF",
}
"""File endings of images, lower case, and the format each promises."""

_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    ZeroDivisionError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
    Pillow.DecompressionBombError,  # some readers look at the size of a frame within by Pillow's own limit
    Warning,  # for those who turn warnings into errors
)
"""What Pillow's decoders raise on damaged input. Running out of memory is not the image's fault and goes through."""

_ORIENTATION = 0x0112
_TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
"""EXIF orientation → what brings the picture upright."""


@dataclass(frozen=True)
class Header:
    """What an encoded image says about itself before it is decoded."""

    format: str
    height: int
    width: int
    """Size in pixels, upright."""
    grey: bool


@dataclass(frozen=True)
class Decoded:
    """A picture, ready to store."""

    pixels: npt.NDArray[np.uint8]
    """(height, width, channels)."""
    format: str
    notes: tuple[str, ...]
    """What was converted on the way: `"16 bit scaled to 8"`, `"animated: first frame taken"` …"""


def is_image(content: bytes) -> bool:
    """Say whether bytes start like an image of a known format."""
    return any(_accepts(name, content[:16]) for name in _FORMATS)


def look(content: bytes, max_pixels: int) -> Header:
    """Read an encoded image's header.

    Raises:
        DataError: It is empty, no image, or has more than `max_pixels` pixels.
    """
    image = _open(content, max_pixels)
    width, height = image.size
    if image.format in ("JPEG", "MPO") and _orientation(image, []) >= 5:
        width, height = height, width
    return Header(
        _format(image), height, width, image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode[:2] == "I;"
    )


def decode(content: bytes, frame: Frame, max_pixels: int) -> Decoded:
    """Decode an encoded image: upright by its EXIF, first frame, on the frame's size and channels.

    Transparent pixels are laid on the frame's background; 16 bit are scaled to 8, not clipped.

    Raises:
        DataError: It is empty, truncated, damaged, no image, of more than `max_pixels` pixels (then it is not decoded),
            or its numbers have no stated range (32 bit, floating point).
    """
    image = _open(content, max_pixels)
    notes: list[str] = []
    jpeg = image.format in ("JPEG", "MPO")
    turned = _orientation(image, []) if image.format == "TIFF" else 1  # whose reader turns the picture itself
    turn = _orientation(image, notes) if jpeg else 1
    width, height = image.size
    if jpeg:
        _reduce(image, frame, swapped=turn >= 5)
    try:
        if not jpeg and getattr(image, "is_animated", False):
            notes.append("several frames or pages: first taken")
        image.load()
    except _FAULTS as error:
        what = "truncated" if "truncated" in str(error).lower() or isinstance(error, EOFError) else "damaged"
        about = f"{_format(image)} of {width}×{height} pixels in {len(content)} bytes"
        raise DataError(f"{what} {about}: {short_name(str(error))}") from error
    if not jpeg:
        turn = _orientation(image, notes)
    picture: Pillow.Image = image
    try:
        if turn in _TURNS or turned in _TURNS:
            notes.append("EXIF orientation applied")
        if turn in _TURNS:
            picture = picture.transpose(_TURNS[turn])
        picture = _recolour(picture, _format(image), frame, notes)
        pixels = np.array(picture).reshape(picture.height, picture.width, frame.channels)
    except _FAULTS as error:
        raise DataError(
            f"{_format(image)} of mode {image.mode} cannot be converted: {short_name(str(error))}"
        ) from error
    return Decoded(fit_pixels(pixels, frame), _format(image), tuple(notes))


def encode_png(pixels: npt.NDArray[np.uint8], longest: int, enlarge_to: int) -> bytes:
    """Return pixels (h, w, 1 or 3) as a PNG of at most `longest` pixels a side; small pictures are
    enlarged by a whole factor to at most `enlarge_to`, without smoothing."""
    height, width, channels = pixels.shape
    picture = Pillow.fromarray(pixels[:, :, 0] if channels == 1 else np.ascontiguousarray(pixels))
    factor = enlarge_to // max(height, width)
    if factor > 1:
        picture = picture.resize((width * factor, height * factor), Pillow.Resampling.NEAREST)
    elif max(height, width) > longest:
        scale = longest / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = picture.resize(size, Pillow.Resampling.BILINEAR)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _accepts(name: str, prefix: bytes) -> bool:
    accept = Pillow.OPEN[name][1]
    return accept is not None and accept(prefix) is True


def _open(content: bytes, max_pixels: int) -> ImageFile:
    """Open lazily, by the format's own reader: `PIL.Image.open` judges sizes by a limit global to the process."""
    if not content:
        raise DataError("empty (0 bytes)")
    names = [name for name in _FORMATS if _accepts(name, content[:16])]
    if not names:
        raise DataError(
            f"not an image: {len(content)} bytes that start with {content[:12]!r}; known: {', '.join(_FORMATS)}"
        )
    fault: Exception | None = None
    for name in names:
        try:
            image = Pillow.OPEN[name][0](io.BytesIO(content), "")
        except _FAULTS as error:
            fault = error
            continue
        width, height = image.size
        if width * height > max_pixels:
            raise DataError(f"{width}×{height} pixels, more than the {max_pixels} that max_pixels allows; not decoded")
        if width < 1 or height < 1:
            raise DataError(f"{width}×{height} pixels: an image without pixels")
        return image
    raise DataError(f"damaged or truncated {names[0]} of {len(content)} bytes: {short_name(str(fault))}") from fault


def _format(image: ImageFile) -> str:
    # A JPEG with further pictures behind the first, as cameras write them, is a JPEG to everybody.
    return "JPEG" if image.format == "MPO" else str(image.format)


def _orientation(image: ImageFile, notes: list[str]) -> int:
    exif = image.info.get("exif")
    try:
        turn = image.getexif().get(_ORIENTATION, 1)
    except _FAULTS:
        turn = None
    if turn is None or (isinstance(exif, bytes) and _is_broken(exif)):
        notes.append("broken EXIF ignored")
    return turn if isinstance(turn, int) and turn in _TURNS else 1


def _is_broken(exif: bytes) -> bool:
    """Say whether EXIF lacks its header or points outside itself: Pillow takes such for empty."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<I", b"MM\0*": ">I"}.get(exif[:4])
    return order is None or len(exif) < 8 or struct.unpack(order, exif[4:8])[0] + 2 > len(exif)


def _reduce(image: ImageFile, frame: Frame, swapped: bool) -> None:
    """Let the JPEG decoder itself halve the picture, up to three times.

    To no less than the wanted size where that divides it evenly, else to no less than twice: a pixel at the edge that
    stands for less of the picture than the others shifts what is made of them.

    It leaves out the finest frequencies of each block: several times faster than decoding all, and a little sharper
    than averaging afterwards.
    """
    width, height = image.size
    down, across = inner_size(width, height, frame)[::-1] if swapped else inner_size(height, width, frame)
    for factor in (8, 4, 2):
        even = width % factor == 0 and height % factor == 0
        least = factor if even else 2 * factor
        if width >= least * across and height >= least * down:
            image.draft(image.mode, (width // factor, height // factor))
            return


def _recolour(picture: Pillow.Image, kind: str, frame: Frame, notes: list[str]) -> Pillow.Image:
    """Bring any mode to grey or red-green-blue with 8 bit a channel."""
    if picture.mode[:2] == "I;" or (picture.mode == "I" and kind in ("PNG", "PPM", "JPEG2000")):
        deep = np.asarray(picture.convert("I"))
        picture = Pillow.fromarray(((deep + 128) // 257).clip(0, 255).astype(np.uint8))  # 65535 / 255 = 257
        notes.append("16 bit scaled to 8")
    elif picture.mode in ("I", "F"):
        raise DataError(f"pixels of mode {picture.mode} have no stated range; save them with 8 or 16 bit a channel")
    elif picture.mode == "CMYK":
        notes.append("CMYK converted")
    elif picture.mode in ("P", "PA") and kind != "GIF":  # a GIF always has one
        notes.append("palette turned into colours")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        if layer.getchannel("A").getextrema() != (255, 255):
            notes.append("transparency laid on the background")
            base = Pillow.new("RGBA", layer.size, (frame.background, frame.background, frame.background, 255))
            base.alpha_composite(layer)
            layer = base
        picture = layer.convert("RGB")
    mode = "L" if frame.channels == 1 else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)
