"""From files to stored columns: what is fitted comes from training rows alone, and every row keeps its name."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelyard.core.errors import DataError, GateError, SpecError
from modelyard.data import chunks, store
from modelyard.data.batch import Batch, Mix
from modelyard.data.column_files import ColumnWriter, stored_layout
from modelyard.data.loader import Loader
from modelyard.data.modalities.base import Ragged
from modelyard.data.modalities.image import Image as ImageModality
from modelyard.data.prepare import prepare
from modelyard.data.store import SplitStore, Stored, _pages, take
from modelyard.spec.spec import Spec


def prepared(data, seed=0):
    return prepare(Spec.parse({"name": "t", "seed": seed, "data": data}))


def table(count=200):
    rng = np.random.default_rng(0)
    return [
        {
            "age": float(rng.integers(18, 90)),
            "city": str(rng.choice(["Ulm", "Jena", "Bonn"])),
            "text": f"word{i % 9} and more",
            "y": "ab"[i % 2],
        }
        for i in range(count)
    ]


def test_what_is_fitted_does_not_change_when_test_rows_do(tmp_path):
    """Fitted state comes from the training split alone: other test rows, the same state, bit for bit."""
    train, test = table(), table(50)
    first = prepared({"source": {"train": train, "test": test}, "targets": ["y"], "split": {"validation": 0}})
    for row in test:
        row.update(age=1e6, city="Atlantis", text="nothing seen before")
    second = prepared({"source": {"train": train, "test": test}, "targets": ["y"], "split": {"validation": 0}})
    states = [one.fitted.files() for one in (first, second)]
    assert states[0] == states[1]


def test_every_stored_row_knows_its_file_and_position(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("age,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(100)))
    found = prepared({"source": str(path), "inputs": {"age": {"type": "number", "scale": "none"}}, "targets": ["y"]})
    assert found.record.files == [str(path)]
    seen = []
    for split in found.splits.values():
        positions = split.whole("row.position")
        assert np.array_equal(split.whole("numbers")[:, 0], positions.astype(np.float32)), "age is the position"
        seen += positions.tolist()
    assert sorted(seen) == list(range(100))


def test_numbers_and_categories_are_stored_as_one_matrix_each():
    found = prepared({"source": table(), "targets": ["y"]})
    train = found.splits["train"]
    assert train.whole("numbers").shape == (160, 1) and train.whole("categories").shape == (160, 2)
    assert [(one.kind, one.columns) for one in found.fitted.describe()] == [
        ("numbers", ("age",)),
        ("categories", ("city", "text")),
    ]


def test_labels_are_counted_by_split():
    found = prepared({"source": table(), "targets": ["y"]})
    assert found.record.labels == {
        "y": {"train": {"a": 80, "b": 80}, "validation": {"a": 10, "b": 10}, "test": {"a": 10, "b": 10}}
    }


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ({"source": "nowhere.csv", "targets": ["y"]}, DataError, "nowhere.csv"),
        ({"source": "catalog:minst", "targets": ["y"]}, Exception, "did you mean 'mnist'"),
        ({"targets": ["y"]}, SpecError, "data.source: is required"),
        ({"source": [{"a": 1.0, "y": "b"}]}, SpecError, "says no column to predict; columns: a, y"),
        ({"source": [{"a": 1.0, "y": "b"}], "targets": ["y"], "inputs": ["y"]}, SpecError, "is a target"),
        (
            {"source": [{"a": float(i), "y": "b"} for i in range(9)], "targets": {"y": "category"}},
            GateError,
            "one label",
        ),
        (
            {"source": [{"a": float(i), "y": None} for i in range(9)], "targets": {"y": "category"}},
            DataError,
            "no rows are left",
        ),
        ({"source": [], "targets": ["y"]}, DataError, ""),
        (
            {"source": table(20), "targets": ["y"], "split": {"validation": 0.5, "test": 0.5}},
            SpecError,
            "take all rows",
        ),
        ({"source": table(20), "targets": ["y"], "split": {"method": "group"}}, SpecError, "data.split.by"),
    ],
)
def test_data_that_cannot_be_used_is_refused_with_a_reason(data, error, message):
    with pytest.raises(error) as caught:
        prepared(data)
    assert message in str(caught.value)


def test_a_csv_with_only_a_header_has_no_rows(tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text("a,y\n")
    with pytest.raises(DataError, match=r"no rows; columns: a, y"):
        prepared({"source": str(path), "targets": ["y"]})


def test_an_image_that_cannot_be_read_is_named_and_can_be_dropped(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for index in range(12):
            Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(tmp_path / label / f"{index}.png")
    (tmp_path / "cat" / "3.png").write_bytes(b"")
    (tmp_path / "dog" / "5.png").write_bytes((tmp_path / "dog" / "5.png").read_bytes()[:40])
    data = {"source": str(tmp_path), "targets": ["label"]}
    with pytest.raises(GateError) as caught:
        prepared(data)
    assert "2 of 24 rows" in str(caught.value) and "data.unreadable_limit" in str(caught.value)
    assert "cat/3.png" in str(caught.value) and "dog/5.png" in str(caught.value)
    found = prepared({**data, "unreadable_limit": 0.1})
    assert sum(found.record.rows.values()) == 22 and found.record.dropped == {"unreadable value": 2}
    lines = [json.loads(line) for line in Path(found.record.quarantine).read_text("utf-8").splitlines()]
    assert [(line["position"], "image: " in line["reason"]) for line in lines] == [(5, True), (19, True)]


# -- interrupted, and changed -----------------------------------------------------------------------------------------


class Interrupted(Exception):
    pass


def stop_at(stage, rows):
    """A progress that stops the work when `stage` has come to `rows` rows."""

    def progress(what, count):
        if what == stage and count >= rows:
            raise Interrupted

    return progress


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "_MOST_ROWS", 64)
    monkeypatch.setattr(chunks, "_EVERY", -1.0)


def content(found):
    """Everything that was prepared, as plain values."""
    columns = {}
    for split, one in found.splits.items():
        for name in one.columns:
            whole = one.whole(name)
            arrays = [whole.values, whole.offsets] if isinstance(whole, Ragged) else [whole]
            columns[split, name] = [np.asarray(array).tolist() for array in arrays]
    record = found.record.as_dict()
    for name in ("seconds", "store", "quarantine", "reused"):
        record.pop(name)
    return columns, record, found.fitted.files()


@pytest.mark.parametrize(
    ("stage", "rows"), [("examining", 128), ("examining", 300), ("fitting", 192), ("encoding", 64), ("encoding", 256)]
)
def test_an_interrupted_preparation_goes_on_and_ends_the_same(tmp_path, monkeypatch, small_chunks, stage, rows):
    path = tmp_path / "rows.csv"
    lines = [f'{i % 7},"word{i % 9} and {i}",{"ab"[i % 2]}\n' for i in range(400)]
    lines[50] = "1,ragged\n"
    lines[333] = '5,"no label",\n'
    path.write_text("age,text,y\n" + "".join(lines))
    inputs = {"age": "number", "text": {"type": "text", "tokens": "word", "min_count": 1}}
    spec = Spec.parse({"data": {"source": str(path), "inputs": inputs, "targets": ["y"]}})
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path / "straight"))
    expected = content(prepare(spec))
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path / "interrupted"))
    with pytest.raises(Interrupted):
        prepare(spec, progress=stop_at(stage, rows))
    seen = []
    resumed = prepare(spec, progress=lambda what, count: seen.append((what, count)))
    assert content(resumed) == expected
    done = [count for what, count in seen if what == stage]
    assert min(done) > rows - 64, "what was done before is not done again"
    assert not list(tmp_path.rglob("*waypoint*"))


def test_an_interrupted_preparation_of_pictures_decodes_none_of_them_twice(tmp_path, monkeypatch, small_chunks):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for index in range(150):
            Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(
                tmp_path / "images" / label / f"{index:03d}.png"
            )
    (tmp_path / "images" / "cat" / "007.png").write_bytes(b"broken")
    spec = Spec.parse({"data": {"source": str(tmp_path / "images"), "targets": ["label"]}})
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path / "straight"))
    expected = content(prepare(spec))
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path / "interrupted"))
    with pytest.raises(Interrupted):
        prepare(spec, progress=stop_at("examining", 192))
    decoded = []
    read = ImageModality.read

    def counted(self, values, folder=""):
        decoded.append(len(values))
        return read(self, values, folder)

    monkeypatch.setattr(ImageModality, "read", counted)
    assert content(prepare(spec)) == expected
    assert sum(decoded) == 300 - 128, "three chunks were through, the last of them not yet noted"

    decoded.clear()
    other = spec.replace(data=spec.data.model_copy(update={"split": spec.data.split.model_copy(update={"test": 0.3})}))
    again = prepare(other)
    assert decoded == [] and again.record.rows["test"] != expected[1]["rows"]["test"], "another split decodes nothing"
    assert again.record.dropped == expected[1]["dropped"]


def test_a_changed_setting_redoes_only_the_column_it_is_about(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path))
    data = {
        "source": table(),
        "targets": ["y"],
        "inputs": {"age": "number", "text": {"type": "text", "tokens": "word"}},
    }
    first = prepared(data)
    folders = {path: path.stat().st_mtime_ns for path in (Path(first.record.store) / "columns").iterdir()}
    second = prepared({**data, "inputs": {"age": {"type": "number", "scale": "none"}, "text": data["inputs"]["text"]}})
    after = {path: path.stat().st_mtime_ns for path in (Path(second.record.store) / "columns").iterdir()}
    assert len(after) == len(folders) + 1, "one column was encoded anew"
    assert {path: after[path] for path in folders} == folders, "the others stand as they were"
    assert not second.record.reused and prepared(data).record.reused


# -- store and loader -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ragged", [False, True])
def test_a_column_in_many_shards_is_gathered_like_one_in_memory(tmp_path, ragged):
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 5, 100)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = rng.integers(0, 1000, (offsets[-1] if ragged else 100, 3)).astype(np.int32)
    column = Ragged(values, offsets) if ragged else values
    writer = ColumnWriter(tmp_path, shard_bytes=200)
    for start, stop in itertools.pairwise([0, 1, 18, 18, 60, 100]):
        writer.append(take(column, np.arange(start, stop)))
    about = writer.close()
    stored = Stored(tmp_path, stored_layout(about))
    assert len(list(tmp_path.glob("*.values"))) > 4 and len(stored) == 100
    for rows in ([3], [99, 0, 50, 50], list(range(100)), [], rng.permutation(100).tolist()):
        found, expected = stored.take(np.array(rows, np.int64)), take(column, np.array(rows, np.int64))
        if ragged:
            assert found.offsets.tolist() == expected.offsets.tolist()
            assert stored.lengths(np.array(rows, np.int64)).tolist() == lengths[rows].tolist()
            found, expected = found.values, expected.values
        assert found.tolist() == expected.tolist() and found.dtype == np.int32


def test_pages_are_asked_for_once_each():
    starts, stops = np.array([9000, 0, 4095, 20_000, 5]), np.array([9010, 10, 4097, 20_000, 4096])
    # Bytes 0–9, 5–4095 and 4095–4096 lie on pages 0 and 1, bytes 9000–9009 on page 2, and the empty row on none.
    assert _pages(starts, stops) == [(0, 3 * 4096)]
    assert _pages(np.array([8192 * 4, 0]), np.array([8192 * 4 + 1, 1])) == [(0, 4096), (32768, 4096)]
    assert _pages(np.array([3]), np.array([3])) == []


@pytest.mark.parametrize("ragged", [False, True])
def test_a_column_larger_than_what_stays_resident_is_gathered_all_the_same(tmp_path, monkeypatch, ragged):
    monkeypatch.setattr(store, "_RESIDENT", 20_000)
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (3000, 30)).astype(np.uint8)
    column = Ragged(values, np.arange(0, 3001, 3)) if ragged else values
    writer = ColumnWriter(tmp_path, shard_bytes=30_000)
    writer.append(column)
    stored = Stored(tmp_path, stored_layout(writer.close()))
    for seed in range(20):
        rows = np.random.default_rng(seed).integers(0, len(column), 200)
        stored.will_need(rows)
        found, expected = stored.take(rows), take(column, rows)
        if ragged:
            found, expected = found.values, expected.values
        assert np.array_equal(found, expected)


def test_a_column_of_which_a_shard_is_cut_off_is_damaged(tmp_path):
    writer = ColumnWriter(tmp_path, shard_bytes=100)
    writer.append(np.arange(100.0))
    about = stored_layout(writer.close())
    last = max(tmp_path.glob("*.values"))
    last.write_bytes(last.read_bytes()[:-8])
    with pytest.raises(DataError, match="damaged"):
        Stored(tmp_path, about)


def test_a_subset_of_a_split_shares_its_columns():
    store = SplitStore({"n": np.arange(10.0)}, index=np.array([9, 7, 5, 3]))
    part = store.subset(np.array([2, 0]))
    assert len(part) == 2 and part.whole("n").tolist() == [5.0, 9.0]


def test_gathering_ragged_rows():
    column = Ragged(np.arange(10), np.array([0, 3, 3, 7, 10]))
    picked = take(column, np.array([2, 0, 1, 2]))
    assert picked.values.tolist() == [3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6] and picked.offsets.tolist() == [0, 4, 7, 7, 11]


@pytest.fixture(scope="module")
def texts():
    rows = [{"text": "w " * (1 + i % 40), "y": "ab"[i % 2]} for i in range(300)]
    data = {"source": rows, "targets": ["y"], "inputs": {"text": {"type": "text", "tokens": "word", "min_count": 1}}}
    return prepared({**data, "split": {"validation": 0, "test": 0}})


def test_an_epoch_holds_every_row_once_in_an_order_of_its_own(texts):
    loader = Loader(texts.splits["train"], texts.fitted, 16, 0, True)
    orders = [np.concatenate([batch.ids for batch in loader.epoch(epoch)]) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(300)) for order in orders)
    assert not np.array_equal(*orders)
    assert len(loader) == sum(1 for _ in loader.epoch(0)) == 19


def test_any_batch_of_an_epoch_can_be_reached_without_those_before_it(texts):
    loader = Loader(texts.splits["train"], texts.fitted, 16, 3, True)
    whole = [batch.ids.tolist() for batch in loader.epoch(2)]
    assert [batch.ids.tolist() for batch in loader.epoch(2, start=11)] == whole[11:]


def test_bucketing_leaves_little_padding(texts):
    loader = Loader(texts.splits["train"], texts.fitted, 16, 0, True)
    batches = list(loader.epoch(0))
    padded = sum(batch.inputs["text.ids"].numel() for batch in batches)
    real = sum(int(batch.inputs["text.length"].sum()) for batch in batches)
    assert padded < 1.15 * real


def test_evaluation_keeps_every_row_and_never_shuffles(texts):
    loader = Loader(texts.splits["train"], texts.fitted, 64, 0, False)
    first = np.concatenate([batch.ids for batch in loader.epoch(0)])
    assert np.array_equal(first, np.concatenate([batch.ids for batch in loader.epoch(5)]))
    assert sorted(first) == list(range(300))


def test_cutting_a_batch_in_pieces_keeps_bags_and_mixed_targets_together():
    import torch

    batch = Batch(
        inputs={
            "n": torch.arange(4.0)[:, None],
            "t.ids": torch.arange(6),
            "t.offsets": torch.tensor([0, 2, 2, 5]),
            "t.weights": torch.arange(6.0),
        },
        targets={"y": torch.arange(4)},
        ids=np.arange(4),
        mix=Mix({"y": torch.tensor([3, 2, 1, 0])}, torch.full((4,), 0.5)),
    )
    one, two = batch.pieces(2)
    assert one.inputs["t.ids"].tolist() == [0, 1] and one.inputs["t.offsets"].tolist() == [0, 2]
    assert two.inputs["t.ids"].tolist() == [2, 3, 4, 5] and two.inputs["t.offsets"].tolist() == [0, 3]
    assert two.inputs["t.weights"].tolist() == [2.0, 3.0, 4.0, 5.0]
    assert two.mix.targets["y"].tolist() == [1, 0] and two.targets["y"].tolist() == [2, 3]
    assert len(list(batch.pieces(9))) == 4


def test_a_split_of_a_store_knows_its_size():
    assert len(SplitStore({}, rows=3)) == 3


@pytest.mark.parametrize("size", [6, [6, 5]])
def test_pictures_are_brought_to_one_size_said_as_one_number_or_two(tmp_path, size):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for index in range(20):
            Image.fromarray(rng.integers(0, 255, (8, 9), np.uint8)).save(tmp_path / label / f"{index}.png")
    inputs = {"image": {"type": "image", "size": size}}
    found = prepared({"source": str(tmp_path), "inputs": inputs, "targets": ["label"]})
    height, width = (6, 6) if size == 6 else (6, 5)
    assert found.splits["train"].whole("image.pixels").shape == (32, height, width, 1)


def test_a_folder_with_split_folders_is_split_as_given(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 3)):
        for label in ("cat", "dog"):
            (tmp_path / part / label).mkdir(parents=True)
            for index in range(count):
                Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(tmp_path / part / label / f"{index}.png")
    found = prepared({"source": str(tmp_path), "targets": ["label"]})
    assert found.record.rows == {"train": 12, "validation": 6}
    again = prepare(Spec.parse({"data": found.data.model_dump(mode="json")}))
    assert again.record.rows == found.record.rows, "the resolved spec means the same"
