"""Some rows of a source, by their places."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.data.sources.open import open_sources
from modelyard.data.sources.selected import Selected


def written(folder, name: str, lines: list[str]) -> str:
    path = folder / name
    path.write_text("\n".join(["value,word", *lines]) + "\n")
    return str(path)


def opened(location):
    return open_sources(location, None, {})[None]


def selected(source, places) -> Selected:
    return Selected(source, {file: np.array(positions) for file, positions in places.items()}, "some rows")


def read(source, chunk: int = 65536, columns=None) -> list[tuple[str, int, list]]:
    found = []
    for rows in source.read(columns, chunk):
        positions = range(rows.start, rows.start + rows.table.num_rows) if rows.positions is None else rows.positions
        cells = zip(*(column.to_pylist() for column in rows.table.columns), strict=True)
        found += [(rows.file, position, list(row)) for position, row in zip(positions, cells, strict=True)]
    return found


@pytest.mark.parametrize("chunk", [1, 3, 65536])
def test_exactly_the_chosen_rows_come_with_their_positions(tmp_path, chunk):
    path = written(tmp_path, "a.csv", [f"{n},w{n}" for n in range(10)])
    source = selected(opened(path), {path: [7, 0, 4, 4]})
    assert read(source, chunk) == [(path, 0, ["0", "w0"]), (path, 4, ["4", "w4"]), (path, 7, ["7", "w7"])]


def test_only_the_asked_columns_are_read(tmp_path):
    path = written(tmp_path, "a.csv", ["1,x", "2,y"])
    assert read(selected(opened(path), {path: [1]}), columns=["word"]) == [(path, 1, ["y"])]


def test_places_of_several_files_are_kept_apart(tmp_path):
    first = written(tmp_path, "a.csv", ["1,a", "2,b"])
    second = written(tmp_path, "b.csv", ["3,c", "4,d"])
    source = selected(opened(str(tmp_path / "*.csv")), {second: [0], first: [1]})
    assert read(source) == [(first, 1, ["2", "b"]), (second, 0, ["3", "c"])]
    assert source.files() == [first, second]


def test_a_file_without_chosen_rows_gives_none(tmp_path):
    first = written(tmp_path, "a.csv", ["1,a"])
    second = written(tmp_path, "b.csv", ["2,b"])
    assert read(selected(opened(str(tmp_path / "*.csv")), {second: [0], first: []})) == [(second, 0, ["2", "b"])]


def test_records_that_cannot_be_read_keep_their_position_and_are_not_told_of(tmp_path):
    path = written(tmp_path, "a.csv", ["1,a", "broken", "3,c", "4,d,too many", "5,e"])
    source = selected(opened(path), {path: [1, 2, 4]})
    assert read(source) == [(path, 2, ["3", "c"]), (path, 4, ["5", "e"])]
    assert all(not rows.unreadable for rows in source.read())
    assert any(rows.unreadable for rows in opened(path).read())


def test_the_fingerprint_follows_the_places_and_the_content(tmp_path):
    path = written(tmp_path, "a.csv", ["1,a", "2,b", "3,c"])
    one = selected(opened(path), {path: [0, 2]}).fingerprint()
    assert one == selected(opened(path), {path: [2, 0]}).fingerprint()
    assert one != selected(opened(path), {path: [0, 1]}).fingerprint()
    assert one != opened(path).fingerprint()
    copy = written(tmp_path, "copy.csv", ["1,a", "2,b", "3,c"])
    assert one == selected(opened(copy), {copy: [0, 2]}).fingerprint()
    changed = written(tmp_path, "changed.csv", ["1,a", "2,b", "3,d"])
    assert one != selected(opened(changed), {changed: [0, 2]}).fingerprint()


def test_it_says_what_its_source_says_of_columns_folder_and_lines(tmp_path):
    path = written(tmp_path, "a.csv", ["1,a", "2,b"])
    plain = opened(path)
    source = selected(plain, {path: [1]})
    assert source.schema() == plain.schema()
    assert (source.folder(), source.label()) == (plain.folder(), plain.label())
    assert source.place(path, [1]) == [f"{path}, line 3"]
