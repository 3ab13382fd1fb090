"""Samplers: which rows come how often, and that any stretch of any epoch is known from its place alone."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.core.errors import DataError, SpecError
from modelyard.core.registry import table
from modelyard.data.loader import Loader
from modelyard.data.prepare import prepare
from modelyard.data.samplers.base import quotas
from modelyard.data.store import SplitStore
from modelyard.spec.spec import Spec


def make(name, settings, columns, files=("a.csv", "b.csv"), seed=0):
    sampler = table("sampler").find(name)
    store = SplitStore({key: np.asarray(values) for key, values in columns.items()})
    return sampler(sampler.Settings(**settings), store, files, seed)


def everything(sampler, epoch):
    return sampler.epoch(epoch).slice(0, len(sampler))


LABELS = [0] * 90 + [1] * 9 + [2]
FILES = [0] * 80 + [1] * 20
CASES = [
    ("shuffled", {}, {"target.y": LABELS}),
    ("weighted", {"by": "w"}, {"row.w": np.arange(100.0)}),
    ("balanced", {}, {"target.y": LABELS}),
    ("mixed", {"shares": {"a.csv": 0.25, "b.csv": 0.75}}, {"row.file": FILES}),
]


@pytest.mark.parametrize(("name", "settings", "columns"), CASES, ids=[case[0] for case in CASES])
def test_an_epoch_is_the_same_in_pieces_as_in_one_and_differs_from_the_next(name, settings, columns):
    sampler = make(name, settings, columns)
    whole = everything(sampler, 3)
    pieces = [sampler.epoch(3).slice(start, start + 7) for start in range(0, len(sampler), 7)]
    assert np.array_equal(np.concatenate(pieces), whole)
    assert len(whole) == len(sampler) == 100 and whole.min() >= 0 and whole.max() < 100
    assert not np.array_equal(whole, everything(sampler, 4))
    assert np.array_equal(whole, everything(make(name, settings, columns), 3)), "nothing is remembered"
    assert not np.array_equal(whole, everything(make(name, settings, columns, seed=1), 3))


def test_shuffled_has_every_row_once():
    assert sorted(everything(make("shuffled", {}, {"target.y": LABELS}), 0)) == list(range(100))


def test_weighted_draws_rows_as_often_as_their_weight_says():
    sampler = make("weighted", {"by": "w", "rows": 60_000}, {"row.w": [0.0, 1.0, 2.0, 3.0]})
    counts = np.bincount(everything(sampler, 0), minlength=4)
    assert counts[0] == 0
    # Binomial shares 1/6, 1/3, 1/2 of 60,000 draws: four standard deviations are below 500.
    assert np.abs(counts[1:] - [10_000, 20_000, 30_000]).max() < 500


@pytest.mark.parametrize(("weights", "message"), [([1.0, -1.0], "below 0"), ([0.0, 0.0], "nothing can be drawn")])
def test_weights_that_make_no_sense_are_refused(weights, message):
    with pytest.raises(DataError, match=message):
        make("weighted", {"by": "w"}, {"row.w": weights})


def test_balanced_gives_every_label_as_many_draws_and_takes_turns_within_it():
    sampler = make("balanced", {"rows": 270}, {"target.y": LABELS})
    drawn = everything(sampler, 0)
    assert np.bincount(np.array(LABELS)[drawn]).tolist() == [90, 90, 90]
    counts = np.bincount(drawn, minlength=100)
    assert counts[:90].tolist() == [1] * 90, "each row of the frequent label once"
    assert counts[90:99].tolist() == [10] * 9 and counts[99] == 90
    later = np.concatenate([drawn, everything(sampler, 1)])
    assert np.bincount(later, minlength=100)[:90].tolist() == [2] * 90, "turns go on from epoch to epoch"


def test_balanced_needs_labels():
    with pytest.raises(SpecError, match="no labels to balance"):
        make("balanced", {}, {"target.y": [0.5, 0.2]})
    with pytest.raises(SpecError, match="'z' is no target; targets: y"):
        make("balanced", {"by": "z"}, {"target.y": LABELS})


def test_mixed_holds_the_stated_proportions_whatever_the_sizes():
    sampler = make(
        "mixed", {"shares": {"a.csv": 1, "*/b.csv": 3}, "rows": 4000}, {"row.file": FILES}, ("a.csv", "x/b.csv")
    )
    drawn = everything(sampler, 0)
    counts = np.bincount(drawn, minlength=100)
    assert counts[:80].sum() == 1000 and counts[80:].sum() == 3000
    assert counts[:80].min() >= 12 and counts[:80].max() <= 13, "1000 draws of 80 rows"
    assert counts[80:].tolist() == [150] * 20


def test_a_file_without_a_share_and_a_share_without_a_file_are_refused():
    with pytest.raises(SpecError, match=r"says nothing about b\.csv"):
        make("mixed", {"shares": {"a.csv": 1}}, {"row.file": FILES})
    with pytest.raises(SpecError, match=r"no training row is in a file like 'c\.csv'"):
        make("mixed", {"shares": {"c.csv": 1, "*": 1}}, {"row.file": FILES})


@pytest.mark.parametrize(
    ("shares", "block", "expected"),
    [({"a": 1, "b": 3}, 8, [2, 6]), ({"a": 1, "b": 1, "c": 1}, 10, [4, 3, 3]), ({"a": 1e-9, "b": 1}, 10, [1, 9])],
)
def test_quotas_go_by_the_largest_remainders_and_forget_nobody(shares, block, expected):
    assert quotas(shares, block) == expected


def test_a_weight_column_reaches_the_sampler_from_the_data():
    rows = [{"x": float(i), "w": float(i % 2), "y": "ab"[i % 2]} for i in range(200)]
    spec = Spec.parse(
        {
            "data": {"source": rows, "inputs": ["x"], "targets": ["y"], "split": {"validation": 0, "test": 0}},
            "train": {"sampler": {"type": "weighted", "by": "w"}},
        }
    )
    found = prepare(spec)
    store = found.splits["train"]
    assert store.whole("row.w").tolist() == [row["w"] for row in rows]
    assert [name for name in store.columns if name.startswith("numbers")] == ["numbers"]
    sampler = table("sampler").find("weighted")(spec.train.sampler.settings, store, found.record.files, 0)
    loader = Loader(store, found.fitted, 32, 0, True, sampler=sampler)
    drawn = np.concatenate([batch.ids for batch in loader.epoch(0)])
    assert len(drawn) == 200 and set(drawn % 2) == {1}
