"""Learning curves and what they promise."""

from __future__ import annotations

import math

import pytest
from small_training import blobs, small_training

from modelyard.core.errors import SpecError
from modelyard.evaluate.records import Measured
from modelyard.train.learning_curve import extrapolate, learning_curve


def points_of(pairs, half_width=0.001):
    return [
        {"rows": rows, "value": value, "low": value - half_width, "high": value + half_width} for rows, value in pairs
    ]


def whole_of(points, higher=True, name="accuracy"):
    last = points[-1]
    return Measured(name, last["value"], last["low"], last["high"], None, higher, 100)


def test_points_rise_to_the_training_itself(tmp_path):
    small = small_training({"source": blobs(200), "targets": ["side"]}, tmp_path, train={"epochs": 3})
    full = next(one for one in small.run.evaluations if one.split == "validation")
    record = learning_curve(small.spec, small.prepared, small.task, [0.5, 0.1, 0.5], full, 1.5, small.log)
    train = len(small.prepared.splits["train"])
    assert [point["share"] for point in record.points] == [0.1, 0.5, 1.0]
    assert [point["rows"] for point in record.points] == pytest.approx([0.1 * train, 0.5 * train, train], abs=2)
    assert record.metric == small.task.metrics[0] == record.points[0]["metric"]
    measured = full.metrics[0]
    last = record.points[-1]
    assert (last["value"], last["low"], last["high"]) == (measured.value, measured.low, measured.high)
    assert last["seconds"] == 1.5
    assert all(point["low"] <= point["value"] <= point["high"] and point["seconds"] > 0 for point in record.points)
    assert [event["share"] for event in small.events if event["event"] == "learning_curve"] == [0.1, 0.5]
    assert "same epochs" in record.notes[0]


def test_without_validation_rows_there_is_nothing_to_measure_on(tmp_path):
    data = {"source": blobs(60), "targets": ["side"], "split": {"validation": 0}}
    small = small_training(data, tmp_path, train={"epochs": 1})
    with pytest.raises(SpecError, match=r"evaluate.learning_curve: is measured on validation rows"):
        learning_curve(small.spec, small.prepared, small.task, [0.5], small.run.evaluations[0], 1.0, small.log)


def test_a_power_law_is_found_and_carried_on():
    points = points_of([(rows, 1 - 2 / math.sqrt(rows)) for rows in (100, 400, 1600)])
    exponent, doubled, words = extrapolate(points, whole_of(points))
    assert exponent == pytest.approx(0.5)
    assert doubled == pytest.approx(1 - 2 / math.sqrt(3200))
    assert words.startswith("twice the rows would take accuracy from 0.95 to about 0.9646")
    assert "29%" in words  # 1 - 2 ** -0.5


def test_where_lower_is_better_the_value_itself_is_the_error():
    points = points_of([(rows, 8 / rows) for rows in (100, 200, 400)])
    exponent, doubled, _ = extrapolate(points, whole_of(points, higher=False, name="rmse"))
    assert exponent == pytest.approx(1.0)
    assert doubled == pytest.approx(8 / 800)


@pytest.mark.parametrize(
    ("pairs", "width", "reason"),
    [
        ([(100, 0.8), (200, 0.9)], 0.001, "three points"),
        ([(100, 0.8), (200, 0.82), (400, 0.84)], 0.1, "by more than chance"),
        ([(100, 0.6), (200, 0.9), (400, 0.7)], 0.001, "power law"),
        ([(100, 0.9), (200, 0.8), (400, 0.7)], 0.001, "power law"),
        ([(100, 0.9), (200, 0.95), (400, 1.0)], 0.001, "no error left"),
        ([(100, 0.9), (200, math.nan), (400, 0.95)], 0.001, "no error left"),
    ],
)
def test_what_the_points_do_not_say_is_unclear(pairs, width, reason):
    points = points_of(pairs, width)
    exponent, doubled, words = extrapolate(points, whole_of(points))
    assert exponent is None and doubled is None
    assert words.startswith("unclear") and reason in words


def test_points_without_intervals_are_judged_by_the_law_alone():
    points = points_of([(rows, 1 - 2 / math.sqrt(rows)) for rows in (100, 400, 1600)], math.nan)
    assert extrapolate(points, whole_of(points))[0] == pytest.approx(0.5)
