"""Batches are the same to the bit, however many are gathered at once and wherever an epoch is entered."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from modelyard.data import loader as module
from modelyard.data.batch import Batch, Mix
from modelyard.data.column_files import ColumnWriter, stored_layout
from modelyard.data.loader import Loader, Mixing
from modelyard.data.modalities.base import Draw, Ragged
from modelyard.data.prepare import prepare
from modelyard.data.store import SplitStore, Stored, cut, take
from modelyard.spec.spec import Spec

WORDS = ["red", "green", "blue", "grey", "black"]


def rows(count):
    rng = np.random.default_rng(0)
    return [
        {
            "size": float(rng.normal()),
            "colour": WORDS[rng.integers(5)],
            "review": " ".join(rng.choice(WORDS, rng.integers(0, 12))),
            "grade": float(rng.normal()),
            "label": "ab"[i % 2],
        }
        for i in range(count)
    ]


def prepared(inputs, targets=("label",), source=None):
    data = {"source": source or rows(500), "inputs": inputs, "targets": list(targets)}
    return prepare(Spec.parse({"data": {**data, "split": {"validation": 0.1, "test": 0}}}))


NUMBERS = {"size": "number", "colour": {"type": "category", "min_count": 1}}
BAG = {"review": {"type": "text", "tokens": "ngrams", "min_count": 1}}
SEQUENCE = {"review": {"type": "text", "tokens": "word", "min_count": 1}}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / label).mkdir()
        for index in range(60):
            Image.fromarray(rng.integers(0, 255, (6, 6), np.uint8)).save(folder / label / f"{index}.png")
    return prepared({"image": {"type": "image", "augment": {"flip": True, "crop": 1}}}, source=str(folder))


def contents(batch):
    """All a batch holds, in plain values."""
    found = {"ids": batch.ids.tolist(), "draw": batch.draw and (batch.draw.epoch, batch.draw.ids.tolist())}
    mix = {} if batch.mix is None else {"share": batch.mix.share, **batch.mix.targets}
    for part, tensors in (("input", batch.inputs), ("target", batch.targets), ("mix", mix)):
        for name, tensor in tensors.items():
            found[part, name] = (tensor.dtype, tuple(tensor.shape), tensor.contiguous().numpy().tobytes())
    return found


def all_contents(found, together, monkeypatch, mixing=None, workers=0):
    monkeypatch.setattr(module, "_TOGETHER", together)
    result = []
    for split, train in (("train", True), ("validation", False)):
        loader = Loader(found.splits[split], found.fitted, 6, 3, train, mixing, workers=workers)
        whole = [contents(batch) for batch in loader.epoch(2)]
        assert len(whole) == len(loader)
        for start in (1, len(whole) // 2, len(whole) - 1, len(whole)):
            assert [contents(batch) for batch in loader.epoch(2, start)] == whole[start:]
        result.append(whole)
    return result


@pytest.mark.parametrize("inputs", [NUMBERS, BAG, SEQUENCE, {**NUMBERS, **SEQUENCE}, {**NUMBERS, **BAG}])
@pytest.mark.parametrize("target", ["label", "grade"])
def test_batches_gathered_at_once_are_those_gathered_one_by_one(inputs, target, monkeypatch):
    found = prepared(inputs, [target])
    alone = all_contents(found, 0, monkeypatch)
    for together in (1000, 1 << 30):
        assert all_contents(found, together, monkeypatch) == alone
    assert all_contents(found, 1000, monkeypatch, workers=2) == alone


def test_pictures_gathered_at_once_are_varied_and_mixed_as_one_by_one(pictures, monkeypatch):
    mixing = Mixing(0.4, 1.0, 0.7)
    alone = all_contents(pictures, 0, monkeypatch, mixing)
    assert all_contents(pictures, 1 << 30, monkeypatch, mixing) == alone


def test_an_epoch_of_one_batch_is_drawn_by_its_own_number():
    found = prepared(NUMBERS)
    loader = Loader(found.splits["train"], found.fitted, 1000, 0, True)
    first, second = next(loader.epoch(0)), next(loader.epoch(1))
    assert (first.draw.epoch, second.draw.epoch) == (0, 1)
    assert torch.equal(first.inputs["numbers"], second.inputs["numbers"]), "made once"


def test_batches_are_cut_without_copies():
    draw = Draw(0, 1, np.arange(5) + 10)
    bag = {"t.ids": torch.arange(6), "t.offsets": torch.tensor([0, 2, 2, 5, 6]), "t.weights": torch.arange(6.0)}
    mix = Mix({"y": torch.arange(5).flip(0)}, torch.full((5,), 0.5))
    batch = Batch({"numbers": torch.arange(10.0).view(5, 2), **bag}, {"y": torch.arange(5)}, draw.ids, mix, draw)
    one, none, two, rest = batch.cut([2, 0, 2, 1])
    assert contents(two) == contents(batch.rows(2, 4)) and len(none) == 0
    assert two.inputs["t.offsets"].tolist() == [0, 3] and two.inputs["t.ids"].tolist() == [2, 3, 4, 5]
    assert rest.inputs["t.ids"].tolist() == [] and rest.inputs["t.offsets"].tolist() == [0]
    assert one.draw.ids.tolist() == [10, 11] and two.mix.targets["y"].tolist() == [2, 1]
    assert two.inputs["numbers"].data_ptr() == batch.inputs["numbers"][2:].data_ptr()
    assert list(Batch({"numbers": torch.empty(0, 2)}, {}, np.arange(0)).pieces(3)) == []


@pytest.mark.parametrize("shape", [(), (3,)])
@pytest.mark.parametrize("dtype", ["<i4", "<f4", "<u2"])
def test_ragged_rows_from_the_disk_are_those_in_memory(tmp_path, shape, dtype):
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 5, 300))])
    column = Ragged(rng.integers(0, 1000, (offsets[-1], *shape)).astype(dtype), offsets)
    writer = ColumnWriter(tmp_path)
    writer.append(column)
    stored = Stored(tmp_path, stored_layout(writer.close()))
    empty = np.flatnonzero(np.diff(offsets) == 0)
    for asked in (rng.integers(0, 300, 1000), np.arange(300), empty, np.arange(0)):
        found, expected = stored.take(asked), take(column, asked)
        assert found.values.dtype == dtype and found.values.shape == expected.values.shape
        assert np.array_equal(found.values, expected.values) and np.array_equal(found.offsets, expected.offsets)


def test_rows_are_taken_from_arrays_of_any_layout():
    wide = np.arange(24.0).reshape(4, 6)
    asked = np.array([2, 0, 2])
    for array in (wide, wide.T, wide[:, ::2], wide[::-1]):
        store = SplitStore({"n": array})
        assert np.array_equal(store.take(["n"], asked)["n"], array[asked])


def test_a_stretch_of_ragged_rows_starts_at_nought():
    part = cut(Ragged(np.arange(10), np.array([0, 3, 3, 7, 10])), 1, 3)
    assert part.values.tolist() == [3, 4, 5, 6] and part.offsets.tolist() == [0, 0, 4]
