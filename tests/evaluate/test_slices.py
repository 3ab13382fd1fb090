"""Slices: every column is cut in a way a person understands, and the planted weakness is what is found."""

import numpy as np
import pyarrow as pa
import pytest

from modelyard.data.modalities.category import Category, CategorySettings
from modelyard.data.modalities.image import Image, ImageSettings
from modelyard.data.modalities.labels import Labels, LabelsSettings
from modelyard.data.modalities.text import Text, TextSettings
from modelyard.evaluate.cuts import cut, keep_for_cuts
from modelyard.evaluate.slices import declared_slices, row_metric, worst_slices
from modelyard.tasks.base import Outcome


def cuts_of(values, modality=None, at_least=1):
    return cut("x", keep_for_cuts(modality)(pa.array(values), ""), at_least)


def sets(one):
    """Value → rows of a cut, empty ones left out."""
    found = {value: np.flatnonzero(one.codes == code).tolist() for code, value in enumerate(one.values)}
    return {value: rows for value, rows in found.items() if rows}


def outcome_of(wrong):
    target = np.arange(len(wrong)) % 2
    answer = np.where(wrong, 1 - target, target)
    return Outcome(target, np.eye(2)[answer], answer, ("a", "b"))


# -- cuts -------------------------------------------------------------------------------------------------------------


def test_few_numbers_are_cut_by_value():
    (one,) = cuts_of([2.0, 1.5, None, 2.0])
    assert sets(one) == {"1.5": [1], "2": [0, 3], "missing": [2]}


def test_many_numbers_are_cut_by_quantile_into_nearly_equal_bins():
    (one,) = cuts_of([*range(100), None])
    found = sets(one)
    assert list(found) == ["0 … 19", "20 … 39", "40 … 59", "60 … 79", "80 … 99", "missing"]
    assert [len(rows) for rows in found.values()] == [20, 20, 20, 20, 20, 1]


def test_a_value_that_fills_several_quantiles_makes_one_bin():
    (one,) = cuts_of([0] * 80 + list(range(1, 21)))
    assert {value: len(rows) for value, rows in sets(one).items()} == {"0": 80, "1 … 20": 20}


def test_written_numbers_of_a_column_without_modality_are_numbers_and_those_of_a_category_are_names():
    written = [str(value) for value in range(40)]
    assert list(sets(cuts_of(written)[0])) == ["0 … 7", "8 … 15", "16 … 23", "24 … 31", "32 … 39"]
    assert len(sets(cuts_of(written, Category("x", CategorySettings()))[0])) == 40


def test_categories_are_cut_by_value_and_rare_ones_left_out():
    (one,) = cuts_of(["red", "blue", "red", None, "green", "blue"], at_least=2)
    assert sets(one) == {"blue": [1, 5], "red": [0, 2], "missing": [3]}


def test_texts_are_cut_by_length_and_by_the_words_in_them():
    texts = [f"row{number} " + ("cold soup" if number % 4 == 0 else "food " * (number % 7)) for number in range(100)]
    cuts = cuts_of(texts, Text("x", TextSettings()), at_least=10)
    by_length = next(one for one in cuts if "characters" in one.values[0])
    assert sum(len(rows) for rows in sets(by_length).values()) == 100
    words = {one.values[0]: np.flatnonzero(one.codes == 0).tolist() for one in cuts if "contains" in one.values[0]}
    assert words["contains “soup”"] == list(range(0, 100, 4))
    assert "contains “food”" not in words  # most of the texts have it


def test_characters_are_the_words_of_scripts_without_spaces():
    cuts = cuts_of([f"晚餐很好{number}" if number % 3 else f"糟糕{number}" for number in range(90)], at_least=10)
    assert "contains “糟”" in [one.values[0] for one in cuts]


def test_dates_are_cut_by_their_parts():
    cuts = cuts_of([f"2024-{month:02}-{day:02}" for month in (1, 2) for day in range(1, 29)])
    assert {one.values[:-1] for one in cuts} == {
        ("month 1", "month 2"),
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    }
    monday = next(one for one in cuts if one.values[0] == "Monday")
    assert monday.codes[0] == 0  # the first of January 2024 was a Monday


def test_what_looks_like_dates_but_is_not_stays_text():
    cuts = cuts_of([f"2024-02-{day:02}" for day in range(1, 32)])
    assert all("month" not in value for one in cuts for value in one.values)


def test_pictures_are_cut_by_brightness_and_contrast():
    modality = Image("x", ImageSettings(size=4, channels=1))
    pixels = np.stack([np.full((4, 4), level, np.uint8) for level in range(0, 200, 10)])
    kept = keep_for_cuts(modality)(pa.array(pixels.reshape(len(pixels), -1).tolist()), "")
    brightness, contrast = cut("x", kept)
    assert brightness.values[0] == "brightness 0 … 30" and sets(brightness)["brightness 0 … 30"] == [0, 1, 2, 3]
    assert sets(contrast) == {"contrast 0": list(range(20))}


def test_sets_of_labels_are_cut_by_each_label():
    values = [["a", "b"], ["a"], [], None, ["c"], ["c", "a"]]
    found = [sets(one) for one in cuts_of(values, Labels("x", LabelsSettings()))]
    assert {"no label": [2], "missing": [3]} in found and {"has “a”": [0, 1, 5]} in found


@pytest.mark.parametrize("values", [[b"\x00", b"\x01"], [{"a": 1}, {"a": 2}], [None, None]])
def test_other_types_are_not_cut(values):
    assert cuts_of(values) == []


# -- search -----------------------------------------------------------------------------------------------------------


def many_columns(rows, seed=0):
    random = np.random.default_rng(seed)
    columns = {f"n{index}": random.normal(size=rows) for index in range(4)}
    columns |= {f"c{index}": random.choice(["u", "v", "w", "x"], rows) for index in range(4)}
    return columns, {name: keep_for_cuts(None)(pa.array(values), "") for name, values in columns.items()}


def test_a_planted_weakness_is_found_first_and_by_its_name():
    columns, kept = many_columns(2000)
    random = np.random.default_rng(1)
    wrong = random.random(2000) < np.where(columns["c2"] == "w", 0.4, 0.1)
    outcome = outcome_of(wrong)
    found = worst_slices(outcome, kept, seed=0, resamples=100)
    worst = found[0]
    inside = columns["c2"] == "w"
    assert (worst.column, worst.value, worst.rows) == ("c2", "w", int(inside.sum()))
    assert worst.metric == "accuracy" and worst.worse and not worst.declared and worst.p_value < 1e-6
    assert worst.metric_value == pytest.approx(1 - wrong[inside].mean())
    assert worst.rest == pytest.approx(1 - wrong[~inside].mean())
    assert worst.low < worst.metric_value < worst.high < worst.rest


def test_a_weakness_of_two_columns_together_is_found():
    columns, kept = many_columns(4000)
    inside = (columns["c0"] == "u") & (columns["c1"] == "v")
    wrong = np.random.default_rng(2).random(4000) < np.where(inside, 0.6, 0.1)
    worst = worst_slices(outcome_of(wrong), kept, seed=0, resamples=0)[0]
    assert sorted((part["column"], part["value"]) for part in worst.condition) == [("c0", "u"), ("c1", "v")]
    assert worst.rows == inside.sum()


def test_errors_of_numbers_are_searched_too():
    columns, kept = many_columns(2000)
    error = np.random.default_rng(3).normal(size=2000) * np.where(columns["n1"] > 1, 3, 1)
    outcome = Outcome(np.zeros((2000, 1)), error[:, None], error[:, None], ("y",))
    worst = worst_slices(outcome, kept, seed=0, resamples=0)[0]
    assert worst.column == "n1" and worst.metric == "mae" and worst.metric_value > 1.5 * worst.rest


def test_without_a_weakness_hardly_ever_one_is_found():
    found = 0
    for seed in range(40):
        _, kept = many_columns(300, seed)
        wrong = np.random.default_rng(1000 + seed).random(300) < 0.2
        found += bool(worst_slices(outcome_of(wrong), kept, seed=0, resamples=0))
    assert found <= 5  # each search finds one by chance at most once in twenty: six of forty come about once in fifty


def test_no_mistake_or_hardly_a_row_no_slice():
    _, kept = many_columns(30)
    assert worst_slices(outcome_of(np.arange(30) % 2 == 0), kept, seed=0) == []
    _, kept = many_columns(200)
    assert worst_slices(outcome_of(np.zeros(200, bool)), kept, seed=0) == []


def test_slices_of_the_same_rows_are_shown_once():
    columns, kept = many_columns(2000)
    kept["copy"] = kept["c2"]
    wrong = np.random.default_rng(1).random(2000) < np.where(columns["c2"] == "w", 0.4, 0.1)
    found = worst_slices(outcome_of(wrong), kept, seed=0, resamples=0)
    assert [one.column for one in found if one.value == "w"] == ["c2"]


def test_declared_columns_are_measured_at_every_value():
    colour = np.array(["red"] * 50 + ["blue"] * 45 + ["green"] * 3 + ["pink"] * 2)
    wrong = np.zeros(100, bool)
    wrong[:25] = True
    found, notes = declared_slices(
        outcome_of(wrong), {"colour": keep_for_cuts(None)(pa.array(colour), "")}, seed=0, resamples=100
    )
    assert [(one.value, one.rows, one.worse, one.declared) for one in found] == [
        ("red", 50, True, True),
        ("blue", 45, False, True),
    ]
    assert found[0].metric_value == 0.5 and found[0].rest == 1.0
    assert "5 rows of 'colour'" in notes[0]
    _, notes = declared_slices(outcome_of(wrong), {"raw": pa.nulls(100)}, seed=0)
    assert "'raw' holds null, which is not cut" in notes[0]


def test_the_metric_of_slices_is_a_mean_over_rows():
    several = Outcome(
        np.array([[1, 0], [1, 1]], np.uint8), np.zeros((2, 2)), np.array([[1, 1], [0, 0]], np.uint8), ("a", "b")
    )
    metric, losses = row_metric(several)
    assert metric.name == "hamming_loss" and losses.tolist() == [0.5, 1.0] and metric(several) == losses.mean()
