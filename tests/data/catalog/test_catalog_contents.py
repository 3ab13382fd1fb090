"""Plain files are counted and recognised by what they hold, not by how a library happens to store it."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelyard.core.errors import DataError
from modelyard.data.catalog.contents import companions, content_digest, count_rows
from modelyard.data.catalog.write import (
    columns_of,
    copy_idx,
    write_csv,
    write_idx,
    write_jsonl,
    write_npz,
    write_parquet,
)

COLUMNS = {"a": [1, None, 3], "b": ["x", "Ünï\n", None], "c": [0.5, float("nan"), 2.0], "d": [[1], [], None]}


def test_every_kind_of_file_is_counted(tmp_path):
    write_jsonl(tmp_path / "x.jsonl", ({"text": "two\nlines\u2028"} for _ in range(3)))
    write_csv(tmp_path / "x.csv", ["a"], [["one\nfield"], ['"'], [3]])
    write_parquet(tmp_path / "x.parquet", COLUMNS)
    write_idx(tmp_path / "x-ubyte.gz", np.zeros((3, 2, 2), np.uint8))
    write_npz(tmp_path / "x.npz", image=np.zeros((3, 2)), label=np.zeros(3))
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for name in ("1", "2", "deep/3"):
        (tmp_path / "folder" / name).write_text(name)
    for path in tmp_path.iterdir():
        assert count_rows(path) == 3, path.name
    with pytest.raises(DataError, match=r"y\.txt is not a kind of file"):
        count_rows(tmp_path / "y.txt")


def test_the_digest_of_a_table_sees_values_and_names_and_nothing_else(tmp_path):
    write_parquet(tmp_path / "a.parquet", COLUMNS)
    pq.write_table(pq.read_table(tmp_path / "a.parquet"), tmp_path / "b.parquet", compression=None, row_group_size=1)
    assert (tmp_path / "a.parquet").read_bytes() != (tmp_path / "b.parquet").read_bytes()
    same = content_digest(tmp_path / "a.parquet")
    assert content_digest(tmp_path / "b.parquet") == same
    for changed in (
        {**COLUMNS, "a": [1, 2, 3]},
        {**COLUMNS, "c": [0.5, None, 2.0000000000000004]},
        {"z" if name == "a" else name: values for name, values in COLUMNS.items()},
        dict(reversed(COLUMNS.items())),
    ):
        write_parquet(tmp_path / "c.parquet", changed)
        assert content_digest(tmp_path / "c.parquet") != same


def test_the_digest_of_arrays_sees_values_and_types(tmp_path):
    seen = set()
    for array in (np.arange(4), np.arange(4, dtype=np.uint8), np.arange(4).reshape(2, 2), np.arange(1, 5)):
        write_npz(tmp_path / "x.npz", a=array)
        first = content_digest(tmp_path / "x.npz")
        np.savez(tmp_path / "x.npz", a=array)
        assert content_digest(tmp_path / "x.npz") == first
        seen.add(first)
    assert len(seen) == 4


def test_the_digest_of_a_folder_sees_names_and_contents(tmp_path):
    seen = set()
    for name, content in (("a/1", "x"), ("a/2", "x"), ("a/1", "y"), ("b/1", "x")):
        folder = tmp_path / f"{len(seen)}"
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(content)
        seen.add(content_digest(folder))
    assert len(seen) == 4


def test_missing_values_are_nulls_in_a_table(tmp_path):
    write_parquet(tmp_path / "x.parquet", COLUMNS)
    assert [pq.read_table(tmp_path / "x.parquet")[name].null_count for name in COLUMNS] == [1, 1, 1, 1]
    assert pq.read_schema(tmp_path / "x.parquet").field("a").type == pa.int64()


def test_the_labels_of_idx_images_lie_beside_them(tmp_path):
    assert [path.name for path in companions(tmp_path / "train-images-idx3-ubyte.gz")] == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]
    assert companions(tmp_path / "all.jsonl") == [tmp_path / "all.jsonl"]


def test_idx_holds_its_shape_and_bytes(tmp_path):
    array = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    write_idx(tmp_path / "x.gz", array)
    content = gzip.decompress((tmp_path / "x.gz").read_bytes())
    assert content[:16] == bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 3, 4)
    assert np.array_equal(np.frombuffer(content, np.uint8, offset=16).reshape(2, 3, 4), array)
    copy_idx(tmp_path / "x.gz", tmp_path / "y.gz", 1000)
    assert (tmp_path / "y.gz").read_bytes() == (tmp_path / "x.gz").read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\x03" + struct.pack(">3I", 2, 2, 2) + bytes(7),
        b"\0\0\x08\x01" + struct.pack(">I", 2) + bytes(3),
        b"\0\0\x0d\x01" + struct.pack(">I", 1) + bytes(4),
        b"\0\0\x08\xff" + b"\xff" * 1020,
        b"\0\0\x08\x03" + b"\xff" * 12 + bytes(8),
    ],
)
def test_a_file_that_is_not_idx_is_refused(tmp_path, content):
    (tmp_path / "x.gz").write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match="not an IDX file"):
        copy_idx(tmp_path / "x.gz", tmp_path / "y.gz", 1 << 20)
    assert not (tmp_path / "y.gz").exists()


def test_ragged_rows_are_refused(tmp_path):
    with pytest.raises(DataError, match="row 2 has 1 values for 2 columns"):
        columns_of(["a", "b"], [[1, 2], [3]])
    with pytest.raises(DataError, match="3 values for 2 columns"):
        write_csv(tmp_path / "x.csv", ["a", "b"], [[1, 2, 3]])


def test_a_number_that_json_does_not_know_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_jsonl(tmp_path / "x.jsonl", [{"a": float("nan")}])
