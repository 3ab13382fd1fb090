"""A pickle from the internet is read as data, and nothing in it ever runs."""

from __future__ import annotations

import base64
import builtins
import functools
import io
import os
import pickle
import subprocess
import zlib

import numpy as np
import pytest

from modelyard.core.errors import DataError
from modelyard.data.catalog.pickles import read_arrays, read_frame, read_plain

READERS = [read_plain, read_arrays, read_frame]


class Calls:
    """Pickles into a call of a function with arguments."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("shape", [lambda c: c, lambda c: [1, {"a": c}], lambda c: (np.arange(3), c)])
def test_a_pickle_that_would_run_code_never_runs(tmp_path, reader, protocol, shape):
    canary = tmp_path / "ran"
    for call in (
        Calls(os.system, f"touch {canary}"),
        Calls(os.mkdir, str(canary)),
        Calls(eval, f"open({str(canary)!r}, 'w')"),
        Calls(exec, f"open({str(canary)!r}, 'w')"),
        Calls(subprocess.call, ["touch", str(canary)]),
        Calls(getattr, os, "system"),
        Calls(functools.partial, os.mkdir, str(canary)),
        Calls(builtins.open, str(canary), "w"),
    ):
        try:
            content = pickle.dumps(shape(call), protocol)
        except (pickle.PicklingError, TypeError):
            continue  # a module cannot be pickled
        with pytest.raises(DataError):
            reader(content)
    assert not canary.exists()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "name",
    [
        "numpy.core.multiarray _reconstruct.__globals__",
        "numpy load",
        "numpy.lib.npyio load",
        "numpy.core.multiarray fromfile",
        "pandas.io.pickle read_pickle",
        "pandas read_csv",
        "builtins getattr",
        "builtins __import__",
        "modelyard.data.catalog.pickles _Maker",
        "copyreg _reconstructor",
    ],
)
def test_no_other_name_is_known_not_even_of_numpy_or_pandas(reader, name):
    module, attribute = name.split(" ")
    with pytest.raises(DataError, match="is not data"):
        reader(f"c{module}\n{attribute}\n.".encode())


@pytest.mark.parametrize("known", [b"cnumpy\ndtype\n", b"cpandas.core.frame\nDataFrame\n"])
@pytest.mark.parametrize("reader", [read_arrays, read_frame])
def test_the_stand_ins_cannot_be_changed_for_the_next_reading(reader, known):
    for state in (b"}S'kind'\nS'array'\nsb.", b"(N}S'__setstate__'\nS'x'\nstb.", b"(}S'__call__'\nS'x'\nstb."):
        with pytest.raises(DataError):
            reader(known + state)
    assert np.array_equal(read_arrays(pickle.dumps(np.arange(3))), np.arange(3))


def test_a_reference_outside_the_pickle_is_refused():
    class Persistent(pickle.Pickler):
        def persistent_id(self, thing):
            return "elsewhere" if isinstance(thing, bytes) else None

    buffer = io.BytesIO()
    Persistent(buffer).dump([b"x"])
    with pytest.raises(DataError, match="outside itself"):
        read_plain(buffer.getvalue())


def test_plain_values_come_back_as_they_were():
    value = (["Überschrift", "标题"], {"a": [1, 2.5, None, True, -(1 << 70)]}, ())
    for protocol in range(6):
        assert read_plain(pickle.dumps(value, protocol)) == value
    assert read_plain(pickle.dumps((b"bytes", {1, 2}), 4)) == (b"bytes", {1, 2})
    with pytest.raises(DataError):
        read_plain(pickle.dumps(np.arange(3)))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.asfortranarray(np.arange(12, dtype=np.int64).reshape(3, 4)),
        np.arange(6, dtype=">i4"),
        np.array([True, False]),
        np.zeros((2, 5, 1), dtype=np.uint8),
        np.array(["a", None, [1, 2]], dtype=object),
        np.float64(0.5),
    ],
)
def test_arrays_come_back_as_they_were(protocol, array):
    (found,) = read_arrays(pickle.dumps([array], protocol))
    assert np.array_equal(found, array) and np.asarray(found).shape == array.shape
    assert np.asarray(found).dtype == array.dtype.newbyteorder("=")


def test_an_array_pickled_by_python_2_is_read():
    header = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\n"
        b"tR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x00\\x00\\x80?\\x00\\x00\\x00@'\ntb."
    )
    assert read_arrays(header).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("code", ["V8", "M8[s]", "O4x", "S3", "U1000000000", "f16", "../x", "O8,f4"])
def test_only_numbers_truth_values_and_objects_are_array_elements(code):
    content = pickle.dumps([np.arange(2, dtype=np.float32)], 2).replace(
        b"\x02\x00\x00\x00f4", bytes([len(code), 0, 0, 0]) + code.encode()
    )
    assert code.encode() in content
    with pytest.raises(DataError):
        read_arrays(content)


def test_a_wrong_size_is_an_error_and_not_memory_of_somebody_else():
    content = pickle.dumps([np.arange(4, dtype=np.uint8)], 2)
    for wrong in (b"K\x05\x85", b"K\x03\x85", b"J\xff\xff\xff\xff\x85"):
        changed = content.replace(b"K\x04\x85", wrong)
        assert changed != content
        with pytest.raises(DataError):
            read_arrays(changed)


def test_a_number_in_place_of_bytes_does_not_become_so_much_memory():
    content = pickle.dumps([np.arange(3, dtype=np.uint8)], 3)
    changed = content.replace(b"C\x03\x00\x01\x02", b"J\xff\xff\xff\x7f")
    assert changed != content
    with pytest.raises(DataError, match="made of int"):
        read_arrays(changed)


@pytest.mark.parametrize(
    "content", [b"", b".", b"garbage", pickle.dumps([1, 2, 3])[:-4], b"\x80\x04\x95\xff\xff\xff\xff"]
)
@pytest.mark.parametrize("reader", READERS)
def test_a_broken_pickle_is_an_error_of_its_own(reader, content):
    with pytest.raises(DataError):
        reader(content)


def test_a_pickle_that_holds_itself_is_refused():
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(DataError, match="holds itself"):
        read_arrays(pickle.dumps(endless))


def test_something_else_than_a_frame_is_refused():
    for value in ([1, 2], {"a": np.arange(3)}, None):
        with pytest.raises(DataError, match="data frame"):
            read_frame(pickle.dumps(value))


FRAME = (
    "eNptk89r1UAQx5O8H21t8UfB2l56fl4eigiCwoNWRBuM0JuHsmzyNm9Dk03YbGgLlurB/oC5Ob6/zz/Dm87uy8NUuoed2WR28pnJ"
    "d74Ofs57nlvwqOJqyutxUmoxTjUvBMLaW274O+f/wKff8BxH0GfFTCPsdsMzZYRWPK/HBVd8JnSNsLGXl8nxx8WZrsNWe4PlWVz/"
    "u4LwgDWqypLjXLDY3rHBm6opqrNFdnKFzhKEdZbqsoibNHUZR/Ntr7t+TRb290VrJwgDl4fs1JxVtgoI0ld4c32FhzgKe+C/wSiK"
    "Dv7QclvoGYxDP+xdIvj7aCgMVuMmy02mCHVQ51li01BIEPo2SxjYXa7L+6P5s5bEb23Q2rbH3kprV1u71lqUmxBkHS65dQdVYKnk"
    "jmWSu6EXDsNeFwAed3pWNETMteZU+wbTIilVbXSTGGKXD2GF/oR7SZV433Hfj3HxZX9Ru+X5dKtPX/7r04SIbo5IDz7HCPwEBT0g"
    "LILs9uUKbcz2bbFMxamoxzGvSWL3mBIn7IN9ZtHew2DpO7FNSYAon8sXFlO+XEL26fDafX5IRcckB/o1kmtK2Dfi1NAxKRtlHBX0"
    "lVVw1FzaPh3Azl00mquZxTm0toMgP0eU2nBtqFPQr01ZIfWDHEGO73IKu9FgkMRoZizycn5YIQx3NRwREjeGJuMcYcjSnM+c+4Tn"
    "eXlSs2lTkbS4ESznsaCxuK6bePwXzi5W7g=="
)
"""The frame that the test below expects, pickled by pandas 2.2 and NumPy 1.26 and compressed."""


def test_a_pandas_frame_comes_back_column_by_column():
    columns = read_frame(zlib.decompress(base64.b64decode(FRAME)))
    assert list(columns) == ["number", "share", "text", "count"]
    assert columns["number"].tolist() == [1, 2, 3] and columns["count"].tolist() == [7, 8, 9]
    assert columns["text"].tolist() == ["a", None, "c"]
    assert columns["share"].tolist()[::2] == [0.5, 1.5] and np.isnan(columns["share"][1])
