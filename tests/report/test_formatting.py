import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.report.formatting import (
    bytes_,
    count,
    duration,
    finite,
    label,
    listed,
    number,
    percent,
    quoted,
    rate,
    short_paths,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12289, "12,289"),
        (-3, "−3"),
        (0.5, "0.5"),
        (-0.25, "−0.25"),
        (-0.0, "0"),
        (0.008697490026, "0.008697"),
        (63.0392, "63.04"),
        (1234.567, "1,235"),
        (0.0001, "0.0001"),
        (0.00001234, "1.234 × 10⁻⁵"),
        (2.5e20, "2.5 × 10²⁰"),
        (10**15, "1,000,000,000,000,000"),
    ],
)
def test_a_number_has_four_significant_digits_and_no_zeros_at_its_end(value, text):
    assert number(value) == text


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, "12", True, []])
def test_what_is_no_finite_number_is_a_dash(value):
    assert number(value) == percent(value) == duration(value) == bytes_(value) == rate(value) == "–"
    assert finite(value) is None


def test_numbers_of_a_column_have_the_same_decimals():
    column = [1.0, 0.98914, 0.0511, 0.00062, 2.1022, 0.0]
    assert [number(value, trim=False) for value in column] == [
        "1.0000",
        "0.9891",
        "0.0511",
        "0.0006",
        "2.1022",
        "0.0000",
    ]


@given(st.floats(min_value=1e-12, max_value=1e14))
def test_a_number_keeps_its_value_to_six_digits(value):
    text = number(value, 6).replace(",", "")
    for plain, raised in zip("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹", strict=True):
        text = text.replace(raised, plain)
    assert float(text.replace(" × 10", "e")) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("share", "rows", "text"),
    [
        (0.946428, 56, "94.6%"),
        (0.946428, 10_000, "94.64%"),
        (1, 5, "100%"),
        (0.0, 5, "0%"),
        (0.99995, 56, "99.995%"),
        (0.0001, 56, "0.01%"),
        (-0.5, None, "−50.0%"),
        (1.25, None, "125.0%"),
    ],
)
def test_a_share_shows_all_or_nothing_only_when_it_is(share, rows, text):
    assert percent(share, rows) == text


def test_durations_sizes_and_speeds_take_the_unit_that_fits():
    assert [duration(s) for s in (0.041, 8.34, 59.96, 250, 7500)] == [
        "41 ms",
        "8.3 s",
        "1 min 0 s",
        "4 min 10 s",
        "2 h 5 min",
    ]
    assert [bytes_(b) for b in (512, 1500, 25_276_502_016, 3e12)] == ["512 B", "1.5 kB", "25.3 GB", "3.0 TB"]
    assert [rate(r) for r in (0, 0.5, 870.4, 10_649.7)] == ["–", "0.5 rows/s", "870 rows/s", "10,600 rows/s"]


def test_words_around_counts_and_lists():
    assert [count(n, "row") for n in (0, 1, 1234)] == ["0 rows", "1 row", "1,234 rows"]
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed([str(n) for n in range(9)], most=3) == "0, 1 and 7 more"


def test_an_empty_label_says_so_and_a_long_one_is_cut():
    assert label("") == label("  ") == "(empty)"
    assert quoted("x" * 100, 10) == "“xxxxxxxxx…”"


def test_paths_are_shortened_to_what_tells_them_apart():
    assert short_paths(["/home/a/x.csv", "/home/a/b/y.csv"]) == {"/home/a/x.csv": "x.csv", "/home/a/b/y.csv": "b/y.csv"}
    assert short_paths(["/home/a/cat/1.png", "/home/a/dog/1.png"]) == {
        "/home/a/cat/1.png": "cat/1.png",
        "/home/a/dog/1.png": "dog/1.png",
    }
    assert short_paths(["/only/one.csv"]) == {"/only/one.csv": "one.csv"}
    assert short_paths([]) == {}
