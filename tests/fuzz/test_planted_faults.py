"""A known number of faults of each kind among good rows: every one is found, at its place, and nothing else is."""

import io
import json
import random
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.ImageFile
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seed_files import encoded, idx_bytes

from modelyard.core.errors import DataError
from modelyard.data.modalities.table import MODALITIES
from modelyard.data.sources import json_records
from modelyard.data.sources.open import open_sources

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow has opinions on damaged files

exact = settings(
    max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


def planted(*kinds):
    """Lists of good rows (None) and faults of these kinds, in any order and number."""
    return st.lists(st.sampled_from([None, None, *kinds]), max_size=40)


def read(path, chunk=7, **options):
    """Return position → row, and position → what is wrong."""
    rows, unreadable = {}, {}
    (source,) = open_sources(str(path), options=options).values()
    for part in source.read(chunk=chunk):
        positions = part.positions or range(part.start, part.start + part.table.num_rows)
        rows |= zip(positions, part.table.to_pylist(), strict=True)
        unreadable |= part.unreadable
    return rows, unreadable


def reading(name, values, folder="", **options):
    modality = MODALITIES.find(name)
    return modality("x", modality.Settings(**options)).read(values, folder)


def at(faults, *kinds):
    """Where these kinds were planted; without kinds: where nothing was."""
    return [position for position, fault in enumerate(faults) if (fault in kinds if kinds else fault is None)]


# -- CSV --------------------------------------------------------------------------------------------------------------

CSV = {
    None: b'%d,"first line\nsecond line, ""quoted"""',
    "few": b"%d",
    "many": b"%d,x,y",
    "not utf-8": b"%d,caf\xe9",
    "nul": b"%d,a\0b",
}


@exact
@given(planted("few", "many", "not utf-8", "nul"), st.booleans(), st.sampled_from([b"\n", b"\r\n"]), st.integers(1, 9))
def test_csv_records(tmp_path_factory, faults, bom, end, chunk):
    records = [CSV[fault] % position for position, fault in enumerate(faults)]
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(b"\xef\xbb\xbf" * bom + end.join([b"a,b", *records]) + end)
    rows, unreadable = read(path, chunk)
    assert list(rows) == at(faults)
    assert all(row == {"a": str(place), "b": 'first line\nsecond line, "quoted"'} for place, row in rows.items())
    assert sorted(unreadable) == at(faults, "few", "many", "not utf-8", "nul")
    for kind, said in {
        "few": "1 cell, expected 2",
        "many": "3 cells, expected 2",
        "not utf-8": "is not UTF-8",
        "nul": "NUL characters",
    }.items():
        assert [place for place in sorted(unreadable) if said in unreadable[place]] == at(faults, kind)


CELLS = {
    None: "2.5",
    "na": "NA",
    "null": "null",
    "dash": "-",
    "empty": "",
    "grouped": "1,234",
    "inf": "-inf",
    "text": "six",
}


@exact
@given(planted(*filter(None, CELLS)))
def test_csv_cells_of_a_number_column(tmp_path_factory, faults):
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_text("".join(f'"{CELLS[fault]}",y\n' for fault in [None, *faults]))
    rows, unreadable = read(path, header=["x", "y"])
    assert not unreadable
    found = reading("number", pa.array([row["x"] for row in rows.values()][1:], pa.string()))
    assert sorted(found.problems) == at(faults, "inf", "text")
    missing = {place for place, value in enumerate(found.values.to_pylist()) if value is None}
    assert sorted(missing - set(found.problems)) == at(faults, "na", "null", "dash", "empty")
    expected = [{None: 2.5, "grouped": 1234.0}.get(fault) for fault in faults]
    assert found.values.to_pylist() == expected


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "is empty"), (b"a,b,a\n1,2,3\n", "more than one column called 'a'")]
)
def test_csv_files_without_a_table(tmp_path, content, said):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read(tmp_path / "x.csv")


def test_csv_header_only(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"a,b\n")
    assert read(tmp_path / "x.csv") == ({}, {})


# -- JSON Lines -------------------------------------------------------------------------------------------------------

JSON = {
    None: '{"a": %d, "b": "x"}',
    "cut": '{"a": %d, "b": "x',
    "list": "[%d]",
    "twice": '{"a": %d, "a": 1}',
    "more": '{"a": %d} {"a": 2}',
    "deep": '{"a": %d, "b": ' + "[" * 5000 + "]" * 5000 + "}",
    "other type": '{"a": [%d], "b": "x"}',
    "half": '{"a": %d, "b": "\\ud800"}',
}


@exact
@given(planted(*filter(None, JSON), "not utf-8", "empty line"))
def test_json_lines(tmp_path_factory, faults):
    lines = []
    for number, fault in enumerate(faults):
        other = {"not utf-8": b'{"a": "\xff"}', "empty line": b"  "}
        lines.append(other.get(fault) or (JSON[fault] % number).encode())
    path = tmp_path_factory.mktemp("jsonl") / "x.jsonl"
    path.write_bytes(b'{"a": 0, "b": "y"}\n' + b"\n".join(lines))
    records = [None, *(fault for fault in faults if fault != "empty line")]  # an empty line is no record
    rows, unreadable = read(path, sample=1)
    assert list(rows) == at(records)
    assert sorted(unreadable) == [place for place, fault in enumerate(records) if fault is not None]
    number_of = [0, *(number + 1 for number, fault in enumerate(faults) if fault != "empty line")]
    for place, reason in unreadable.items():
        if records[place] != "other type":  # said of its column
            assert reason.startswith(f"line {number_of[place] + 1}: ")


@exact
@given(planted("list", "twice", "other type", "half"))
def test_items_of_a_json_list(tmp_path_factory, faults):
    path = tmp_path_factory.mktemp("json") / "x.json"
    items = ['{"a": 0, "b": "y"}', *(JSON[fault] % number for number, fault in enumerate(faults))]
    path.write_text("[" + ",\n".join(items) + "]")
    rows, unreadable = read(path, sample=1)
    assert list(rows) == at([None, *faults])
    assert sorted(unreadable) == at([None, *faults], "list", "twice", "other type", "half")


def test_enormous_json_lines_are_skipped_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(json_records, "_LONGEST", 1 << 20)
    long = json.dumps({"a": "x" * (4 << 20)})
    (tmp_path / "x.jsonl").write_text('{"a": "1"}\n' + long + '\n{"a": "2"}\n')
    rows, unreadable = read(tmp_path / "x.jsonl")
    assert rows == {0: {"a": "1"}, 2: {"a": "2"}}
    assert unreadable == {1: "line 2: is longer than 1 MiB"}


# -- Parquet and IDX --------------------------------------------------------------------------------------------------


@exact
@given(st.lists(st.none() | st.integers(0, 9), max_size=30), st.integers(1, 8))
def test_nested_parquet_types_are_rows_and_a_problem_of_each_value(tmp_path_factory, numbers, group):
    values = pa.array([None if n is None else {"n": n, "list": [[n]]} for n in numbers],
                      pa.struct([("n", pa.int8()), ("list", pa.list_(pa.list_(pa.int8())))]))  # fmt: skip
    path = tmp_path_factory.mktemp("parquet") / "x.parquet"
    pq.write_table(pa.table({"x": values, "n": pa.array(numbers, pa.int8())}), path, row_group_size=group)
    rows, unreadable = read(path)
    assert not unreadable
    assert [row["n"] for row in rows.values()] == numbers
    for name in ("number", "category", "text"):
        found = reading(name, values)
        assert sorted(found.problems) == [place for place, n in enumerate(numbers) if n is not None]
        assert found.values.null_count == len(numbers)


@exact
@given(st.integers(1, 30), st.integers(-40, 40), st.integers(1, 9))
def test_idx_of_a_wrong_size(tmp_path_factory, announced, difference, chunk):
    size = 6
    content = idx_bytes(np.arange(announced * size).reshape(announced, 2, 3) % 256)
    content = content[:difference] if difference < 0 else content + b"\0" * difference
    path = tmp_path_factory.mktemp("idx") / "x.idx"
    path.write_bytes(content)
    have = max(0, announced * size + min(difference, 0)) // size
    if difference == 0:
        assert len(read(path, chunk)[0]) == announced
        return
    cut = f"ends after {have} of the {announced} records|ends within its header|shorter than a header"
    with pytest.raises(DataError, match=cut if difference < 0 else f"goes on behind the {announced} records"):
        read(path, chunk)


# -- images -----------------------------------------------------------------------------------------------------------


def header_bomb():
    """A PNG of a few bytes that claims 50,000 × 50,000 pixels."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def image(format, mode, **options):
    return encoded(random.Random(0), format, mode, (24, 18), **options)


BROKEN = {
    "corrupt": image("PNG", "RGB")[:60] + b"\xff" * 40 + image("PNG", "RGB")[100:],
    "truncated": image("JPEG", "RGB")[:-200],
    "empty": b"",
    "enormous": header_bomb(),
    "text": b"these are words",
}
UNUSUAL = {
    "is a jpeg": (image("JPEG", "RGB"), "named PNG, is JPEG"),
    "bad exif": (image("JPEG", "RGB", exif=b"Exif\0\0II*\0\xff\xff\0\0"), "broken EXIF ignored; named PNG, is JPEG"),
    "turned": (image("JPEG", "RGB", orientation=6), "EXIF orientation applied; named PNG, is JPEG"),
    "animated": (image("PNG", "RGB", frames=3), "several frames or pages: first taken"),
    "16 bit": (image("PNG", "I;16"), "16 bit scaled to 8"),
    "cmyk": (image("JPEG", "CMYK"), "CMYK converted; named PNG, is JPEG"),
    "palette": (image("PNG", "P"), "palette turned into colours"),
    "transparent": (image("PNG", "RGBA"), "transparency laid on the background"),
}
GOOD = image("PNG", "RGB")


def content_of(fault):
    return GOOD if fault is None else BROKEN[fault] if fault in BROKEN else UNUSUAL[fault][0]


@exact
@given(planted(*BROKEN, *UNUSUAL), st.booleans())
def test_images_of_a_folder_and_of_a_column(tmp_path_factory, faults, in_folder):
    contents = [content_of(fault) for fault in faults]
    names = [f"{number:03}.png" for number in range(len(faults))]
    folder = tmp_path_factory.mktemp("images")
    if in_folder and faults:
        for name, content in zip(names, contents, strict=True):
            (folder / name).write_bytes(content)
        (source,) = open_sources(str(folder)).values()
        (rows,) = source.read()
        assert rows.table.column("image").to_pylist() == names
        values, place = rows.table.column("image"), source.folder()
    else:
        cells = [{"bytes": content, "path": name} for content, name in zip(contents, names, strict=True)]
        values, place = pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ""
    found = reading("image", values, place, size=8, channels=3)
    assert sorted(found.problems) == at(faults, *BROKEN)
    assert [not value.is_valid for value in found.values] == [fault in BROKEN for fault in faults]
    assert found.notes == {number: UNUSUAL[fault][1] for number, fault in enumerate(faults) if fault in UNUSUAL}
    expected = reading("image", pa.array([GOOD]), size=8, channels=3).values[0]
    assert all(found.values[number] == expected for number in at(faults))


def test_an_enormous_image_is_refused_by_its_header_alone(monkeypatch):
    def never(self):
        raise AssertionError("decoded")

    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", never)
    found = reading("image", pa.array([header_bomb()]), size=8, channels=3)
    assert "50000×50000 pixels, more than the 64000000 that max_pixels allows; not decoded" in found.problems[0]


def test_a_picture_that_unpacks_to_far_more_than_its_header_says_is_refused(tmp_path):
    out = io.BytesIO()
    PIL.Image.new("L", (16, 16)).save(out, "PNG")
    head, rest = out.getvalue()[:33], out.getvalue()[33:]
    bomb = zlib.compress(b"\0" * (64 << 20), 9)
    chunk = b"IDAT" + bomb
    content = head + struct.pack(">I", len(bomb)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + rest
    found = reading("image", pa.array([content]), size=8, channels=1)
    assert len(found.values) == 1  # decoded as far as its 256 pixels go, or refused: never 64 MiB of rows


# -- what fuzzing found -----------------------------------------------------------------------------------------------


def test_moments_beyond_what_python_can_hold_are_problems_of_their_rows():
    far = pa.array([2**60, None], pa.int64()).view(pa.timestamp("us"))
    lists = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), far[:1])
    assert list(reading("image", far, size=8, channels=3).problems) == [0]
    assert list(reading("image", lists, size=8, channels=3).problems) == [0]
    image_class = MODALITIES.find("image")
    assert image_class.infer(lists, "x") is None


def test_images_in_structs_are_read_whatever_stands_beside_them():
    far = pa.array([2**60], pa.int64()).view(pa.timestamp("us"))
    values = pa.StructArray.from_arrays([pa.array([GOOD]), far], names=["bytes", "taken"])
    found = reading("image", values, size=8, channels=3)
    assert not found.problems
    assert found.values.equals(reading("image", pa.array([GOOD]), size=8, channels=3).values)


def test_a_message_names_a_few_of_very_many_columns(tmp_path):
    (tmp_path / "a.csv").write_text(",".join(f"a{n}" for n in range(50_000)) + "\n")
    (tmp_path / "b.csv").write_text(",".join(f"b{n}" for n in range(50_000)) + "\n")
    with pytest.raises(DataError, match=r"'a9' and 49,990 more; additional: 'b0'.* and 49,990 more"):
        read(tmp_path)
    (tmp_path / "b.csv").unlink()
    (tmp_path / "a.csv").write_text(",".join(f"a{n // 2}" for n in range(50_000)) + "\n")
    with pytest.raises(DataError, match=r"more than one column called 'a0', .* and 24,990 more"):
        read(tmp_path)
