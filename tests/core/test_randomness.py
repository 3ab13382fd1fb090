from __future__ import annotations

import numpy as np
import pytest

from modelyard.core.randomness import Permutation, derive, mix, stream, uniforms


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 16, 17, 1000, 4097])
def test_a_permutation_holds_every_item_once(size):
    assert sorted(Permutation(size, 0, "order", 1).slice(0, size)) == list(range(size))


def test_any_slice_of_a_permutation_equals_that_part_of_the_whole():
    permutation = Permutation(1000, 7, "order", 3)
    whole = permutation.slice(0, 1000)
    assert np.array_equal(permutation.slice(300, 410), whole[300:410])
    assert permutation(np.array([999, 0])).tolist() == [whole[999], whole[0]]


def test_seed_purpose_and_epoch_each_change_the_order():
    orders = [
        tuple(Permutation(100, *key).slice(0, 100))
        for key in [(0, "order", 0), (1, "order", 0), (0, "other", 0), (0, "order", 1)]
    ]
    assert len(set(orders)) == 4


def test_a_permutation_moves_items_everywhere():
    # Where item 0 lands over many seeds: uniform over ten bins, by a chi-square test far beyond its 0.999 quantile.
    landed = [int(np.flatnonzero(Permutation(50, seed, "order").slice(0, 50) == 0)[0]) for seed in range(2000)]
    counts = np.bincount(np.array(landed) // 5, minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 35


def test_uniforms_depend_on_the_id_and_not_on_its_neighbours():
    alone = uniforms(0, "flip", 2, np.array([5]), 3)
    together = uniforms(0, "flip", 2, np.array([9, 5, 1]), 3)
    assert np.array_equal(alone[0], together[1])
    assert together.dtype == np.float32 and together.shape == (3, 3)


def test_uniforms_are_uniform_and_change_with_the_epoch():
    values = uniforms(0, "flip", 0, np.arange(20000))[:, 0]
    assert values.min() >= 0 and values.max() < 1
    assert abs(values.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(values, uniforms(0, "flip", 1, np.arange(20000))[:, 0])[0, 1]) < 0.03


def test_streams_repeat_and_differ_by_purpose():
    assert stream(3, "a").random() == stream(3, "a").random()
    assert stream(3, "a").random() != stream(3, "b").random()
    assert derive(3, "a", 1, 2) != derive(3, "a", 12)


def test_keys_are_the_same_on_every_machine():
    assert derive(0, "order", 1) == 3818025765772773313
    assert mix(np.array([0], np.uint64))[0] == np.uint64(0xE220A8397B1DCDAF)  # SplitMix64's first output for seed 0
