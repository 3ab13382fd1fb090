"""Pictures that are nearly the same: copies are found whatever was done to them, different pictures are not."""

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image as Pillow
from sklearn.datasets import load_digits

from modelyard.core.randomness import stream
from modelyard.core.states import read_state, write_state
from modelyard.data.gate.check import RowIndex
from modelyard.data.gate.examined import DROPPED, Examined
from modelyard.data.gate.near_image import NearDuplicateImages
from modelyard.data.gate.perceptual_hash import SIDE, _bits_set, hashes_of, near_pictures, thumbnails
from modelyard.data.modalities.image import Image, ImageSettings
from modelyard.data.sources.base import Rows

TRAIN, VALIDATION, TEST = 0, 1, 2


def scenes(count, side=64, seed=0):
    """Pictures like photographs: smooth shapes of several sizes, in colour."""
    rng = stream(seed, "scenes")
    found = []
    for _ in range(count):
        picture = np.zeros((side, side, 3))
        for size in (3, 6, 12, 24):
            noise = rng.uniform(0, 255, (size, size, 3)).astype(np.uint8)
            layer = Pillow.fromarray(noise).resize((side, side), Pillow.Resampling.BICUBIC)
            picture += np.asarray(layer, float) / size
        picture -= picture.min()
        found.append((picture / picture.max() * 200 + 20).astype(np.uint8))
    return found


def recompressed(pixels):
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "JPEG", quality=60)
    return np.asarray(Pillow.open(buffer))


def resized(pixels):
    side = len(pixels)
    small = Pillow.fromarray(pixels).resize((round(side * 0.9),) * 2, Pillow.Resampling.BILINEAR)
    return np.asarray(small.resize((side, side), Pillow.Resampling.BILINEAR))


def brightened(pixels):
    return np.clip(pixels.astype(float) * 1.05 + 8, 0, 255).astype(np.uint8)


class Lines:
    """A source of one file with a header."""

    def label(self):
        return "p"

    def files(self):
        return ["p"]

    def place(self, file, positions):
        return [f"{file}, line {position + 2}" for position in positions]


def check_of(pictures, limit=None):
    height, width, channels = next(picture for picture in pictures if picture is not None).shape
    modality = Image("p", ImageSettings(size=(height, width), channels=channels))
    subject = SimpleNamespace(inputs=[modality], targets=[], parts={None: Lines()})
    return NearDuplicateImages(subject) if limit is None else NearDuplicateImages(subject, limit)


def chunks(pictures, codes, size):
    length = next(picture for picture in pictures if picture is not None).size
    values = [None if picture is None else picture.reshape(-1).tolist() for picture in pictures]
    whole = pa.array(values, pa.list_(pa.uint8(), length))
    for start in range(0, len(whole), size):
        part = whole.slice(start, size)
        count = len(part)
        rows = Rows(pa.record_batch([part], names=["p"]), "p", start)
        at = np.arange(start, start + count)
        yield Examined(rows, start, codes[start : start + count], at, np.zeros(count, np.uint64), {"p": part})


def index_of(codes):
    hashes = np.zeros(len(codes), np.uint64)
    return RowIndex(hashes, hashes, hashes, codes, np.zeros(len(codes), np.int32), np.arange(len(codes)), ["p"])


def found_in(pictures, codes=None, size=1000, limit=None):
    codes = np.zeros(len(pictures), np.int8) if codes is None else np.array(codes, np.int8)
    check = check_of(pictures, limit)
    for chunk in chunks(pictures, codes, size):
        check.observe(chunk)
    return check.finish(index_of(codes))


@pytest.mark.parametrize("change", [recompressed, resized, brightened])
def test_every_planted_copy_is_counted_and_named_with_its_original(change):
    pictures = scenes(60)
    originals = [0, 7, 31, 59]
    (found,) = found_in(pictures + [change(pictures[at]) for at in originals])
    assert found.finding.rows == 4
    assert found.finding.columns == ["p"]
    assert found.numbers.tolist() == [60, 61, 62, 63]
    assert [pair[:2] for pair in found.finding.details["pairs"]] == [[60 + i, at] for i, at in enumerate(originals)]
    assert found.words[61].startswith("nearly the same as p, line 9 (")
    assert found.drop.tolist() == [60, 61, 62, 63]


def test_different_pictures_are_no_finding():
    assert found_in(scenes(200)) == []


def test_exact_copies_are_left_to_other_checks():
    pictures = scenes(20)
    assert found_in(pictures + pictures) == []


def test_held_out_pictures_near_training_are_a_warning_and_only_training_is_dropped():
    pictures = scenes(30)
    pictures += [recompressed(pictures[3]), brightened(pictures[4]), resized(pictures[5])]
    across, within = found_in(pictures, [TRAIN] * 30 + [TEST, VALIDATION, TRAIN])
    assert across.finding.severity == "warn"
    assert (across.numbers.tolist(), across.drop.tolist()) == ([30, 31], [3, 4])
    assert (within.numbers.tolist(), within.drop.tolist()) == ([32], [32])


def test_pictures_of_one_colour_and_missing_ones_are_not_compared():
    flat = [np.full((64, 64, 3), level, np.uint8) for level in (0, 1, 128, 255)]
    assert found_in([*flat, None, *scenes(5)]) == []


def test_pictures_that_are_left_out_take_no_part():
    pictures = scenes(10)
    assert found_in([*pictures, recompressed(pictures[2])], [TRAIN] * 10 + [DROPPED]) == []


def test_written_digits_are_hardly_taken_for_each_other():
    digits = (load_digits().images * 15.9).astype(np.uint8)[..., None]
    found = found_in(list(digits))
    assert sum(each.finding.rows for each in found) <= 5  # of 1797


@pytest.mark.parametrize("size", [1, 7])
def test_chunks_make_no_difference(size):
    pictures = scenes(40, side=32)
    pictures += [brightened(picture) for picture in pictures[::5]] + [None]
    codes = [at % 3 for at in range(len(pictures))]
    whole, cut = found_in(pictures, codes), found_in(pictures, codes, size)
    assert [found.finding for found in whole] == [found.finding for found in cut]
    assert [found.drop.tolist() for found in whole] == [found.drop.tolist() for found in cut]
    assert sum(found.finding.rows for found in whole) == 8


def test_an_interrupted_examination_goes_on_where_it_stopped(tmp_path: Path):
    pictures = scenes(40, side=32)
    pictures += [brightened(picture) for picture in pictures]
    codes = np.zeros(80, np.int8)
    one, other = check_of(pictures), check_of(pictures)
    for at, chunk in enumerate(chunks(pictures, codes, 16)):
        one.observe(chunk)
        if at == 2:
            write_state(tmp_path / "state", one.state())
            other.restore(read_state(tmp_path / "state"))
        elif at > 2:
            other.observe(chunk)
    first, second = one.finish(index_of(codes)), other.finish(index_of(codes))
    assert [found.finding for found in first] == [found.finding for found in second]
    assert first[0].finding.rows == 40


@pytest.mark.parametrize("size", [9, 1000])
def test_of_more_pictures_than_fit_a_sample_is_compared_that_keeps_pairs_together(size):
    pictures = scenes(200, side=32)
    pictures += [recompressed(picture) for picture in pictures]
    (found,) = found_in(pictures, size=size, limit=150)
    assert found.finding.details["compared_one_in"] in (4, 8)
    assert found.finding.rows >= 10  # an unrelated choice of one in four rows would keep 12 pairs, of one in eight 3
    assert all(late == early + 200 for late, early, _ in found.finding.details["pairs"])


def test_thumbnails_average_areas_and_weigh_colours():
    pixels = np.zeros((1, 64, 96, 3), np.uint8)
    pixels[0, :2, :3] = (255, 0, 0)
    pixels[0, 2:4, :3] = (0, 255, 0)
    pixels[0, 4, :3] = 200
    small = thumbnails(pixels)
    assert small.shape == (1, SIDE, SIDE)
    assert small[0, :4, 0].tolist() == [76, 150, 100, 0]  # 0.299 · 255, 0.587 · 255, half of 200
    assert not small[0, :, 1:].any()


def test_hashes_stay_when_brightness_changes():
    small = thumbnails(np.stack(scenes(50)))
    darker = (small.astype(float) * 0.8).astype(np.uint8)
    assert _bits_set(hashes_of(small) ^ hashes_of(darker)).max() <= 4


def test_all_pairs_within_the_radius_are_found():
    rng = stream(0, "hashes")
    hashes = rng.integers(0, 2**63, 300, dtype=np.uint64)
    for at in range(0, 300, 3):  # as far away as 7 bits, spread over all parts
        for bit in rng.choice(64, int(rng.integers(0, 8)), replace=False):
            hashes[at + 1] = hashes[at] ^ np.uint64(1 << int(bit)) if bit % 2 else hashes[at + 1]
    base = hashes[0]
    for place, bits in enumerate(([0, 1, 16, 17, 32, 33, 48], [5], [15, 31, 47, 63], list(range(7)))):
        hashes[290 + place] = base ^ np.uint64(sum(1 << bit for bit in bits))
    picture = stream(1, "picture").integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    small = np.repeat(picture[None], 300, axis=0)
    found = near_pictures(hashes, small, 7, 0.99)
    expected = {
        (one, other)
        for one in range(300)
        for other in range(one + 1, 300)
        if int(hashes[one] ^ hashes[other]).bit_count() <= 7
    }
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    assert {(0, 290), (0, 291), (0, 292), (0, 293)} <= expected
    assert len(found.first) == len(expected)
