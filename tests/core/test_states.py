"""States: nested values and arrays in one file, back as they were, and never a pickle."""

from __future__ import annotations

import math

import numpy as np
import pytest

from modelyard.core.errors import DataError
from modelyard.core.states import read_state, write_state


def test_what_is_written_comes_back(tmp_path):
    state = {
        "count": 3,
        "big": 2**70,
        "share": 0.1 + 0.2,
        "odd": [math.inf, -math.inf, None, True, "ö\x00"],
        "nested": {"bytes": b"\x00\xff", "array": np.arange(6, dtype=np.int16).reshape(2, 3)},
        "empty": {},
        "scalar": np.float32(0.5),
    }
    write_state(tmp_path / "s.npz", state)
    found = read_state(tmp_path / "s.npz")
    array = found["nested"].pop("array")
    assert array.dtype == np.int16 and array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found == {**state, "nested": {"bytes": b"\x00\xff"}, "scalar": 0.5}
    assert math.isnan(_round_trip(tmp_path, {"x": math.nan})["x"])


def _round_trip(folder, state):
    write_state(folder / "r.npz", state)
    return read_state(folder / "r.npz")


@pytest.mark.parametrize("value", [object(), {1: 2}, np.array([object()]), {1, 2}])
def test_anything_else_is_refused_and_nothing_is_written(tmp_path, value):
    with pytest.raises(TypeError):
        write_state(tmp_path / "s.npz", {"x": value})
    assert not list(tmp_path.iterdir())


def test_a_damaged_or_absent_file_is_said(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_state(tmp_path / "s.npz")
    write_state(tmp_path / "s.npz", {"x": np.arange(1000)})
    content = (tmp_path / "s.npz").read_bytes()
    for damaged in (content[:100], b"", b"\x80\x04pickle", content[:-30]):
        (tmp_path / "s.npz").write_bytes(damaged)
        with pytest.raises(DataError, match="damaged"):
            read_state(tmp_path / "s.npz")
