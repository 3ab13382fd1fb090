"""Weak and strong views of each kind of input, and inputs of several batches as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from modelyard.core.errors import SpecError
from modelyard.data.kinds import Bag, Image, Input, Tokens
from modelyard.data.modalities.base import Draw
from modelyard.data.prepare import prepare
from modelyard.data.views import check_kinds, join_inputs, strong_view, weak_view
from modelyard.spec.spec import Spec

IDS = np.arange(40)


def rows(count=60):
    words = ["red", "green", "blue", "warm", "cold", "near", "far"]
    rng = np.random.default_rng(0)
    return [
        {
            "age": None if i % 5 == 0 else float(rng.integers(18, 90)),
            "size": float(rng.normal()),
            "city": str(rng.choice(["Ulm", "Jena", "Bonn"])),
            "text": " ".join(rng.choice(words, rng.integers(1, 9))),
            "y": "ab"[i % 2],
        }
        for i in range(count)
    ]


def stored(inputs):
    spec = Spec.parse(
        {"name": "t", "data": {"source": rows(), "inputs": inputs, "targets": ["y"], "split": {"test": 0}}}
    )
    prepared = prepare(spec)
    store = prepared.splits["train"]
    names = [name for name in store.columns if not name.startswith(("target.", "row."))]
    return prepared.fitted, store.take(names, IDS)


def table_views(draw):
    fitted, columns = stored({"age": "number", "size": "number", "city": "category"})
    return weak_view(fitted, columns, draw), strong_view(fitted, columns, draw)


def test_a_weak_view_of_a_table_is_the_table_itself():
    fitted, columns = stored({"age": "number", "size": "number", "city": "category"})
    plain, weak = fitted.collate(columns, None), weak_view(fitted, columns, Draw(0, 0, IDS))
    assert all(torch.equal(plain[key], weak[key]) for key in plain)


def test_strong_cells_of_a_table_come_from_the_same_column_of_the_batch():
    weak, strong = table_views(Draw(0, 0, IDS))
    for key in ("numbers", "categories"):
        for column in range(weak[key].shape[1]):
            values = set(weak[key][:, column].tolist())
            assert set(strong[key][:, column].tolist()) <= values
    # a swap may bring the same value: of 40 rows, 0.3 · (1 − 1/40) of the cells of a column of different values change
    changed = (weak["numbers"][:, -1] != strong["numbers"][:, -1]).float().mean().item()
    assert 0.1 < changed < 0.5


def test_a_number_and_its_flag_of_a_missing_value_stay_together():
    weak, strong = table_views(Draw(3, 0, IDS))
    width = weak["numbers"].shape[1]
    assert width == 3, "age, whether age is missing, size"
    pairs = {tuple(pair) for pair in weak["numbers"][:, :2].tolist()}
    assert {tuple(pair) for pair in strong["numbers"][:, :2].tolist()} <= pairs


def test_views_are_a_function_of_seed_and_step():
    first, again, later = (table_views(Draw(0, step, IDS))[1] for step in (5, 5, 6))
    assert torch.equal(first["numbers"], again["numbers"])
    assert not torch.equal(first["numbers"], later["numbers"])


def test_a_strong_text_has_fewer_tokens_of_the_same_row_and_at_least_one():
    fitted, columns = stored({"text": {"type": "text", "tokens": "word", "min_count": 1}})
    weak, strong = (view(fitted, columns, Draw(0, 0, IDS)) for view in (weak_view, strong_view))
    lengths = strong["text.length"]
    assert lengths.min() >= 1 and (lengths <= weak["text.length"]).all() and (lengths < weak["text.length"]).any()
    assert strong["text.ids"].shape == (40, int(lengths.max()))
    for row in range(40):
        there = weak["text.ids"][row, : weak["text.length"][row]].tolist()
        kept = strong["text.ids"][row, : lengths[row]].tolist()
        assert all(kept.count(token) <= there.count(token) for token in kept)
        assert (strong["text.ids"][row, lengths[row] :] == 0).all(), "padding behind the text alone"
    dropped = 1 - lengths.sum().item() / weak["text.length"].sum().item()
    assert 0.1 < dropped < 0.3
    moved = [
        weak["text.ids"][row, :length].tolist() != strong["text.ids"][row, :length].tolist()
        for row, length in enumerate(lengths.tolist())
        if length == weak["text.length"][row] > 1
    ]
    assert any(moved), "whole texts change their order"


def test_a_strong_text_does_not_depend_on_its_batch():
    fitted, columns = stored({"text": {"type": "text", "tokens": "word", "min_count": 1}})
    whole = strong_view(fitted, columns, Draw(0, 0, IDS))
    ids = columns["text.ids"]
    short = int(np.argmin(np.diff(ids.offsets)))
    one = type(ids)(ids.values[ids.offsets[short] : ids.offsets[short + 1]], np.diff(ids.offsets)[[short]].cumsum())
    one = type(ids)(one.values, np.array([0, len(one.values)]))
    alone = strong_view(fitted, {"text.ids": one}, Draw(0, 0, IDS[[short]]))
    length = int(alone["text.length"][0])
    assert length == int(whole["text.length"][short])
    assert alone["text.ids"][0, :length].tolist() == whole["text.ids"][short, :length].tolist()


def test_a_strong_bag_loses_ngrams_and_keeps_its_offsets():
    fitted, columns = stored({"text": {"type": "text", "tokens": "ngrams", "min_count": 1}})
    weak, strong = (view(fitted, columns, Draw(0, 0, IDS)) for view in (weak_view, strong_view))
    assert torch.equal(weak["text.ids"], strong["text.ids"]) and torch.equal(
        weak["text.offsets"], strong["text.offsets"]
    )
    kept = strong["text.weights"] != 0
    assert 0.7 < kept.float().mean().item() < 0.9
    ratio = strong["text.weights"][kept] / weak["text.weights"][kept]
    assert torch.allclose(ratio, torch.full_like(ratio, 0.8**-0.5))


def test_images_are_varied_strongly_and_then_as_in_training(digits):
    data = {"source": digits, "inputs": {"image": "image"}, "targets": {"digit": "category"}, "limit": 80}
    prepared = prepare(Spec.parse({"name": "t", "data": {**data, "checks": {"near_duplicate_images": "keep"}}}))
    columns = prepared.splits["train"].take(["image.pixels"], IDS)
    weak, strong = (view(prepared.fitted, columns, Draw(0, 0, IDS)) for view in (weak_view, strong_view))
    assert torch.equal(weak["image.pixels"], prepared.fitted.collate(columns, None)["image.pixels"])
    changed = (weak["image.pixels"] != strong["image.pixels"]).flatten(1).any(dim=1)
    assert changed.float().mean() > 0.9 and strong["image.pixels"].shape == weak["image.pixels"].shape


class TestJoin:
    def test_texts_are_padded_to_the_longest_with_the_padding_of_their_input(self):
        described = [Tokens("t", ("t",), 9, 4, padding_id=7)]
        first = {"t.ids": torch.tensor([[1, 2, 3]]), "t.length": torch.tensor([3])}
        second = {"t.ids": torch.tensor([[4], [5]]), "t.length": torch.tensor([1, 1])}
        joined = join_inputs([first, second], described)
        assert joined["t.ids"].tolist() == [[1, 2, 3], [4, 7, 7], [5, 7, 7]]
        assert joined["t.length"].tolist() == [3, 1, 1]

    def test_bags_lie_end_to_end(self):
        first = {"t.ids": torch.tensor([1, 2, 3]), "t.offsets": torch.tensor([0, 2]), "t.weights": torch.ones(3)}
        second = {"t.ids": torch.tensor([4]), "t.offsets": torch.tensor([0, 1]), "t.weights": torch.zeros(1)}
        joined = join_inputs([first, second, first], [Bag("t", ("t",), 9)])
        assert joined["t.ids"].tolist() == [1, 2, 3, 4, 1, 2, 3]
        assert joined["t.offsets"].tolist() == [0, 2, 3, 4, 4, 6]
        assert joined["t.weights"].tolist() == [1, 1, 1, 0, 1, 1, 1]

    def test_pictures_stay_channels_last(self):
        pixels = torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
        joined = join_inputs([{"p.pixels": pixels}, {"p.pixels": pixels}], [Image("p", ("p",), 3, 4, 5)])
        assert joined["p.pixels"].is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(joined["p.pixels"][2:], pixels)


def test_a_kind_without_a_strong_view_is_named():
    @dataclass(frozen=True)
    class Sound(Input):
        kind: ClassVar[str] = "sound"

    with pytest.raises(SpecError, match=r"(?s)data\.inputs\.voice.*no.*'sound'.*bag, categories, image, numbers, tok"):
        check_kinds([Sound("voice", ("voice",))], "train.semi_supervised fixmatch")
