"""The order of numbers equals numpy's, whatever their sign, their width and how often they repeat."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from modelyard.evaluate.order import rising, runs

floats = st.one_of(st.floats(allow_nan=False), st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5]))


@given(
    st.one_of(
        arrays.arrays(np.float64, st.integers(0, 40), elements=floats),
        arrays.arrays(np.int64, st.integers(0, 40), elements=st.integers(-(2**63), 2**63 - 1)),
        arrays.arrays(np.int64, st.integers(0, 40), elements=st.integers(0, 5)),
        arrays.arrays(np.uint8, st.integers(0, 40)),
        arrays.arrays(np.bool_, st.integers(0, 40)),
    )
)
def test_the_order_is_that_of_a_stable_sort(values):
    np.testing.assert_array_equal(rising(values), np.argsort(values, kind="stable"))


@pytest.mark.parametrize("width", [8, 16, 17, 32, 48, 63])
def test_numbers_of_any_width_are_told_apart_by_each_of_their_bits(width):
    random = np.random.default_rng(width)
    values = random.integers(0, 2**width, 5000)
    values[::2] = values[1::2] ^ (np.int64(1) << random.integers(0, width, 2500))
    np.testing.assert_array_equal(rising(values), np.argsort(values, kind="stable"))
    neighbours = np.repeat(0.5 + random.random(50), 3)
    neighbours[::3], neighbours[1::3] = np.nextafter(neighbours[::3], 2), np.nextafter(neighbours[1::3], 0)
    np.testing.assert_array_equal(rising(neighbours), np.argsort(neighbours, kind="stable"))


def test_columns_that_lie_apart_in_memory_and_floats_of_four_bytes():
    table = np.random.default_rng(0).normal(size=(300, 3)).round(1)
    np.testing.assert_array_equal(rising(table[:, 1]), np.argsort(table[:, 1], kind="stable"))
    narrow = table[:, 2].astype(np.float32)
    np.testing.assert_array_equal(rising(-narrow), np.argsort(-narrow, kind="stable"))


def test_runs_of_equal_values():
    np.testing.assert_array_equal(runs(np.array([3, 3, 5, 5, 5, 7])), [0, 2, 5, 6])
    np.testing.assert_array_equal(runs(np.array([1.5])), [0, 1])
    np.testing.assert_array_equal(runs(np.array([])), [0])
