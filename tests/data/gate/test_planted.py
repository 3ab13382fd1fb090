"""Exactly k of each fault in otherwise good rows: the gate counts k and names the rows."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from driver import examine, found

from modelyard.data.split import SPLITS


def good(count: int, seed: int = 0) -> list[dict]:
    """Rows without faults: all different, the label independent of the inputs."""
    rng = np.random.default_rng(seed)
    return [
        {
            "size": f"{rng.normal(10, 2):.9f}",
            "colour": str(rng.choice(["red", "green", "blue"])),
            "label": str(rng.choice(["yes", "no"])),
        }
        for _ in range(count)
    ]


class Given:
    """Rows in a file for each split, so that a test says where each row stands."""

    def __init__(self, folder, train: list[dict], test: list[dict]) -> None:
        self.paths = {"train": folder / "train.csv", "test": folder / "test.csv"}
        for name, rows in (("train", train), ("test", test)):
            with open(self.paths[name], "w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)

    def data(self, **more) -> dict:
        source = {name: str(path) for name, path in self.paths.items()}
        return {"source": source, "targets": {"label": "category"}, **more}

    def place(self, split: str, row: int) -> str:
        return f"{self.paths[split]}, line {row + 2}"


def places(finding) -> list[str]:
    return [row.place for row in finding.examples]


def one(data, check):
    findings = found(examine(data, chunk=64), check)
    assert len(findings) == 1, [finding.title for finding in findings]
    return findings[0]


def none(data, *checks):
    result = examine(data, chunk=64)
    for check in checks:
        assert found(result, check) == [], check


def test_good_rows_have_none_of_it(tmp_path):
    given = Given(tmp_path, good(300), good(60, 1))
    result = examine(given.data(group="size", time="size"), chunk=64)
    assert {finding.check for finding in result.findings} <= {"time_leakage"}  # sizes are no times, and overlap


@pytest.mark.parametrize("k", [1, 3, 7])
def test_unreadable_rows(tmp_path, k):
    train = good(1000)
    for at in range(k):
        train[10 * at + 5]["size"] = "big"
    given = Given(tmp_path, train, good(20, 1))
    finding = one(given.data(inputs={"size": "number", "colour": None}), "unreadable")
    assert (finding.rows, finding.severity, finding.policy) == (k, "warn", "drop")
    assert places(finding) == [given.place("train", 10 * at + 5) for at in range(k)]
    assert finding.examples[0].what == "size: 'big' is not a number"
    assert finding.title.startswith(f"{k} of 1,020 rows")


def test_too_many_unreadable_rows_refuse_and_say_the_limit(tmp_path):
    train = good(90)
    for at in range(2):
        train[at]["size"] = "big"
    given = Given(tmp_path, train, good(10, 1))
    data = given.data(inputs={"size": "number", "colour": None})
    finding = one(data, "unreadable")
    assert (finding.severity, finding.rows, finding.setting) == ("refuse", 2, "data.unreadable_limit=0.02")
    assert one({**data, "unreadable_limit": 0.02}, "unreadable").severity == "warn"
    assert one({**data, "unreadable_limit": 0.02, "checks": {"unreadable": "error"}}, "unreadable").severity == "refuse"


def test_ragged_records_count_as_rows(tmp_path):
    given = Given(tmp_path, good(500), good(20, 1))
    lines = given.paths["train"].read_text().splitlines()
    lines.insert(100, "1,2")
    lines.insert(200, "1,2,3,4")
    given.paths["train"].write_text("\n".join(lines))
    finding = one(given.data(), "unreadable")
    assert (finding.rows, finding.title) == (2, "2 of 522 rows (0.38%) cannot be read")
    assert places(finding) == [f"{given.paths['train']}, line 101", f"{given.paths['train']}, line 201"]


@pytest.mark.parametrize("k", [1, 4])
def test_missing_targets(tmp_path, k):
    test = good(50, 1)
    for at in range(k):
        test[3 * at]["label"] = ""
    given = Given(tmp_path, good(200), test)
    finding = one(given.data(), "missing_target")
    assert (finding.rows, finding.policy, finding.severity) == (k, "drop", "warn")
    assert places(finding) == [given.place("test", 3 * at) for at in range(k)]


@pytest.mark.parametrize("k", [1, 5])
def test_duplicate_rows_within_a_split(tmp_path, k):
    train = good(200)
    train += [dict(train[2 * at]) for at in range(k)]
    given = Given(tmp_path, train, good(50, 1))
    finding = one(given.data(), "duplicate_rows")
    assert (finding.rows, finding.details) == (k, {"train": k})
    assert places(finding) == [given.place("train", 200 + at) for at in range(k)]
    assert finding.examples[0].what == f"the same as {given.place('train', 0)}"


@pytest.mark.parametrize("k", [1, 6])
def test_duplicates_across_splits(tmp_path, k):
    train, test = good(200), good(50, 1)
    for at in range(k):
        test[5 * at] = dict(train[7 * at + 1])
    given = Given(tmp_path, train, test)
    finding = one(given.data(), "duplicates_across_splits")
    assert (finding.rows, finding.severity) == (k, "warn")
    assert finding.details == {"test": k, "with_the_same_target": k, "rows_of_training": k}
    assert places(finding) == [given.place("test", 5 * at) for at in range(k)]
    assert finding.examples[0].what == f"trained on as {given.place('train', 1)}"
    dropped = examine(given.data(checks={"duplicates_across_splits": "drop"})).drop
    assert list(dropped) == [7 * at + 1 for at in range(k)]  # of training; what judges stays
    none(given.data(), "duplicate_rows", "contradictory_labels")


@pytest.mark.parametrize("k", [1, 4])
def test_the_same_inputs_with_two_labels(tmp_path, k):
    train = good(200)
    for at in range(k):
        first = train[3 * at]
        train.append(dict(first, label="no" if first["label"] == "yes" else "yes"))
    given = Given(tmp_path, train, good(50, 1))
    finding = one(given.data(), "contradictory_labels")
    assert (finding.rows, finding.details, finding.severity) == (2 * k, {"inputs": k}, "warn")
    expected = [3 * at for at in range(k)] + [200 + at for at in range(k)]
    assert places(finding) == [given.place("train", row) for row in expected]
    assert finding.examples[0].what == f"contradicts {given.place('train', 200)}"
    assert list(examine(given.data(checks={"contradictory_labels": "drop"})).drop) == expected
    none(given.data(), "duplicate_rows")


@pytest.mark.parametrize(("declared", "severity"), [(True, "refuse"), (False, "warn")])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_a_group_on_both_sides(tmp_path, k, declared, severity):
    train, test = good(200), good(60, 1)
    for at, row in enumerate(train):
        row["patient_id"] = f"a{at // 4}"
    for at, row in enumerate(test):
        row["patient_id"] = f"b{at // 4}"
    for at in range(k):
        test[7 * at]["patient_id"] = f"a{at // 2}"
    given = Given(tmp_path, train, test)
    more = {"group": "patient_id"} if declared else {}
    finding = one(given.data(inputs={"size": None, "colour": None}, **more), "group_leakage")
    assert (finding.rows, finding.severity) == (k, severity)
    assert finding.details["groups_on_both_sides"] == (k + 1) // 2
    assert places(finding) == [given.place("test", 7 * at) for at in range(k)]
    assert "method: group, by: patient_id" in finding.why


def test_groups_kept_together_do_not_leak():
    rows = [dict(row, patient_id=f"p{at // 5}") for at, row in enumerate(good(400))]
    data = {"source": rows, "targets": {"label": "category"}, "group": "patient_id"}
    none({**data, "split": {"method": "group", "by": "patient_id"}}, "group_leakage")
    assert one(data, "group_leakage").severity == "refuse"


def test_an_id_of_each_row_is_no_group():
    rows = [dict(row, user_id=f"u{at}") for at, row in enumerate(good(300))]
    none({"source": rows, "targets": {"label": "category"}}, "group_leakage")


@pytest.mark.parametrize("k", [1, 5])
def test_training_on_the_future(tmp_path, k):
    train, test = good(200), good(30, 1)
    for at, row in enumerate(train):
        row["day"] = f"2023-01-{1 + at % 28:02d}"
    for at, row in enumerate(test):
        row["day"] = f"2023-02-{1 + at % 28:02d}"
    for at in range(k):
        train[11 * at]["day"] = "2023-02-02"
    given = Given(tmp_path, train, test)
    data = given.data(inputs={"size": None, "colour": None}, time="day")
    finding = one(data, "time_leakage")
    assert (finding.rows, finding.severity) == (k, "warn")
    assert places(finding) == [given.place("train", 11 * at) for at in range(k)]


def test_dates_that_are_split_at_random_are_found_without_being_declared():
    rows = [dict(row, day=f"2023-{1 + at % 12:02d}-15") for at, row in enumerate(good(300))]
    data = {"source": rows, "targets": {"label": "category"}, "inputs": {"size": None, "colour": None}}
    assert one(data, "time_leakage").columns == ["day"]
    none({**data, "split": {"method": "time", "by": "day"}}, "time_leakage")


def test_a_declared_time_that_is_none_is_said():
    rows = [dict(row, when="soon") for row in good(100)]
    finding = one({"source": rows, "targets": {"label": "category"}, "time": "when"}, "time_leakage")
    assert finding.title == "'when' is declared as the rows' time, but cannot be read as one"


def test_a_column_that_equals_the_label(tmp_path):
    train, test = good(200), good(50, 1)
    for row in train + test:
        row["answer"] = row["label"]
    given = Given(tmp_path, train, test)
    finding = one(given.data(), "label_copy")
    assert (finding.severity, finding.columns) == ("refuse", ["answer"])
    assert "data.ignore" in finding.why and "'label'" in finding.why
    test[17]["answer"] = "no" if test[17]["label"] == "yes" else "yes"
    given = Given(tmp_path, train, test)
    none(given.data(), "label_copy")  # one row of 250 differs
    assert one(given.data(), "label_predictor").columns == ["answer"]


def test_a_column_that_predicts_the_label_by_itself(tmp_path):
    rng = np.random.default_rng(5)
    train = good(1000)
    for at, row in enumerate(train):
        right = row["label"] == "yes"
        row["outcome"] = f"{(1 if right else -1) * abs(rng.normal(2, 0.5)):.4f}"
        row["user"] = (
            f"u{at}"  # different in each row: looks like the label when judged on the rows it was learned from
        )
        row["hint"] = f"{right + rng.normal(0, 1):.4f}"
    given = Given(tmp_path, train, [dict(row) for row in train[:3]])
    finding = one(given.data(), "label_predictor")
    assert (finding.severity, finding.columns) == ("warn", ["outcome"])
    assert finding.details["accuracy"] > 0.98 and 0.5 <= finding.details["majority"] < 0.56


def test_a_column_that_predicts_a_number_by_itself():
    rng = np.random.default_rng(2)
    rows = [{"a": float(a), "b": float(b), "y": float(3 * a + 2)} for a, b in rng.normal(size=(400, 2))]
    finding = one({"source": rows, "targets": {"y": "number"}}, "label_predictor")
    assert finding.columns == ["a"] and finding.details["r2"] == pytest.approx(1.0)


def test_a_single_label_refuses_and_cannot_be_accepted(tmp_path):
    train = [dict(row, label="yes") for row in good(50)]
    given = Given(tmp_path, train, good(20, 1))
    finding = one(given.data(), "single_label")
    assert (finding.severity, finding.setting) == ("refuse", "")
    assert finding.title == "all training rows have the label 'yes' of 'label'"


@pytest.mark.parametrize("k", [1, 3])
def test_classes_with_one_member(tmp_path, k):
    train = good(200)
    for at in range(k):
        train[9 * at]["label"] = f"rare{at}"
    given = Given(tmp_path, train, good(20, 1))
    finding = one(given.data(), "single_member_class")
    assert (finding.rows, finding.severity) == (k, "warn")
    assert places(finding) == [given.place("train", 9 * at) for at in range(k)]
    assert finding.examples[0].what == "the only 'rare0'"


@pytest.mark.parametrize("k", [2, 5])
def test_a_class_only_outside_training(tmp_path, k):
    test = good(50, 1)
    for at in range(k):
        test[4 * at]["label"] = "new"
    given = Given(tmp_path, good(200), test)
    finding = one(given.data(), "class_outside_training")
    assert (finding.rows, finding.severity, finding.details) == (k, "warn", {"labels": {"new": k}})
    assert places(finding) == [given.place("test", 4 * at) for at in range(k)]


def test_imbalance_says_the_majority(tmp_path):
    train = [dict(row, label="yes" if at % 10 == 0 else "no") for at, row in enumerate(good(200))]
    finding = one(Given(tmp_path, train, good(20, 1)).data(), "imbalance")
    assert finding.severity == "note" and finding.details["majority"] == "no"
    assert finding.details["majority_share"] == 0.9 and "90%" in finding.title


@pytest.mark.parametrize("k", [1, 4])
def test_unseen_categories(tmp_path, k):
    test = good(60, 1)
    for at in range(k):
        test[3 * at]["colour"] = "pink" if at % 2 else "mauve"
    given = Given(tmp_path, good(200), test)
    finding = one(given.data(), "unseen_categories")
    assert (finding.rows, finding.columns, finding.severity) == (k, ["colour"], "note")
    assert places(finding) == [given.place("test", 3 * at) for at in range(k)]
    assert finding.examples[0].what == "'mauve'"


@pytest.mark.parametrize("k", [1, 12])
def test_missing_values_and_the_words_that_mean_them(tmp_path, k):
    train = good(200)
    for at in range(k):
        train[5 * at]["size"] = "NA" if at % 2 else ""
    train[0]["colour"] = ""
    given = Given(tmp_path, train, good(20, 1))
    finding = one(given.data(), "missing_values")
    assert (finding.rows, finding.details) == (k, {"size": k, "colour": 1})
    assert places(finding) == [given.place("train", 5 * at) for at in range(min(k, 10))]
    assert finding.examples[0].what == "no size, colour"
    if k > 1:
        written = one(given.data(), "written_missing")
        assert (written.rows, written.details, written.columns) == (k // 2, {"NA": k // 2}, ["size"])
        assert places(written) == [given.place("train", 5 * at) for at in range(1, k, 2)]


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("written", ["1,234", "12 345.5", "1'000", "1\u202f000"])
def test_numbers_with_grouped_digits(tmp_path, k, written):
    train = good(200)
    for at in range(k):
        train[8 * at]["size"] = written
    given = Given(tmp_path, train, good(20, 1))
    finding = one(given.data(inputs={"size": "number", "colour": None}), "written_numbers")
    assert (finding.rows, finding.columns) == (k, ["size"])
    assert places(finding) == [given.place("train", 8 * at) for at in range(k)]
    assert "read as 1" in finding.examples[0].what
    plain = [dict(row, size=f" {row['size']}e-3 ") for row in good(100)]
    none(Given(tmp_path, plain, good(20, 1)).data(), "written_numbers")


@pytest.mark.parametrize("k", [1, 3])
def test_words_among_numbers(tmp_path, k):
    train = [dict(row, floor=str(at % 7)) for at, row in enumerate(good(200))]
    test = [dict(row, floor=str(at % 7)) for at, row in enumerate(good(20, 1))]
    for at in range(k):
        train[6 * at + 1]["floor"] = "attic"
    given = Given(tmp_path, train, test)
    data = given.data(inputs={"size": None, "floor": "category"})
    finding = one(data, "mixed_types")
    assert (finding.rows, finding.columns, finding.details["words"]) == (k, ["floor"], {"attic": k})
    assert places(finding) == [given.place("train", 6 * at + 1) for at in range(k)]


def test_constant_and_id_columns_used_and_not_used(tmp_path):
    rows = [dict(row, same="x", key=f"k{at:05d}", number=str(at)) for at, row in enumerate(good(300))]
    given = Given(tmp_path, rows[:250], rows[250:])
    left = {"size": None, "colour": None}
    unused = examine(given.data(inputs=left), chunk=64)
    assert [(one.columns, one.severity) for one in found(unused, "constant_column")] == [(["same"], "note")]
    assert [(one.columns, one.severity) for one in found(unused, "id_column")] == [(["key", "number"], "note")]
    used = examine(given.data(inputs={**left, "same": "category", "key": "category", "number": "number"}), chunk=64)
    assert [(one.columns, one.severity) for one in found(used, "constant_column")] == [(["same"], "note")]
    assert [(one.columns, one.severity) for one in found(used, "id_column")] == [(["key", "number"], "warn")]
    rows[120]["same"] = "y"
    given = Given(tmp_path, rows[:250], rows[250:])
    none(given.data(inputs={**left, "same": "category"}), "constant_column")
    none(given.data(inputs=left), "constant_column")


def test_drift_between_splits(tmp_path):
    train, test = good(1000), good(400, 1)
    for row in test:
        row["size"] = f"{float(row['size']) + 3:.6f}"
    given = Given(tmp_path, train, test)
    finding = one(given.data(), "drift")
    assert (finding.columns, finding.severity) == (["size"], "warn")
    few = Given(tmp_path, train, test[:5])  # five rows prove nothing
    assert [one.drifted for one in examine(few.data()).drift if one.column == "colour"] == [False]


def test_long_texts_are_named(tmp_path):
    train = [dict(row, note=f"the note of row {at} says little") for at, row in enumerate(good(200))]
    train[77]["note"] = "very " * 200 + "long"
    given = Given(tmp_path, train, [dict(row, note="short") for row in good(20, 1)])
    finding = one(given.data(inputs={"note": "text"}), "text_lengths")
    assert finding.details["longest"] == 1004 and places(finding) == [given.place("train", 77)]


def test_statistics_of_each_split_are_exact(tmp_path):
    train = [{"x": str(at % 10), "c": "ab"[at % 2], "t": "é" * (at % 4), "label": "yn"[at % 2]} for at in range(100)]
    train[0]["x"] = ""
    test = [{"x": "7", "c": "b", "t": "some words", "label": "y"}]
    given = Given(tmp_path, train, test)
    data = given.data(inputs={"x": "number", "c": "category", "t": "text"})
    statistics = examine(data, chunk=16).statistics
    numbers = np.array([at % 10 for at in range(1, 100)], float)
    x = statistics["train"]["x"]
    assert (x["rows"], x["missing"], x["minimum"], x["maximum"], x["zeros"]) == (100, 1, 0.0, 9.0, 9)
    assert x["mean"] == pytest.approx(numbers.mean(), rel=1e-12)
    assert x["deviation"] == pytest.approx(numbers.std(), rel=1e-12)
    assert x["quantiles"] == {str(q): np.quantile(numbers, q / 100) for q in (5, 25, 50, 75, 95)}
    assert x["quantiles_from"] == 100
    assert statistics["train"]["c"]["most_frequent"] == {"a": 50, "b": 50} and statistics["train"]["c"]["distinct"] == 2
    t = statistics["train"]["t"]
    assert (t["kind"], t["missing"], t["characters"]["mean"], t["characters"]["maximum"]) == ("text", 25, 2.0, 3.0)
    assert statistics["test"]["x"]["mean"] == 7.0 and set(statistics) == {"train", "test"} < set(SPLITS)
