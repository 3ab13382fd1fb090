"""Pixels move where the map says: exactly for shifts and flips, and like SciPy's interpolation for the rest."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from modelyard.data.images.warp import Affine, flip, shift, warp


def pictures(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def moved(pixels, affine, edge="zero"):
    return warp(torch.from_numpy(pixels).float(), affine, edge).numpy()


def test_identity_changes_nothing():
    pixels = pictures(2, 5, 6, 3)
    np.testing.assert_allclose(moved(pixels, Affine()), pixels, atol=1e-3)


def test_quarter_turn_is_counter_clockwise():
    pixels = pictures(2, 6, 6, 3)
    turned = moved(pixels, Affine.turn(np.array([90.0, -90.0])))
    np.testing.assert_allclose(turned[0], np.rot90(pixels[0]), atol=1e-2)
    np.testing.assert_allclose(turned[1], np.rot90(pixels[1], -1), atol=1e-2)


def test_mirror_and_move():
    pixels = pictures(3, 5, 6, 1)
    flags = np.array([True, False, False]), np.array([False, True, False])
    mirrored = moved(pixels, Affine.mirror(*flags))
    np.testing.assert_allclose(mirrored[0], pixels[0, :, ::-1], atol=1e-2)
    np.testing.assert_allclose(mirrored[1], pixels[1, ::-1], atol=1e-2)
    np.testing.assert_allclose(mirrored[2], pixels[2], atol=1e-2)
    right = moved(pixels, Affine.move(right=2.0, down=-1.0))
    np.testing.assert_allclose(right[:, :4, 2:], pixels[:, 1:, :4], atol=1e-2)
    assert np.abs(right[:, 4]).max() < 0.1 and np.abs(right[:, :, :2]).max() < 0.1  # black moves in


def test_shear_moves_rows_in_proportion_to_their_height():
    pixels = pictures(1, 5, 7, 1)
    sheared = moved(pixels, Affine.shear(across=np.array([1.0])))[0, :, :, 0]
    np.testing.assert_allclose(sheared[2], pixels[0, 2, :, 0], atol=1e-2)  # the middle stays
    np.testing.assert_allclose(sheared[3, 1:], pixels[0, 3, :-1, 0], atol=1e-2)
    np.testing.assert_allclose(sheared[0, :-2], pixels[0, 0, 2:, 0], atol=1e-2)


@pytest.mark.parametrize(("edge", "mode"), [("zero", "constant"), ("reflect", "reflect")])
def test_a_composed_map_agrees_with_scipy(edge, mode):
    pixels = pictures(1, 9, 12, 1)
    affine = Affine.mirror(np.array([True]), np.array([False]))
    affine = affine.then(Affine.shear(across=np.array([0.2])))
    affine = affine.then(Affine.turn(np.array([25.0]), np.array([1.3]))).then(
        Affine.move(np.array([1.5]), np.array([-0.5]))
    )
    value = {name: float(np.broadcast_to(getattr(affine, name), 1)[0]) for name in ("xx", "xy", "x0", "yx", "yy", "y0")}
    matrix = np.array([[value["yy"], value["yx"]], [value["xy"], value["xx"]]])  # SciPy counts (row, column)
    centre = np.array([4.0, 5.5])
    offset = centre + np.array([value["y0"], value["x0"]]) - matrix @ centre
    expected = ndimage.affine_transform(pixels[0, :, :, 0].astype(float), matrix, offset, order=1, mode=mode)
    found = moved(pixels, affine, edge)[0, :, :, 0]
    # SciPy's constant edge begins at the outermost pixels' centres, ours half a pixel on: compare what lies inside.
    inside = ndimage.affine_transform(np.ones((9, 12)), matrix, offset, order=1, mode="constant") > 0.999
    compared = inside if edge == "zero" else np.ones_like(inside)
    assert compared.sum() > 40
    np.testing.assert_allclose(found[compared], expected[compared], atol=0.01)


def test_maps_apply_in_the_order_they_are_chained():
    pixels = pictures(1, 6, 6, 1)
    turned_then_moved = Affine.turn(np.array([90.0])).then(Affine.move(right=1.0))
    np.testing.assert_allclose(moved(pixels, turned_then_moved)[0][:, 1:], np.rot90(pixels[0])[:, :-1], atol=1e-2)


def test_rows_of_a_map():
    affine = Affine.turn(np.array([0.0, 90.0, 0.0])).rows(np.array([False, True, False]))
    assert np.shape(affine.xx) == (1,)
    assert float(affine.yx[0]) == pytest.approx(1)


def test_flip_touches_the_flagged_rows_alone():
    pixels = pictures(4, 3, 5, 2)
    before = pixels.copy()
    across, down = np.array([1, 0, 1, 0], bool), np.array([0, 1, 1, 0], bool)
    flipped = flip(pixels, across, down)
    assert np.array_equal(flipped[0], pixels[0, :, ::-1])
    assert np.array_equal(flipped[1], pixels[1, ::-1])
    assert np.array_equal(flipped[2], pixels[2, ::-1, ::-1])
    assert np.array_equal(flipped[3], pixels[3])
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize(("edge", "mode"), [("zero", "constant"), ("reflect", "symmetric")])
def test_shift_is_a_crop_of_the_padded_picture(edge, mode):
    pixels = pictures(5, 4, 6, 3)
    right, down = np.array([-2, 2, 0, 1, -1]), np.array([2, -2, 0, -1, 1])
    result = shift(pixels, right, down, 2, edge)
    for row in range(5):
        padded = np.pad(pixels[row], ((2, 2), (2, 2), (0, 0)), mode=mode)
        top, left = 2 - down[row], 2 - right[row]
        assert np.array_equal(result[row], padded[top : top + 4, left : left + 6])
