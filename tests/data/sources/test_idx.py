import gzip
import struct

import numpy as np
import pyarrow as pa
import pytest

from modelyard.core.errors import DataError
from modelyard.data.sources.idx import Idx, IdxSettings

PIXELS = np.arange(5 * 3 * 2, dtype=np.uint8).reshape(5, 3, 2)


def idx(array, code):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.tobytes()


def write(folder, images, labels=None, ending=""):
    pack = gzip.compress if ending else bytes
    (folder / f"train-images-idx3-ubyte{ending}").write_bytes(pack(images))
    if labels is not None:
        (folder / f"train-labels-idx1-ubyte{ending}").write_bytes(pack(labels))
    return Idx(str(folder / f"train-images-idx3-ubyte{ending}"), IdxSettings())


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_images_come_with_the_labels_beside_them(tmp_path, ending):
    source = write(tmp_path, idx(PIXELS, 8), idx(np.array([3, 1, 4, 1, 5], np.uint8), 8), ending)
    assert source.schema() == pa.schema([("image", pa.fixed_shape_tensor(pa.uint8(), (3, 2))), ("label", pa.int64())])
    parts = list(source.read(chunk=2))
    assert [part.start for part in parts] == [0, 2, 4]
    images = np.concatenate([part.table["image"].to_numpy_ndarray() for part in parts])
    np.testing.assert_array_equal(images, PIXELS)
    assert [label for part in parts for label in part.table["label"].to_pylist()] == [3, 1, 4, 1, 5]
    assert [part.table.schema.names for part in source.read(["label"])] == [["label"]]


def test_a_file_alone(tmp_path):
    assert write(tmp_path, idx(PIXELS, 8)).schema().names == ["image"]
    (tmp_path / "t-idx1-ubyte").write_bytes(idx(np.array([7, 8], np.uint8), 8))
    (part,) = Idx(str(tmp_path / "t-idx1-ubyte"), IdxSettings()).read()
    assert part.table.to_pylist() == [{"label": 7}, {"label": 8}]


def test_numbers_are_big_endian(tmp_path):
    values = np.array([[1.5, -2.0], [3.25, 1e30]])
    source = write(tmp_path, idx(values.astype(">f4"), 0x0D))
    (part,) = source.read()
    assert part.table["image"].type == pa.fixed_shape_tensor(pa.float32(), (2,))
    np.testing.assert_array_equal(part.table["image"].to_numpy_ndarray(), values.astype(np.float32))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty or shorter than a header"),
        (b"\x1f\x8b\x08\x00", r"starts with the bytes 1f 8b 08 00; expected an IDX file.*compressed"),
        (b"\0\0\x08\0", "expected an IDX file"),
        (b"\0\0\x08\x03\0\0", "ends within its header"),
        (idx(PIXELS, 8)[:-1], "ends after 4 of the 5 records"),
        (idx(PIXELS, 8) + b"\0", "goes on behind the 5 records"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 5, 2**32 - 1, 2**32 - 1), "announces records of shape"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 16000, 16000), "ends after 0 of the 4,294,967,295 records"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 5, 0, 2), "announces records of shape"),
    ],
)
def test_damaged_files(tmp_path, content, match):
    with pytest.raises(DataError, match=match):
        list(write(tmp_path, content).read())


def test_labels_of_another_count_are_refused(tmp_path):
    source = write(tmp_path, idx(PIXELS, 8), idx(np.zeros(4, np.uint8), 8))
    with pytest.raises(DataError, match=r"5 images and .*labels-idx1-ubyte 4 labels"):
        source.schema()


def test_a_cut_gzip_file_is_named(tmp_path):
    source = write(tmp_path, idx(PIXELS, 8), ending=".gz")
    (path,) = source.files()
    with open(path, "rb+") as file:
        file.truncate(30)
    with pytest.raises(DataError, match=r"cannot read .*train-images-idx3-ubyte\.gz"):
        list(source.read())
