"""Rows are found again by file and position, whatever order they are asked for in."""

import numpy as np
import pyarrow as pa
import pytest

from modelyard.core.errors import DataError
from modelyard.data.lookup import Places, gather_rows, show_rows
from modelyard.data.modalities.number import Number, NumberSettings
from modelyard.data.sources.open import open_sources


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "one.csv").write_text("a,b\n" + "".join(f"{row},x{row}\n" for row in range(5000)))
    (tmp_path / "two.csv").write_text("a\n7\nbroken,row\n9\n")
    return tmp_path


def as_is(raw, folder):
    return raw


def test_rows_come_in_the_order_asked_for(folder):
    one, two = (open_sources(str(folder / name))[None] for name in ("one.csv", "two.csv"))
    first, second = one.files()[0], two.files()[0]
    places = [(first, 4999), (second, 2), (first, 0), (second, 0), (first, 2048), (first, 7000)]
    found = gather_rows([one, two], places, {"a": as_is, "b": as_is})
    assert found.columns["a"].to_pylist() == ["4999", "9", "0", "7", "2048", None]  # the broken row keeps its position
    assert found.columns["b"].to_pylist() == ["x4999", None, "x0", None, "x2048", None]
    assert found.found.tolist() == [True, True, True, True, True, False]
    assert found.held["b"].tolist() == [True, False, True, False, True, False]


def test_a_row_asked_for_twice_is_given_twice_and_a_column_nobody_has_is_null(folder):
    one = open_sources(str(folder / "one.csv"))[None]
    place = (one.files()[0], 3)
    found = gather_rows([one], [place, place], {"a": as_is, "c": as_is})
    assert found.columns["a"].to_pylist() == ["3", "3"]
    assert found.columns["c"].to_pylist() == [None, None]


def test_only_the_wanted_rows_are_read_by_a_modality(folder):
    one = open_sources(str(folder / "one.csv"))[None]
    seen = []

    def keep(raw, folder):
        seen.append(len(raw))
        return raw

    gather_rows([one], [(one.files()[0], row) for row in (10, 20, 3000)], {"a": keep})
    assert seen == [2, 1]


def test_types_that_do_not_go_together_are_named():
    tables = [pa.table({"a": pa.array(["x"])}), pa.table({"a": pa.array([[1]])})]
    sources = [open_sources(table)[None] for table in tables]
    files = [source.files()[0] for source in sources]
    sources[1].read = lambda columns, chunk: iter([_renamed(rows) for rows in type(sources[1]).read(sources[1])])

    def _renamed(rows):
        return type(rows)(rows.table, "other", rows.start)

    with pytest.raises(DataError, match="'a' is of types that do not go together"):
        gather_rows(sources, [(files[0], 0), ("other", 0)], {"a": as_is})


def test_rows_are_shown_without_the_columns_their_file_lacks(folder):
    two = open_sources(str(folder / "two.csv"))[None]
    modalities = [Number(column, NumberSettings()) for column in ("a", "b")]
    place = (two.files()[0], 2)
    shown = show_rows([two], [place, ("nowhere.csv", 0)], modalities)
    assert {key: {name: value.text for name, value in row.items()} for key, row in shown.items()} == {place: {"a": "9"}}


def test_places_behave_like_the_list_they_stand_for():
    listed = [("a", 3), ("b", 1), ("a", 0)]
    places = Places.of(listed)
    assert list(places) == listed and places[1] == ("b", 1) and places[-1] == ("a", 0) and len(places) == 3
    assert list(places[1:]) == listed[1:]
    assert list(places.take(np.array([2, 0]))) == [("a", 0), ("a", 3)]
    assert list(Places.concatenated([places, Places.of([("c", 9), ("a", 1)])])) == [*listed, ("c", 9), ("a", 1)]
    assert list(Places.concatenated([])) == []
