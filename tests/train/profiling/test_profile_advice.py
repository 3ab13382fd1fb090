"""Advice from made-up profiles: each rule speaks from its threshold on, and gives its setting and its numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up_profile import LIMITS, MB, MEMORY, made_up, parts

from modelyard.spec.spec import MemorySpec, TrainSpec
from modelyard.train.profiling.advice import THRESHOLDS, advise
from modelyard.train.profiling.records import Account, Projection, StepWork

LONG = Projection(100, 10, 1000, 60.0, 600.0)


def train_spec(**given):
    return TrainSpec(**({"workers": 0, "precision": "float32", "compile": False} | given))


def settings(profile, cores=2, **given):
    """The settings that are advised for a profile."""
    return [one.setting for one in advise(profile, train_spec(**given), cores)]


def reason(profile, setting, cores=2, **given):
    (found,) = [one for one in advise(profile, train_spec(**given), cores) if one.setting == setting]
    return found.reason


def test_where_nothing_stands_out_it_is_said_so_and_what_the_step_is_bound_by():
    (only,) = advise(made_up(), train_spec(), 2)
    assert only.setting == "" and only.reason == "no part stands out; the step is bound by compute"


def test_near_the_limit_only_less_work_helps():
    near = made_up(work=StepWork(2e9, 0.0, 70e9, {"float32": 0.07, "bfloat16": 0.07}, 0.7))
    (only,) = advise(near, train_spec(), 2)
    assert only.reason == "products run at 70% of the machine's limit over the whole step: only less work helps"


def test_a_step_that_waits_for_its_batch_gets_a_worker():
    waits = made_up(parts=parts(data=0.034, forward=0.02, backward=0.038), loading_seconds=0.05)
    assert settings(waits)[0] == "train.workers=1"
    said = reason(waits, "train.workers=1")
    assert "waits 34 ms for its batch, 34% of its time" in said and "a thread can make ahead of time" in said
    assert "making one takes 50 ms" in advise(replace(waits, threads=4), train_spec(workers=1), 4)[0].reason


def test_a_wait_that_is_longer_than_making_the_batch_is_not_the_loaders():
    busy = made_up(parts=parts(data=0.034, forward=0.02, backward=0.038), loading_seconds=0.002)
    assert settings(busy) == [""]


def test_what_was_left_to_measurement_is_not_guessed_at():
    faster = made_up(work=StepWork(2e9, 0.0, 20e9, {"float32": 0.036, "bfloat16": 0.02}, 0.36))
    assert settings(faster, precision="auto") == [""]
    moving = made_up(account=Account(0.03, 0.05, 0.019, 0.001, 200.0, "memory traffic"), projection=LONG)
    assert settings(moving, compile="auto") == [""]


def test_with_workers_more_are_advised_up_to_the_cores_and_then_less_work():
    waits = made_up(parts=parts(data=0.05), threads=8)
    assert [one.setting for one in advise(waits, TrainSpec(workers=1), 8)] == ["train.workers=2"]
    assert [one.setting for one in advise(waits, TrainSpec(workers=6), 8)] == ["train.workers=8"]
    (only,) = advise(waits, TrainSpec(workers=2), 2)
    assert only.setting == "" and "less work a row" in only.reason


@pytest.mark.parametrize(("share", "speaks"), [(0.099, False), (0.101, True)])
def test_the_wait_is_said_from_its_threshold_on(share, speaks):
    seconds = {"data": share, "forward": 1 - share, "backward": 0, "loss": 0, "optimizer": 0, "other": 0}
    found = made_up(parts=parts(**seconds), parts_seconds=1.0, loading_seconds=share)
    assert ("train.workers=1" in settings(found)) == speaks


def test_a_slow_transfer_gets_a_worker_too():
    found = made_up(parts=parts(transfer=0.03), device="cuda")
    assert "moving 1.0 MB to the accelerator takes 30 ms" in reason(found, "train.workers=1")


def test_products_get_the_precision_that_is_faster_here():
    faster = made_up(work=StepWork(2e9, 0.0, 20e9, {"float32": 0.036, "bfloat16": 0.02}, 0.36))
    said = reason(faster, "train.precision=bfloat16")
    assert "50% of a step is products" in said and "20 ms at the bfloat16 limit" in said and "1.8× as fast" in said
    slower = made_up(precision="bfloat16", work=StepWork(2e9, 0.0, 20e9, {"float32": 0.02, "bfloat16": 0.1}, 0.3))
    assert settings(slower) == ["train.precision=float32"]


@pytest.mark.parametrize(
    ("ratio", "products", "speaks"), [(1.29, 0.05, False), (1.31, 0.05, True), (1.31, 0.02, False)]
)
def test_precision_matters_where_products_do_and_where_it_is_clearly_faster(ratio, products, speaks):
    found = made_up(
        work=StepWork(2e9, 0.0, 20e9, {"float32": 0.02 * ratio, "bfloat16": 0.02}, 0.2),
        account=Account(products, 0.1 - products - 0.04, 0.039, 0.001, 200.0, "compute"),
    )
    assert ("train.precision=bfloat16" in settings(found)) == speaks


def test_fixed_costs_get_a_larger_batch_and_a_long_training_is_compiled():
    fixed = made_up(account=Account(0.02, 0.01, 0.069, 0.001, 310.0, "fixed costs"))
    assert settings(fixed) == ["train.batch_size=512"]
    assert "69% of a step is fixed costs: 310 operator calls of 223 µs on average" in reason(
        fixed, "train.batch_size=512"
    )
    assert settings(replace(fixed, projection=LONG)) == ["train.batch_size=512", "train.compile=auto"]
    assert settings(replace(fixed, projection=LONG), compile=True) == ["train.batch_size=512"]
    assert settings(replace(fixed, batch_size=THRESHOLDS.large, projection=LONG)) == ["train.compile=auto"]


def test_a_costly_optimizer_gets_fewer_and_larger_steps():
    costly = made_up(parts=parts(optimizer=0.04, forward=0.02, backward=0.037))
    assert settings(costly) == ["train.batch_size=256"]
    assert "the optimizer (adamw) takes 40 ms, 40% of a step" in reason(costly, "train.batch_size=256")
    assert settings(made_up(parts=parts(optimizer=0.024, forward=0.03, backward=0.043))) == [""]


def test_a_setting_is_advised_once_with_its_best_reason():
    both = made_up(
        account=Account(0.02, 0.01, 0.069, 0.001, 310.0, "fixed costs"),
        parts=parts(optimizer=0.04, forward=0.02, backward=0.037),
    )
    assert settings(both) == ["train.batch_size=512"]


def test_memory_traffic_is_compiled_where_training_is_long_enough():
    moving = made_up(account=Account(0.03, 0.05, 0.019, 0.001, 200.0, "memory traffic"))
    assert settings(moving) == [""]
    assert settings(replace(moving, projection=LONG)) == ["train.compile=auto"]
    assert "50% of a step is elementwise work" in reason(replace(moving, projection=LONG), "train.compile=auto")


def test_idle_cores_are_used():
    one = made_up(threads=1)
    assert settings(one, cores=4) == ["train.threads=4"]
    assert "80% of a step is in kernels that threads share, and 1 of 4 cores are used" in reason(
        one, "train.threads=4", cores=4
    )
    assert settings(one, cores=1) == [""]
    assert settings(replace(one, device="cuda"), cores=4) == [""]


@pytest.mark.parametrize(("total", "speaks"), [(590, True), (640, False)])
def test_a_full_memory_gets_what_saves_it(total, speaks):
    full = made_up(memory=replace(MEMORY, device_total=total * MB, optimizer=20 * MB))
    found = settings(full)
    assert ("train.memory.activation_checkpointing=true" in found) == speaks
    assert ("train.memory.optimizer_bits=8" in found) == speaks


def test_what_saves_memory_is_advised_where_it_is_not_used_yet_and_where_it_would_save():
    full = made_up(memory=replace(MEMORY, device_total=500 * MB))
    assert settings(full) == ["train.memory.activation_checkpointing=true"]  # the optimizer's state is small
    used = MemorySpec(activation_checkpointing=True)
    assert settings(full, memory=used) == [""]
    said = reason(full, "train.memory.activation_checkpointing=true")
    assert (
        said == "500.0 MB of 500.0 MB are held at the peak, of which 40.0 MB are activations that can be computed again"
    )


def test_on_an_accelerator_its_own_memory_is_what_fills():
    full = made_up(device="cuda", memory=replace(MEMORY, device_total=70 * MB, peak_process=1))
    assert settings(full) == ["train.memory.activation_checkpointing=true"]


def test_what_promises_most_comes_first():
    both = made_up(
        parts=parts(data=0.04, forward=0.02, backward=0.032),
        loading_seconds=0.04,
        work=StepWork(2e9, 0.0, 20e9, {"float32": 0.036, "bfloat16": 0.02}, 0.36),
        limits=LIMITS,
    )
    assert settings(both) == ["train.workers=1", "train.precision=bfloat16"]
