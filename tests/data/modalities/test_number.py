"""Numbers: what reads as one, what is missing, how they are scaled and given back."""

from __future__ import annotations

import datetime
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from modelyard.core.errors import BundleError, DataError
from modelyard.data.kinds import Numbers
from modelyard.data.modalities.base import State
from modelyard.data.modalities.number import Number, NumberSettings


def number(role: str = "input", **said: Any) -> Number:
    return Number("x", NumberSettings(**said), role)


def fitted(values: list[Any], role: str = "input", **said: Any) -> Number:
    modality = number(role, **said)
    modality.partial_fit(modality.read(pa.array(values)).values)
    modality.finish_fit()
    return modality


def read(values: Any, **said: Any) -> list[float | None]:
    reading = number(**said).read(values if isinstance(values, pa.Array) else pa.array(values))
    assert not reading.problems
    return reading.values.to_pylist()


def problems(values: Any, **said: Any) -> dict[int, str]:
    return dict(number(**said).read(pa.array(values)).problems)


# -- reading -------------------------------------------------------------------------------------------------


def test_written_numbers() -> None:
    written = [
        " 1 ",
        "+2.5",
        "-.5",
        "5.",
        "1e3",
        "1,234",
        "1,234,567.5",
        "1 234",
        "1'234",
        "1\u00a0234",
        "\u22127",
        "007",
    ]
    expected = [1, 2.5, -0.5, 5, 1000, 1234, 1234567.5, 1234, 1234, 1234, -7, 7]
    assert read(written) == expected


def test_a_good_column_reads_the_same_alone_and_beside_bad_values() -> None:
    written = ["1", "2.5", "-3e-2", "+.5", "1e300"]
    alone = number().read(pa.array(written)).values.to_pylist()
    assert number().read(pa.array([*written, "bad"])).values.to_pylist() == [*alone, None]


def test_decimal_comma() -> None:
    assert read(["1,5", "1.234,5", "1.234", "-2"], decimal=",") == [1.5, 1234.5, 1234, -2]


@pytest.mark.parametrize("value", ["", " ", "NA", "n/a", "NaN", "null", "None", "-", "?", "#N/A", "  na  ", None])
def test_markers_of_missing_values(value: str | None) -> None:
    assert read(["1", value]) == [1, None]


def test_own_markers_count_in_text_and_in_typed_columns() -> None:
    assert read(["1", "-999", "-999.0", "unknown"], missing=["-999", "Unknown"]) == [1, None, None, None]
    assert read([1, -999], missing=["-999"]) == [1, None]
    assert problems(["NA"], missing=["-999"]) == {0: "'NA' is not a number"}


@pytest.mark.parametrize(
    "value", ["abc", "1.2.3", "1,23", "12,34", "0,567", "1-2", "0x1A", "1_000", "--1", "1e", "１", "+", "nan1"]
)
def test_what_is_no_number_is_quoted(value: str) -> None:
    found = problems(["1", value])
    assert list(found) == [1]
    assert found[1].startswith(f"{value!r} is not a number")


def test_a_problem_says_which_setting_would_read_the_value() -> None:
    found = problems(["12%", "1,5", "€3"])
    assert 'strip: ["%"]' in found[0]
    assert 'decimal: ","' in found[1]
    assert 'strip: ["€"]' in found[2]
    assert read(["12%", " 7 % ", "3"], strip=["%"]) == [12, 7, 3]
    assert read(["$1,234.5", "-$5", "$ 7"], strip=["$"]) == [1234.5, -5, 7]


def test_long_values_are_shortened() -> None:
    assert len(problems(["x" * 10_000])[0]) < 100


@pytest.mark.parametrize(
    "values", [["1", "inf"], ["1", "-Infinity"], ["1", "1e999"], [1.0, float("inf")], ["1", "1e39"]]
)
def test_infinity_and_what_32_bits_cannot_hold_are_problems(values: list[Any]) -> None:
    reading = number().read(pa.array(values))
    assert list(reading.problems) == [1]
    assert reading.values.to_pylist() == [1, None]


def test_typed_columns() -> None:
    assert read([True, None, False]) == [1, None, 0]
    assert read(pa.array([1.5, float("nan")], pa.float32())) == [1.5, None]
    assert read([datetime.date(1970, 1, 2), None]) == [86400, None]
    assert read(pa.array([datetime.datetime(1970, 1, 1, 1)], pa.timestamp("us"))) == [3600]
    assert read([datetime.time(0, 1), None]) == [60, None]
    assert read([datetime.timedelta(hours=1)]) == [3600]
    assert read(pa.array(["1", "2"]).dictionary_encode()) == [1, 2]


def test_a_value_of_another_kind_is_a_problem() -> None:
    assert "list" in problems([[1, 2], None])[0]
    assert list(problems([{"a": 1}, None])) == [0]


# -- scales --------------------------------------------------------------------------------------------------

X = [3.0, -1.0, 0.5, 8.0, 8.0]


def encoded(modality: Number, values: list[float | None]) -> np.ndarray:
    return modality.encode(pa.array(values, pa.float64()))[""]


@pytest.mark.parametrize(("scale", "reference"), [("standard", StandardScaler()), ("minmax", MinMaxScaler())])
def test_scales_as_scikit_learn_does(scale: str, reference: Any) -> None:
    expected = reference.fit_transform(np.array(X)[:, None])
    np.testing.assert_allclose(encoded(fitted(X, scale=scale), X), expected, rtol=1e-6)


def test_log_is_sign_aware() -> None:
    logs = np.sign(X) * np.log1p(np.abs(X))
    expected = (logs - logs.mean()) / logs.std()
    np.testing.assert_allclose(encoded(fitted(X, scale="log"), X)[:, 0], expected, rtol=1e-5)


def test_none_keeps_the_units() -> None:
    assert encoded(fitted(X, scale="none"), X)[:, 0].tolist() == X


def test_quantile_makes_any_distribution_normal() -> None:
    skewed = np.exp(2 * np.random.default_rng(0).normal(size=20_000))
    modality = fitted(skewed.tolist(), scale="quantile")
    scores = encoded(modality, skewed.tolist())[:, 0]
    assert len(modality.state().json["knots"]) == 1000
    assert abs(scores.mean()) < 0.01
    assert abs(scores.std() - 1) < 0.02
    assert abs(np.mean(scores**3)) < 0.05
    assert (np.diff(scores[np.argsort(skewed)]) >= 0).all()


def test_quantile_by_hand() -> None:
    # Four values stand at the quantiles 1/8, 3/8, 5/8, 7/8; the two equal ones share the middle of theirs, 0.
    scores = encoded(fitted([1, 2, 2, 10], scale="quantile"), [1, 2, 10, 6, -5, 50])[:, 0]
    np.testing.assert_allclose(scores, [-1.15035, 0, 1.15035, 1.15035 / 2, -1.15035, 1.15035], atol=1e-5)


def test_a_constant_column_is_zero_and_said_to_be_constant() -> None:
    for scale in ("standard", "minmax", "quantile", "log"):
        modality = fitted([0.1] * 7, scale=scale)
        assert encoded(modality, [0.1])[0, 0] == pytest.approx(0, abs=1e-6)
        assert modality.summary()["constant"] is True


def test_values_far_outside_training_stay_finite() -> None:
    for scale in ("standard", "log", "minmax", "quantile", "none"):
        modality = fitted([1.0, 1.0 + 1e-9], scale=scale)
        assert np.isfinite(encoded(modality, [3e38, -3e38])).all()


def test_statistics_are_exact_in_double_precision() -> None:
    values = 1e9 + np.arange(200_001) % 2  # mean 1e9 + 0.49999…, variance 1/4: lost in single precision
    found = fitted(values.tolist()).summary()
    assert found["mean"] == pytest.approx(values.mean(), abs=1e-7)
    assert found["deviation"] == pytest.approx(0.5, abs=1e-6)


# -- missing values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("missing_value", "fed"), [("mean", 4.0), ("median", 2.0), ("zero", 0.0)])
def test_what_is_fed_for_a_missing_number(missing_value: str, fed: float) -> None:
    modality = fitted([1.0, 2.0, 9.0, None], scale="none", missing_value=missing_value)
    assert encoded(modality, [None, 5.0]).tolist() == [[fed, 1], [5, 0]]


def test_the_flag_of_missing_values() -> None:
    assert fitted([1.0, None]).describe() == Numbers("numbers", ("x",), 2)
    assert fitted([1.0, 2.0]).describe() == Numbers("numbers", ("x",), 1)
    assert fitted([1.0, 2.0], missing_flag=True).describe().width == 2
    assert fitted([1.0, None], missing_flag=False).describe().width == 1


def test_a_column_without_numbers_is_refused() -> None:
    with pytest.raises(DataError, match="'x' has no number in the 2 training rows"):
        fitted([None, "NA"])


# -- piecewise -----------------------------------------------------------------------------------------------


def test_piecewise_by_hand() -> None:
    modality = fitted([0.0, 1.0, 3.0, 7.0, None], embedding="piecewise", pieces=3)  # pieces 0-1, 1-3, 3-7
    assert modality.describe().width == 4
    expected = [[0.5, 0, 0, 0], [1, 0.5, 0, 0], [1, 1, 0.5, 0], [-1, 0, 0, 0], [1, 1, 2, 0]]
    assert encoded(modality, [0.5, 2.0, 5.0, -1.0, 11.0]).tolist() == expected
    assert encoded(modality, [None])[0, -1] == 1


def test_piecewise_of_repeated_values_has_fewer_pieces() -> None:
    assert fitted([0.0] * 50 + [1.0] * 50, embedding="piecewise").describe().width == 1
    assert fitted([5.0] * 9, embedding="piecewise").describe().width == 1


# -- targets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["standard", "quantile", "log", "minmax", "none"])
@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_a_target_comes_back_in_its_own_units(scale: str, values: list[float]) -> None:
    modality = fitted(values, "target", scale=scale)
    target = modality.encode_target(pa.array(values, pa.float64()))
    assert target.dtype == np.float32
    answer = modality.decode_target(target.astype(np.float64))
    assert answer.type == pa.float64()
    # The network's scale has 24 bits; the logarithm spreads their last one over the largest number.
    np.testing.assert_allclose(answer.to_numpy(), values, rtol=1e-5, atol=1e-5 * max(1.0, np.ptp(values)))


def test_a_target_is_standardised_and_missing_ones_are_nan() -> None:
    modality = fitted([1.0, 3.0, None], "target")
    target = modality.encode_target(pa.array([1.0, 3.0, None]))
    assert target[:2].tolist() == [-1, 1]
    assert np.isnan(target[2])
    assert modality.decode_target(target).to_pylist() == [1, 3, None]
    assert modality.decode_target(target[:, None]).to_pylist() == [1, 3, None]


def test_a_wild_answer_on_a_log_scale_stays_finite() -> None:
    modality = fitted([1.0, 100.0], "target", scale="log")
    assert np.isfinite(modality.decode_target(np.array([1e9, -1e9])).to_numpy()).all()


# -- state ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ({}, {"spread": 0.0}),
        ({}, {"spread": -1.0}),
        ({}, {"scale": "log"}),
        ({}, {"scale": "os.system"}),
        ({}, {"center": "1"}),
        ({}, {"center": float("inf")}),
        ({}, {"values": -1}),
        ({}, {"knots": [1.0], "scores": [0.0]}),
        ({}, {"edges": [0.0, 1.0]}),
        ({"scale": "quantile"}, {"knots": [2.0, 1.0], "scores": [0.0, 1.0]}),
        ({"scale": "quantile"}, {"knots": [1.0], "scores": [0.0, 1.0]}),
        ({"scale": "quantile"}, {"knots": list(range(2000)), "scores": list(range(2000))}),
        ({"embedding": "piecewise"}, {"edges": [1.0, 1.0]}),
        ({"embedding": "piecewise"}, {"edges": []}),
        ({"missing_flag": True}, {"flag": False}),
    ],
)
def test_a_state_that_cannot_be_one_is_refused(said: dict[str, Any], change: dict[str, Any]) -> None:
    state = json.loads(json.dumps(fitted([1.0, 2.0, 4.0], **said).state().json))
    with pytest.raises(BundleError, match="'x'"):
        number(**said).restore(State({**state, **change}))


def test_show() -> None:
    modality = number()
    assert [modality.show(value).text for value in (3.0, 0.125, 1234567.0, None)] == [
        "3",
        "0.125",
        "1234567",
        "missing",
    ]


def test_a_column_that_is_mostly_zero_still_gets_pieces_where_it_is_not():
    from modelyard.data.modalities.scaling import piece_edges

    sample = np.concatenate([np.zeros(900), np.arange(1.0, 101.0)])
    edges = piece_edges(sample, 11)
    assert edges[:2] == (0.0, 1.0) and edges[-1] == 100.0
    assert len(edges) == 12
    assert np.abs(np.diff(edges[1:]) - 9.9).max() < 1.2
    assert piece_edges(np.full(10, 3.0), 8) == (3.0,)


ODDLY = [
    "",
    " ",
    "NA",
    "nan",
    "-",
    ".",
    "x",
    "1,234",
    "inf",
    "-1e400",
    " 7 ",
    "+5",
    "−3",
    "1.",
    "12%",
    "0x10",
    "٣",
    "-999",
    None,
]


@pytest.mark.parametrize("missing", [["", "NA", "-"], ["", "-999"], ["1,234", "x"]])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_few_odd_values_among_plain_numbers_are_read_as_they_are_alone(missing: list[str], kind: pa.DataType) -> None:
    modality = Number("n", NumberSettings(missing=missing))
    for odd in ODDLY:
        alone = modality.read(pa.array([odd], kind))
        column = pa.array(["0", "1.5", "2", odd, "-3e2", "4", "5"], kind)[1:]
        reading = modality.read(column)
        assert reading.values.to_pylist() == [1.5, 2.0, *alone.values.to_pylist(), -300.0, 4.0, 5.0]
        assert list(reading.problems.items()) == [(2, reason) for reason in alone.problems.values()]
