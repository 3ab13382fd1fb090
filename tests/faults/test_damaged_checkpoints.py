"""Damaged checkpoints, and those a stranger made: found out, named and passed over; an error where one was named."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from pathlib import Path

import pytest
import torch

from modelyard.core.errors import CheckpointError
from modelyard.core.files import digest_bytes, to_json
from modelyard.train.saving.checkpoints import Checkpoints, Snapshot

FILES = [
    "step-00000002/manifest.json",
    "step-00000002/model.safetensors",
    "step-00000002/optimizer.safetensors",
    "step-00000002/values.json",
    "best-0002/manifest.json",
    "best-0002/weights.safetensors",
]


def snapshot(step: int) -> Snapshot:
    tensors = {"model/weight": torch.full((3,), float(step)), "optimizer/momentum": torch.full((3,), step / 3)}
    return Snapshot(step, tensors, {"step": step}, {"weight": torch.full((3,), -float(step))}, best_epoch=step)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    for step in (1, 2):
        Checkpoints(folder).save(snapshot(step))
    assert sorted(str(path.relative_to(folder)) for path in folder.glob("*[2]/*")) == sorted(FILES)
    return folder


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def falls_back(folder: Path, reason: str) -> None:
    """The older one is taken, the reason is given, and the damaged one is an error when it is named."""
    found = Checkpoints(folder).newest()
    assert found.snapshot.step == 1 and found.path.name == "step-00000001"
    assert len(found.passed_over) == 1 and found.passed_over[0].startswith("step-00000002: ")
    assert reason in found.passed_over[0]
    with pytest.raises(CheckpointError) as caught:
        Checkpoints(folder).read(folder / "step-00000002")
    assert reason in str(caught.value) and caught.value.exit_code == 2


def reason(file: str, what: str) -> str:
    folder, name = file.split("/")
    return f"{folder}: {name} {what}" if folder.startswith("best") else f"{name} {what}"


@pytest.mark.parametrize("file", FILES)
def test_any_flipped_byte_is_found(copy, file):
    path = copy / file
    whole = path.read_bytes()
    for at in {*range(0, len(whole), 41), 0, len(whole) // 2, len(whole) - 1}:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        falls_back(copy, reason(file, "was altered"))
    path.write_bytes(whole)
    assert Checkpoints(copy).newest().snapshot.step == 2


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("file", FILES)
def test_a_truncated_file_is_found(copy, file, share):
    path = copy / file
    whole = path.read_bytes()
    length = int(len(whole) * share)
    path.write_bytes(whole[:length])
    what = "was altered" if "manifest" in file else f"has {length} bytes, expected {len(whole)}"
    falls_back(copy, reason(file, what))


@pytest.mark.parametrize("file", FILES)
def test_a_longer_file_is_found(copy, file):
    with open(copy / file, "ab") as more:
        more.write(b"\n")
    falls_back(copy, reason(file, "was altered" if "manifest" in file else "has "))


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_found(copy, file):
    (copy / file).unlink()
    falls_back(copy, reason(file, "is missing"))


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("what", ["link", "folder", "pipe"])
def test_a_file_that_is_no_file_is_not_opened(copy, file, what):
    path = copy / file
    path.rename(copy / "elsewhere")
    if what == "link":
        path.symlink_to(copy / "elsewhere")
    elif what == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)  # opening it waits for somebody who writes
    falls_back(copy, reason(file, "is not a plain file"))


def test_missing_best_weights_are_found(copy):
    shutil.rmtree(copy / "best-0002")
    falls_back(copy, "best-0002: the folder is missing")


def test_best_weights_of_another_time_are_never_paired(copy, tmp_path):
    other = snapshot(2)
    Checkpoints(tmp_path / "other").save(Snapshot(2, other.tensors, {}, {"weight": torch.ones(3)}, best_epoch=2))
    shutil.rmtree(copy / "best-0002")
    (tmp_path / "other" / "best-0002").rename(copy / "best-0002")
    falls_back(copy, "best-0002: it is not the one that the checkpoint was saved with")


def test_a_folder_that_is_a_link_or_a_file_is_passed_over(copy):
    (copy / "step-00000002").rename(copy / "elsewhere")
    (copy / "step-00000002").symlink_to(copy / "elsewhere")
    falls_back(copy, "it is no folder")
    (copy / "step-00000002").unlink()
    (copy / "step-00000002").write_text("a file")
    found = Checkpoints(copy).newest()
    assert found.passed_over == ["step-00000002: it is no folder"]


def test_a_half_deleted_checkpoint_without_its_manifest_does_not_hide_the_older_one(copy):
    for file in FILES[:3]:
        (copy / file).unlink()
    falls_back(copy, "manifest.json is missing")


def test_where_none_is_intact_it_is_an_error_that_names_them_all(copy):
    (copy / "step-00000002" / "values.json").unlink()
    (copy / "best-0001" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        Checkpoints(copy).newest()
    message = str(caught.value)
    assert "step-00000002: values.json is missing" in message
    assert "step-00000001: best-0001: weights.safetensors has 0 bytes" in message


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("file", FILES)
def test_rotation_over_damaged_ones_never_leaves_less_than_was_readable(copy, file, keep):
    damaged = bytearray((copy / file).read_bytes())
    damaged[-3] ^= 4
    (copy / file).write_bytes(damaged)
    for step in (3, 4, 5):
        Checkpoints(copy, keep).save(snapshot(step))
        steps = [path.name for path in Checkpoints(copy, keep)]
        assert f"step-{step:08d}" in steps
        newest = Checkpoints(copy, keep).newest()
        assert newest.snapshot.step == step
        # Take the newest away: with keep=2, the one before it must be readable too.
        shutil.move(newest.path, copy / "aside")
        if keep == 2:
            before = Checkpoints(copy, keep).newest()
            assert before.snapshot.step == (step - 1 if step > 3 else 1 if step == 3 else 0)
        shutil.move(copy / "aside", newest.path)


CANARY = b"cos\nsystem\n(S'touch canary-was-run'\ntR."
"""A pickle that makes a file when it is loaded."""


def test_the_canary_sings_when_it_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(CANARY)
    assert (tmp_path / "canary-was-run").exists()


@pytest.mark.parametrize(
    ("file", "vouched"),
    [(file, vouched) for file in FILES for vouched in (False, True) if not (vouched and "manifest" in file)],
)
def test_a_pickle_in_any_place_never_runs(copy, file, vouched, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (copy / file).write_bytes(CANARY)
    folder = (copy / file).parent
    if vouched:  # by a manifest that somebody made for it
        vouch(folder, file.split("/")[1], CANARY)
        if folder.name.startswith("best"):
            best = json.loads((folder / "manifest.json").read_text())
            forge(copy / "step-00000002", best={"name": folder.name, "manifest": best["sha256"]})
    (copy / "step-00000002" / "extra.pt").write_bytes(CANARY)
    (copy / "step-00000002" / "__init__.py").write_text("open('canary-was-run', 'w')")
    assert Checkpoints(copy).newest().snapshot.step == 1
    with pytest.raises(CheckpointError):
        Checkpoints(copy).read(copy / "step-00000002")
    Checkpoints(copy).save(snapshot(3))
    assert not (tmp_path / "canary-was-run").exists()


def forge(folder: Path, **changed: object) -> None:
    """Change a manifest as somebody would who knows how its digest is made."""
    value = {**json.loads((folder / "manifest.json").read_text()), **changed}
    value.pop("sha256")
    value["sha256"] = digest_bytes((to_json(value, indent=1) + "\n").encode())
    (folder / "manifest.json").write_text(to_json(value, indent=1) + "\n")


def vouch(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    forge(folder, files={**files, name: {"size": len(content), "sha256": digest_bytes(content)}})


def test_a_forged_manifest_that_is_proper_is_taken(copy):
    """So that the tests below fail for what they plant, and not for how it is planted."""
    forge(copy / "step-00000002", step=7, created="whenever")
    assert Checkpoints(copy).newest().snapshot.step == 7


DIGEST = {"size": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    "changed",
    [
        {"step": -1},
        {"step": True},
        {"step": 1.0},
        {"step": "2"},
        {"serial": None},
        {"best_epoch": -1},
        {"kind": "best"},
        {"kind": ["step"]},
        {"created": 5},
        {"code": "os.system"},
        {"best": "best-0001"},
        {"best": {"name": "../best-0001", "manifest": "0" * 64}},
        {"best": {"name": "best-0001", "manifest": "x"}},
        {"best": {"name": 1, "manifest": "0" * 64}},
        {"files": []},
        {"files": {"../../etc/passwd": DIGEST}},
        {"files": {"/etc/passwd": DIGEST}},
        {"files": {"a/model.safetensors": DIGEST}},
        {"files": {"model.pt": DIGEST}},
        {"files": {"model.safetensors\n": DIGEST}},
        {"files": {"model.safetensors": {"size": -2, "sha256": "0" * 64}}},
        {"files": {"values.json": {"size": -2, "sha256": "0" * 64}}},
        {"files": {"model.safetensors": {"size": 1 << 70, "sha256": "0" * 64}}},
        {"files": {"values.json": {"size": 1 << 70, "sha256": "0" * 64}}},
        {"files": {"model.safetensors": {"size": 1}}},
        {"files": {}},
    ],
    ids=str,
)
def test_a_manifest_that_says_what_no_release_writes_is_passed_over(copy, changed):
    forge(copy / "step-00000002", **changed)
    found = Checkpoints(copy).newest()
    assert found.snapshot.step == 1
    assert len(found.passed_over) == 1 and found.passed_over[0].startswith("step-00000002: ")


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"5",
        b"NaN",
        b'{"a": NaN}',
        b'{"a": {"\\u0000float": 5}}',
        b'{"a": {"\\u0000float": "12"}}',
        b'{"a": {"\\u0000float": "zz"}}',
        b"[" * 100_000,
        b"{" + b"9" * 5000,
        b"\xff",
        b"",
    ],
    ids=lambda content: repr(content[:20]),
)
def test_values_that_are_no_values_are_passed_over(copy, content):
    vouch(copy / "step-00000002", "values.json", content)
    falls_back(copy, "values.json ")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<Q", 1 << 63) + b"{}",
        struct.pack("<Q", 2) + b"{}" + b"1",
        struct.pack("<Q", 60) + b'{"weight":{"dtype":"U8","shape":[9],"data_offsets":[0,1]}}  ' + b"1",
    ],
    ids=repr,
)
def test_tensors_that_are_no_tensors_are_passed_over(copy, content):
    vouch(copy / "step-00000002", "model.safetensors", content)
    falls_back(copy, "model.safetensors is no safetensors file")


def test_a_manifest_of_a_gigabyte_is_not_read(copy):
    with open(copy / "step-00000002" / "manifest.json", "r+b") as file:
        file.truncate(1 << 30)
    falls_back(copy, "manifest.json was altered")
