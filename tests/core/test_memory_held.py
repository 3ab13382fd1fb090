"""What is given back, and what Arrow is kept from loading: each in a process of its own, whose memory is its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@LINUX
def test_memory_that_was_freed_goes_back_to_the_machine():
    """40 MiB in small pieces, every other one of which is still needed, and cycles that hold the rest."""
    out = run("""
import ctypes, gc, re
from modelyard.core.memory import give_back
gc.disable()
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10
class Holder: pass
before = resident()
holders = []
for _ in range(40):
    one = Holder()
    one.itself = one
    one.pieces = [bytearray(32768) for _ in range(32)]
    holders.append(one)
last = bytearray(32768)  # at the end of the heap, which cannot shrink below it
del one, holders
held = resident() - before
give_back()
print(held, resident() - before)
""")
    held, left = map(int, out.split())
    assert held >= 35
    assert left <= 8


@LINUX
def test_freed_memory_is_kept_inside_and_given_back_after():
    """Blocks that are freed and asked for again: inside, the kernel has no pages of them to clear anew."""
    out = run("""
import re, resource
from modelyard.core.memory import freed_memory_kept
def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        blocks = [bytearray(48 << 20) for _ in range(3)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10
start = resident()
outside = faults(4)
with freed_memory_kept():
    faults(1)
    inside, held = faults(4), resident() - start
print(outside, inside, held, resident() - start, faults(4))
""")
    outside, inside, held, left, after = map(int, out.split())
    assert outside > 100_000
    assert inside < outside / 100
    assert held > 100
    assert left < 20
    assert after > 100_000


ARROW = """
import sys
from importlib.abc import MetaPathFinder
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from modelyard.core.memory import without_pandas
asked = []
class Watch(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            asked.append(name)
sys.meta_path.insert(0, Watch())
"""


def test_arrow_does_not_ask_for_pandas_inside_and_asks_again_after():
    out = run(
        ARROW
        + """
with without_pandas():
    pa.array([1, 2])
    pa.array(np.arange(3))
    pc.equal(pa.array(["a"]), "a")
    print(len(asked), "pandas" in sys.modules)
pa.array([1])
print(len(asked))
"""
    )
    assert out.splitlines() == ["0 False", "1"]


def test_pandas_that_is_loaded_is_known_inside_and_after():
    pytest.importorskip("pandas")
    out = run(
        ARROW
        + """
import pandas as pd
gap = pd.Series([1.0, float("nan")])
with without_pandas():
    print(pa.array(gap).null_count)  # Arrow takes pandas' NaN for a missing value, NumPy's not
print(pa.array(gap).null_count)
"""
    )
    assert out.split() == ["1", "1"]


def test_pandas_can_be_had_inside_and_is_known_after():
    pytest.importorskip("pandas")
    out = run(
        ARROW
        + """
with without_pandas():
    pa.array([1])
    print(pa.table({"a": [1, None]}).to_pandas()["a"].isna().sum())
import pandas as pd
print(pa.array(pd.Series([1.0, float("nan")])).null_count)
"""
    )
    assert out.split() == ["1", "1"]
