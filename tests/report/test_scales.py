import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.report.scales import Scale, linear, logarithmic, ticks, whole_ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.5, 1]),
        (0, 0.9, [0, 0.2, 0.4, 0.6, 0.8]),
        (0.61, 1.19, [0.7, 0.8, 0.9, 1.0, 1.1]),
        (-0.27, 1.0, [0, 0.5, 1]),
        (0, 1e-6, [0, 5e-7, 1e-6]),
        (1, 60, [20, 40, 60]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round_and_few(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


@given(st.floats(-1e3, 1e3), st.floats(1e-4, 1e6), st.integers(2, 9))
def test_ticks_lie_within_the_range_and_are_no_more_than_asked_for(low, width, most):
    found = ticks(low, low + width, most)
    assert len(found) <= most
    assert all(low - width * 1e-6 <= tick <= low + width * (1 + 1e-6) for tick in found)


def test_epochs_are_counted_in_whole_numbers_with_the_first_and_the_last():
    assert whole_ticks(1, 1) == [1]
    assert whole_ticks(1, 4) == [1, 2, 3, 4]
    assert whole_ticks(1, 60) == [1, 10, 20, 30, 40, 50, 60]
    assert whole_ticks(1, 17) == [1, 5, 10, 15, 17]


def test_a_linear_scale_maps_its_ends_to_0_and_100_percent():
    scale = Scale(10, 20)
    assert [scale(value) for value in (10, 12.5, 20)] == [0, 25, 100]
    assert scale(1e9) == 105 and scale(-1e9) == -5  # held near the edge, so that nothing is drawn far away


def test_a_logarithmic_scale_has_powers_of_ten_as_ticks():
    scale = logarithmic([1e-6, 1.0])
    assert scale(1e-3) == pytest.approx(50)
    assert scale(0) == -5
    assert scale.ticks() == pytest.approx([1e-6, 1e-4, 1e-2, 1])
    assert logarithmic([0.3, 0.7]).ticks() == pytest.approx([0.3, 0.4, 0.5, 0.6, 0.7])


def test_a_scale_of_one_value_or_none_has_a_width_all_the_same():
    for scale in (linear([]), linear([3]), linear([0]), logarithmic([5])):
        assert scale.low < scale.high


def test_a_scale_reaches_what_it_must_include_and_leaves_room_at_the_other_end():
    scale = linear([1.0, 2.0], [0.0])
    assert scale.low == 0
    assert scale.high == pytest.approx(2.1)
