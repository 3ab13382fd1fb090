import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from modelyard.core.errors import DataError
from modelyard.data.sources.parquet import Parquet, ParquetSettings

TABLE = pa.table(
    {
        "id": pa.array(range(100), pa.int32()),
        "text": [None if n % 7 == 0 else f"é{n}" for n in range(100)],
        "list": [[n] * (n % 3) for n in range(100)],
        "a.b": pa.array([f"c{n % 4}" for n in range(100)]).dictionary_encode(),
        "a": [{"x": n} for n in range(100)],
    }
)


def write_parquet(path, table):
    pq.write_table(table, path, row_group_size=30)


def write_file(path, table):
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=30)


def write_stream(path, table):
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=30)


WRITERS = {
    "rows.parquet": write_parquet,
    "rows.arrow": write_file,
    "rows.ipc": write_stream,
    "rows.feather": lambda path, table: pyarrow.feather.write_feather(table, path),
}


def source(path):
    return Parquet(str(path), ParquetSettings())


@pytest.mark.parametrize("name", WRITERS)
def test_rows_come_in_order_with_their_positions_and_types(tmp_path, name):
    WRITERS[name](str(tmp_path / name), TABLE)
    found = source(tmp_path / name)
    assert found.schema() == TABLE.schema
    parts = list(found.read(chunk=16))
    start = 0
    for part in parts:
        assert part.start == start and part.table.num_rows <= 16 and part.positions is None
        start += part.table.num_rows
    assert pa.Table.from_batches([part.table for part in parts]).to_pylist() == TABLE.to_pylist()


@pytest.mark.parametrize("name", WRITERS)
def test_columns_come_as_asked_for(tmp_path, name):
    WRITERS[name](str(tmp_path / name), TABLE)
    for columns in (["text", "id"], ["a"], ["a.b"]):
        parts = list(source(tmp_path / name).read(columns))
        assert {tuple(part.table.schema.names) for part in parts} == {tuple(columns)}
        assert sum(part.table.num_rows for part in parts) == 100
    with pytest.raises(DataError, match=r"no column 'txt' \(did you mean 'text'\?\)"):
        list(source(tmp_path / name).read(["txt"]))


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("damage", ["empty", "cut", "other", "flipped"])
def test_damaged_files_are_named(tmp_path, name, damage):
    path = tmp_path / name
    WRITERS[name](str(path), TABLE)
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 4 : -len(content) // 4] = bytes(len(content) // 2)
    path.write_bytes(
        {"empty": b"", "cut": bytes(content[: len(content) // 2]), "other": b"id,text\n1,2\n"}.get(damage, content)
    )
    with pytest.raises(DataError, match=name):
        list(source(path).read())


def test_text_that_is_not_utf8_is_refused(tmp_path):
    broken = pa.Array.from_buffers(
        pa.string(),
        1,
        [None, pa.py_buffer((0).to_bytes(4, "little") + (1).to_bytes(4, "little")), pa.py_buffer(b"\xff")],
    )
    table = pa.table({"t": broken})
    write_parquet(str(tmp_path / "rows.parquet"), table)
    write_stream(str(tmp_path / "rows.ipc"), table)
    for name in ("rows.parquet", "rows.ipc"):
        with pytest.raises(DataError, match=f"cannot read .*{name} behind row 0: .*[Ii]nvalid UTF8"):
            list(source(tmp_path / name).read())


def test_files_read_together_need_the_same_columns_and_types(tmp_path):
    write_parquet(str(tmp_path / "1.parquet"), pa.table({"a": [1], "b": ["x"]}))
    write_parquet(str(tmp_path / "2.parquet"), pa.table({"b": pa.nulls(1), "a": [2]}))
    parts = list(source(tmp_path / "*.parquet").read())
    assert [part.table.to_pylist() for part in parts] == [[{"a": 1, "b": "x"}], [{"a": 2, "b": None}]]
    assert [part.start for part in parts] == [0, 0] and parts[1].file.endswith("2.parquet")
    write_parquet(str(tmp_path / "3.parquet"), pa.table({"a": ["1"], "b": ["x"]}))
    with pytest.raises(DataError, match=r"'a' is string in .*3\.parquet and int64 in .*1\.parquet"):
        source(tmp_path / "*.parquet").schema()
    write_parquet(str(tmp_path / "3.parquet"), pa.table({"a": [1]}))
    with pytest.raises(DataError, match=r"3\.parquet has other columns than .*1\.parquet \(missing: 'b'\)"):
        source(tmp_path / "*.parquet").schema()


def test_duplicate_columns_and_none_at_all_are_errors(tmp_path):
    write_file(str(tmp_path / "twice.arrow"), pa.table([[1], [2]], names=["a", "a"]))
    with pytest.raises(DataError, match="more than one column called 'a'"):
        source(tmp_path / "twice.arrow").schema()
    write_parquet(str(tmp_path / "none.parquet"), pa.table({}))
    with pytest.raises(DataError, match="has no columns"):
        source(tmp_path / "none.parquet").schema()


def test_a_file_without_rows_has_a_schema(tmp_path):
    write_parquet(str(tmp_path / "rows.parquet"), TABLE.slice(0, 0))
    assert source(tmp_path / "rows.parquet").schema() == TABLE.schema
    assert sum(part.table.num_rows for part in source(tmp_path / "rows.parquet").read()) == 0
