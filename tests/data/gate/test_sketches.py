"""What the gate keeps of columns: exact, bounded, and blind to how rows came in chunks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from modelyard.data.gate.check import RowIndex
from modelyard.data.gate.drift import _kolmogorov_smirnov, _total_variation
from modelyard.data.gate.profile import hash_values
from modelyard.data.gate.repeats import Repeats
from modelyard.data.gate.sketches import Moments, RowSample
from modelyard.data.gate.tally import NAMED, NOWHERE, Tally


def tally_of(words: list[str], codes: np.ndarray, limit: int, chunk: int, interrupt: bool = False) -> Tally:
    tally = Tally(limit, texts=True)
    for start in range(0, len(words), chunk):
        part = pa.array(words[start : start + chunk]).dictionary_encode()
        lanes = codes[start : start + chunk].astype(np.int64) + 1
        index, size = part.indices.to_numpy().astype(np.int64), len(part.dictionary)
        counts = np.bincount(index * 4 + lanes, minlength=4 * size).reshape(-1, 4)[:, 1:]
        tally.add(hash_values(part.dictionary), counts, index, lanes, np.flatnonzero(lanes > 1), start, part.dictionary)
        if interrupt and start == 3 * chunk:
            state, tally = tally.state(), Tally(limit, texts=True)
            tally.restore(state)
    tally.merge()
    return tally


@pytest.mark.parametrize("values", [5, 3000])
@pytest.mark.parametrize(("chunk", "interrupt"), [(64, False), (1000, True), (20_000, False)])
def test_a_tally_counts_every_value_and_knows_its_first_rows(values, chunk, interrupt):
    rng = np.random.default_rng(0)
    words = [f"w{value}" for value in rng.integers(0, values, 20_000)]
    codes = rng.integers(-1, 3, 20_000).astype(np.int8)
    tally = tally_of(words, codes, 65_536, chunk, interrupt)
    rows: dict[str, list[list[int]]] = {}
    for number, (word, code) in enumerate(zip(words, codes, strict=True)):
        if code >= 0:
            rows.setdefault(word, [[], [], []])[code].append(number)
    assert sorted(tally.words()) == sorted(rows) and tally.distinct == len(rows) and not tally.about
    for at, word in enumerate(tally.words()):
        assert tally.counts[at].tolist() == [len(numbers) for numbers in rows[word]]
        first = [number for number in tally.train_first[at] if number != NOWHERE]
        assert first == rows[word][0][:NAMED]
        held = [number for number in tally.held_first[at] if number != NOWHERE]
        assert held == sorted(rows[word][1] + rows[word][2])[:NAMED]


def test_beyond_its_limit_a_tally_keeps_the_same_values_whatever_the_chunks():
    rng = np.random.default_rng(1)
    words = [f"w{value}" for value in rng.integers(0, 20_000, 40_000)]
    codes = np.zeros(40_000, np.int8)
    first, second = tally_of(words, codes, 1000, 64), tally_of(words, codes, 1000, 7000, interrupt=True)
    assert first.words() == second.words() and (first.counts == second.counts).all()
    assert first.about and len(first) <= 1000
    counts = {word: words.count(word) for word in first.words()[:50]}
    assert {word: int(first.counts[at, 0]) for at, word in enumerate(first.words()[:50])} == counts
    assert first.distinct == pytest.approx(len(set(words)), rel=0.15)


@pytest.mark.parametrize("chunk", [1, 1000, 30_000])
def test_moments_are_the_same_bit_for_bit(chunk):
    values = np.random.default_rng(0).normal(3, 5, 30_000)
    values[::7] = 0
    whole, parts = Moments(), Moments()
    whole.add(values)
    for start in range(0, len(values) if chunk > 1 else 300, chunk):
        parts.add(values[start : start + chunk])
        if start == chunk:
            state, parts = parts.state(), Moments()
            parts.restore(state)
    if chunk == 1:
        parts.add(values[300:])
    found = whole.summary()
    assert parts.summary() == found
    assert found["mean"] == pytest.approx(values.mean(), rel=1e-13)
    assert found["deviation"] == pytest.approx(values.std(), rel=1e-13)
    assert (found["minimum"], found["maximum"], found["zeros"]) == (values.min(), values.max(), (values == 0).sum())


@pytest.mark.parametrize("chunk", [50, 900, 5000])
def test_the_sample_of_rows_is_uniform_and_does_not_depend_on_chunks(chunk):
    codes = np.random.default_rng(0).integers(-1, 3, 5000)

    def sample(chunk: int) -> RowSample:
        kept = RowSample(200)
        for start in range(0, 5000, chunk):
            chosen = kept.choose(start, codes[start : start + chunk] + 1)
            kept.add({"x": (chosen + start).astype(float)})
        kept.finish()
        return kept

    found, other = sample(chunk), sample(333)
    for code in range(3):
        numbers = found.numbers(code)
        assert (numbers == other.numbers(code)).all() and len(numbers) == 200
        assert (codes[numbers] == code).all() and (np.diff(numbers) > 0).all()
        assert (found.column("x", code) == numbers).all() and not found.is_whole(code)
        assert abs(numbers.mean() - 2500) < 400


@pytest.mark.parametrize("at_a_time", [10, 100, 1 << 22])
def test_repeats_are_all_rows_whose_inputs_occur_again(at_a_time):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 3000, 2000).astype(np.uint64)
    hashes = hash_values(pa.array(values))
    codes = rng.integers(-1, 3, 2000).astype(np.int8)
    zeros = np.zeros(2000, np.uint64)
    files = np.zeros(2000, np.int32)
    repeats = Repeats(RowIndex(zeros, hashes, zeros, codes, files, np.arange(2000), ["f"]), at_a_time)
    rows: dict[int, list[int]] = {}
    for number in range(2000):
        if codes[number] >= 0:
            rows.setdefault(int(hashes[number]), []).append(number)
    expected = {key: numbers for key, numbers in rows.items() if len(numbers) > 1}
    for _ in range(2):  # remembered, or looked for again
        groups = [rows.tolist() for part in repeats for rows in np.split(part.rows, part.starts[1:])]
        assert sorted(groups) == sorted(expected.values())


def test_distances_between_splits_equal_their_definitions():
    rng = np.random.default_rng(0)
    a, b = np.sort(rng.integers(0, 50, 400) * 1.0), np.sort(rng.integers(5, 60, 300) * 1.0)
    by_hand = max(abs((a <= x).mean() - (b <= x).mean()) for x in np.concatenate([a, b]))
    assert _kolmogorov_smirnov(a, b) == pytest.approx(by_hand)
    value, _ = _total_variation(np.array([50, 50, 0]), np.array([10, 0, 10]), 0.001)
    assert value == pytest.approx(0.5)


def test_chance_alone_stays_below_the_threshold():
    rng = np.random.default_rng(0)
    shares = np.array([0.5, 0.2, 0.2, 0.05, 0.05])
    for rows in (20, 200, 2000):
        for _ in range(200):
            value, threshold = _total_variation(rng.multinomial(5000, shares), rng.multinomial(rows, shares), 0.01)
            assert value <= threshold
