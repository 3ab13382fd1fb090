"""Rows without a target: read by the fitted columns, counted, compared with held-out rows, and learned nothing from."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from modelyard.core.errors import DataError, GateError, SpecError
from modelyard.data import chunks
from modelyard.data.prepare import check_data, prepare
from modelyard.spec.spec import Spec


def labelled(count=60):
    rng = np.random.default_rng(0)
    return [
        {"x": round(float(rng.normal()), 9), "city": ["Ulm", "Jena"][i % 3 == 0], "y": "ab"[i % 2]}
        for i in range(count)
    ]


def further(count=30):
    """Rows far from the others, of a city that training never saw."""
    return [{"x": 1000.0 + i, "city": "Atlantis"} for i in range(count)]


def spec(source, unlabelled=None, method="fixmatch", **data):
    data = {"source": source, "unlabelled": unlabelled, "targets": {"y": "category"}, **data}
    train = {} if method is None else {"semi_supervised": {"type": method}}
    return Spec.parse({"name": "t", "data": data, "task": "classification", "train": train})


def found(record, check):
    return [finding for finding in record.findings if finding.check == check]


def test_nothing_is_fitted_on_them_and_no_label_is_invented():
    alone = prepare(spec(labelled(), method=None))
    with_more = prepare(spec(labelled(), further()))
    assert with_more.fitted.files() == alone.fitted.files(), "the same fitted state, byte for byte"
    assert with_more.record.labels == alone.record.labels
    assert with_more.record.statistics == alone.record.statistics
    assert with_more.record.drift == alone.record.drift
    assert with_more.record.rows == {**alone.record.rows, "unlabelled": 30}
    for split in alone.splits:
        assert np.array_equal(with_more.splits[split].whole("numbers"), alone.splits[split].whole("numbers"))
    store = with_more.splits["unlabelled"]
    assert (store.whole("target.y") == -1).all()
    mean, deviation = (alone.fitted.inputs[0].summary()[name] for name in ("mean", "deviation"))
    scaled = (np.arange(1000.0, 1030.0) - mean) / deviation
    np.testing.assert_allclose(store.whole("numbers")[:, 0], scaled, rtol=1e-4)


def test_training_rows_without_a_target_are_learned_from_and_held_out_ones_left_out():
    train, test = labelled(40), labelled(60)[40:]
    for rows, blank in ((train, (3, 8, 9)), (test, (0, 1))):
        for at in blank:
            rows[at]["y"] = None
    given = {"train": train, "test": test}
    record = prepare(spec(given, split={"validation": 0})).record
    assert record.rows == {"train": 37, "test": 18, "unlabelled": 3}
    (note,) = found(record, "unlabelled")
    assert note.title == "3 rows are learned from without 'y', 3 of them out of the training split"
    assert [row.position for row in note.examples] == [3, 8, 9]
    (missing,) = found(record, "missing_target")
    assert missing.rows == 2 and missing.title.startswith("2 of 60 rows"), "the further rows are not asked for a target"

    without = prepare(spec(given, method=None, split={"validation": 0})).record
    assert without.rows == {"train": 37, "test": 18} and found(without, "missing_target")[0].rows == 5
    assert not found(without, "unlabelled")


def test_held_out_inputs_among_them_are_named_and_can_be_dropped():
    train, test = labelled(40), labelled(60)[40:]
    given = {"train": train, "test": test}
    leaking = [{name: test[at][name] for name in ("x", "city")} for at in (5, 2, 5)]
    rows = [*further(10), *leaking]
    kept = prepare(spec(given, rows, split={"validation": 0})).record
    (leak,) = found(kept, "unlabelled_held_out")
    assert (leak.severity, leak.policy, leak.rows) == ("warn", "keep", 3)
    assert leak.title == "3 of 13 rows (23%) without a target have the inputs of a held-out row"
    assert leak.details == {"held_out_rows": 2}
    assert [row.position for row in leak.examples] == [10, 11, 12]
    assert [row.what.rpartition(" ")[2] for row in leak.examples] == ["6", "3", "6"], "records are counted from 1"
    assert leak.setting == "data.checks.unlabelled_held_out=drop"
    assert kept.rows["unlabelled"] == 13

    dropped = prepare(spec(given, rows, split={"validation": 0}, checks={"unlabelled_held_out": "drop"})).record
    assert dropped.rows == {"train": 40, "test": 20, "unlabelled": 10}
    with pytest.raises(GateError, match="unlabelled_held_out"):
        prepare(spec(given, rows, split={"validation": 0}, checks={"unlabelled_held_out": "error"}))


def test_targets_among_them_are_ignored_and_that_is_said():
    rows = [{**row, "y": "c"} for row in further(10)]
    prepared = prepare(spec(labelled(), rows))
    assert (prepared.splits["unlabelled"].whole("target.y") == -1).all()
    assert "c" not in prepared.fitted.targets[0].labels
    titles = [finding.title for finding in found(prepared.record, "unlabelled")]
    assert "data.unlabelled has the column 'y', which is not looked at" in titles


def test_without_a_method_they_are_not_read_and_that_is_said():
    checked = check_data(spec(labelled(), "/nowhere/rows.csv", method=None))
    assert "unlabelled" not in checked.rows
    assert [one.title for one in found(checked, "unlabelled")] == [
        "data.unlabelled is not read: nothing learns from it"
    ]


def test_a_method_without_such_rows_is_refused():
    with pytest.raises(DataError, match="there are none: no row of the training split lacks its target"):
        prepare(spec(labelled()))


def test_a_missing_input_column_is_named():
    with pytest.raises(DataError, match="the unlabelled rows have no column 'city'; columns: x"):
        prepare(spec(labelled(), [{"x": 1.0}, {"x": 2.0}]))


def test_another_format_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["x", "city"], [1.0, "Ulm"]])
    with pytest.raises(SpecError, match=r"is read as csv, and data\.source as memory"):
        prepare(spec(labelled(), str(path)))


def test_of_a_divided_set_only_training_rows_are_taken(tmp_path):
    source = tmp_path / "rows.csv"
    folder = tmp_path / "more"
    folder.mkdir()
    for path, count in ((source, 40), (folder / "train.csv", 7), (folder / "test.csv", 5)):
        rows = labelled(count) if path == source else further(count)
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    record = prepare(spec(str(source), str(folder))).record
    assert record.rows["unlabelled"] == 7 and str(folder / "train.csv") in record.files


def test_a_divided_set_without_training_rows_is_refused():
    with pytest.raises(SpecError, match="is divided into test and has no training rows; name one file of it"):
        prepare(spec(labelled(), {"test": further()}))


def test_unreadable_ones_are_left_out_and_counted():
    rows = [*further(200), {"x": "many", "city": "Ulm"}]
    train = {"x": {"type": "number"}, "city": {"type": "category"}}
    as_text = [{**row, "x": str(row["x"])} for row in rows]
    source = [{**row, "x": str(row["x"])} for row in labelled()]
    record = prepare(spec(source, as_text, inputs=train)).record
    assert record.rows["unlabelled"] == 200
    (unreadable,) = found(record, "unreadable")
    assert unreadable.rows == 1 and unreadable.title.startswith("1 of 261 rows")


def test_pictures_encoded_on_the_way_are_the_same_with_and_without_them(digits):
    source = {name: values[:60] for name, values in digits.items()}
    data = {
        "inputs": {"image": "image"},
        "targets": {"digit": "category"},
        "checks": {"near_duplicate_images": "keep"},
    }
    more = {"image": digits["image"][100:130] // 2}
    alone = prepare(spec(source, method=None, **data))
    with_more = prepare(spec(source, more, **data))
    assert with_more.fitted.files() == alone.fitted.files()
    assert with_more.record.rows["unlabelled"] == 30
    assert np.array_equal(with_more.splits["unlabelled"].whole("image.pixels")[..., 0], more["image"])


def test_what_was_prepared_is_taken_up_again():
    asked = spec(labelled(), further())
    first, second = prepare(asked), prepare(asked)
    assert second.record.reused and second.record.rows == first.record.rows


@pytest.mark.parametrize(("stage", "at"), [("examining", 200), ("examining", 384), ("fitting", 320), ("encoding", 320)])
def test_an_interrupted_preparation_goes_on_among_them_and_ends_the_same(tmp_path, monkeypatch, stage, at):
    class Interrupted(Exception):
        pass

    def stop(what, count):
        if what == stage and count >= at:
            raise Interrupted

    def content(prepared):
        columns = {
            (split, name): np.asarray(store.whole(name)).tolist()
            for split, store in prepared.splits.items()
            for name in store.columns
        }
        keep = ("rows", "findings", "statistics", "drift", "dropped", "dropped_rows", "labels")
        return columns, {name: prepared.record.as_dict()[name] for name in keep}, prepared.fitted.files()

    monkeypatch.setattr(chunks, "_MOST_ROWS", 64)
    monkeypatch.setattr(chunks, "_EVERY", -1.0)
    rows, more = labelled(250), [*further(190), {"x": "many", "city": "Ulm"}, *further(10)]
    rows[20]["y"] = ""
    more[5] = {name: rows[30][name] for name in ("x", "city")}
    for name, table in (("rows.csv", rows), ("more.csv", more)):
        with open(tmp_path / name, "w", newline="") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    asked = spec(str(tmp_path / "rows.csv"), str(tmp_path / "more.csv"), inputs={"x": "number", "city": "category"})
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path / "straight"))
    expected = content(prepare(asked))
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path / "interrupted"))
    with pytest.raises(Interrupted):
        prepare(asked, progress=stop)
    assert content(prepare(asked)) == expected
    assert expected[1]["rows"]["unlabelled"] in (200, 201), "the row without a label counts when it would have trained"
