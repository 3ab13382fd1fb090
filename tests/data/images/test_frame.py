"""A picture of any size brought to a frame: what Pillow gives, to a level, and the same bytes on every processor."""

import io

import numpy as np
import PIL.Image
import pytest
import sklearn.datasets

from modelyard.data.images.decode import decode
from modelyard.data.images.frame import Frame, fit_pixels, inner_size


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(32, 48), (7, 90), (200, 31), (1, 1), (64, 50)])
def test_stretching_is_pillows_bilinear_to_a_level(size, channels):
    pixels = noise(64, 50, channels)
    picture = PIL.Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    expected = np.asarray(picture.resize(size[::-1], PIL.Image.Resampling.BILINEAR)).reshape(*size, channels)
    assert np.abs(fit_pixels(pixels, Frame(*size, channels)).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("size", [(224, 224), (100, 317), (50, 256), (3, 3)])
def test_vector_instructions_change_no_byte(size):
    pixels = noise(256, 200, 3)
    many = np.concatenate([pixels, pixels], axis=2)  # more channels than the fast path takes
    assert np.array_equal(fit_pixels(many, Frame(*size, 6))[..., :3], fit_pixels(pixels, Frame(*size, 3)))


def test_the_middle_of_a_wide_or_high_picture_is_kept():
    pixels = np.zeros((4, 12, 1), np.uint8)
    pixels[:, 4:8] = 200
    for turned in (pixels, pixels.transpose(1, 0, 2)):
        assert (fit_pixels(turned, Frame(8, 8, 1, "crop")) == 200).all()


def test_bars_stand_on_both_sides():
    fitted = fit_pixels(np.full((4, 12, 3), 7, np.uint8), Frame(12, 12, 3, "fit", background=99))
    assert (fitted[4:8] == 7).all()
    assert (fitted[:4] == 99).all() and (fitted[8:] == 99).all()


@pytest.mark.parametrize("resize", ["stretch", "crop", "fit"])
@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1), (1, 1), (3, 2)])
def test_any_proportions(resize, shape):
    frame = Frame(16, 24, 3, resize, 0)
    assert (fit_pixels(np.full((*shape, 3), 50, np.uint8), frame) == 50).any(axis=2).sum() >= 16
    height, width = inner_size(*shape, frame)
    assert resize != "fit" or (height <= 16 and width <= 24)


def test_slices_and_read_only_pixels_are_taken():
    pixels = noise(40, 40, 3)
    pixels.flags.writeable = False
    part = pixels[::2, ::2]
    assert np.array_equal(fit_pixels(part, Frame(9, 9, 3)), fit_pixels(part.copy(), Frame(9, 9, 3)))


@pytest.mark.parametrize("resize", ["stretch", "crop", "fit"])
@pytest.mark.parametrize("side", [208, 200, 100, 50, 31])
@pytest.mark.parametrize("even", [True, False])
def test_a_jpeg_reduced_by_its_decoder_is_close_to_one_that_was_decoded_whole(side, even, resize):
    pixels = sklearn.datasets.load_sample_image("china.jpg")  # 427 × 640, roof tiles and foliage
    pixels = pixels[:416] if even else pixels
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "JPEG", quality=95)
    frame = Frame(side, side, 3, resize)
    whole = fit_pixels(np.asarray(PIL.Image.open(file)), frame)
    reduced = decode(file.getvalue(), frame, 10**6).pixels
    assert np.abs(whole.astype(int) - reduced).mean() < 4.5  # on average, of 255; the decoder's is the sharper one
