"""Records are named as a person finds them: by line, by path, or by number."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from PIL import Image

from modelyard.core.errors import DataError
from modelyard.data.sources import lines
from modelyard.data.sources.open import open_sources


def lines_of(path, positions, **options) -> list[int]:
    source = open_sources(str(path), None, options)[None]
    places = source.place(str(path), positions)
    assert all(place.startswith(f"{path}, line ") for place in places)
    return [int(place.rpartition(" ")[2]) for place in places]


def found_by_reading(path, word: str, **options) -> list[int]:
    """Positions of the records whose last column is a word."""
    source = open_sources(str(path), None, options)[None]
    found = []
    for rows in source.read():
        positions = rows.positions or range(rows.start, rows.start + rows.table.num_rows)
        cells = rows.table.column(rows.table.num_columns - 1).to_pylist()
        found += [position for position, cell in zip(positions, cells, strict=True) if cell == word]
    return found


CASES = {
    "plain": ("a,b\n1,x\n2,HERE\n3,x\n4,HERE\n", {}, [3, 5]),
    "quoted line ends": ('a,b\n"1\n\n1",x\n2,HERE\n"say ""\n"" now",x\n"","HERE"\n', {}, [5, 8]),
    "empty lines": ("a,b\n\n1,x\n\n\n2,HERE\n\n3,HERE", {}, [6, 8]),
    "windows line ends": ('a,b\r\n"1\r\n2",x\r\n\r\n2,HERE\r\n3,HERE\r\n', {}, [5, 6]),
    "old line ends": ("a,b\r1,x\r2,HERE\r", {}, [3]),
    "skipped lines and a long header": ('made\nby hand\n"a\nb",c\n1,HERE\n2,HERE\n', {"skip_rows": 2}, [5, 6]),
    "no header": ("1,x\n2,HERE\n", {"header": False}, [2]),
    "quotes inside of cells": ('a,b\n5" wide,x\n2,HERE\n6"",x\n"7\n7",x\n8,HERE\n', {}, [3, 7]),
    "quotes that mean nothing": ('a,b\n"1,x\n2",HERE\n', {"quote": None}, [3]),
    "ragged": ("a,b\n1\n2,HERE\n1,2,3\n3,HERE\n", {}, [3, 5]),
    "byte order mark": ("\ufeffa,b\n1,HERE\n", {}, [2]),
    "other encoding": ("a,b\né,x\nü,HERE\n", {"encoding": "utf-16"}, [3]),
    "other delimiter": ('a;b\n"1;\n1";x\n2;HERE\n', {"delimiter": ";"}, [4]),
}


@pytest.mark.parametrize("read", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("case", CASES)
def test_lines_of_csv(case, read, tmp_path, monkeypatch):
    text, options, expected = CASES[case]
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode(options.get("encoding", "utf-8")))
    monkeypatch.setattr(lines, "_READ", read)
    positions = found_by_reading(path, "HERE", **options)
    assert len(positions) == len(expected)
    assert lines_of(path, positions, **options) == expected


@pytest.mark.parametrize("seed", range(30))
def test_lines_of_random_csv(seed, tmp_path, monkeypatch):
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(lines, "_READ", int(rng.integers(1, 40)))
    pieces = ['"x"', '"a\nb"', '"q""q"', "", "plain", '"\r\n"', '""', '5"', '"","'[:2], "é"]
    text, expected, line = "a,b\n", [], 2
    for _ in range(40):
        here = rng.random() < 0.3
        row = f"{pieces[rng.integers(len(pieces))]},{'HERE' if here else 'x'}\n" + "\n" * int(rng.random() < 0.2)
        expected += [line] if here else []
        line += row.count("\n")
        text += row
    path = tmp_path / "rows.csv"
    path.write_text(text, newline="")
    assert lines_of(path, found_by_reading(path, "HERE")) == expected


def test_lines_of_compressed_csv_and_of_a_file_that_changed(tmp_path):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n3,4\n"))
    assert lines_of(path, [1]) == [3]
    with pytest.raises(DataError, match="fewer than 9 records"):
        lines_of(path, [1, 8])


@pytest.mark.parametrize("end", ["\n", ""])
def test_lines_of_json(end, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n" + '{"a": 1}\n\n  \n{"a": 2}\nbroken\n{"a": 3}' + end)
    assert lines_of(path, [0, 1, 2, 3]) == [2, 5, 6, 7]
    with pytest.raises(DataError, match="has 4 records"):
        lines_of(path, [4])


def test_items_of_a_json_list_are_counted(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"a": 1}, {"a": 2}], indent=1))
    assert open_sources(str(path), None, {})[None].place(str(path), [1]) == [f"{path}, record 2"]


def test_pictures_are_named_by_their_path(tmp_path):
    for place in ("train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(tmp_path / place)
    parts = open_sources(str(tmp_path), None, {})
    for split, expected in (("train", ["train/a/1.png", "train/b/2.png"]), ("test", ["test/a/3.png", "test/b/4.png"])):
        [rows] = parts[split].read()
        assert rows.file == str(tmp_path / split)
        assert parts[split].place(rows.file, [0, 1]) == [str(tmp_path / place) for place in expected]


def test_rows_of_other_sources_are_counted():
    assert open_sources([{"a": 1}], None, {})[None].place("<list>", [0, 4]) == ["<list>, record 1", "<list>, record 5"]
