import io
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pytest

from modelyard.core.errors import DataError
from modelyard.data.sources import npz as npz_source
from modelyard.data.sources.npz import Npz, NpzSettings


class Canary:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def write(folder, save=np.savez, **arrays):
    save(folder / "rows.npz", **arrays)
    return Npz(str(folder / "rows.npz"), NpzSettings())


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_one_length_become_columns(tmp_path, save):
    pixels = np.random.default_rng(0).random((7, 3, 2)).astype(np.float32)
    source = write(
        tmp_path,
        save,
        pixels=pixels,
        columns=np.asfortranarray(pixels[:, :, 0]),
        whole=np.arange(7, dtype=">i2"),
        flag=np.arange(7) > 3,
        text=np.array(["a", "é", "", "d", "e", "f", "long"]),
        one=np.arange(7).reshape(7, 1),
        mask=pixels > 0.5,
    )
    assert source.schema() == pa.schema(
        [
            ("pixels", pa.fixed_shape_tensor(pa.float32(), (3, 2))),
            ("columns", pa.fixed_shape_tensor(pa.float32(), (3,))),
            ("whole", pa.int16()),
            ("flag", pa.bool_()),
            ("text", pa.string()),
            ("one", pa.int64()),
            ("mask", pa.fixed_shape_tensor(pa.uint8(), (3, 2))),
        ]
    )
    parts = list(source.read(chunk=3))
    assert [(part.start, part.table.num_rows) for part in parts] == [(0, 3), (3, 3), (6, 1)]
    assert all(part.table.schema == source.schema() for part in parts)

    def gathered(name):
        return np.concatenate([part.table[name].to_numpy_ndarray() for part in parts])

    np.testing.assert_array_equal(gathered("pixels"), pixels)
    np.testing.assert_array_equal(gathered("columns"), pixels[:, :, 0])
    np.testing.assert_array_equal(gathered("mask"), pixels > 0.5)
    plain = pa.Table.from_batches([part.table for part in parts]).select(["whole", "flag", "text", "one"]).to_pydict()
    assert plain["whole"] == list(range(7)) and plain["one"] == list(range(7))
    assert plain["flag"] == [False] * 4 + [True] * 3 and plain["text"] == ["a", "é", "", "d", "e", "f", "long"]
    assert [part.table.schema.names for part in source.read(["text"])] == [["text"]]


def test_nothing_is_unpickled(tmp_path):
    array = np.empty(1, dtype=object)
    array[0] = Canary()
    with pytest.raises(DataError, match="array 'x' holds Python objects, which are never unpickled"):
        write(tmp_path, x=array).schema()
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Canary()))
    with pytest.raises(DataError, match=r"rows\.npz"):
        Npz(str(tmp_path / "rows.npz"), NpzSettings()).schema()


def test_arrays_of_different_lengths_are_listed(tmp_path):
    with pytest.raises(DataError, match=r"not of one length: a \(2,\), b \(3, 4\)"):
        write(tmp_path, a=np.zeros(2), b=np.zeros((3, 4))).schema()
    with pytest.raises(DataError, match="not of one length"):
        write(tmp_path, a=np.zeros(())).schema()


@pytest.mark.parametrize("array", [np.zeros(2, complex), np.zeros(2, [("a", "i4")]), np.zeros((2, 0))])
def test_what_cannot_be_a_column_is_refused(tmp_path, array):
    with pytest.raises(DataError, match="array 'x'"):
        write(tmp_path, x=array).schema()


def test_names_with_splits_make_parts(tmp_path):
    source = write(
        tmp_path, x_train=np.zeros((3, 2)), y_train=np.arange(3), x_test=np.ones((2, 2)), y_test=np.arange(2)
    )
    parts = source.parts()
    assert {name: part.schema().names for name, part in parts.items()} == {"train": ["x", "y"], "test": ["x", "y"]}
    assert [rows.table["y"].to_pylist() for rows in parts["test"].read()] == [[0, 1]]
    assert parts["train"].parts() == {} and parts["train"].fingerprint() != parts["test"].fingerprint()
    arrays = {f"{split}_{kind}": np.arange(2) for split in ("train", "val", "test") for kind in ("images", "labels")}
    assert list(write(tmp_path, **arrays).parts()) == ["train", "validation", "test"]
    assert write(tmp_path, x=np.arange(2), y_test=np.arange(2)).parts() == {}


def npy(header, data=b"", version=b"\x01\x00"):
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    "content",
    [
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (10**9,)}"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000000), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }", bytes(16)),
        npy("{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000,), }"),
        npy("{'descr': 'no', 'fortran_order': False, 'shape': (3,), }"),
        npy("__import__('os').system('true')"),
        npy("(" * 100),
        b"\x93NUMPY\x09\x09",
        b"text",
        b"",
    ],
)
def test_damaged_arrays_are_named(tmp_path, content):
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(DataError, match=r"rows\.npz, array 'x"):
        list(Npz(str(tmp_path / "rows.npz"), NpzSettings()).read())


def test_a_bomb_is_met_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(npz_source, "_READ_AT_ONCE", 1 << 16)
    source = write(tmp_path, np.savez_compressed, x=np.zeros((1 << 20, 8), np.uint8))
    sizes = [part.table.num_rows for part in source.read(chunk=1 << 20)]
    assert sum(sizes) == 1 << 20 and max(sizes) == 1 << 13
    monkeypatch.setattr(npz_source, "_LARGEST_WHOLE", 1 << 20)
    with pytest.raises(DataError, match="column after column"):
        write(tmp_path, np.savez_compressed, x=np.zeros((1 << 20, 8), np.uint8, order="F")).schema()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04" + bytes(100), b"PK\x05\x06" + bytes(18)])
def test_what_is_no_archive_is_named(tmp_path, content):
    (tmp_path / "rows.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"rows\.npz"):
        Npz(str(tmp_path / "rows.npz"), NpzSettings()).schema()


def test_an_archive_that_is_cut_or_flipped_is_named(tmp_path):
    source = write(tmp_path, np.savez_compressed, x=np.random.default_rng(0).random(100))
    content = (tmp_path / "rows.npz").read_bytes()
    for broken in (content[:-30], content[:400] + b"\xff" * 10 + content[410:]):
        (tmp_path / "rows.npz").write_bytes(broken)
        with pytest.raises(DataError, match=r"rows\.npz"):
            list(source.read())


def test_two_arrays_of_one_name_are_refused(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        archive.writestr("x.npy", buffer.getvalue())
        archive.writestr("x", buffer.getvalue())
    with pytest.raises(DataError, match="more than one array for 'x'"):
        Npz(str(tmp_path / "rows.npz"), NpzSettings()).schema()
