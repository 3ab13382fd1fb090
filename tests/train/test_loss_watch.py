"""Losses that leave all bounds are seen, and nothing else is."""

import math

import pytest
import torch

from modelyard.spec.spec import DivergenceSpec
from modelyard.train.watch import Watch


def watched(losses, settings=None, watch=None):
    watch = watch or Watch(settings or DivergenceSpec())
    found = []
    for step, loss in enumerate(losses):
        watch.add(step, torch.tensor(loss))
        found += watch.take()
    return found + watch.look()


def test_a_falling_loss_is_no_trouble():
    assert watched([10 * 0.9**step for step in range(100)]) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_loss_that_is_no_number_is_named_and_nothing_after_it_is_read(bad):
    (trouble,) = watched([1.0] * 20 + [bad, bad, 1.0])
    assert (trouble.step, trouble.kind) == (20, "not_finite")


def test_a_spike_is_told_from_the_median_of_the_steps_before():
    (trouble,) = watched([1.0] * 20 + [10.1] + [1.0] * 20)
    assert (trouble.step, trouble.kind, trouble.usual) == (20, "spike", 1.0)
    assert trouble.loss == pytest.approx(10.1)
    assert watched([1.0] * 20 + [9.9] + [1.0] * 20) == []


def test_the_beginning_of_a_training_has_no_spikes():
    assert watched([1000.0, 500.0, 1.0, 1.0, 1.0, 900.0]) == []


def test_a_loss_that_becomes_larger_for_good_becomes_the_usual_one_when_spikes_are_only_noted():
    found = watched([1.0] * 64 + [100.0] * 64)
    assert [trouble.step for trouble in found] == list(range(64, 64 + 32))


def test_a_spike_that_is_to_be_left_out_does_not_become_usual():
    found = watched([1.0] * 64 + [100.0] * 64, DivergenceSpec(spike="skip"))
    assert [trouble.step for trouble in found] == list(range(64, 128))


def test_a_watch_that_was_saved_goes_on_with_what_it_remembered():
    losses = [float(step % 7 + 1) for step in range(200)]
    whole, first, second = Watch(DivergenceSpec()), Watch(DivergenceSpec()), Watch(DivergenceSpec())
    watched(losses, watch=whole)
    watched(losses[:90], watch=first)
    second.restore(first.state())
    watched(losses[90:], watch=second)
    assert second.state() == whole.state()
    assert watched([100.0], watch=second)[0].usual == watched([100.0], watch=whole)[0].usual
