"""Inputs are corrupted as stated, and what that costs is measured on the same rows, by the model's own way in."""

import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from small_bundles import fit_contents

from modelyard.core.randomness import stream
from modelyard.data.kinds import Image as ImageInput
from modelyard.data.modalities.table import MODALITIES
from modelyard.evaluate.corruptions import CORRUPTIONS, missing
from modelyard.evaluate.robustness import robustness

IMAGES = SimpleNamespace(describe=lambda: ImageInput("x", ("x",), 3, 16, 12))
NUMBERS = SimpleNamespace(summary=lambda: {"deviation": 10.0})


def corrupt(modality, name, values, severity, of=None, seed=0):
    (found,) = [one for one in CORRUPTIONS[modality] if one.name == name]
    return found.change(of, values, severity, stream(seed, "test"))


def pictures(count=3):
    pixels = np.random.default_rng(0).integers(60, 180, (count, 16, 12, 3)).astype(np.uint8)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), 16 * 12 * 3)
    return flat, pixels


def pixels_of(values):
    return values.flatten().to_numpy().reshape(-1, 16, 12, 3).astype(float)


# -- corruptions ------------------------------------------------------------------------------------------------------


def test_every_modality_that_is_corrupted_exists():
    assert set(CORRUPTIONS) <= set(MODALITIES)


@pytest.mark.parametrize(("severity", "share"), [(1, 0.1), (2, 0.3), (3, 1.0)])
def test_noise_is_a_share_of_the_columns_deviation_and_missing_stays_missing(severity, share):
    values = pa.array([5.0] * 4000 + [None])
    noisy = corrupt("number", "noise", values, severity, NUMBERS)
    found = np.array(noisy.to_pylist()[:-1])
    assert found.std() == pytest.approx(10 * share, rel=0.05) and found.mean() == pytest.approx(5, abs=0.6)
    assert noisy.type == values.type and noisy.to_pylist()[-1] is None


def test_cells_go_missing_or_hold_what_training_never_saw():
    values = pa.array(["a", "b"] * 2000)
    lost = corrupt("category", "missing values", values, 2)
    assert lost.null_count / 4000 == pytest.approx(0.15, abs=0.03)
    kept = [new in (old, None) for new, old in zip(lost.to_pylist(), values.to_pylist(), strict=True)]
    assert all(kept)
    known = SimpleNamespace(labels=("a", "b", "a value that training never saw"))
    unseen = set(corrupt("category", "unseen values", values, 3, known).to_pylist()) - {"a", "b"}
    assert len(unseen) == 1 and not unseen & set(known.labels)


def test_typos_swap_drop_or_add_a_neighbouring_key():
    text = "the quick brown fox jumps over the lazy dog " * 50
    changed = corrupt("text", "typos", pa.array([text, None]), 3).to_pylist()
    assert changed[1] is None and changed[0] != text
    assert abs(len(changed[0]) - len(text)) < 0.05 * len(text)
    once = {corrupt("text", "typos", pa.array(["ab"]), 3, seed=seed)[0].as_py() for seed in range(1500)}
    assert {"ab", "ba", "a", "b"} <= once  # as it was, swapped, dropped
    added = {word for word in once if len(word) == 3 and word.endswith("b") and word[0] == "a"}
    assert {word[1] for word in added} == set("sqwz")  # the keys around a


def test_letters_of_no_keyboard_are_never_lost_in_type():
    changed = corrupt("text", "typos", pa.array(["晚餐很好" * 100]), 3)[0].as_py()
    assert set(changed) == set("晚餐很好")


def test_texts_lose_case_words_and_their_end():
    values = pa.array(["One two  three four", "", None])
    assert corrupt("text", "lower case", values, 1).to_pylist() == ["one two  three four", "", None]
    assert corrupt("text", "upper case", values, 1).to_pylist() == ["ONE TWO  THREE FOUR", "", None]
    assert corrupt("text", "cut in half", values, 3).to_pylist() == ["One two  t", "", None]
    many = corrupt("text", "dropped words", pa.array(["word " * 1000]), 3)[0].as_py()
    assert len(many.split()) == pytest.approx(500, abs=60)
    characters = corrupt("text", "dropped words", pa.array(["晚" * 1000]), 3)[0].as_py()
    assert len(characters) == pytest.approx(500, abs=60)


def test_picture_noise_brightness_and_contrast_are_as_strong_as_they_say():
    values, before = pictures()
    noisy = pixels_of(corrupt("image", "noise", values, 2, IMAGES))
    assert (noisy - before).std() == pytest.approx(0.08 * 255, rel=0.1)
    lighter = pixels_of(corrupt("image", "brightness", values, 1, IMAGES)) - before
    assert set(np.abs(lighter).round().ravel()) <= {25.0, 26.0}
    flat = pixels_of(corrupt("image", "contrast", values, 3, IMAGES))
    np.testing.assert_allclose(flat.std(axis=(1, 2, 3)), 0.2 * before.std(axis=(1, 2, 3)), rtol=0.05)
    np.testing.assert_allclose(flat.mean(axis=(1, 2, 3)), before.mean(axis=(1, 2, 3)), atol=0.5)


def test_blur_and_compression_take_detail_away_the_more_the_stronger():
    values, before = pictures()
    for name in ("blur", "JPEG compression", "shift and rotation"):
        changed = [np.abs(pixels_of(corrupt("image", name, values, s, IMAGES)) - before).mean() for s in (1, 2, 3)]
        assert 0 < changed[0] < changed[2], name
    blurred = pixels_of(corrupt("image", "blur", values, 3, IMAGES))
    assert blurred.std() < 0.5 * before.std() and blurred.mean() == pytest.approx(before.mean(), abs=1)


def test_a_missing_picture_stays_missing_and_others_keep_their_place():
    values, before = pictures(3)
    holed = values.take(pa.array([2, None, 0], pa.int64()))
    for one in CORRUPTIONS["image"]:
        changed = one.change(IMAGES, holed, 1, stream(0, "test"))
        assert changed.type == values.type and np.asarray(changed.is_null()).tolist() == [False, True, False]
        assert np.abs(pixels_of(changed.take(pa.array([0])))[0] - before[2]).mean() < 60
        alone = one.change(IMAGES, holed.take(pa.array([1])), 1, stream(0, "test"))
        assert alone.null_count == len(alone) == 1
    grey = SimpleNamespace(describe=lambda: ImageInput("x", ("x",), 1, 8, 8))
    small = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(64, dtype=np.uint8)), 64)
    for one in CORRUPTIONS["image"]:
        assert one.change(grey, small, 2, stream(0, "test")).type == small.type


def test_the_same_source_of_randomness_gives_the_same_values():
    values, _ = pictures()
    for name in ("noise", "shift and rotation"):
        assert corrupt("image", name, values, 1, IMAGES).equals(corrupt("image", name, values, 1, IMAGES))
        assert not corrupt("image", name, values, 1, IMAGES).equals(corrupt("image", name, values, 1, IMAGES, seed=1))


def test_a_column_taken_away_keeps_its_type():
    values, _ = pictures()
    assert missing(IMAGES, values, 3, stream(0, "test")).type == values.type


# -- what it costs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def decided():
    """A model that reads the answer off one number; a second number and a category say nothing."""
    random = np.random.default_rng(0)
    x = random.normal(size=400)
    columns = {
        "x": x,
        "z": random.normal(size=400),
        "c": random.choice(["u", "v"], 400),
        "y": np.where(x > 0, "b", "a"),
    }
    inputs = {"x": "number", "z": "number", "c": "category"}
    contents, targets = fit_contents(columns, inputs, {"y": "category"}, "classification", steps=200)
    values = {m.column: m.read(pa.array(columns[m.column])).values for m in contents.fitted.inputs}
    return contents, values, targets


def test_losing_the_column_that_decides_costs_everything_and_another_nothing(decided):
    contents, values, targets = decided
    found, notes = robustness(contents, values, targets, resamples=100)
    named = {(one.corruption, one.severity, *one.columns): one for one in found}
    assert notes == []
    gone = named["missing: x", 3, "x"]
    assert gone.metric == "accuracy" and gone.clean > 0.97 and gone.rows == 400
    assert gone.corrupted < 0.65 and gone.change == pytest.approx(gone.corrupted - gone.clean)
    assert gone.low < gone.change < gone.high < -0.2
    assert gone.changed_answers == pytest.approx(abs(gone.change), abs=0.1)
    other = named["missing: z", 3, "z"]
    assert abs(other.change) < 0.03 and other.low <= 0 <= other.high
    assert found[-3].corruption == "missing: x"  # the dearest first
    assert named["noise", 1, "x", "z"].change > named["noise", 3, "x", "z"].change
    assert {one.severity for one in found} == {1, 2, 3}


def test_the_same_seed_gives_the_same_findings_whatever_ran_before(decided):
    contents, values, targets = decided
    assert robustness(contents, values, targets, resamples=10) == robustness(contents, values, targets, resamples=10)


def test_the_model_is_asked_at_most_forty_times_a_row():
    random = np.random.default_rng(0)
    columns = {f"x{index}": random.normal(size=120) for index in range(60)}
    columns |= {f"c{index}": random.choice(["u", "v"], 120) for index in range(3)}
    columns["y"] = columns["x55"]
    inputs = {name: "number" if name[0] == "x" else "category" for name in columns if name != "y"}
    contents, targets = fit_contents(columns, inputs, {"y": "number"}, "regression")
    asked = []
    contents.model.register_forward_hook(lambda module, inputs, output: asked.append(len(output)))
    values = {m.column: m.read(pa.array(columns[m.column])).values for m in contents.fitted.inputs}
    found, notes = robustness(contents, values, targets, resamples=0)
    assert sum(asked) <= 40 * 120
    gone = [one.corruption for one in found if one.corruption.startswith("missing: ")]
    assert len(gone) == 12 and gone[0] == "missing: x55"
    assert "of 63 input columns the 12" in notes[0]
    assert found[0].metric == "r2" and math.isnan(found[0].changed_answers) and math.isnan(found[0].low)


def test_columns_that_are_too_many_to_try_are_counted():
    random = np.random.default_rng(0)
    columns = {f"x{index}": random.normal(size=20) for index in range(40)}
    columns["y"] = columns["x0"]
    contents, targets = fit_contents(
        columns, {f"x{index}": "number" for index in range(40)}, {"y": "number"}, "regression", steps=2
    )
    values = {m.column: m.read(pa.array(columns[m.column])).values for m in contents.fitted.inputs}
    found, notes = robustness(contents, values, targets, resamples=0)
    assert "25 columns, drawn by chance, were not tried" in notes[0]  # 6 · 20 // 8 = 15 were
    assert len([one for one in found if one.corruption.startswith("missing: ")]) == 12


def test_a_single_input_is_not_taken_away(sentences):
    columns = {"review": [row["review"] for row in sentences], "label": [row["label"] for row in sentences]}
    contents, targets = fit_contents(
        columns, {"review": {"type": "text", "tokens": "ngrams"}}, {"label": "category"}, "classification"
    )
    values = {"review": pa.array(columns["review"])}
    found, _ = robustness(contents, values, targets, resamples=20)
    assert {one.corruption for one in found} == {one.name for one in CORRUPTIONS["text"]}
    assert next(one for one in found if one.corruption == "lower case").change == 0


def test_no_rows_no_findings(decided):
    contents, values, targets = decided
    empty = {column: array.slice(0, 0) for column, array in values.items()}
    assert robustness(contents, empty, {"y": targets["y"][:0]}) == ([], [])


def test_pictures_go_through_all_their_corruptions(digits):
    columns = {"image": [image.tolist() for image in digits["image"][:300]], "digit": digits["digit"][:300]}
    inputs = {"image": {"type": "image", "size": 8, "channels": 1}}
    contents, targets = fit_contents(columns, inputs, {"digit": "category"}, "classification", steps=30)
    values = {"image": contents.fitted.inputs[0].read(pa.array(columns["image"])).values}
    found, _ = robustness(contents, values, targets, resamples=20)
    named = {(one.corruption, one.severity): one for one in found}
    assert len(named) == 18 and all(one.clean > 0.9 for one in found)
    for name in ("noise", "blur", "shift and rotation", "JPEG compression"):
        assert named[name, 3].change < named[name, 1].change <= 0, name
