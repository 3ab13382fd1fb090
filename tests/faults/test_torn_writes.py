"""A power cut or a kill after any single call to the file system leaves the old checkpoint or the new one, whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from journal import DISKS, Journal, materialise

from modelyard.core.files import atomic_directory
from modelyard.train.saving.checkpoints import Checkpoints, Snapshot


def snapshot(step: int) -> Snapshot:
    """Every part of it says which step it is of."""
    tensors = {"model/weight": torch.full((2,), float(step)), "optimizer/weight/step": torch.tensor(step)}
    return Snapshot(step, tensors, {"step": step}, {"weight": torch.full((2,), -float(step))}, best_epoch=step)


def step_of(snapshot: Snapshot) -> int:
    """The step of a snapshot all of whose parts are of the same one."""
    parts = [
        snapshot.step,
        snapshot.best_epoch,
        snapshot.values["step"],
        int(snapshot.tensors["optimizer/weight/step"]),
        *snapshot.tensors["model/weight"].int().tolist(),
        *(-snapshot.best["weight"]).int().tolist(),
    ]
    assert len(set(parts)) == 1, f"mixed: {parts}"
    return parts[0]


def recorded(tmp_path: Path, monkeypatch, keep: int, steps: tuple[int, ...]) -> tuple[Journal, list[int]]:
    """The journal of a run's saves, and its length after each of them."""
    root = tmp_path / "recorded"
    root.mkdir()
    journal, ends = Journal(root), []
    with monkeypatch.context() as patched:
        journal.start(patched)
        checkpoints = Checkpoints(root / "runs" / "one" / "checkpoints", keep)
        for step in steps:
            checkpoints.save(snapshot(step))
            ends.append(len(journal.entries))
    return journal, ends


@pytest.mark.parametrize("kind", DISKS)
@pytest.mark.parametrize(("keep", "steps"), [(1, (1, 2)), (2, (1, 2, 3))])
def test_every_prefix_of_the_saves_loads_as_the_old_or_the_new_never_mixed(tmp_path, monkeypatch, keep, steps, kind):
    journal, ends = recorded(tmp_path, monkeypatch, keep, steps)
    calls = {entry[0] for entry in journal.entries}
    assert calls == {"create", "write", "fsync", "mkdir", "rename", "unlink", "rmdir"}, "the journal saw every kind"
    seen = set()
    previous, step = None, 0
    for count, disk in enumerate(journal.disks(kind)):
        done = [0, *(step for step, end in zip(steps, ends, strict=True) if end <= count)][-1]
        if disk != previous:
            materialise(disk, tmp_path / "disk")
            checkpoints = Checkpoints(tmp_path / "disk" / "runs" / "one" / "checkpoints", keep)
            found = checkpoints.newest()
            step = 0 if found is None else step_of(found.snapshot)
            assert found is None or found.passed_over == [], "what is half written has no checkpoint's name"
            if count % 20 == 0:  # and the training goes on from there
                checkpoints.save(snapshot(9))
                assert step_of(checkpoints.newest().snapshot) == 9
                assert not [name for name in os.listdir(checkpoints.folder) if name.endswith((".tmp", ".old"))]
            shutil.rmtree(tmp_path / "disk")
        assert step in (done, done + 1), f"after {count} calls, {done} was saved and {step} is found"
        seen.add((done, step))
        previous = disk
    assert seen >= {(0, 0), *((step, step) for step in steps)} and any(step > done for done, step in seen)


@pytest.mark.parametrize("kind", DISKS)
def test_a_directory_that_takes_anothers_place_is_never_seen_in_part(tmp_path, monkeypatch, kind):
    root = tmp_path / "recorded"
    root.mkdir()
    journal = Journal(root)
    with monkeypatch.context() as patched:
        journal.start(patched)
        for content in ("1", "2"):
            with atomic_directory(root / "d") as folder:
                for name in ("a", "b"):
                    with open(folder / name, "wb") as file:
                        file.write(content.encode())
    states = [{name: disk[name] for name in ("d", "d/a", "d/b") if name in disk} for disk in journal.disks(kind)]
    old, new = ({"d": None, "d/a": content, "d/b": content} for content in (b"1", b"2"))
    assert all(state in ({}, old, new) for state in states)
    assert old in states and states[-1] == new
