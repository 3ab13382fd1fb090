"""Views of normalised pictures: what each setting does, alone, and that a row's view is its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modelyard.data.images.float_views import Variation, varied
from modelyard.data.modalities.base import Draw

NOTHING = {
    "crop": 1,
    "aspect": 1,
    "flip": False,
    "shift": 0,
    "brightness": 0,
    "contrast": 0,
    "saturation": 0,
    "erase": 0,
}
IDS = np.arange(40, dtype=np.int64)


def pictures(channels: int = 3) -> torch.Tensor:
    return torch.randn(40, channels, 10, 8, generator=torch.Generator().manual_seed(0))


def view(images: torch.Tensor, ids=IDS, epoch: int = 0, **settings) -> torch.Tensor:
    return varied(images, Variation(**{**NOTHING, **settings}), Draw(1, epoch, ids), "test")


def test_nothing_asked_nothing_changed():
    assert torch.equal(view(pictures()), pictures())


def test_every_second_view_is_mirrored():
    images = pictures()
    flipped = view(images, flip=True)
    mirrored = [torch.allclose(one, own.flip(2), atol=1e-5) for one, own in zip(flipped, images, strict=True)]
    same = [torch.allclose(one, own, atol=1e-5) for one, own in zip(flipped, images, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 10 < sum(mirrored) < 30


def test_brightness_adds_one_number_and_contrast_keeps_the_mean():
    images = pictures()
    added = (view(images, brightness=0.5) - images).flatten(1)
    assert added.std(1).max() < 1e-5 and 0.2 < added.abs().max() <= 0.5
    stretched = view(images, contrast=0.5)
    torch.testing.assert_close(stretched.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=1e-5, rtol=0)
    factor = stretched.flatten(1).std(1) / images.flatten(1).std(1)
    assert 0.5 <= factor.min() < 0.8 and 1.2 < factor.max() <= 1.5


def test_saturation_keeps_the_grey_of_colours_and_leaves_grey_pictures_alone():
    images = pictures()
    changed = view(images, saturation=0.5)
    torch.testing.assert_close(changed.mean(1), images.mean(1), atol=1e-5, rtol=0)
    assert not torch.allclose(changed, images)
    assert torch.equal(view(pictures(1), saturation=0.5), pictures(1))


def test_a_box_is_painted_over_in_as_many_views_as_asked():
    images = torch.ones(40, 1, 10, 8)
    erased = (view(images, erase=0.5) == 0).flatten(1).float().mean(1)
    assert 10 < int((erased > 0).sum()) < 30
    assert erased.max() <= 0.4 and not (view(images, erase=0) == 0).any()


def test_a_crop_shows_a_part_enlarged():
    slope = torch.linspace(-1, 1, 32).expand(40, 1, 32, 32)
    shown = view(slope, crop=0.25)
    width = (shown[:, 0, 16, 24] - shown[:, 0, 16, 8]) / (slope[0, 0, 16, 24] - slope[0, 0, 16, 8])
    assert 0.45 < width.min() < 0.65 and 0.85 < width.max() <= 1.01  # sides of a quarter of the area and of all


def test_a_shift_brings_in_nothing_from_outside():
    assert (view(torch.ones(40, 1, 10, 8), shift=0.5) == 0).any()


def test_a_rows_view_is_a_function_of_seed_epoch_and_row():
    images = pictures()
    settings = {"crop": 0.4, "flip": True, "brightness": 0.4, "contrast": 0.4, "saturation": 0.3, "erase": 0.5}
    whole = view(images, **settings)
    torch.testing.assert_close(view(images[5:9], IDS[5:9], **settings), whole[5:9])
    assert not torch.allclose(view(images, epoch=1, **settings), whole)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="crop"):
        Variation(crop=0)
