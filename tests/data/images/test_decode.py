"""Encoded images nobody has vetted: each decodes to the right pixels, or raises a DataError that says why."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from modelyard.core.errors import DataError
from modelyard.data.images.decode import decode, encode_png, is_image, look
from modelyard.data.images.frame import Frame, fit_pixels

LIMIT = 64_000_000


def saved(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def smooth(height, width):
    """A colour picture that JPEG hardly changes: red grows to the right, green downwards."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)[None, :]
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return pixels


def header_bomb(width, height):
    """A PNG of a few bytes that claims to be enormous."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def pixels_of(content, channels=3, size=None, **options):
    header = look(content, LIMIT)
    height, width = size or (header.height, header.width)
    return decode(content, Frame(height, width, channels, **options), LIMIT)


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("PPM", {}), ("WEBP", {"lossless": True})]
)
def test_lossless_formats_give_their_pixels_exactly(kind, options):
    pixels = noise(5, 7, 3)
    decoded = pixels_of(saved(PIL.Image.fromarray(pixels), kind, **options))
    assert np.array_equal(decoded.pixels, pixels)
    assert (decoded.format, decoded.notes) == (kind, ())


def test_header_says_format_size_and_greyness():
    header = look(saved(PIL.Image.fromarray(noise(5, 7))), LIMIT)
    assert (header.format, header.height, header.width, header.grey) == ("PNG", 5, 7, True)
    assert not look(saved(PIL.Image.fromarray(noise(5, 7, 3)), "JPEG"), LIMIT).grey


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "empty (0 bytes)"),
        (b"these are words, not pixels", "not an image: 27 bytes that start with b'these are wo'"),
        (saved(PIL.Image.fromarray(noise(40, 40, 3)))[:900], "truncated PNG of 40×40 pixels in 900 bytes"),
        (saved(PIL.Image.fromarray(noise(40, 40, 3)), "JPEG")[:900], "truncated JPEG of 40×40 pixels in 900 bytes"),
        (saved(PIL.Image.fromarray(noise(40, 40, 3)))[:20], "damaged or truncated PNG of 20 bytes"),
        (saved(PIL.Image.fromarray(noise(40, 40)), "GIF")[:300], "truncated GIF"),
        (header_bomb(50_000, 50_000), "50000×50000 pixels, more than the 64000000 that max_pixels allows; not decoded"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not an image"),
    ],
)
def test_what_cannot_be_decoded_is_named(content, cause):
    with pytest.raises(DataError) as caught:
        decode(content, Frame(8, 8, 3), LIMIT)
    assert cause in str(caught.value)


def test_pixel_limit_is_ours_and_leaves_pillows_own_alone(monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)  # somebody else's choice: 200 pixels would be a bomb
    content = saved(PIL.Image.fromarray(noise(10, 20)))
    assert decode(content, Frame(10, 20, 1), 200).pixels.shape == (10, 20, 1)
    with pytest.raises(DataError, match="20×10 pixels, more than the 199"):
        decode(content, Frame(10, 20, 1), 199)
    assert PIL.Image.MAX_IMAGE_PIXELS == 10


def test_sixteen_bits_are_scaled_not_clipped():
    deep = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    decoded = pixels_of(saved(PIL.Image.fromarray(deep)), channels=1)
    assert decoded.pixels[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]  # v / 257, rounded
    assert decoded.notes == ("16 bit scaled to 8",)


def test_numbers_without_a_stated_range_are_refused():
    for pixels in (np.ones((4, 4), np.float32), np.ones((4, 4), np.int32)):
        with pytest.raises(DataError, match="no stated range"):
            decode(saved(PIL.Image.fromarray(pixels), "TIFF"), Frame(4, 4, 1), LIMIT)


def test_cmyk_jpeg_becomes_its_colours():
    picture = PIL.Image.fromarray(smooth(32, 32))
    decoded = pixels_of(saved(picture.convert("CMYK"), "JPEG", quality=95))
    assert decoded.notes == ("CMYK converted",)
    assert np.abs(decoded.pixels.astype(int) - smooth(32, 32)).mean() < 3


def test_palette_with_transparency_is_laid_on_the_background():
    picture = PIL.Image.new("P", (3, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.putdata([0, 1, 2])
    content = saved(picture, transparency=1)
    assert pixels_of(content).pixels[0].tolist() == [[255, 0, 0], [255, 255, 255], [0, 0, 255]]
    assert pixels_of(content, background=0).pixels[0].tolist() == [[255, 0, 0], [0, 0, 0], [0, 0, 255]]
    assert pixels_of(content).notes == ("palette turned into colours", "transparency laid on the background")


def test_grey_with_opacity_is_blended():
    content = saved(PIL.Image.fromarray(np.array([[[100, 255], [100, 0], [0, 128]]], np.uint8), "LA"))
    assert pixels_of(content, channels=1).pixels[0, :, 0].tolist() == [100, 255, 127]


def test_opaque_alpha_is_simply_dropped():
    rgba = np.dstack([noise(4, 4, 3), np.full((4, 4), 255, np.uint8)])
    decoded = pixels_of(saved(PIL.Image.fromarray(rgba)))
    assert np.array_equal(decoded.pixels, rgba[..., :3])
    assert decoded.notes == ()


def test_one_bit_and_grey_and_colour_reach_the_wanted_channels():
    bits = PIL.Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert pixels_of(saved(bits), channels=1).pixels[0, :, 0].tolist() == [0, 255]
    grey = saved(PIL.Image.fromarray(np.array([[7, 200]], np.uint8)))
    assert pixels_of(grey).pixels[0].tolist() == [[7, 7, 7], [200, 200, 200]]
    red = saved(PIL.Image.fromarray(np.array([[[255, 0, 0]]], np.uint8)))
    assert pixels_of(red, channels=1).pixels.item() == 76  # 0.299 · 255


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation_is_taken_and_noted(kind):
    frames = [PIL.Image.new("RGB", (6, 6), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = pixels_of(saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options))
    assert (decoded.pixels == [255, 0, 0]).all()
    assert "several frames or pages: first taken" in decoded.notes


def test_exif_orientation_is_applied():
    pixels = smooth(24, 40)
    for orientation, upright in [(6, np.rot90(pixels, -1)), (3, np.rot90(pixels, 2)), (2, pixels[:, ::-1])]:
        exif = PIL.Image.Exif()
        exif[0x0112] = orientation
        for kind, tolerance in (("JPEG", 3), ("PNG", 0), ("TIFF", 0), ("WEBP", 6)):
            content = saved(PIL.Image.fromarray(pixels), kind, exif=exif)
            if kind == "JPEG":
                assert (look(content, LIMIT).height, look(content, LIMIT).width) == upright.shape[:2]
            decoded = decode(content, Frame(*upright.shape[:2], 3), LIMIT)
            assert np.abs(decoded.pixels.astype(int) - upright).mean() <= tolerance, (kind, orientation)
            assert decoded.notes == ("EXIF orientation applied",)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0no TIFF header at all", b"Exif\0\0"])
def test_broken_exif_is_survived_and_noted(exif):
    decoded = pixels_of(saved(PIL.Image.fromarray(smooth(16, 16)), "JPEG", exif=exif, quality=95))
    assert decoded.notes == ("broken EXIF ignored",)
    assert np.abs(decoded.pixels.astype(int) - smooth(16, 16)).mean() < 3


def test_stretch_crop_and_fit():
    # Left third black, middle third grey, right third white, 2 high: 12 × 4.
    pixels = np.repeat(np.array([[0, 128, 255]], np.uint8), 4, axis=1).repeat(4, axis=0)
    content = saved(PIL.Image.fromarray(pixels))
    stretched = decode(content, Frame(4, 3, 1), LIMIT).pixels[..., 0]
    assert stretched[0].tolist() == pytest.approx([0, 128, 255], abs=24)  # bilinear reaches a little over the borders
    cropped = decode(content, Frame(4, 4, 1, "crop"), LIMIT).pixels[..., 0]
    assert (cropped == 128).all()
    fitted = decode(content, Frame(12, 12, 1, "fit", background=9), LIMIT).pixels[..., 0]
    assert np.array_equal(fitted[4:8], pixels)
    assert (fitted[:4] == 9).all() and (fitted[8:] == 9).all()


def test_large_jpeg_is_reduced_like_the_whole_picture_would_be():
    pixels = smooth(800, 1200)
    for resize in ("stretch", "crop", "fit"):
        reduced = decode(saved(PIL.Image.fromarray(pixels), "JPEG", quality=95), Frame(32, 32, 3, resize), LIMIT).pixels
        whole = fit_pixels(pixels, Frame(32, 32, 3, resize))
        assert np.abs(reduced.astype(int) - whole).max() <= 4


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_never_raise_anything_but_a_data_error():
    random = np.random.default_rng(3)
    picture = PIL.Image.fromarray(smooth(20, 20))
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        whole = saved(picture, kind)
        for _ in range(40):
            damaged = bytearray(whole[: random.integers(1, len(whole) + 1)])
            for _ in range(random.integers(0, 6)):
                damaged[random.integers(len(damaged))] = random.integers(256)
            try:
                assert decode(bytes(damaged), Frame(8, 8, 3), 10**6).pixels.shape == (8, 8, 3)
            except DataError as error:
                assert str(error)


def test_pngs_for_people_are_enlarged_or_reduced():
    small = PIL.Image.open(io.BytesIO(encode_png(noise(28, 28, 1), 256, 128)))
    assert small.size == (112, 112)
    assert np.array_equal(np.asarray(small)[::4, ::4], noise(28, 28, 1)[..., 0])
    assert PIL.Image.open(io.BytesIO(encode_png(noise(100, 1000, 3), 256, 128))).size == (256, 26)
    assert PIL.Image.open(io.BytesIO(encode_png(noise(100, 200, 3), 256, 128))).size == (200, 100)


def test_known_starts_are_images():
    assert is_image(saved(PIL.Image.fromarray(noise(4, 4)), "JPEG"))
    assert not is_image(b"")
    assert not is_image(b"PK\x03\x04")
