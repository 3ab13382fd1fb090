"""Checkpoints: what comes back is what was saved, the newest intact one is found, and rotation never leaves none."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest
import torch

from modelyard.core.errors import CheckpointError, StorageError, UsageError
from modelyard.train.saving import checkpoints as module
from modelyard.train.saving import files as checkpoint_files
from modelyard.train.saving import proofs as checkpoint_proofs
from modelyard.train.saving.checkpoints import Checkpoints, Snapshot
from modelyard.train.saving.saver import Saver


def snapshot(step: int, best_epoch: int = 0) -> Snapshot:
    """A small one whose every part says which step it is of."""
    tensors = {
        "model/weight": torch.full((3, 2), float(step)),
        "optimizer/weight/step": torch.tensor(step),
        "optimizer/weight/exp_avg": torch.full((3, 2), step + 0.5).bfloat16(),
        "ids": torch.arange(step, step + 3),
    }
    best = {"weight": torch.full((3, 2), -float(best_epoch))} if best_epoch else None
    return Snapshot(step, tensors, {"epoch": step // 10, "loss": step / 7}, best, best_epoch)


def bits(tensor: torch.Tensor) -> tuple:
    return tensor.dtype, tuple(tensor.shape), tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def all_bits(values: object) -> object:
    """Values with every float as its eight bytes, since NaN equals nothing."""
    if isinstance(values, float):
        return struct.pack(">d", values)
    if isinstance(values, dict):
        return {key: all_bits(value) for key, value in values.items()}
    if isinstance(values, list):
        return [all_bits(value) for value in values]
    return (type(values), values)


def content(snapshot: Snapshot) -> tuple:
    best = None if snapshot.best is None else {name: bits(tensor) for name, tensor in snapshot.best.items()}
    tensors = {name: bits(tensor) for name, tensor in snapshot.tensors.items()}
    return snapshot.step, tensors, all_bits(dict(snapshot.values)), best, snapshot.best_epoch


def names(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name != ".lock")


def test_the_newest_comes_back_bit_for_bit(tmp_path):
    checkpoints = Checkpoints(tmp_path / "runs" / "one" / "checkpoints")
    assert checkpoints.newest() is None
    assert list(checkpoints) == []
    saved = checkpoints.save(snapshot(120, best_epoch=3))
    assert saved == tmp_path / "runs" / "one" / "checkpoints" / "step-00000120"
    assert names(saved) == [
        "manifest.json", "model.safetensors", "optimizer.safetensors", "tensors.safetensors", "values.json",
    ]  # fmt: skip
    assert names(saved.parent) == ["best-0003", "step-00000120"]
    found = Checkpoints(saved.parent).newest()
    assert found.path == saved and found.passed_over == []
    assert content(found.snapshot) == content(snapshot(120, best_epoch=3))
    assert content(checkpoints.read(saved)) == content(snapshot(120, best_epoch=3))


def test_a_manifest_says_what_is_in_the_folder(tmp_path):
    path = Checkpoints(tmp_path).save(snapshot(7, best_epoch=1))
    manifest = json.loads((path / "manifest.json").read_text())
    best = json.loads((tmp_path / "best-0001" / "manifest.json").read_text())
    assert manifest["format"] == 1 and manifest["step"] == 7
    assert manifest["files"]["values.json"]["size"] == (path / "values.json").stat().st_size
    assert manifest["best"] == {"name": "best-0001", "manifest": best["sha256"]}


DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint64, torch.uint32, torch.uint16, torch.uint8),
    *(torch.bool, torch.complex64),
]


@st.composite
def tensor(draw) -> torch.Tensor:
    """Any bits, so also NaNs of every payload."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 3), max_size=4))
    size = math.prod(shape) * dtype.itemsize
    raw = bytearray(draw(st.binary(min_size=size, max_size=size)))
    if dtype == torch.bool:
        raw = bytearray(byte & 1 for byte in raw)
    if not raw:
        return torch.empty(shape, dtype=dtype)
    made = torch.frombuffer(raw, dtype=torch.uint8).clone().view(dtype).reshape(shape)
    return made.transpose(0, -1) if made.ndim > 1 and draw(st.booleans()) else made


floats = st.binary(min_size=8, max_size=8).map(lambda raw: struct.unpack(">d", raw)[0])
texts = st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)
tensor_names = st.text(max_size=6) | st.sampled_from(["model/a", "tensors/a", "a", "model/", "/", "Model/a", "a/b/c"])
tensors = st.dictionaries(tensor_names, tensor(), max_size=4)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    tensors=tensors,
    best=st.none() | tensors,
    values=st.dictionaries(texts, values, max_size=3),
    numbers=st.tuples(st.integers(0, 10**12), st.integers(0, 10**6)),
)
def test_every_snapshot_comes_back_bit_for_bit(tmp_path_factory, tensors, best, values, numbers):
    folder = tmp_path_factory.mktemp("any")
    given = Snapshot(numbers[0], tensors, values, best, numbers[1])
    Checkpoints(folder).save(given)
    assert content(Checkpoints(folder).newest().snapshot) == content(given)
    shutil.rmtree(folder)


def test_tied_weights_stay_tied(tmp_path):
    weight = torch.randn(4, 4)
    tensors = {"model/embedding": weight, "model/head": weight}
    Checkpoints(tmp_path).save(Snapshot(1, tensors, {}, best={"a": weight, "b": weight}))
    read = Checkpoints(tmp_path).newest().snapshot
    assert read.tensors["model/embedding"] is read.tensors["model/head"]
    assert read.best["a"] is read.best["b"]
    assert torch.equal(read.tensors["model/head"], weight)


@pytest.mark.parametrize(
    ("values", "error"),
    [({"a": {1, 2}}, TypeError), ({1: 2}, TypeError), ({"a": "\ud800"}, ValueError), ({"\0float": "a"}, TypeError)],
)
def test_what_would_not_come_back_is_refused(values, error, tmp_path):
    with pytest.raises(error):
        Checkpoints(tmp_path).save(Snapshot(1, {}, values, None))
    assert Checkpoints(tmp_path).newest() is None


def test_keep_is_at_least_one(tmp_path):
    with pytest.raises(UsageError, match="keep is 0"):
        Checkpoints(tmp_path, keep=0)
    with pytest.raises(ValueError, match="step -1"):
        Checkpoints(tmp_path).save(Snapshot(-1, {}, {}, None))


def test_the_newest_n_stay_with_the_bests_they_name(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step, best in [(10, 1), (20, 1), (30, 3), (40, 3), (50, 3)]:
        checkpoints.save(snapshot(step, best))
        assert names(tmp_path)[-1] == f"step-{step:08d}"
    assert names(tmp_path) == ["best-0003", "step-00000040", "step-00000050"]
    assert [path.name for path in checkpoints] == ["step-00000050", "step-00000040"]


def test_the_best_weights_are_written_once(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(snapshot(10, best_epoch=1))
    before = os.stat(tmp_path / "best-0001" / "weights.safetensors")
    checkpoints.save(snapshot(20, best_epoch=1))  # equal weights, other tensors
    Checkpoints(tmp_path).save(snapshot(30, best_epoch=1))  # another process
    after = os.stat(tmp_path / "best-0001" / "weights.safetensors")
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert names(tmp_path) == ["best-0001", "step-00000020", "step-00000030"]


def test_other_weights_of_the_same_epoch_do_not_take_the_place_of_the_first(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    first, second = snapshot(10, best_epoch=1), snapshot(20, best_epoch=1)
    other = Snapshot(20, second.tensors, second.values, {"weight": torch.ones(3, 2)}, 1)
    checkpoints.save(first)
    checkpoints.save(other)
    assert names(tmp_path) == ["best-0001", "best-0001-2", "step-00000010", "step-00000020"]
    assert content(checkpoints.read(tmp_path / "step-00000010")) == content(first)
    assert content(checkpoints.read(tmp_path / "step-00000020")) == content(other)


def test_a_step_is_saved_again_beside_the_former_one_which_then_goes(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(snapshot(10))
    checkpoints.save(snapshot(20))
    again = Snapshot(20, {}, {"again": True}, None)
    assert checkpoints.save(again).name == "step-00000020-2"
    assert names(tmp_path) == ["step-00000010", "step-00000020-2"]
    assert content(Checkpoints(tmp_path).newest().snapshot) == content(again)
    third = Snapshot(20, {}, {"third": True}, None)
    assert checkpoints.save(third).name == "step-00000020"  # the name is free again, and does not say which is newer
    assert content(Checkpoints(tmp_path).newest().snapshot) == content(third)


def test_the_newest_is_told_by_the_step_in_the_manifest_not_by_name_or_time(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=9)
    for step in (30, 10, 20):  # saved in this order
        checkpoints.save(snapshot(step))
    (tmp_path / "step-00000030").rename(tmp_path / "step-00000001")
    (tmp_path / "step-00000010").rename(tmp_path / "step-99999999")
    for index, path in enumerate(sorted(tmp_path.glob("step-*"))):
        os.utime(path, (index * 1000, index * 1000))
    found = Checkpoints(tmp_path).newest()
    assert found.snapshot.step == 30 and found.path.name == "step-00000001"
    assert [path.name for path in Checkpoints(tmp_path)] == ["step-00000001", "step-00000020", "step-99999999"]


def test_one_that_is_saved_at_an_earlier_step_is_not_rotated_away(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(snapshot(100))
    checkpoints.save(snapshot(50))
    assert names(tmp_path) == ["step-00000050", "step-00000100"]


def test_a_training_that_takes_another_way_from_an_earlier_step_removes_what_lies_beyond(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=3)
    assert Checkpoints(tmp_path / "none").remove_beyond(5) == []
    for step in (10, 20, 30):
        checkpoints.save(snapshot(step))
    assert {path.name for path in checkpoints.remove_beyond(10)} == {"step-00000020", "step-00000030"}
    assert checkpoints.newest().snapshot.step == 10


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_jumps_changes_nothing(days, tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(snapshot(10))
    told = []

    class Jumped(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime.now(zone) + timedelta(days=days)

    monkeypatch.setattr(checkpoint_files, "datetime", Jumped)
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + days * 86_400)
    saver = Saver(checkpoints, told.append)
    saver.save_now(snapshot(20))
    for name in ("step-00000010", "step-00000020"):
        then = time.time() + (days if name.endswith("20") else 0) * 86_400
        for file in [tmp_path / name, *(tmp_path / name).iterdir()]:
            os.utime(file, (then, then))
    saver.save_now(snapshot(30))
    assert names(tmp_path) == ["step-00000020", "step-00000030"]
    assert Checkpoints(tmp_path).newest().snapshot.step == 30
    assert all(record["seconds"] >= 0 for record in told)


def test_a_read_back_that_differs_keeps_the_old_ones_and_nothing_of_the_new(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(snapshot(10, best_epoch=1))
    original = checkpoint_files.write_pieces

    def failing_memory(path, pieces):
        digest = original(path, pieces)
        if path.name == "optimizer.safetensors":
            with open(path, "r+b") as file:
                file.seek(-1, os.SEEK_END)
                file.write(b"\xff")
        return digest

    monkeypatch.setattr(checkpoint_files, "write_pieces", failing_memory)
    with pytest.raises(StorageError, match=r"gave something else back: optimizer\.safetensors was altered"):
        checkpoints.save(snapshot(20, best_epoch=1))
    assert names(tmp_path) == ["best-0001", "step-00000010"]
    assert checkpoints.newest().snapshot.step == 10


def test_older_checkpoints_are_read_again_only_when_they_changed(tmp_path, monkeypatch):
    read = []
    original = checkpoint_proofs.prove
    monkeypatch.setattr(
        checkpoint_proofs, "prove", lambda path, manifest: (read.append(path.name), original(path, manifest))
    )
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(snapshot(10, best_epoch=1))
    checkpoints.save(snapshot(20, best_epoch=1))
    assert read == []  # proven when they were written
    fresh = Checkpoints(tmp_path, keep=2)
    fresh.newest()
    fresh.save(snapshot(30, best_epoch=1))
    assert read == []  # 20 was proven when it was read, and 10 went
    (tmp_path / "step-00000030" / "values.json").touch()
    fresh.save(snapshot(40, best_epoch=1))
    assert read == ["step-00000030"]
    (tmp_path / "best-0001" / "weights.safetensors").touch()
    fresh.save(snapshot(50, best_epoch=1))
    assert read == ["step-00000030", "best-0001"]


def test_unreadable_older_ones_do_not_count_as_kept_and_are_named(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (10, 20):
        checkpoints.save(snapshot(step))
    size = (tmp_path / "step-00000020" / "model.safetensors").stat().st_size
    (tmp_path / "step-00000020" / "model.safetensors").write_bytes(b"")
    written = checkpoints.write(snapshot(30))
    assert names(tmp_path) == ["step-00000010", "step-00000020", "step-00000030"]
    assert written.unreadable == [f"step-00000020: model.safetensors has 0 bytes, expected {size}"]
    (tmp_path / "step-00000010" / "manifest.json").unlink()
    written = checkpoints.write(snapshot(40))  # 30 and 40 are intact: 20 is older, and 10 says nothing
    assert names(tmp_path) == ["step-00000010", "step-00000030", "step-00000040"]
    assert written.unreadable == ["step-00000010: manifest.json is missing"]


def test_a_checkpoint_of_a_later_release_is_left_alone_and_said_to_be_one(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=1)
    with monkeypatch.context() as later:
        later.setattr(checkpoint_files, "FORMAT", 2)
        checkpoints.save(snapshot(90, best_epoch=7))
    with pytest.raises(CheckpointError, match="it has checkpoint format 2, and this release"):
        checkpoints.newest()
    written = checkpoints.write(snapshot(10, best_epoch=1))
    assert names(tmp_path) == ["best-0001", "best-0007", "step-00000010", "step-00000090"]
    assert "checkpoint format 2" in written.unreadable[0]
    assert checkpoints.newest().passed_over == written.unreadable


def test_what_a_dead_process_left_is_removed_at_the_next_save(tmp_path):
    for name in (".step-00000005.0123abcd.tmp", ".step-00000004.0123abcd.old", ".best-0001.0123abcd.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"half")
    (tmp_path / "mine.txt").write_text("a note")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.newest() is None
    checkpoints.save(snapshot(10))
    assert names(tmp_path) == ["mine.txt", "step-00000010"]


def test_naming_what_is_no_checkpoint_says_what_there_is(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(snapshot(10, best_epoch=1))
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*step-00000011.* there are: step-00000010"):
        checkpoints.read(tmp_path / "step-00000011")
    with pytest.raises(CheckpointError, match="it holds the best weights alone"):
        checkpoints.read(tmp_path / "best-0001")
    with pytest.raises(CheckpointError, match=r"manifest\.json is missing"):
        checkpoints.read(tmp_path)


@pytest.fixture
def gate(monkeypatch):
    """Holds every write of a checkpoint back until it is opened."""
    opened = threading.Event()
    original = module.write_folder

    def held(*given, **named):
        assert opened.wait(20)
        return original(*given, **named)

    monkeypatch.setattr(module, "write_folder", held)
    yield opened
    opened.set()


def test_one_save_at_a_time_in_the_background(tmp_path, gate):
    told = []
    saver = Saver(Checkpoints(tmp_path), told.append)
    assert saver.submit(snapshot(10))
    assert saver.busy
    assert not saver.submit(snapshot(20))
    assert names(tmp_path) == []
    gate.set()
    saver.close()
    assert not saver.busy
    assert saver.submit(snapshot(30))
    saver.close()
    saver.close()
    assert names(tmp_path) == ["step-00000010", "step-00000030"]
    assert [(record["step"], record["path"]) for record in told] == [
        (10, str(tmp_path / "step-00000010")),
        (30, str(tmp_path / "step-00000030")),
    ]
    size = sum(file.stat().st_size for file in (tmp_path / "step-00000030").iterdir() if file.name != "manifest.json")
    assert told[1]["bytes"] == size and told[1]["seconds"] > 0 and told[1]["unreadable"] == []


def test_saving_now_waits_for_the_one_that_is_going_on(tmp_path, gate):
    told = []
    saver = Saver(Checkpoints(tmp_path), lambda record: told.append((record["step"], threading.current_thread())))
    saver.submit(snapshot(10))
    threading.Timer(0.05, gate.set).start()
    saver.save_now(snapshot(20))
    assert [step for step, _ in told] == [10, 20]
    assert told[1][1] is threading.current_thread() is not told[0][1]


@pytest.mark.parametrize("call", ["submit", "save_now", "close"])
def test_an_error_in_the_background_is_raised_at_the_next_call_once(call, tmp_path, monkeypatch):
    saver = Saver(Checkpoints(tmp_path))
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 99, 1))
        assert saver.submit(snapshot(10))
        saver.wait()
    with pytest.raises(StorageError, match=r"\d+ bytes needed, 1 bytes free"):
        getattr(saver, call)(*([] if call == "close" else [snapshot(20)]))
    saver.close()
    # Saving now is for when there is no time left: what went wrong before does not cost this state.
    assert names(tmp_path) == (["step-00000020"] if call == "save_now" else [])
    assert saver.submit(snapshot(30))
    saver.close()
    assert Checkpoints(tmp_path).newest().snapshot.step == 30


def test_an_error_of_whoever_is_told_is_not_swallowed(tmp_path):
    def told(record):
        raise RuntimeError("the log is gone")

    saver = Saver(Checkpoints(tmp_path), told)
    saver.submit(snapshot(10))
    with pytest.raises(RuntimeError, match="the log is gone"):
        saver.close()
    assert names(tmp_path) == ["step-00000010"]
