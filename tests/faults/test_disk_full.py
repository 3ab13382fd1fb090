"""A disk that fills up after any number of bytes: the old checkpoint stays, nothing half-written, and it is said."""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import os
import resource
import shutil
from pathlib import Path

import pytest
import torch

from modelyard.core.errors import StorageError
from modelyard.train.saving.checkpoints import Checkpoints, Snapshot
from modelyard.train.saving.saver import Saver


def snapshot(step: int) -> Snapshot:
    tensors = {"model/weight": torch.full((100,), float(step)), "optimizer/momentum": torch.full((100,), step / 3)}
    return Snapshot(step, tensors, {"step": step}, {"weight": torch.full((100,), -float(step))}, best_epoch=step)


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fill_after(monkeypatch, room: int) -> None:
    """Let files opened for writing take `room` bytes in all; the last write takes what fits, as a disk does."""
    real_open = builtins.open
    left = [room]

    class Disk(io.FileIO):
        def write(self, data):
            view = memoryview(data).cast("B")
            if len(view) and not left[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            count = super().write(view[: left[0]])
            left[0] -= count
            return count

    def limited(file, mode="r", *given, **named):
        if set(mode) & set("wx") and not isinstance(file, int):
            return io.BufferedWriter(Disk(file, mode.replace("b", "")))
        return real_open(file, mode, *given, **named)

    monkeypatch.setattr(builtins, "open", limited)
    monkeypatch.setattr(io, "open", limited)


def test_a_disk_that_fills_up_after_any_number_of_bytes(tmp_path, monkeypatch):
    folder = tmp_path / "checkpoints"
    Checkpoints(folder, keep=1).save(snapshot(1))
    before = state(folder)
    whole = sum(map(len, before.values()))
    for room in [*range(0, whole, 97), whole - 1]:
        with monkeypatch.context() as patched:
            fill_after(patched, room)
            with pytest.raises(StorageError, match=r"no space left while writing .*\(\d+ bytes needed, \d+ bytes free"):
                Checkpoints(folder, keep=1).save(snapshot(2))
        assert state(folder) == before, f"with room for {room} bytes"
        assert Checkpoints(folder).newest().snapshot.step == 1
    with monkeypatch.context() as patched:
        fill_after(patched, whole + 200)
        Checkpoints(folder, keep=1).save(snapshot(2))
    assert Checkpoints(folder).newest().snapshot.step == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_refuses_only_when_it_is_asked_to_hold_on_to_it(tmp_path, monkeypatch, number):
    Checkpoints(tmp_path, keep=1).save(snapshot(1))
    before = state(tmp_path)
    real = os.fsync
    refused = 0
    for allowed in itertools.count():
        calls = iter(range(allowed))

        def refusing(descriptor, calls=calls):
            if next(calls, None) is None:
                raise OSError(number, os.strerror(number))
            real(descriptor)

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", refusing)
            try:
                Checkpoints(tmp_path, keep=1).save(snapshot(2))
            except StorageError:
                refused += 1
        newest = Checkpoints(tmp_path).newest()
        if newest.snapshot.step == 2:  # it has its name; that the folder holds on to it is what was refused at last
            break
        after = state(tmp_path)
        assert {name: after[name] for name in before} == before
        assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
        assert newest.snapshot.step == 1
    assert refused >= 10, "files and folders of two directories"


def test_too_little_space_is_said_before_anything_is_written(tmp_path, monkeypatch):
    Checkpoints(tmp_path, keep=1).save(snapshot(1))
    before = state(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 5000, 5000))
    monkeypatch.setattr(os, "mkdir", None)  # nothing is begun
    with pytest.raises(StorageError, match=r"(\d+) bytes needed, 5000 bytes free there. Nothing was written") as caught:
        Checkpoints(tmp_path, keep=1).save(snapshot(2))
    needed = int(str(caught.value).split(" bytes needed")[0].split()[-1])
    assert needed >= 4 * 400 - 400 + 4096  # three times 100 floats, values and manifests
    assert state(tmp_path) == before


def test_a_file_system_that_does_not_know_its_size_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 0))
    Checkpoints(tmp_path).save(snapshot(1))
    assert Checkpoints(tmp_path).newest().snapshot.step == 1


def test_in_the_background_it_is_raised_at_the_next_call_and_the_old_one_stays(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(snapshot(1))
    saver = Saver(checkpoints)
    with monkeypatch.context() as patched:
        fill_after(patched, 500)
        saver.submit(snapshot(2))
        saver.wait()
    with pytest.raises(StorageError, match="no space left"):
        saver.close()
    assert checkpoints.newest().snapshot.step == 1


def test_the_systems_own_limit_on_files_is_a_storage_error(tmp_path):
    Checkpoints(tmp_path, keep=1).save(snapshot(1))
    before = state(tmp_path)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, usual[1]))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*(step-00000002|best-0002)"):
            Checkpoints(tmp_path, keep=1).save(snapshot(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert state(tmp_path) == before
    assert Checkpoints(tmp_path).newest().snapshot.step == 1
