from __future__ import annotations

import errno
import json
import math
import os

import numpy as np
import pytest

from modelyard.core.errors import DataError, StorageError
from modelyard.core.files import (
    atomic_directory,
    atomic_file,
    digest_file,
    locked,
    make_folder,
    read_json,
    remove_directory,
    remove_leftovers,
    require_space,
    to_json,
    write_json,
    write_text,
)


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_file(path) as file:
        file.write(b"ne")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_directory_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "d") as folder:
        (folder / "one").write_text("1")
        raise RuntimeError
    assert os.listdir(tmp_path) == []
    with atomic_directory(tmp_path / "d") as folder:
        (folder / "one").write_text("1")
        assert not (tmp_path / "d").exists()
    assert (tmp_path / "d" / "one").read_text() == "1"


def test_a_directory_takes_the_place_of_an_older_one(tmp_path):
    for content in ("1", "2"):
        with atomic_directory(tmp_path / "d") as folder:
            (folder / content).write_text(content)
    assert os.listdir(tmp_path / "d") == ["2"]
    assert os.listdir(tmp_path) == ["d"]


@pytest.mark.parametrize("after", [0, 1, 10, 1000])
def test_a_full_disk_says_how_much_is_free_and_keeps_the_old_file(tmp_path, monkeypatch, after):
    path = tmp_path / "a.json"
    write_json(path, {"old": True})

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"no space left while writing .*bytes free"):
        write_json(path, {"new": "x" * after})
    assert json.loads(path.read_text()) == {"old": True}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_place_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_text(tmp_path / "file" / "inner", "x")


def test_json_is_strict_both_ways(tmp_path):
    assert json.loads(to_json({"a": math.nan, "b": np.float32(1.5), "c": np.arange(2)})) == {
        "a": None,
        "b": 1.5,
        "c": [0, 1],
    }
    (tmp_path / "bad.json").write_text('{"a": NaN}')
    with pytest.raises(DataError, match="not valid JSON"):
        read_json(tmp_path / "bad.json")
    with pytest.raises(DataError, match="no such file"):
        read_json(tmp_path / "absent.json")


def test_a_digest_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_file(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_a_lock_is_held_by_one_and_released_by_death_though_a_fork_lives_on(tmp_path):
    lock = tmp_path / "runs" / ".lock"
    ready, begun = os.pipe()
    over, done = os.pipe()
    trainer = os.fork()
    if trainer == 0:
        with locked(lock):
            if os.fork():  # the trainer dies at once, holding the lock; its worker goes on
                os._exit(0)
            os.write(begun, b"x")
            os.close(done)
            os.read(over, 1)
            os._exit(0)
    os.waitpid(trainer, 0)
    os.read(ready, 1)
    with locked(lock, wait=False) as mine:
        assert mine, "a worker that outlives its trainer must not keep others from carrying on"
        with locked(lock, wait=False) as other:
            assert not other
    with locked(lock, wait=False) as again:
        assert again
    for descriptor in (ready, begun, over, done):
        os.close(descriptor)


def test_a_lock_that_was_held_when_forking_can_be_left_in_the_child(tmp_path):
    with locked(tmp_path / ".lock"):
        child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_a_folder_and_those_above_it_are_on_the_disk(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd)))
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert synced == [str(tmp_path), str(tmp_path / "a")]


def test_a_removal_that_is_cut_short_leaves_no_part_under_the_name(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "file").write_text("x")
    remove_directory(tmp_path / "one")
    assert os.listdir(tmp_path) == ["two"]
    with monkeypatch.context() as cut:
        cut.setattr(os, "unlink", lambda *given, **named: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            remove_directory(tmp_path / "two")
    assert [name for name in os.listdir(tmp_path) if not name.startswith(".two.")] == []
    (tmp_path / ".hidden").write_text("mine")
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == [".hidden"]


def test_space_is_counted_in_blocks(tmp_path):
    assert require_space(tmp_path / "not" / "there", [1, 4096, 4097]) == (1 + 1 + 2 + 4) * 4096
    with pytest.raises(StorageError, match=r"\d+ bytes needed, \d+ bytes free there"):
        require_space(tmp_path, [1 << 62])
