"""Strong views: a row's id alone decides what happens to it, much happens to most, and the original stays."""

import numpy as np
import pytest

from modelyard.data.images.strong import _cut_out, strong_views
from modelyard.data.modalities.base import Draw


def pictures(count, channels=3, height=11, width=13):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_row_is_varied_alike_in_any_batch(channels):
    pixels, ids = pictures(40, channels), np.arange(100, 140)
    whole = strong_views(pixels, Draw(1, 2, ids))
    some = np.array([7, 31, 2])
    assert np.array_equal(strong_views(pixels[some], Draw(1, 2, ids[some])), whole[some])
    assert whole.shape == pixels.shape and whole.dtype == np.uint8


def test_the_pictures_that_were_given_stay():
    pixels = pictures(40)
    strong_views(pixels, Draw(1, 2, np.arange(40)))
    assert np.array_equal(pixels, pictures(40))


def test_seed_step_and_purpose_each_change_the_views():
    pixels, ids = pictures(40), np.arange(40)
    first = strong_views(pixels, Draw(1, 2, ids))
    for other in (
        strong_views(pixels, Draw(2, 2, ids)),
        strong_views(pixels, Draw(1, 3, ids)),
        strong_views(pixels, Draw(1, 2, ids), "second"),
    ):
        assert (first != other).any(axis=(1, 2, 3)).mean() > 0.9


def test_most_pictures_change():
    pixels = pictures(200)
    changed = (strong_views(pixels, Draw(0, 0, np.arange(200))) != pixels).any(axis=(1, 2, 3))
    assert changed.mean() > 0.95


def test_cutout_paints_a_square_with_the_mean_colour():
    pixels = np.zeros((1, 8, 8, 1), np.uint8)
    pixels[:, :4] = 100
    # side 0.75 of half of 8, rounded up to 3, around (4, 4): centres of pixels within 1.5 are those of 3 and 4
    chosen = np.array([[0.0, 0.75, 0.5, 0.5]], np.float32)
    found = _cut_out(pixels.copy(), chosen)
    expected = pixels.copy()
    expected[:, 3:5, 3:5] = 50
    assert np.array_equal(found, expected)


def test_no_rows_are_no_error():
    assert strong_views(pictures(4)[:0], Draw(0, 0, np.arange(0))).shape == (0, 11, 13, 3)
