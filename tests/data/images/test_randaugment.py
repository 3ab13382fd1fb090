"""RandAugment's operations agree with Pillow's; a row's draws alone decide what happens to it."""

import numpy as np
import PIL.Image
import pytest
from PIL import ImageEnhance, ImageOps

from modelyard.data.images.randaugment import COLOURS, GEOMETRY, OPERATIONS, randaugment, sums

UP, DOWN = np.array([1.0]), np.array([-1.0])


def pictures(count, channels=3, low=0, high=256):
    return np.random.default_rng(0).integers(low, high, (count, 11, 13, channels), dtype=np.uint8)


def pillow(pixels):
    return PIL.Image.fromarray(pixels[0] if pixels.shape[3] == 3 else pixels[0, :, :, 0])


def same(found, expected, within=0):
    difference = found[0].astype(int) - np.asarray(expected).reshape(found[0].shape).astype(int)
    assert np.abs(difference).max() <= within


@pytest.mark.parametrize("channels", [1, 3])
class TestColours:
    def test_identity(self, channels):
        same(COLOURS["identity"](pictures(1, channels), UP, 1.0), pillow(pictures(1, channels)))

    def test_autocontrast(self, channels):
        pixels = pictures(1, channels, 60, 180)
        same(COLOURS["autocontrast"](pixels, UP, 0.5), ImageOps.autocontrast(pillow(pixels)), within=1)
        flat = np.full((1, 4, 4, channels), 9, np.uint8)
        same(COLOURS["autocontrast"](flat, UP, 0.5), flat[0])

    def test_equalize(self, channels):
        rng = np.random.default_rng(1)
        pixels = np.minimum(rng.integers(0, 256, (1, 40, 40, channels)), rng.integers(0, 256, (1, 40, 40, 1))).astype(
            np.uint8
        )
        same(COLOURS["equalize"](pixels, UP, 0.5), ImageOps.equalize(pillow(pixels)))
        flat = np.full((1, 40, 40, channels), 9, np.uint8)
        same(COLOURS["equalize"](flat, UP, 0.5), flat[0])

    def test_solarize(self, channels):
        pixels = pictures(1, channels)
        same(COLOURS["solarize"](pixels, UP, 0.5), ImageOps.solarize(pillow(pixels), 128))
        same(COLOURS["solarize"](pixels, UP, 0.0), pixels[0])

    def test_posterize(self, channels):
        pixels = pictures(1, channels)
        same(COLOURS["posterize"](pixels, UP, 0.5), ImageOps.posterize(pillow(pixels), 6))
        same(COLOURS["posterize"](pixels, UP, 0.0), pixels[0])

    @pytest.mark.parametrize(
        ("name", "enhance", "within"),
        [
            ("brightness", ImageEnhance.Brightness, 1),
            ("contrast", ImageEnhance.Contrast, 2),  # Pillow cuts off where we round
            ("colour", ImageEnhance.Color, 2),
            ("sharpness", ImageEnhance.Sharpness, 2),
        ],
    )
    def test_enhancements(self, channels, name, enhance, within):
        pixels = pictures(1, channels, 40, 200)
        for sign in (UP, DOWN):
            expected = enhance(pillow(pixels)).enhance(1 + 0.9 * 0.4 * sign[0])
            same(COLOURS[name](pixels, sign, 0.4), expected, within)


def test_fourteen_operations_as_in_the_paper():
    assert len(OPERATIONS) == 14


def test_geometry_of_no_strength_is_nothing():
    for name, make in GEOMETRY.items():
        affine = make(np.zeros(1), 8, 8)
        assert [float(np.ravel(v)[0]) for v in (affine.xx, affine.xy, affine.x0)] == [1, 0, 0], name
        assert [float(np.ravel(v)[0]) for v in (affine.yx, affine.yy, affine.y0)] == [0, 1, 0], name


def one(name, sign):
    """Draws that choose one operation and its direction."""
    return [(OPERATIONS.index(name) + 0.5) / len(OPERATIONS), 0.75 if sign > 0 else 0.25]


def test_each_row_gets_the_operation_it_drew():
    pixels = pictures(5)
    draws = np.array(
        [one("identity", 1), one("translate_x", 1), one("translate_y", -1), one("solarize", 1), one("rotate", 1)]
    )
    result = randaugment(pixels, 30.0, draws.astype(np.float32))
    assert np.array_equal(result[0], pixels[0])
    assert np.array_equal(result[1, :, 6:], pixels[1, :, :-6])  # 0.45 · 13 = 5.85 pixels, whole: 6
    assert (result[1, :, :6] == 0).all()
    assert np.array_equal(result[2, :-5], pixels[2, 5:])  # 0.45 · 11 = 4.95 pixels, whole: 5
    assert np.array_equal(result[3], 255 - pixels[3])
    assert not np.array_equal(result[4], pixels[4])


def test_operations_follow_one_another():
    pixels = pictures(1)
    twice = randaugment(pixels, 30.0, np.array([one("solarize", 1) * 2], np.float32))
    assert np.array_equal(twice, pixels)  # inverted and inverted again


def test_the_pixels_handed_in_stay():
    pixels = pictures(14)
    before = pixels.copy()
    randaugment(pixels, 20.0, np.array([one(name, -1) for name in OPERATIONS], np.float32))
    assert np.array_equal(pixels, before)


def test_sums_are_exact():
    pixels = np.full((2, 300, 200, 3), 255, np.uint8)
    assert (sums(pixels) == 300 * 200 * 255).all()
