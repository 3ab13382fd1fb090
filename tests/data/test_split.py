"""Rows are assigned the same everywhere, and rows that come later change nothing for those before."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from modelyard.core.errors import DataError, SpecError
from modelyard.data.split import Assigner, split_code, time_cutoffs
from modelyard.spec.spec import SplitSpec


def rows(count, start=0):
    numbers = np.arange(start, start + count)
    return pa.RecordBatch.from_pydict(
        {
            "text": [f"row {number}" for number in numbers],
            "label": [["rare", "common", "common", "common"][number % 4] for number in numbers],
            "person": [f"p{number // 7}" for number in numbers],
            "day": [f"2026-{1 + number // 28 % 12:02d}-{1 + number % 28:02d}" for number in numbers],
        }
    )


def assigner(method, by=None, seed=0, **shares):
    shares = {"validation": 0.1, "test": 0.1, **shares}
    return Assigner(SplitSpec(method=method, by=by, **shares), seed, "label")


@pytest.mark.parametrize(("method", "by"), [("random", None), ("stratified", "label"), ("group", "person")])
def test_appended_rows_leave_the_others_where_they_are(method, by):
    one = assigner(method, by)
    first = one.assign(rows(500))
    both = assigner(method, by).assign(rows(800))
    assert np.array_equal(first, both[:500])
    assert np.array_equal(one.assign(rows(300, 500)), both[500:]), "and chunks make no difference"


def test_shares_are_kept_exactly_within_each_label():
    codes = assigner("stratified", "label").assign(rows(800))
    labels = np.array(rows(800).column("label").to_pylist())
    for label, count in (("rare", 200), ("common", 600)):
        inside = codes[labels == label]
        assert [(inside == code).sum() for code in (0, 1, 2)] == [count * 8 // 10, count // 10, count // 10]


def test_random_shares_come_close():
    codes = assigner("random", validation=0.2, test=0.05).assign(rows(20000))
    assert abs((codes == 1).mean() - 0.2) < 0.01 and abs((codes == 2).mean() - 0.05) < 0.01


@pytest.mark.parametrize("method", ["random", "stratified"])
def test_equal_rows_share_a_split(method):
    twice = pa.Table.from_batches([rows(300), rows(300)]).combine_chunks().to_batches()[0]
    codes = assigner(method, "label" if method == "stratified" else None).assign(twice)
    assert np.array_equal(codes[:300], codes[300:])


def test_rows_of_a_group_share_a_split():
    codes = assigner("group", "person").assign(rows(2000))
    people = np.arange(2000) // 7
    assert all(len(set(codes[people == person])) == 1 for person in range(people.max() + 1))
    assert set(codes) == {0, 1, 2}


def test_the_seed_decides():
    assert not np.array_equal(assigner("random").assign(rows(200)), assigner("random", seed=1).assign(rows(200)))


def test_the_latest_rows_are_held_out_and_equal_times_stay_together():
    table = rows(336)
    split = SplitSpec(method="time", by="day", validation=0.25, test=0.25)
    cutoffs = time_cutoffs([table.column("day")], split)
    codes = Assigner(split, 0, "label", cutoffs).assign(table)
    days = np.array(table.column("day").to_pylist())
    parts = [sorted(days[codes == code]) for code in (0, 1, 2)]
    assert parts[0][-1] < parts[1][0] and parts[1][-1] < parts[2][0]
    assert [(codes == code).sum() for code in (0, 1, 2)] == [168, 84, 84]


def test_a_column_can_name_the_split():
    table = pa.RecordBatch.from_pydict({"part": ["train", "dev", "TEST", "training"]})
    assert assigner("given", "part").assign(table).tolist() == [0, 1, 2, 0]
    with pytest.raises(DataError, match="'holdout'"):
        assigner("given", "part").assign(pa.RecordBatch.from_pydict({"part": ["train", "holdout"]}))
    assert split_code("val") == 1 and split_code("other") is None


def test_a_missing_column_is_named():
    with pytest.raises(SpecError, match=r"no column 'who'.*text, label, person, day"):
        assigner("group", "who").assign(rows(5))
    with pytest.raises(DataError, match="2 rows have no time"):
        time_cutoffs([pa.array(["2026-01-01", None, None])], SplitSpec(method="time", by="day"))


@pytest.mark.parametrize(("share", "expected"), [(0.01, 40), (0.005, 20), (0.1, 400), (0.15, 600)])
def test_small_shares_are_dealt_as_well_as_large_ones(share, expected):
    split = SplitSpec(method="stratified", by="y", validation=share, test=share)
    rows = pa.record_batch({"x": list(range(4000)), "y": ["ab"[i % 2] for i in range(4000)]})
    codes = Assigner(split, 0).assign(rows)
    assert [int((codes == code).sum()) for code in (1, 2)] == [expected, expected]
