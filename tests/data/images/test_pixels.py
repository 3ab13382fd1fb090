"""Arrays of numbers become bytes exactly, and what is no pixel is named, never clipped."""

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest

from modelyard.data.images.pixels import from_list, from_tensors, lay_out, recolour, tensor_shape, to_bytes


def nested(array):
    """Lists of fixed sizes inside each other, one row for each of the first dimension."""
    flat = pa.array(array.reshape(-1))
    for size in reversed(array.shape[1:]):
        flat = pa.FixedSizeListArray.from_arrays(flat, size)
    return flat


def test_shape_of_a_type():
    assert tensor_shape(pa.fixed_shape_tensor(pa.uint8(), (4, 5))) == (4, 5)
    assert tensor_shape(pa.fixed_shape_tensor(pa.uint8(), (3, 4, 5), permutation=[1, 2, 0])) == (4, 5, 3)
    assert tensor_shape(pa.list_(pa.list_(pa.float32(), 5), 4)) == (4, 5)
    assert tensor_shape(pa.list_(pa.string(), 4)) is None
    assert tensor_shape(pa.list_(pa.uint8())) is None
    assert tensor_shape(pa.uint8()) is None


@pytest.mark.parametrize("make", [pa.FixedShapeTensorArray.from_numpy_ndarray, nested])
def test_tensors_come_out_as_they_went_in_sliced_or_not(make):
    array = np.arange(120, dtype=np.uint8).reshape(5, 4, 6)
    pixels, positions, problems = from_tensors(make(array).slice(1, 3))
    assert np.array_equal(pixels, array[1:4])
    assert (positions.tolist(), problems) == ([0, 1, 2], {})


def test_permuted_tensors_come_out_in_their_logical_order():
    physical = np.arange(48, dtype=np.uint8).reshape(2, 2, 3, 4)
    kind = pa.fixed_shape_tensor(pa.uint8(), (2, 3, 4), permutation=[1, 2, 0])
    storage = pa.FixedSizeListArray.from_arrays(pa.array(physical.reshape(-1)), 24)
    pixels, _, _ = from_tensors(pa.ExtensionArray.from_storage(kind, storage))
    assert np.array_equal(pixels, physical.transpose(0, 2, 3, 1))


def test_missing_rows_are_left_out_and_holes_are_problems():
    values = pa.array([[[1, 2], [3, 4]], None, [[5, None], [7, 8]], [None, [9, 10]], [[11, 12], [13, 14]]])
    pixels, positions, problems = from_tensors(values.cast(pa.list_(pa.list_(pa.int32(), 2), 2)))
    assert pixels.tolist() == [[[1, 2], [3, 4]], [[11, 12], [13, 14]]]
    assert positions.tolist() == [0, 4]
    assert problems == {2: "some of its numbers are missing", 3: "some of its numbers are missing"}


def test_rows_of_nothing_but_holes():
    values = pa.array([[None, None], None], pa.list_(pa.uint8(), 2))
    pixels, positions, problems = from_tensors(values)
    assert (pixels.shape, positions.tolist(), list(problems)) == ((0, 2), [], [0])


@pytest.mark.parametrize("kind", [np.int64, np.uint16, np.float32, np.float64, np.bool_, np.float16])
def test_numbers_become_bytes(kind):
    numbers, expected = {
        "i": ([[0, 7, 255]], [[0, 7, 255]]),
        "u": ([[0, 7, 255]], [[0, 7, 255]]),
        "f": ([[0.0, 0.2, 1.0]], [[0, 51, 255]]),
        "b": ([[False, True, True]], [[0, 255, 255]]),
    }[np.dtype(kind).kind]
    pixels, problems = to_bytes(np.array(numbers, kind))
    assert pixels.dtype == np.uint8
    assert (pixels.tolist(), problems) == (expected, {})


@pytest.mark.parametrize(
    ("row", "said"),
    [([0.0, 1.5], "0 to 1.5"), ([-0.1, 1.0], "-0.1 to 1"), ([0.0, np.nan], "nan"), ([0.0, np.inf], "0 to inf")],
)
def test_fractions_outside_their_range_are_problems(row, said):
    pixels, problems = to_bytes(np.array([[0.0, 1.0], row]))
    assert pixels[0].tolist() == [0, 255]
    assert list(problems) == [1]
    assert said in problems[1] and "whole numbers from 0 to 255 or fractions from 0 to 1 expected" in problems[1]


def test_whole_numbers_outside_their_range_are_problems():
    assert list(to_bytes(np.array([[0, 256], [-1, 3], [0, 255]]))[1]) == [0, 1]


def test_lists_say_what_they_are():
    pixels, what = from_list([[0, 255], [1, 2]])
    assert (pixels.tolist(), what) == ([[0, 255], [1, 2]], "")
    assert "differ in length" in from_list([[1, 2], [3]])[1]
    assert "other things than numbers" in from_list(["a", "b"])[1]
    assert "other things than numbers" in from_list([1, None])[1]
    assert "empty" in from_list([])[1]
    assert "0 to 300" in from_list([0, 300])[1]


def test_where_the_channels_stand():
    assert lay_out((28, 30)) == ((28, 30, 1), False)
    assert lay_out((28, 30, 3)) == ((28, 30, 3), False)
    assert lay_out((3, 28, 30)) == ((28, 30, 3), True)
    assert lay_out((3, 28, 3)) == ((3, 28, 3), False)
    assert lay_out((5, 28, 30)) is None
    assert lay_out((7,)) is None


def test_colours_change_as_pillow_changes_them():
    colour = np.random.default_rng(1).integers(0, 256, (1, 9, 9, 3), dtype=np.uint8)
    grey = np.asarray(PIL.Image.fromarray(colour[0]).convert("L"))
    assert np.array_equal(recolour(colour, 1, 255)[0, :, :, 0], grey)
    assert np.array_equal(recolour(colour[..., :1], 3, 255), colour[..., [0, 0, 0]])
    assert recolour(colour, 3, 255) is colour


def test_opacity_lets_the_background_through():
    pixels = np.array([[[[10, 20, 30, 255], [10, 20, 30, 0], [200, 0, 0, 128]]]], np.uint8)
    assert recolour(pixels, 3, 255)[0, 0].tolist() == [[10, 20, 30], [255, 255, 255], [227, 127, 127]]
    assert recolour(np.array([[[[100, 0], [100, 255]]]], np.uint8), 1, 7)[0, 0].tolist() == [[7], [100]]
