"""From measured numbers to the record: expected values by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from made_up_profile import LIMITS
from torch import nn

from modelyard.spec.spec import TrainSpec
from modelyard.train.profiling.operators import ModuleTime, Operators, OperatorTime
from modelyard.train.profiling.reading import (
    EVERYTHING,
    account_of,
    modules_of,
    notes_of,
    operators_of,
    parts_of,
    projection_of,
    spread,
    work_of,
)
from modelyard.train.profiling.sections import PARTS, StepTimes


def setup_of(precision="float32", rows=1000, batches=8, **settings):
    loader = type("Loader", (), {"__len__": lambda self: batches, "rows": rows})()
    return SimpleNamespace(
        precision=precision, device=torch.device("cpu"), train=loader, settings=TrainSpec(**settings)
    )


def operators(**seconds):
    """Operators of one call each, half of whose time is kernel."""
    return Operators({f"aten::{name}": OperatorTime(2, s, s / 2, []) for name, s in seconds.items()}, {})


def times(**seconds):
    return StepTimes(4, dict.fromkeys(PARTS, 0.0) | seconds)


def test_a_spread_is_median_and_quartiles():
    assert spread([1.0, 2.0, 3.0, 4.0, 100.0]).as_dict() == {"median": 3.0, "low": 2.0, "high": 4.0}


def test_parts_are_medians_but_batches_made_many_at_once_count_with_their_mean():
    four = [times(data=8.0, forward=2.0), times(forward=3.0), times(forward=50.0), times(forward=3.0)]
    disturbed = [times(data=900.0, forward=3.0), *four[1:]]
    found = {part.name: part for part in parts_of([*four, *four, *disturbed, *four, *four])}
    assert (found["data"].seconds, found["forward"].seconds) == (2.0, 3.0)
    assert found["data"].share == pytest.approx(0.4) and sum(part.share for part in found.values()) == pytest.approx(1)


def test_a_step_is_spent_on_kernels_input_and_the_rest():
    found = account_of(1.0, parts_of([times(data=0.1, transfer=0.1)]), operators(mm=0.6, relu=0.4), False)
    assert (found.products, found.traffic, found.input) == pytest.approx((0.3, 0.2, 0.2))
    assert found.fixed == pytest.approx(0.3) and found.calls == 4
    assert sum(found.share(name) for name in ("products", "traffic", "fixed", "input")) == pytest.approx(1)


@pytest.mark.parametrize(
    ("seconds", "data", "bound"),
    [
        ({"mm": 1.8, "relu": 0.1}, 0.0, "compute"),
        ({"mm": 0.1, "relu": 1.8}, 0.0, "memory traffic"),
        ({"mm": 0.1, "relu": 0.1}, 0.0, "fixed costs"),
        ({"mm": 0.1, "relu": 0.1}, 0.8, "input"),
    ],
)
def test_the_largest_share_is_what_a_step_is_bound_by(seconds, data, bound):
    assert account_of(1.0, parts_of([times(data=data, other=0.2)]), operators(**seconds), False).bound_by == bound


def test_kernels_that_the_profiler_saw_longer_than_the_step_are_scaled_down():
    found = account_of(1.0, parts_of([times(data=0.2)]), operators(mm=6.0, relu=2.0), False)
    assert (found.products, found.traffic, found.fixed) == pytest.approx((0.6, 0.2, 0.0))


def test_on_an_accelerator_waiting_for_a_batch_while_kernels_run_costs_nothing():
    found = account_of(1.0, parts_of([times(data=0.5)]), operators(mm=1.6, relu=0.2), True)
    assert (found.products, found.traffic, found.input, found.fixed) == pytest.approx((0.8, 0.1, 0.1, 0.0))


def test_work_is_set_beside_the_limits_of_products_and_of_convolutions():
    flops = {
        EVERYTHING: {"aten.mm": 5e9, "aten.convolution": 4e9, "aten.convolution_backward": 6e9},
        "": {"aten.mm": 3e9, "aten.convolution": 4e9, "aten.convolution_backward": 6e9},
    }
    found = work_of(flops, 0.5, LIMITS, setup_of())
    assert (found.flops_model, found.flops_optimizer, found.achieved) == (13e9, 2e9, 30e9)
    assert found.least_seconds["float32"] == pytest.approx(5 / 100 + 10 / 200)
    assert found.least_seconds["bfloat16"] == pytest.approx(5 / 110 + 10 / 220)
    assert found.share_of_limit == pytest.approx(0.1 / 0.5)


def test_work_that_nothing_counts_is_none():
    found = work_of({}, 0.5, LIMITS, setup_of())
    assert found.achieved == found.share_of_limit == 0


def test_modules_are_scaled_to_the_step_and_flops_are_each_ones_own():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 1)))
    watched = Operators({}, {"": ModuleTime(1.0, 0.0), "0": ModuleTime(3.0, 1.0), "1.0": ModuleTime(4.0, 7.0)})
    flops = {"": {"mm": 100.0}, "0": {"mm": 60.0}, "1": {"mm": 40.0}, "1.0": {"mm": 40.0}, EVERYTHING: {"mm": 100.0}}
    found = modules_of(model, watched, flops, parts_of([times(forward=16.0, backward=4.0)]))
    assert [one.name for one in found] == ["1.0", "0", ""]
    assert [(one.forward_seconds, one.backward_seconds) for one in found] == [(8.0, 3.5), (6.0, 0.5), (2.0, 0.0)]
    assert [one.flops for one in found] == [40.0, 60.0, 0.0]
    assert [one.parameters for one in found] == [4, 9, 0]


def test_operators_come_by_their_time():
    found = operators_of(operators(relu=1.0, mm=3.0), 10.0)
    assert [(one.name, one.seconds, one.share) for one in found] == [("mm", 3.0, 0.75), ("relu", 1.0, 0.25)]
    found = operators_of(operators(relu=1.0, mm=3.0), 2.0)  # the profiler slows them down
    assert [(one.name, one.seconds, one.share) for one in found] == [("mm", 1.5, 0.75), ("relu", 0.5, 0.25)]


def test_an_epoch_and_the_whole_training_follow_from_the_step():
    found = projection_of(setup_of(rows=1000, batches=8, epochs=3), 0.5, 128)
    assert found.steps_per_epoch == 8 and found.steps == 24
    assert found.seconds_per_epoch == pytest.approx(0.5 * 1000 / 128)
    assert found.seconds == pytest.approx(3 * found.seconds_per_epoch)
    assert projection_of(setup_of(epochs=3, max_steps=4), 0.5, 128).steps == 4


def test_a_batch_that_takes_all_rows_is_said():
    assert notes_of(setup_of(batch_size=128), 128, 1.9, 2) == []
    (note,) = notes_of(setup_of(batch_size=128), 40, 1.9, 2)
    assert note == "train.batch_size is 128, and there are 40 training rows: every step takes them all"


def test_a_busy_machine_is_said():
    (note,) = notes_of(setup_of(batch_size=128), 128, 7.25, 2)
    assert note.startswith("others kept this machine busy (a load of 7.2 on 2 cores)")


def test_what_the_settings_hide_is_said():
    (note,) = notes_of(setup_of(compile=True), 128, 0.0, 2)
    assert "modules of a compiled model are not told apart" in note
    (note,) = notes_of(setup_of(memory={"fused_backward": True}), 128, 0.0, 2)
    assert "the optimizer steps within the backward part" in note
