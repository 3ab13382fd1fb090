import gzip
import json

import pyarrow as pa
import pytest

from modelyard.core.errors import DataError
from modelyard.data.sources import json_records
from modelyard.data.sources import jsonl as jsonl_source
from modelyard.data.sources.jsonl import JsonLines, JsonSettings


def write(folder, content, name="rows.jsonl"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def source(path, **options):
    return JsonLines(path, JsonSettings(**options))


def read(path, columns=None, chunk=65536, **options):
    rows, unreadable = {}, {}
    for part in source(path, **options).read(columns, chunk):
        positions = part.positions or range(part.start, part.start + part.table.num_rows)
        rows.update(zip(positions, part.table.to_pylist(), strict=True))
        unreadable.update(part.unreadable)
    return rows, unreadable


def lines(*records):
    return "\n".join(json.dumps(record) for record in records) + "\n"


def column(tmp_path, *values):
    """The type and the values of one column."""
    path = write(tmp_path, lines(*({"x": value} for value in values)))
    rows, unreadable = read(path)
    assert not unreadable
    return source(path).schema().field("x").type, [row["x"] for row in rows.values()]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, -(2**63), 2**63 - 1], pa.int64()),
        ([1, 2.5, None], pa.float64()),
        ([True, False, None], pa.bool_()),
        (["a", None, "é\n"], pa.string()),
        ([[1, 2], [], None, [None]], pa.list_(pa.int64())),
        ([[1, 2.5]], pa.list_(pa.float64())),
        ([["a", None], []], pa.list_(pa.string())),
        ([[[1], [2, 3]], []], pa.list_(pa.list_(pa.int64()))),
    ],
)
def test_columns_of_one_kind_keep_it(tmp_path, values, kind):
    assert column(tmp_path, *values) == (kind, values)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1, "two", None, 3.5, True], ["1", "two", None, "3.5", "true"]),
        ([True, 1], ["true", "1"]),
        ([{"k": [1, "é"]}, None], ['{"k": [1, "é"]}', None]),
        ([[1, "a"], [2]], ['[1, "a"]', "[2]"]),
        ([[1], 2], ["[1]", "2"]),
        ([2**63, 1], ["9223372036854775808", "1"]),
        ([2**53 + 1, 0.5], ["9007199254740993", "0.5"]),
        ([None, None], [None, None]),
    ],
)
def test_columns_of_several_kinds_become_text(tmp_path, values, texts):
    assert column(tmp_path, *values) == (pa.string(), texts)


def test_missing_keys_are_null_and_columns_stand_in_the_order_of_their_first_record(tmp_path):
    path = write(tmp_path, lines({"b": 1}, {"a": "x"}, {"a": "y", "b": 2}))
    assert source(path).schema().names == ["b", "a"]
    assert list(read(path)[0].values()) == [{"b": 1, "a": None}, {"b": None, "a": "x"}, {"b": 2, "a": "y"}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": 1', "line 3: Expecting ',' delimiter at character 7"),
        ("[1, 2]", "line 3: expected an object {…}, got '[1, 2]'"),
        ("17", "line 3: expected an object"),
        ('{"a": 1} {"a": 2}', "line 3: more follows behind the value"),
        ('{"a": 1, "a": 2}', "line 3: the key 'a' occurs twice"),
        ('{"b": {"a": 1, "a": 2}}', "line 3: the key 'a' occurs twice"),
        (b'{"a": "\xff"}', "line 3: is not UTF-8 at byte 7 of the line"),
        ('{"a": "\\ud800"}', "line 3: holds half of a surrogate pair"),
        ('{"a": ' + "[" * 300 + "]" * 300 + "}", "line 3: is nested deeper than 100 levels"),
        ('{"a": ' + "[" * 100_000, "line 3: "),
        ('{"a": ' + "9" * 5000 + "}", "line 3: "),
    ],
)
def test_broken_lines_are_named_and_the_others_keep_their_positions(tmp_path, line, reason):
    line = line if isinstance(line, bytes) else line.encode()
    rows, unreadable = read(write(tmp_path, b'{"a": 1}\n\n' + line + b'\n{"a": 3}\r\n'))
    assert rows == {0: {"a": 1}, 2: {"a": 3}}
    assert list(unreadable) == [1] and unreadable[1].startswith(reason)


def test_a_value_of_another_type_behind_the_sample_makes_its_record_unreadable(tmp_path):
    path = write(
        tmp_path, lines({"n": 1, "t": "x"}, {"n": 2.5, "t": 3}, {"n": 4.0, "t": [1]}, {"n": True}, {"n": 10**30})
    )
    rows, unreadable = read(path, sample=1)
    assert rows == {0: {"n": 1, "t": "x"}, 2: {"n": 4, "t": "[1]"}}
    assert unreadable[1].startswith("'n' is '2.5', expected a whole number like the first 1 records")
    assert sorted(unreadable) == [1, 3, 4]
    assert read(path, ["t"], sample=1)[1].keys() == {1, 3, 4}  # the same rows, whichever columns are read


def test_a_value_inside_a_list_is_held_to_its_type_too(tmp_path):
    rows, unreadable = read(write(tmp_path, lines({"n": [1]}, {"n": [2, "x"]}, {"n": 3}, {"n": [4.0]})), sample=1)
    assert rows == {0: {"n": [1]}, 3: {"n": [4]}}
    assert "expected a list, each item a whole number" in unreadable[1] and 2 in unreadable


def test_values_under_keys_that_no_sampled_record_has_are_counted(tmp_path):
    found = source(write(tmp_path, lines({"a": 1}, {"a": 2, "late": 3}, {"late": 4})), sample=1)
    assert [part.table.to_pylist() for part in found.read()] == [[{"a": 1}, {"a": 2}, {"a": None}]]
    assert found.ignored == {"late": 2}


def test_blocks_and_chunks_end_anywhere(tmp_path, monkeypatch):
    content = "".join(f'{{"a": {n}, "b": "é{n}"}}\n' if n % 7 else "broken\n" for n in range(200))
    monkeypatch.setattr(json_records, "_READ", 13)
    monkeypatch.setattr(jsonl_source, "_BLOCK_RECORDS", 10)
    rows, unreadable = read(write(tmp_path, content), chunk=3)
    assert rows == {n: {"a": n, "b": f"é{n}"} for n in range(200) if n % 7}
    assert list(unreadable) == list(range(0, 200, 7))


def test_a_line_too_long_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(json_records, "_READ", 64)
    monkeypatch.setattr(json_records, "_LONGEST", 256)
    path = write(tmp_path, '{"a": 1}\n{"a": "' + "x" * 1000 + '"}\n{"a": 2}\n')
    rows, unreadable = read(path)
    assert rows == {0: {"a": 1}, 2: {"a": 2}}
    assert unreadable[1].startswith("line 2: is longer than")


def test_one_list_of_objects(tmp_path):
    records = [{"a": n, "b": "x" * (n % 5)} for n in range(50)]
    path = write(tmp_path, json.dumps(records, indent=2), "rows.json")
    assert list(read(path)[0].values()) == records


def test_a_list_is_read_through_a_window_of_any_size(tmp_path, monkeypatch):
    records = [{"a": n, "t": 'é\\"]},{[' * n, "f": -1.5e-3, "n": None, "l": [True, False]} for n in range(20)]
    path = write(tmp_path, json.dumps(records, ensure_ascii=False), "rows.json")
    for size in (1, 3, 17, 1000):
        monkeypatch.setattr(json_records, "_READ", size)
        assert list(read(path)[0].values()) == records


def test_items_of_a_list_that_are_no_objects_are_unreadable(tmp_path):
    rows, unreadable = read(write(tmp_path, '[{"a": 1}, 12, {"a": 1, "a": 2}, {"a": 4}]', "rows.json"))
    assert list(rows) == [0, 3]
    assert unreadable == {
        1: "item 1: expected an object {…}, got '12'",
        2: "item 2: the key 'a' occurs twice in one object",
    }


@pytest.mark.parametrize(
    "text",
    ['[{"a": 1}, {"a": 2', '[{"a": 1} {"a": 2}]', '[{"a": 1}', '[{"a": 1}, ]', '[{"a": 1}] x', '[{"a": 1}, {"a": "x]'],
)
def test_a_broken_list_stops_with_the_place(tmp_path, text):
    with pytest.raises(DataError, match=r"rows\.json.*expected one list of objects.*Nothing behind this place"):
        read(write(tmp_path, text, "rows.json"))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no record of .* could be read.*It holds none"),
        (b"[]", "It holds none"),
        (b'{\n "a": 1\n}\n', "The first: line 1: "),
        ('{"a": 1}'.encode("utf-16"), "UTF-16 or UTF-32"),
        (gzip.compress(b"{}"), "looks like a gzip file"),
        (b"{}\n{}\n", "no record"),
    ],
)
def test_a_file_without_a_readable_record_is_an_error(tmp_path, content, match):
    with pytest.raises(DataError, match=match):
        source(write(tmp_path, content)).schema()


def test_a_byte_order_mark_and_compression(tmp_path):
    assert read(write(tmp_path, b'\xef\xbb\xbf{"a": 1}'))[0] == {0: {"a": 1}}
    assert read(write(tmp_path, gzip.compress(b'{"a": 1}\n'), "rows.jsonl.gz"))[0] == {0: {"a": 1}}


def test_nan_is_a_number(tmp_path):
    rows, _ = read(write(tmp_path, '{"a": NaN}\n{"a": 1}\n'))
    assert rows[0]["a"] != rows[0]["a"] and rows[1]["a"] == 1.0


def test_hostile_records_are_refused_at_once(tmp_path):
    many = ", ".join(f'"k{n}": 0' for n in range(50_000))
    rows, unreadable = read(write(tmp_path, f'{{"a": 1}}\n{{{many}, "k49999": 1}}\n{{"a": {"[" * 200_000}\n'))
    assert rows == {0: {"a": 1}}
    assert unreadable[1] == "line 2: the key 'k49999' occurs twice in one object" and 2 in unreadable
    items = ", ".join(['{"a": 1}'] * 30_000 + ['{"a": "\\\\u00e9"}'] * 30_000)
    assert len(read(write(tmp_path, f"[{items}]", "rows.json"))[0]) == 60_000


def test_files_read_together(tmp_path):
    write(tmp_path, lines({"a": 1, "b": 1}), "1.jsonl")
    write(tmp_path, lines({"a": 2.5}), "2.jsonl")
    pattern = str(tmp_path / "*.jsonl")
    assert source(pattern).schema() == pa.schema([("a", pa.float64()), ("b", pa.int64())])
    assert [part.table.to_pylist() for part in source(pattern).read()] == [
        [{"a": 1.0, "b": 1}],
        [{"a": 2.5, "b": None}],
    ]
    write(tmp_path, lines({"z": 2.5}), "3.jsonl")
    with pytest.raises(DataError, match=r"3\.jsonl has none of the keys of .*1\.jsonl: 'z' instead of 'a', 'b'"):
        source(pattern).schema()


def test_records_with_ever_new_keys_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl_source, "_MANY_KEYS", 50)
    with pytest.raises(DataError, match="more than 50 different keys"):
        source(write(tmp_path, lines(*({f"k{n}": n} for n in range(100))))).schema()
