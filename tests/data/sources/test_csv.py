import bz2
import csv
import gzip
import io

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.core.errors import DataError
from modelyard.data.sources import csv as csv_source
from modelyard.data.sources.csv import Csv, CsvSettings


def write(folder, content, name="rows.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def source(path, **options):
    return Csv(path, CsvSettings(**options))


def read(path, columns=None, chunk=65536, **options):
    """All rows, with their positions, and all unreadable records."""
    rows, unreadable = {}, {}
    for part in source(path, **options).read(columns, chunk):
        assert part.table.num_rows <= chunk
        positions = part.positions or range(part.start, part.start + part.table.num_rows)
        rows.update(zip(positions, part.table.to_pylist(), strict=True))
        unreadable.update(part.unreadable)
    return rows, unreadable


def test_every_cell_is_text_and_only_an_empty_unquoted_one_is_null(tmp_path):
    path = write(tmp_path, 'a,b,c d\n1,"","x, y"\n007,,"say ""hi"""\nNA,null,-\n')
    assert source(path).schema() == pa.schema([("a", pa.string()), ("b", pa.string()), ("c d", pa.string())])
    rows, unreadable = read(path)
    assert rows == {
        0: {"a": "1", "b": "", "c d": "x, y"},
        1: {"a": "007", "b": None, "c d": 'say "hi"'},
        2: {"a": "NA", "b": "null", "c d": "-"},
    }
    assert unreadable == {}


def test_ragged_records_are_named_and_the_others_keep_their_positions(tmp_path):
    path = write(tmp_path, 'a,b\n1\n2,x\n\n3,"line\nbreak"\n4,y,z\n5,z\n6\n')
    rows, unreadable = read(path)
    assert rows == {1: {"a": "2", "b": "x"}, 2: {"a": "3", "b": "line\nbreak"}, 4: {"a": "5", "b": "z"}}
    assert unreadable == {
        0: "has 1 cell, expected 2: '1'",
        3: "has 3 cells, expected 2: '4,y,z'",
        5: "has 1 cell, expected 2: '6'",
    }


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), max_size=60), st.integers(1, 7), st.sampled_from([32, 57, 1 << 20]))
def test_positions_are_exact_wherever_blocks_and_chunks_end(tmp_path_factory, good, chunk, block):
    records = [f'{n},"quoted\n{n}"' if ok else f"{n},too,many" for n, ok in enumerate(good)]
    path = write(tmp_path_factory.mktemp("csv"), "\n".join(["a,b", *records]) + "\n")
    before, csv_source._BLOCK = csv_source._BLOCK, block
    try:
        rows, unreadable = read(path, chunk=chunk)
    finally:
        csv_source._BLOCK = before
    assert rows == {n: {"a": str(n), "b": f"quoted\n{n}"} for n, ok in enumerate(good) if ok}
    assert unreadable == {n: f"has 3 cells, expected 2: '{n},too,many'" for n, ok in enumerate(good) if not ok}


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1)))
def test_agrees_with_the_csv_module_on_what_that_has_written(tmp_path_factory, table):
    names = [f"{n}{cell}" for n, cell in enumerate(table[0])]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([names, *table[1:]])
    rows, unreadable = read(write(tmp_path_factory.mktemp("csv"), buffer.getvalue()), delimiter=",")
    assert [list(row.items()) for row in rows.values()] == [list(zip(names, row, strict=True)) for row in table[1:]]
    assert unreadable == {}


def test_unreadable_records_come_with_the_chunk_they_stand_in(tmp_path):
    path = write(tmp_path, "a,b\n0\n1,x\n2\n3,x\n4,x\n5\n6\n")
    parts = list(source(path).read(chunk=1))
    assert [(part.table["a"].to_pylist(), part.start, list(part.unreadable)) for part in parts] == [
        (["1"], 1, [0, 2]),
        (["3"], 3, []),
        (["4"], 4, []),
        ([], 5, [5, 6]),
    ]


def test_a_quote_that_is_never_closed_makes_its_record_unreadable(tmp_path):
    rows, unreadable = read(write(tmp_path, 'a,b\n1,x\n2,"y\n3,z\n4,z\n'))
    assert rows == {0: {"a": "1", "b": "x"}}
    assert list(unreadable) == [1]
    assert "never closed" in unreadable[1] and "4 lines" in unreadable[1]
    rows, unreadable = read(write(tmp_path, 'a,b,c\n1,x,y\n2,"y\n3,z,q\n'))
    assert list(rows) == [0] and list(unreadable) == [1] and "never closed" in unreadable[1]


def test_a_record_longer_than_a_block_names_the_quote_as_the_likely_cause(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_source, "_BLOCK", 100)
    path = write(tmp_path, 'a,b\n1,x\n2,"y\n' + "3,z\n" * 200)
    with pytest.raises(DataError, match=r"behind record \d.*quote is opened and never closed"):
        read(path)


def test_quotes_can_mean_nothing(tmp_path):
    rows, _ = read(write(tmp_path, 'a,b\n5" pipe,"x\n'), quote=None)
    assert rows == {0: {"a": '5" pipe', "b": '"x'}}


def test_duplicate_headers_are_listed(tmp_path):
    with pytest.raises(DataError, match="more than one column called 'b', 'a'"):
        source(write(tmp_path, "b,a,b,a,c\n1,2,3,4,5\n")).schema()


def test_nameless_columns_are_called_by_their_number(tmp_path):
    assert source(write(tmp_path, ",x,,column_3\n1,2,3,4\n")).schema().names == [
        "column_1",
        "x",
        "column_3_",
        "column_3",
    ]


@pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_error(tmp_path, content):
    with pytest.raises(DataError, match="is empty"):
        source(write(tmp_path, content)).schema()


@pytest.mark.parametrize("content", ["a,b", "a,b\n", "a,b\r\n\r\n"])
def test_a_header_alone_has_a_schema_and_no_rows(tmp_path, content):
    path = write(tmp_path, content)
    assert source(path).schema().names == ["a", "b"]
    assert read(path) == ({}, {})


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert read(write(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n"))[0] == {0: {"a": "1", "b": "2"}}


def test_records_that_are_not_utf8_are_unreadable_and_the_others_keep_their_positions(tmp_path):
    path = write(tmp_path, b'a,b\n1,2\n3,caf\xe9\n\xe9t\xe9,"x\ny"\n5,\xc3\xa9\n6,\xff,7\n')
    rows, unreadable = read(path)
    assert rows == {0: {"a": "1", "b": "2"}, 3: {"a": "5", "b": "é"}}
    hint = " (data.options.encoding says how the text is encoded)"
    assert unreadable == {
        1: f"is not UTF-8: 'caf\ufffd'{hint}",
        2: f"is not UTF-8: '\ufffdt\ufffd'{hint}",
        4: "has 3 cells, expected 2: '6,\ufffd,7'",
    }
    assert read(path, encoding="latin-1")[0][1] == {"a": "3", "b": "café"}


def test_a_header_that_is_not_utf8_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"first record of .*rows\.csv is not UTF-8: 'caf\ufffd,b'.*options\.encoding"):
        read(write(tmp_path, b"caf\xe9,b\n1,2\n"))


def test_the_place_of_what_is_not_utf8_is_exact_behind_many_blocks_and_split_characters(tmp_path):
    content = ("a,b\n" + "é中,𝄞\n" * 400_000).encode() + b"\xff,x\n1,2\n"
    unreadable, rows = {}, 0
    for part in source(write(tmp_path, content)).read():
        unreadable |= part.unreadable
        rows += part.table.num_rows
    assert (list(unreadable), rows) == ([400_000], 400_001)


def test_a_character_cut_off_at_the_end_is_not_utf8(tmp_path):
    rows, unreadable = read(write(tmp_path, "a,b\n1,2\n1,é".encode()[:-1]))
    assert (list(rows), list(unreadable)) == ([0], [1])


def test_utf16_is_recognised_and_read_when_said(tmp_path):
    path = write(tmp_path, "a,b\n1,é\n".encode("utf-16"))
    with pytest.raises(DataError, match=r"utf-16.*data\.options\.encoding: utf-16"):
        read(path)
    assert read(path, encoding="utf-16")[0] == {0: {"a": "1", "b": "é"}}


def test_records_with_nul_characters_are_unreadable_whichever_columns_are_read(tmp_path):
    path = write(tmp_path, b"a,b\n1,x\n2,\0y\n3,z\n")
    for columns in (None, ["a"]):
        rows, unreadable = read(path, columns)
        assert [row["a"] for row in rows.values()] == ["1", "3"]
        assert unreadable == {1: "holds NUL characters: '\\x00y'"}
    with pytest.raises(DataError, match="NUL characters in its first record"):
        source(write(tmp_path, b"a,\0\n1,2\n")).schema()


@pytest.mark.parametrize(
    ("content", "delimiter", "names"),
    [
        ("a,b;c\n1,2\n3,4\n", ",", ["a", "b;c"]),
        ("a;b\n1,5;2\n", ";", ["a", "b"]),
        ("a\tb, c\n1\t2\n", "\t", ["a", "b, c"]),
        ("a|b\n1|2\n", "|", ["a", "b"]),
        ('"x;y;z",b\n1,2\n', ",", ["x;y;z", "b"]),
        ("alone\n1\n", ",", ["alone"]),
    ],
)
def test_the_delimiter_is_the_one_that_the_header_uses(tmp_path, content, delimiter, names):
    assert source(write(tmp_path, content)).schema().names == names
    assert source(write(tmp_path, content), delimiter=delimiter).schema().names == names


def test_tsv_is_parted_by_tabs(tmp_path):
    assert read(write(tmp_path, "a,x\tb\n1,5\t2\n", "rows.tsv"))[0] == {0: {"a,x": "1,5", "b": "2"}}


def test_files_without_a_header(tmp_path):
    path = write(tmp_path, "1,2\n3,4\n")
    assert read(path, header=["x", "y"])[0] == {0: {"x": "1", "y": "2"}, 1: {"x": "3", "y": "4"}}
    assert source(path, header=False).schema().names == ["column_1", "column_2"]


def test_lines_before_the_header_are_skipped(tmp_path):
    path = write(tmp_path, 'a "comment\n\nx,y\n1,2\n')
    assert read(path, skip_rows=2)[0] == {0: {"x": "1", "y": "2"}}
    with pytest.raises(DataError, match="after the 9 skipped lines"):
        source(path, skip_rows=9).schema()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends(tmp_path, end):
    assert list(read(write(tmp_path, end.join(["a,b", "1,2", "3", "4,5"])))[0]) == [0, 2]


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_compressed_files(tmp_path, ending, pack):
    packed = pack(b"a,b\n1,2\n")
    assert read(write(tmp_path, packed, "rows.csv" + ending))[0] == {0: {"a": "1", "b": "2"}}
    cut = write(tmp_path, pack(b"a,b\n" + b"1,2\n" * 10)[:-6], "cut.csv" + ending)
    with pytest.raises(DataError, match=r"cannot read .*cut\.csv"):
        read(cut)


def test_zstandard_files(tmp_path):
    with pa.CompressedOutputStream(str(tmp_path / "rows.csv.zst"), "zstd") as file:
        file.write(b"a,b\n1,2\n")
    assert read(str(tmp_path / "rows.csv.zst"))[0] == {0: {"a": "1", "b": "2"}}


def test_a_compressed_file_that_does_not_say_so_is_recognised(tmp_path):
    with pytest.raises(DataError, match="looks like a gzip file"):
        source(write(tmp_path, gzip.compress(b"a,b\n1,2\n"))).schema()


def test_files_read_together_need_the_same_columns_in_any_order(tmp_path):
    write(tmp_path, "a,b\n1,2\n", "1.csv")
    write(tmp_path, "b,a\n4,3\n5\n", "2.csv")
    parts = list(source(str(tmp_path / "*.csv")).read(["b", "a"]))
    assert [(part.file[-5:], part.start, part.table.to_pylist(), list(part.unreadable)) for part in parts] == [
        ("1.csv", 0, [{"b": "2", "a": "1"}], []),
        ("2.csv", 0, [{"b": "4", "a": "3"}], []),
        ("2.csv", 1, [], [1]),
    ]
    write(tmp_path, "a,c\n1,2\n", "3.csv")
    with pytest.raises(DataError, match=r"3\.csv has other columns than .*1\.csv \(missing: 'b'; additional: 'c'\)"):
        source(str(tmp_path / "*.csv")).schema()


def test_columns_come_as_asked_for_and_unknown_ones_are_named(tmp_path):
    path = write(tmp_path, "alpha,beta,gamma\n1,2,3\n")
    assert [list(row) for row in read(path, ["gamma", "alpha"])[0].values()] == [["gamma", "alpha"]]
    with pytest.raises(DataError, match=r"no column 'betta' \(did you mean 'beta'\?\); it has: alpha, beta, gamma"):
        read(path, ["betta"])


def test_a_file_of_nothing_but_ragged_records_stops_early(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_source, "_MANY", 50)
    with pytest.raises(
        DataError, match=r"more than 50 unreadable records.*the first, record 0, has 1 cell, expected 2"
    ):
        read(write(tmp_path, "a,b\n" + "1\n" * 100))


@pytest.mark.parametrize("header", ['"' * 2_000_001, "," * 200_000, 'a,"' + '""' * 1_000_000 + "x"])
def test_a_hostile_header_is_refused_at_once(tmp_path, header):
    with pytest.raises(DataError, match="the first record of"):
        source(write(tmp_path, header + "\n1\n")).schema()


def test_the_fingerprint_is_of_the_content(tmp_path):
    one = source(write(tmp_path, "a,b\n1,2\n", "1.csv")).fingerprint()
    assert one == source(write(tmp_path, "a,b\n1,2\n", "2.csv")).fingerprint()
    assert one != source(write(tmp_path, "a,b\n1,3\n", "3.csv")).fingerprint()


@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": "ab"},
        {"delimiter": "\n"},
        {"delimiter": "é"},
        {"delimiter": '"'},
        {"encoding": "klingon"},
        {"encoding": "base64"},
        {"header": ["a", "a"]},
        {"skip_rows": -1},
    ],
)
def test_settings_that_mean_nothing_are_refused(options):
    with pytest.raises(ValueError):
        CsvSettings(**options)
