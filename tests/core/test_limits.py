"""The measured limits of the machine: plausible, kept for the machine they are of, and never believed when altered."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from modelyard.core import limits
from modelyard.core.device import environment
from modelyard.core.errors import UsageError
from modelyard.core.limits import MachineLimits, Rate, machine_limits, measure_limits, median_seconds, time_repeats

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path))
    return tmp_path / "limits"


@pytest.fixture(scope="module")
def measured():
    """Limits measured on little work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(limits._WORK, "cpu", 0.0005)
        patch.setitem(limits._COPIED, "cpu", 1 << 20)
        return measure_limits(CPU)


@pytest.fixture
def small(monkeypatch):
    """Stand in for measuring, and count how often."""
    times = []

    def measure(device, quick):
        times.append(device)
        rate = Rate(10.0 + len(times), 9.0 + len(times), 11.0 + len(times), 5, "work")
        return MachineLimits(
            device="cpu",
            processor=environment()["processor"],
            threads=torch.get_num_threads(),
            torch=torch.__version__,
            quick=quick,
            products={"float32": rate, "bfloat16": rate},
            convolutions={"float32": rate, "bfloat16": rate},
            memory=rate,
            call=rate,
        )

    monkeypatch.setattr(limits, "measure_limits", measure)
    return times


def test_every_limit_is_measured_with_its_spread(measured):
    found = measured
    rates = found.rates
    assert len(rates) == 6
    assert set(found.products) == set(found.convolutions) == {"float32", "bfloat16"}
    assert all(0 < rate.low <= rate.value <= rate.high and rate.repeats == 5 for rate in rates)
    assert found.to_device is None and found.device == "cpu" and found.threads == torch.get_num_threads()
    assert found.products["float32"].value > 1e6
    assert 1e-9 < found.call_seconds < 1e-2


def test_what_was_measured_is_kept_and_read_back_equal(cache, small):
    assert machine_limits(CPU) == machine_limits(CPU)
    assert len(small) == 1 and len(list(cache.iterdir())) == 1


def test_other_threads_have_limits_of_their_own(cache, small):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = machine_limits(CPU)
        torch.set_num_threads(2)
        two = machine_limits(CPU)
    finally:
        torch.set_num_threads(before)
    assert (one.threads, two.threads) == (1, 2) and len(small) == 2


def test_a_refresh_measures_anew_and_keeps_that(cache, small):
    machine_limits(CPU)
    fresh = machine_limits(CPU, refresh=True)
    assert len(small) == 2 and machine_limits(CPU) == fresh


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept["memory"].update(value=-1.0),
        lambda kept: kept["memory"].update(low=kept["memory"]["high"] * 2),
        lambda kept: kept["products"]["float32"].update(value="fast"),
        lambda kept: kept["products"].pop("float32"),
        lambda kept: kept["call"].pop("what"),
        lambda kept: kept.update(processor="another"),
        lambda kept: kept.update(version=0),
        lambda kept: kept.update(products=3),
        lambda kept: kept.pop("memory"),
    ],
)
def test_an_altered_file_is_measured_anew(cache, small, change):
    kept = machine_limits(CPU)
    (file,) = cache.iterdir()
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))
    again = machine_limits(CPU)
    assert len(small) == 2
    assert again.processor == kept.processor and machine_limits(CPU) == again  # and the good one is kept


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"memory": NaN}'])
def test_a_broken_file_is_measured_anew(cache, small, text):
    machine_limits(CPU)
    (file,) = cache.iterdir()
    file.write_text(text)
    machine_limits(CPU)
    assert len(small) == 2


def test_what_was_disturbed_is_not_kept(cache, small, monkeypatch):
    calm = limits.measure_limits
    monkeypatch.setattr(
        limits, "measure_limits", lambda *given: replace(calm(*given), call=Rate(10.0, 5.0, 11.0, 5, "work"))
    )
    machine_limits(CPU)
    machine_limits(CPU)
    assert len(small) == 2 and not cache.exists()


def test_a_device_of_another_kind_is_refused():
    with pytest.raises(UsageError, match="'meta' cannot be measured; expected cpu or cuda"):
        machine_limits(torch.device("meta"))


def test_work_is_run_as_often_as_asked_and_warm_runs_are_not_counted(monkeypatch):
    clock, runs = [0.0], []

    def work():
        runs.append(len(runs))
        clock[0] += [100.0, 100.0, 1.0, 5.0, 3.0][len(runs) - 1]

    monkeypatch.setattr(limits.time, "perf_counter", lambda: clock[0])
    assert time_repeats(work, 3, CPU, warm=2) == [1.0, 5.0, 3.0]
    runs.clear()
    assert median_seconds(work, 3, CPU, warm=2) == 3.0


def test_a_disturbed_measurement_is_repeated_and_the_best_one_kept(monkeypatch):
    runs = iter([[1, 2, 9, 9, 9], [4, 4, 4, 4, 4], [1, 1, 1, 1, 1]])
    monkeypatch.setattr(limits, "time_repeats", lambda *_: next(runs))
    rate = limits._rate(8.0, lambda: None, 5, CPU, "work")
    assert rate.value == 8.0 / 4 and rate.low == rate.high == 2.0  # the second was calm: the third is not run
