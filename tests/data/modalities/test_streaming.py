"""Statistics in chunks: exact where they say so, bounded, and the same whatever the chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.data.modalities.streaming import Counts, KeyCounts, Moments, Sample


def chunks(values: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    edges = np.minimum(np.cumsum(sizes), len(values))
    return np.split(values, edges)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 90_000), min_size=1, max_size=6))
def test_moments_are_the_same_bit_for_bit_in_any_chunks(sizes: list[int]) -> None:
    values = np.random.default_rng(0).lognormal(size=150_000)
    whole, parts = Moments(), Moments()
    whole.add(values)
    for chunk in chunks(values, sizes):
        parts.add(chunk)
    whole.finish()
    parts.finish()
    assert (whole.mean, whole.deviation, whole.count) == (parts.mean, parts.deviation, parts.count)
    assert whole.mean == pytest.approx(values.mean(), rel=1e-12)
    assert whole.deviation == pytest.approx(values.std(), rel=1e-12)
    assert (whole.minimum, whole.maximum) == (values.min(), values.max())


def test_a_sample_holds_everything_while_it_can() -> None:
    sample = Sample(100, "test")
    sample.add(np.arange(60.0))
    sample.add(np.arange(60.0, 100.0))
    assert sample.values().tolist() == list(range(100))


@pytest.mark.parametrize("chunk", [1, 7, 250, 9999])
def test_a_sample_is_the_same_in_any_chunks(chunk: int) -> None:
    values = np.arange(10_000.0)
    whole, parts = Sample(50, "test"), Sample(50, "test")
    whole.add(values)
    for start in range(0, len(values), chunk):
        parts.add(values[start : start + chunk])
    assert whole.values().tolist() == parts.values().tolist()
    assert len(whole.values()) == 50


def test_every_value_is_equally_likely_to_be_in_a_sample() -> None:
    sample = Sample(20_000, "test")
    sample.add(np.arange(200_000.0))
    kept = np.histogram(sample.values(), bins=10, range=(0, 200_000))[0]
    assert np.abs(kept - 2000).max() < 5 * np.sqrt(2000)  # five standard deviations


def test_counts_are_exact_below_the_limit_and_ranked() -> None:
    counts = Counts()
    counts.add(["b", "a"], [1, 1])
    counts.add(["b", "c"], [2, 1])
    assert counts.ranked() == [("b", 3), ("a", 1), ("c", 1)]
    assert not counts.approximate


def test_counts_beyond_the_limit_keep_the_frequent_and_say_so() -> None:
    counts = Counts(limit=10)
    counts.add(["often"], [100])
    counts.add([f"rare {at}" for at in range(50)], [1] * 50)
    assert counts.approximate
    assert counts.ranked() == [("often", 100)]


def test_keys_are_counted_as_in_a_dict() -> None:
    keys = np.random.default_rng(0).integers(0, 50, 1000)
    counts = KeyCounts(pending=64)
    for chunk in np.array_split(keys, 13):
        counts.add(chunk, np.ones(len(chunk), np.int64))
    expected = np.unique(keys, return_counts=True)
    found = counts.result()
    assert [array.tolist() for array in found] == [array.tolist() for array in expected]
    assert [len(array) for array in KeyCounts().result()] == [0, 0]


def test_keys_beyond_the_limit_keep_the_frequent_and_say_so() -> None:
    counts = KeyCounts(limit=10)
    counts.add(np.arange(50), np.r_[100, np.ones(49, np.int64)])
    assert counts.result()[0].tolist() == [0]
    assert counts.approximate


@pytest.mark.parametrize("edge", [0, 4_000, 9_999])
@pytest.mark.parametrize(
    ("make", "result"),
    [
        (lambda: Counts(limit=200), lambda it: (it.ranked(), it.approximate)),
        (lambda: Counts(limit=100_000), lambda it: (it.ranked(), it.approximate)),
        (lambda: KeyCounts(limit=200, pending=700), lambda it: ([a.tolist() for a in it.result()], it.approximate)),
        (lambda: Sample(50, "test"), lambda it: it.values().tolist()),
        (Moments, lambda it: (it.finish(), it.mean, it.deviation, it.minimum, it.maximum, it.count)),
    ],
    ids=["few-counts", "counts", "keys", "sample", "moments"],
)
def test_what_was_saved_goes_on_in_another_object_bit_for_bit(make: Any, result: Any, edge: int) -> None:
    values = np.random.default_rng(1).zipf(1.3, 10_000) % 100_000

    def add(statistic: Any, part: np.ndarray) -> None:
        for chunk in np.array_split(part, max(1, len(part) // 500)):
            if isinstance(statistic, Counts):
                statistic.add([f"é{number}" for number in chunk], [1] * len(chunk))
            elif isinstance(statistic, KeyCounts):
                statistic.add(chunk, np.ones(len(chunk), np.int64))
            else:
                statistic.add(chunk.astype(np.float64))

    whole, first, second = make(), make(), make()
    for part in (values[:edge], values[edge:]):
        add(whole, part)
    add(first, values[:edge])
    second.load({name: array.copy() for name, array in first.save().items()})
    add(second, values[edge:])
    assert result(second) == result(whole)
