"""Others' use of the processors, told from one's own."""

from __future__ import annotations

import os

import pytest

from modelyard.core import neighbours
from modelyard.core.neighbours import Neighbours

TICKS = os.sysconf("SC_CLK_TCK")


def write(path, busy, idle, stolen=0.0):
    """Seconds of two processors together."""
    user, quiet, taken = (round(value * TICKS) for value in (busy, idle, stolen))
    path.write_text(f"cpu  {user} 0 0 {quiet} 0 0 0 {taken} 0 0\ncpu0 1 1\ncpu1 1 1\nintr 5\n")


@pytest.fixture
def own(monkeypatch):
    """Seconds that this process has used, as told to it."""
    used = [100.0]
    monkeypatch.setattr(neighbours, "_own", lambda: used[0])
    return used


def test_what_is_busy_besides_this_process_are_others(tmp_path, own):
    write(tmp_path / "stat", busy=1000.0, idle=500.0)
    watch = Neighbours(tmp_path / "stat")
    own[0] += 6.0
    write(tmp_path / "stat", busy=1015.0, idle=505.0)  # ten seconds of two processors, 15 of 20 busy, 6 by us
    assert watch.cores() == pytest.approx(0.9)


def test_time_that_a_host_takes_away_counts(tmp_path, own):
    write(tmp_path / "stat", busy=0.0, idle=0.0)
    watch = Neighbours(tmp_path / "stat")
    write(tmp_path / "stat", busy=0.0, idle=15.0, stolen=5.0)
    assert watch.cores() == pytest.approx(0.5)


def test_alone_nobody_is_seen(tmp_path, own):
    write(tmp_path / "stat", busy=0.0, idle=0.0)
    watch = Neighbours(tmp_path / "stat")
    own[0] += 10.02  # clocks differ a little
    write(tmp_path / "stat", busy=10.0, idle=10.0)
    assert watch.cores() == 0.0


def test_nobody_is_seen_where_nothing_is_told(tmp_path):
    assert Neighbours(tmp_path / "none").cores() == 0.0


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="Linux tells")
def test_the_real_counters_can_be_read():
    watch = Neighbours()
    total = sum(number * number for number in range(2_000_000))
    assert total > 0
    assert 0.0 <= watch.cores() <= (os.cpu_count() or 1)
