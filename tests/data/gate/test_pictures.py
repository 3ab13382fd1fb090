"""Pictures that were read in spite of something unusual, and those that were not: counted, and named by their path."""

from __future__ import annotations

import numpy as np
import pytest
from driver import examine, found
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 30), ("test", 10)):
        for at in range(count):
            place = tmp_path / split / "ab"[at % 2] / f"{at:02d}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(place)
    return tmp_path


def data_of(folder, **more) -> dict:
    image = {"image": {"type": "image", "size": 8}}
    return {"source": str(folder), "inputs": image, "targets": {"label": "category"}, "unreadable_limit": 0.5, **more}


@pytest.mark.parametrize("k", [1, 3])
def test_conversions_are_counted_by_kind_and_named(folder, k):
    deep = (np.arange(64, dtype=np.uint16) * 1000).reshape(8, 8)
    for at in range(k):
        Image.fromarray(deep).save(folder / "train" / "a" / f"{4 * at:02d}.png")
    [finding] = found(examine(data_of(folder), chunk=7), "image_conversions")
    assert (finding.rows, finding.severity, finding.columns) == (k, "note", ["image"])
    assert sum(finding.details.values()) == k
    assert [row.place for row in finding.examples] == [
        str(folder / "train" / "a" / f"{4 * at:02d}.png") for at in range(k)
    ]
    assert all(row.what for row in finding.examples)


@pytest.mark.parametrize("k", [1, 4])
def test_broken_pictures_are_named_by_their_path(folder, k):
    broken = [folder / "test" / "b" / f"{2 * at + 1:02d}.png" for at in range(k)]
    for at, path in enumerate(broken):
        path.write_bytes(path.read_bytes()[:60] if at % 2 else b"")
    [finding] = found(examine(data_of(folder), chunk=7), "unreadable")
    assert (finding.rows, finding.policy) == (k, "drop")
    assert [row.place for row in finding.examples] == [str(path) for path in broken]


def test_the_same_picture_under_two_names_is_a_duplicate_across_splits(folder):
    copy = folder / "test" / "a" / "08.png"
    copy.write_bytes((folder / "train" / "a" / "02.png").read_bytes())
    [finding] = found(examine(data_of(folder)), "duplicates_across_splits")
    assert finding.rows == 1 and [row.place for row in finding.examples] == [str(copy)]
    assert finding.examples[0].what == f"trained on as {folder / 'train' / 'a' / '02.png'}"
