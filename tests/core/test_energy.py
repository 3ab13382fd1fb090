"""Energy: counters, their turns, and estimates that say that they are."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from modelyard.core import energy
from modelyard.core.energy import EnergyMeter
from modelyard.core.errors import MissingExtraError


def counter(root, folder, name, value, largest=262_143_328_850):
    path = root / folder
    path.mkdir(exist_ok=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{largest}\n")
    (path / "energy_uj").write_text(f"{value}\n")


@pytest.fixture
def packages(tmp_path):
    """Two packages, one with memory beside it, and what would count twice."""
    counter(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    counter(tmp_path, "intel-rapl:0:0", "core", 500_000)
    counter(tmp_path, "intel-rapl:0:1", "dram", 2_000_000)
    counter(tmp_path, "intel-rapl:1", "package-1", 0)
    counter(tmp_path, "intel-rapl:2", "psys", 9_000_000)
    counter(tmp_path, "intel-rapl-mmio:0", "package-0", 1_000_000)
    return tmp_path


def test_packages_and_their_memory_are_added_and_nothing_counts_twice(packages):
    with EnergyMeter(counters=packages) as meter:
        counter(packages, "intel-rapl:0", "package-0", 3_500_000)
        counter(packages, "intel-rapl:0:0", "core", 2_900_000)
        counter(packages, "intel-rapl:0:1", "dram", 2_250_000)
        counter(packages, "intel-rapl:1", "package-1", 1_000_000)
        counter(packages, "intel-rapl:2", "psys", 19_000_000)
    assert meter.joules == pytest.approx(2.5 + 0.25 + 1.0)
    assert meter.how.startswith("measured") and "2 packages" in meter.how


def test_a_counter_that_began_again_goes_on(tmp_path):
    counter(tmp_path, "intel-rapl:0", "package-0", 9_000_000, largest=9_999_999)
    with EnergyMeter(counters=tmp_path) as meter:
        counter(tmp_path, "intel-rapl:0", "package-0", 500_000, largest=9_999_999)
        assert meter.joules == pytest.approx(1.5)
        counter(tmp_path, "intel-rapl:0", "package-0", 700_000, largest=9_999_999)
    assert meter.joules == pytest.approx(1.7)


def test_nothing_is_counted_after_the_end(tmp_path):
    counter(tmp_path, "intel-rapl:0", "package-0", 0)
    with EnergyMeter(counters=tmp_path) as meter:
        counter(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    counter(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    assert meter.joules == pytest.approx(1.0)


def test_without_counters_it_is_an_estimate_and_says_from_what(tmp_path, monkeypatch):
    times = iter([100.0, 136.0])
    monkeypatch.setattr(energy, "_cpu_seconds", lambda: next(times))
    with EnergyMeter(counters=tmp_path / "absent") as meter:
        pass
    assert meter.joules == pytest.approx(36 * energy.WATTS_PER_CORE)
    assert "an estimate, not a measurement: 0.01 core hours" in meter.how
    assert f"{energy.WATTS_PER_CORE:g} W per busy core" in meter.how


@pytest.mark.parametrize("content", ["", "none", "-5"])
def test_a_counter_that_cannot_be_read_makes_the_whole_an_estimate(tmp_path, content):
    counter(tmp_path, "intel-rapl:0", "package-0", 0)
    counter(tmp_path, "intel-rapl:1", "package-1", 0)
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text(content)
    with EnergyMeter(counters=tmp_path) as meter:
        pass
    assert "estimate" in meter.how


def test_a_counter_that_goes_away_while_measuring_makes_it_an_estimate(packages):
    with EnergyMeter(counters=packages) as meter:
        (packages / "intel-rapl:1" / "energy_uj").unlink()
    assert "estimate" in meter.how and meter.joules >= 0


def test_an_accelerator_nobody_can_ask_leaves_the_energy_unknown(packages, monkeypatch):
    def missing(module, extra):
        raise MissingExtraError(f"{module} is not installed")

    monkeypatch.setattr(energy, "require", missing)
    with EnergyMeter("cuda", packages) as meter:
        pass
    assert meter.joules is None
    assert meter.how.startswith("unknown") and "nvidia-ml-py" in meter.how


def test_an_accelerators_counter_is_added_to_the_processors(packages, monkeypatch):
    readings = iter([5_000, 9_000, 9_000, 9_000])  # millijoules
    driver = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(readings),
    )
    monkeypatch.setattr(energy, "require", lambda module, extra: driver)
    with EnergyMeter("cuda:0", packages) as meter:
        pass
    assert meter.joules == pytest.approx(4.0)
    assert meter.how.startswith("accelerator: measured") and "RAPL" in meter.how


def test_stages_add_up_when_entered_again(tmp_path, monkeypatch):
    clock = iter([0.0, 2.0, 10.0, 11.0])
    meter = EnergyMeter(counters=tmp_path)
    monkeypatch.setattr(energy.time, "monotonic", lambda: next(clock))
    with meter.stage("data"):
        pass
    with meter.stage("data"):
        pass
    assert meter.seconds == {"data": 3.0}


def test_what_was_spent_before_an_interruption_is_added(tmp_path):
    with EnergyMeter("cpu", tmp_path) as meter:
        meter.begin_with({"training": 100.0, "data": 3.0}, 5000.0)
        with meter.stage("training"):
            under_way = meter.so_far()
        assert 100 <= under_way["training"] <= meter.seconds["training"] < 200
        assert meter.seconds["data"] == 3.0
        assert 5000 <= meter.joules < 6000


def test_energy_that_nobody_could_tell_stays_unknown(tmp_path):
    with EnergyMeter("cpu", tmp_path) as meter:
        meter.begin_with({}, None)
        assert meter.joules is None
