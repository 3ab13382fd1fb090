"""Any Arrow type as text, markers of missing values, quoting."""

from __future__ import annotations

import decimal

import numpy as np
import pyarrow as pa
import pytest

from modelyard.data.modalities.reading import MISSING, as_text, flat, present_text, quote


def test_scalars_as_text() -> None:
    assert as_text(pa.array([1.0, 0.1, None, float("nan"), -2.0, 1e300]))[0].to_pylist() == [
        "1",
        "0.1",
        None,
        None,
        "-2",
        "1e+300",
    ]
    assert as_text(pa.array([decimal.Decimal("2.50")]))[0].to_pylist() == ["2.50"]
    assert as_text(pa.array([True, None]))[0].to_pylist() == ["true", None]
    assert as_text(pa.array(np.array([1.5], np.float16)))[0].to_pylist() == ["1.5"]


def test_what_has_no_text_is_a_problem_of_its_row() -> None:
    texts, problems = as_text(pa.array([[1], None]))
    assert texts.to_pylist() == [None, None]
    assert list(problems) == [0]
    texts, problems = as_text(pa.array([1.0, float("inf")]))
    assert texts.to_pylist() == ["1", None]
    assert problems == {1: "inf is not a finite number"}


def test_storage_does_not_matter() -> None:
    values = ["a", None, "a"]
    plain = pa.array(values)
    for stored in (plain.dictionary_encode(), plain.cast(pa.large_string()), plain.cast(pa.string_view())):
        assert flat(stored).equals(plain)


@pytest.mark.parametrize("trim", [True, False])
def test_markers_are_found_without_regard_to_case_and_blanks(trim: bool) -> None:
    texts = pa.array([" a ", " NA", "n/A", "?", "-", "x" * 200, None, "  "])
    found = present_text(texts, MISSING, trim).to_pylist()
    assert found == ["a" if trim else " a ", None, None, None, None, "x" * 200, None, None]


def test_quotes_stay_on_one_line_and_short() -> None:
    assert quote("a\nb") == "'a\\nb'"
    assert quote("x" * 100) == "'" + "x" * 40 + "…'"
    assert len(quote([1] * 1000)) < 60
