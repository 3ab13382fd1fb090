"""What a column is taken for: the claims of number, category, labels and text beside each other."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelyard.data.modalities import guessing
from modelyard.data.modalities.base import Guess

CLAIMS = {name: getattr(guessing, name) for name in ("number", "category", "labels", "text")}
RNG = np.random.default_rng(0)


def best(values: Any, column: str = "x") -> tuple[str, Guess]:
    array = values if isinstance(values, pa.Array) else pa.array(values)
    found = {name: guess for name, claim in CLAIMS.items() if (guess := claim(array, column)) is not None}
    name = max(found, key=lambda key: found[key].score)
    return name, found[name]


def whole(low: int, high: int, rows: int = 500) -> list[int]:
    return RNG.integers(low, high, rows).tolist()


@pytest.mark.parametrize(
    ("expected", "values"),
    [
        ("number", whole(17, 90)),
        ("number", [str(value) for value in whole(1, 99)]),
        ("number", [1, 2, 3, 4, 5]),
        ("number", [1.5, 1.5, None]),
        ("number", ["1.5", "NA", "2", "-"]),
        ("number", whole(1990, 1995)),
        ("number", [datetime.date(2020, 1, 1), datetime.date(2020, 2, 1)]),
        ("category", whole(0, 2)),
        ("category", [str(value) for value in whole(0, 2)]),
        ("category", [float(value) for value in whole(1, 6)]),
        ("category", [True, False, None]),
        ("category", ["red", "green", "red", "?"] * 5),
        ("category", ["Some college, no degree", "Bachelors", "HS-grad"] * 50),
        ("category", [f"City {value}" for value in whole(0, 100)]),
        ("category", [f"{value:05d}" for value in whole(0, 99_999)]),
        ("category", pa.array(["a", "b"]).dictionary_encode()),
        ("text", [f"this is the long review number {at}" for at in range(50)]),
        ("text", [f"中国股市今天上涨{at}点" for at in range(50)]),
        (
            "text",
            ["how can I close the account that I opened here last year?"] + [f"please tell me {a}" for a in range(9)],
        ),
        ("labels", [["a", "b"], ["a"], None]),
        ("labels", ["a|b", "b", "a", "b|c"]),
        ("labels", ['["a"]', '["a", "b"]']),
        ("labels", ["Drama, Comedy", "Comedy", "Drama", "Horror, Drama"] * 20),
    ],
)
def test_what_a_person_would_say(expected: str, values: Any) -> None:
    name, guess = best(values)
    assert name == expected, guess
    assert 0.5 <= guess.score <= 1


@pytest.mark.parametrize("column", ["id", "user_id", "userId", "ID", "uuid", "PassengerId", "row_number", "编号"])
def test_identifiers_are_not_used(column: str) -> None:
    for values in (list(range(100)), [f"u{at:04d}" for at in range(100)]):
        _, guess = best(values, column)
        assert guess.score <= 0.1
        assert "identifier" in guess.reason


def test_a_column_that_only_sounds_like_an_identifier_is_used() -> None:
    assert best(whole(0, 50), "user_id")[0] == "category"
    assert best([float(value) for value in RNG.normal(size=50)], "humid")[0] == "number"
    assert best(list(range(10)), "Unnamed: 0")[1].score <= 0.1


def test_codes_are_categories() -> None:
    assert best(whole(10_000, 99_999), "zip_code")[0] == "category"
    assert "leading zeros" in best([f"{at:04d}" for at in range(300)])[1].reason


def test_settings_follow_from_what_was_seen() -> None:
    assert best(["12,5", "0,25", "3"])[1].settings == {"decimal": ","}
    assert best(["12%", "7 %", "80%"])[1].settings == {"strip": ["%"]}
    assert best(["1,234", "5,678"])[1].settings == {}
    assert best(["a;b", "b;c", "a", "c;a"])[1].settings == {"separator": ";"}
    plus = best(["+", "-", "-", "+"] * 3)[1]
    assert "-" not in plus.settings["missing"]
    assert "none missing" in plus.reason


def test_reasons_are_phrases_with_numbers() -> None:
    assert best([20, 30, 30, 40.5, None])[1].reason == "3 different numbers from 20 to 40.5, 1 missing"
    assert best(["a", "b"] * 10)[1].reason == "2 different values in 20 rows, 1.0 words each, none missing"
    some = best(["1", "2"] * 30 + ["3", "x"])[1].reason
    assert some == "3 different whole numbers from 1 to 3, none missing, 1 other value not readable as one"


def test_names_of_pictures_are_no_text() -> None:
    values = pa.array([f"images/{at}.JPG" for at in range(20)])
    assert all(guess is None or guess.score <= 0.1 for guess in (claim(values, "x") for claim in CLAIMS.values()))


@pytest.mark.parametrize(
    "values", [pa.nulls(3), pa.array(["", "NA"]), pa.array([], pa.string()), pa.array([[0.1, 0.2]])]
)
def test_nothing_is_claimed_where_nothing_is_seen(values: pa.Array) -> None:
    assert [claim(values, "x") for claim in CLAIMS.values()] == [None] * 4
