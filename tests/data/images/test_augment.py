"""Augmentation: off by default, exact where it copies, and a function of (seed, epoch, id) alone."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from modelyard.data.images.augment import Augment, RandAugment, augment
from modelyard.data.modalities.base import Draw

FILL = np.array([10.0, 20.0, 30.0], np.float32)
EVERYTHING = Augment(
    flip=True,
    vertical_flip=True,
    crop=3,
    edge="reflect",
    rotate=20,
    scale=0.2,
    shear=10,
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    hue=0.1,
    erase=0.5,
    randaugment=RandAugment(operations=3, magnitude=12),
)
COPYING = Augment(flip=True, vertical_flip=True, crop=2)


def pictures(count, channels=3, height=11, width=13):
    return np.random.default_rng(count).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def changed(pixels, settings, ids=None, seed=1, epoch=0):
    draw = Draw(seed, epoch, np.arange(len(pixels)) if ids is None else np.asarray(ids))
    return augment(pixels, settings, draw, "augment.x", FILL[: pixels.shape[3]])


def test_off_by_default():
    assert not Augment().active
    pixels = pictures(4)
    assert torch.equal(changed(pixels, Augment()), torch.from_numpy(pixels).float())


@pytest.mark.parametrize(
    "settings",
    [
        {"flip": True},
        {"vertical_flip": True},
        {"crop": 1},
        {"rotate": 5},
        {"scale": 0.1},
        {"shear": 5},
        {"brightness": 0.1},
        {"contrast": 0.1},
        {"saturation": 0.1},
        {"hue": 0.1},
        {"erase": 0.5},
        {"randaugment": {}},
    ],
)
def test_each_setting_alone_changes_some_images(settings):
    chosen = Augment(**settings)
    assert chosen.active
    pixels = pictures(16)
    result = changed(pixels, chosen)
    assert result.shape == pixels.shape and result.dtype == torch.float32
    assert result.min() >= 0 and result.max() <= 255
    assert not torch.equal(result, torch.from_numpy(pixels).float())


@pytest.mark.parametrize(
    "bad", [{"rotate": -1}, {"scale": 1.0}, {"erase": 2}, {"crop": -1}, {"hue": 0.6}, {"mirror": True}]
)
def test_settings_out_of_range_or_unknown_are_refused(bad):
    with pytest.raises(ValidationError):
        Augment(**bad)


@pytest.mark.parametrize("settings", [EVERYTHING, COPYING])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_row_comes_out_the_same_in_any_batch_bit_for_bit(settings, channels):
    pixels = pictures(37, channels)
    ids = np.random.default_rng(0).permutation(10_000)[:37]
    if channels == 1:
        settings = settings.model_copy(update={"saturation": 0.0, "hue": 0.0})
    whole = changed(pixels, settings, ids)
    for rows in ([0], [36], [5, 4], list(range(36, -1, -1)), [7, 20, 21, 1, 30], list(range(16))):
        part = changed(pixels[rows], settings, ids[rows])
        assert torch.equal(part, whole[rows])


def test_seed_epoch_and_id_each_change_the_draw():
    pixels = np.repeat(pictures(1), 8, axis=0)
    first = changed(pixels, EVERYTHING)
    assert torch.equal(first, changed(pixels, EVERYTHING))
    for other in (changed(pixels, EVERYTHING, seed=2), changed(pixels, EVERYTHING, epoch=1)):
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not any(torch.equal(first[0], row) for row in first[1:])


def test_one_setting_does_not_change_anothers_draws():
    pixels = np.zeros((64, 4, 4, 1), np.uint8)
    pixels[:, :, 0] = 200
    flips = changed(pixels, Augment(flip=True))[:, 0, 3, 0] == 200
    both = changed(pixels, Augment(flip=True, brightness=0.1))[:, 0, 3, 0] > 100
    assert torch.equal(flips, both)
    assert 16 < int(flips.sum()) < 48  # about every second image


def test_flips_and_shifts_copy_pixels_exactly():
    pixels = pictures(40)
    result = changed(pixels, Augment(flip=True, crop=2)).numpy()
    for row in range(40):
        padded = np.pad(pixels[row], ((2, 2), (2, 2), (0, 0)))
        crops = [
            padded[top : top + 11, left : left + 13]
            if not mirrored
            else np.pad(pixels[row][:, ::-1], ((2, 2), (2, 2), (0, 0)))[top : top + 11, left : left + 13]
            for top in range(5)
            for left in range(5)
            for mirrored in (False, True)
        ]
        assert sum(np.array_equal(result[row], crop) for crop in crops) == 1


def test_shifts_reach_as_far_as_said_and_no_farther():
    pixels = np.zeros((500, 9, 9, 1), np.uint8)
    pixels[:, 4, 4] = 255
    result = changed(pixels, Augment(crop=2))[..., 0]
    at = torch.nonzero(result)
    assert len(at) == 500
    assert sorted({(int(y), int(x)) for _, y, x in at}) == [(y, x) for y in range(2, 7) for x in range(2, 7)]


def test_brightness_and_contrast_of_grey_by_hand():
    pixels = np.array([[[[50], [150]]]] * 200, np.uint8)
    bright = changed(pixels, Augment(brightness=0.5))[:, 0, :, 0]
    factor = bright[:, 0] / 50
    assert 0.5 <= factor.min() < 0.6 and 1.4 < factor.max() <= 1.5
    torch.testing.assert_close(bright[:, 1], 150 * factor)
    contrast = changed(pixels, Augment(contrast=0.5))[:, 0, :, 0]
    torch.testing.assert_close(contrast.mean(dim=1), torch.full((200,), 100.0))  # the mean stays
    spread = (contrast[:, 1] - contrast[:, 0]) / 100
    assert 0.5 <= spread.min() < 0.6 and 1.4 < spread.max() <= 1.5


def test_saturation_and_hue_keep_the_luminance():
    pixels = np.tile(np.array([[[[120, 100, 90]]]], np.uint8), (100, 1, 1, 1))
    weights = torch.tensor([0.299, 0.587, 0.114])
    for settings in (Augment(saturation=0.5), Augment(hue=0.2), Augment(saturation=0.5, hue=0.2)):
        result = changed(pixels, settings)[:, 0, 0]
        torch.testing.assert_close(
            result @ weights, torch.full((100,), float(torch.tensor([120.0, 100, 90]) @ weights))
        )
        assert (result.std(dim=0) > 1).all()


def test_saturation_and_hue_leave_grey_pictures_alone():
    pixels = np.repeat(pictures(4, 1), 3, axis=3)
    torch.testing.assert_close(
        changed(pixels, Augment(saturation=1.0, hue=0.5)), torch.from_numpy(pixels).float(), atol=0.01, rtol=0
    )


def test_half_a_turn_of_hue_turns_colours_around():
    # In YIQ the opposite of a colour is its mirror image at the grey of the same luminance.
    pixels = np.tile(np.array([[[[150, 100, 90]]]], np.uint8), (200, 1, 1, 1))
    result = changed(pixels, Augment(hue=0.5))[:, 0, 0]
    grey = 0.299 * 150 + 0.587 * 100 + 0.114 * 90
    opposite = torch.tensor([2 * grey - 150, 2 * grey - 100, 2 * grey - 90])
    assert (result - opposite).abs().amax(dim=1).min() < 2


def test_erasing_paints_one_box_with_the_fill_as_often_as_said():
    pixels = np.full((400, 20, 20, 3), 200, np.uint8)
    result = changed(pixels, Augment(erase=0.25)).numpy()
    erased = np.flatnonzero((result != 200).any(axis=(1, 2, 3)))
    assert 70 <= len(erased) <= 130  # 100 expected, standard deviation 8.7
    for row in erased:
        inside = (result[row] != 200).all(axis=2)
        assert (result[row][inside] == FILL).all()
        ys, xs = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        assert inside.sum() == len(ys) * len(xs)  # a full rectangle
        assert 0.01 <= inside.mean() <= 0.36


def test_the_pixels_handed_in_stay():
    pixels = pictures(8)
    before = pixels.copy()
    changed(pixels, EVERYTHING)
    changed(pixels, COPYING)
    changed(pixels, Augment(erase=1.0))
    assert np.array_equal(pixels, before)
