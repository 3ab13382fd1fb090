"""The image modality: whatever a picture arrives as is read to the same bytes; what is broken is named, row by row."""

import io
import json
import struct
import time
import zlib

import fsspec
import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError

from modelyard.core.errors import BundleError, DataError
from modelyard.core.files import to_json
from modelyard.data import kinds
from modelyard.data.modalities.base import Draw, State
from modelyard.data.modalities.image import Image, ImageSettings


def image(**settings):
    return Image("photo", ImageSettings(**settings))


def pictures(count, height=6, width=5, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def encoded(pixels, kind="PNG", **options):
    picture = pixels if isinstance(pixels, PIL.Image.Image) else PIL.Image.fromarray(pixels.squeeze())
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def tensors(array):
    return pa.FixedShapeTensorArray.from_numpy_ndarray(array)


def fitted(pixels, **settings):
    modality = image(size=pixels.shape[1:3], channels=pixels.shape[3], **settings)
    values = modality.read(tensors(pixels)).values
    modality.partial_fit(values)
    modality.finish_fit()
    return modality, modality.encode(values)


def stored(modality, values):
    return modality.encode(values)["pixels"]


# -- reading ----------------------------------------------------------------------------------------------------------


class TestReading:
    pixels = pictures(4)
    blobs = [encoded(row) for row in pixels]

    def raw(self, folder):
        """The same four pictures, in each shape they may arrive in."""
        for row, blob in enumerate(self.blobs):
            (folder / f"{row}.png").write_bytes(blob)
        names = [f"{row}.png" for row in range(4)]
        flat = self.pixels.reshape(4, -1)
        return {
            "paths": pa.array(names),
            "large paths": pa.array(names, pa.large_string()),
            "dictionary of paths": pa.array(names).dictionary_encode(),
            "absolute paths": pa.array([str(folder / name) for name in names]),
            "bytes": pa.array(self.blobs),
            "large bytes": pa.array(self.blobs, pa.large_binary()),
            "structs of bytes": pa.array([{"bytes": blob, "path": None} for blob in self.blobs]),
            "structs of paths": pa.array([{"bytes": None, "path": name} for name in names]),
            "tensors": tensors(self.pixels),
            "channels first": tensors(np.ascontiguousarray(self.pixels.transpose(0, 3, 1, 2))),
            "fractions": tensors(self.pixels / np.float32(255)),
            "64 bit": tensors(self.pixels.astype(np.int64)),
            "flat tensors": tensors(flat),
            "flat lists": pa.array(flat.tolist()),
            "nested lists": pa.array(self.pixels.tolist()),
        }

    def test_every_shape_is_read_to_the_same_bytes(self, tmp_path):
        for name, values in self.raw(tmp_path).items():
            modality = image(size=(6, 5), channels=3)
            reading = modality.read(values, str(tmp_path))
            assert reading.values.type == pa.list_(pa.uint8(), 90), name
            assert not reading.problems, name
            assert np.array_equal(stored(modality, reading.values), self.pixels), name
            again = modality.read(reading.values)
            assert again.values.equals(reading.values) and not again.problems, name

    def test_size_and_channels_settle_by_themselves(self, tmp_path):
        for name, values in self.raw(tmp_path).items():
            if name.startswith("flat"):
                continue
            modality = image()
            assert np.array_equal(stored(modality, modality.read(values, str(tmp_path)).values), self.pixels), name

    def test_slices_and_missing_rows_keep_their_places(self, tmp_path):
        for name, values in self.raw(tmp_path).items():
            if isinstance(values.type, pa.FixedShapeTensorType):
                holed = pa.ExtensionArray.from_storage(values.type, values.storage.take(pa.array([3, None, 0, 1])))
            else:
                holed = values.take(pa.array([3, None, 0, 1]))
            modality = image(size=(6, 5), channels=3)
            reading = modality.read(holed.slice(0, 3), str(tmp_path))
            assert np.asarray(reading.values.is_null()).tolist() == [False, True, False], name
            assert not reading.problems, name
            assert np.array_equal(stored(modality, reading.values)[[0, 2]], self.pixels[[3, 0]]), name
            assert not stored(modality, reading.values)[1].any()

    def test_chunks_read_as_the_whole(self, tmp_path):
        for name, values in self.raw(tmp_path).items():
            whole = image(size=8, channels=1).read(values, str(tmp_path)).values
            modality = image(size=8, channels=1)
            parts = [modality.read(values.slice(row, 1), str(tmp_path)).values for row in range(4)]
            assert pa.concat_arrays(parts).equals(whole), name

    def test_empty_arrays(self, tmp_path):
        for name, values in self.raw(tmp_path).items():
            for settings in ({}, {"size": (6, 5), "channels": 3}):
                modality = image(**settings)
                reading = modality.read(values.slice(0, 0), str(tmp_path))
                assert (len(reading.values), reading.problems) == (0, {}), name
                assert len(stored(modality, reading.values)) == 0

    def test_nothing_but_missing(self):
        for values in (pa.nulls(3), pa.nulls(3, pa.string()), pa.nulls(3, pa.list_(pa.uint8()))):
            for settings in ({}, {"size": 4, "channels": 1}):
                reading = image(**settings).read(values)
                assert (reading.values.null_count, reading.problems) == (3, {})

    def test_many_slow_images_are_read_in_threads_in_order(self):
        rng = np.random.default_rng(0)
        large = [rng.integers(0, 256, (300, 300, 3), dtype=np.uint8) for _ in range(40)]
        modality = image(size=(300, 300), channels=3)
        reading = modality.read(pa.array([encoded(row) for row in large]))
        assert np.array_equal(stored(modality, reading.values), np.stack(large))


class TestConversions:
    def test_grey_and_colour_reach_the_wanted_channels(self):
        grey, colour = pictures(1, channels=1), pictures(1)
        for values in (tensors(grey), tensors(grey[..., 0]), pa.array([encoded(grey)])):
            modality = image(size=(6, 5), channels=3)
            assert np.array_equal(stored(modality, modality.read(values).values), grey.repeat(3, axis=3))
        expected = np.asarray(PIL.Image.fromarray(colour[0]).convert("L"))
        for values in (tensors(colour), pa.array([encoded(colour)])):
            modality = image(size=(6, 5), channels=1)
            assert np.array_equal(stored(modality, modality.read(values).values)[0, :, :, 0], expected)

    def test_arrays_are_resized_like_files(self):
        pixels = pictures(3, 20, 30)
        for resize in ("stretch", "crop", "fit"):
            modality = image(size=(8, 9), channels=3, resize=resize)
            array = modality.read(tensors(pixels)).values
            assert array.equals(modality.read(pa.array([encoded(row) for row in pixels])).values)

    def test_flat_numbers_with_a_size(self):
        pixels = pictures(2, 28, 28, 1)
        modality = image(size=28)
        values = modality.read(pa.array(pixels.reshape(2, 784).tolist())).values
        assert np.array_equal(stored(modality, values), pixels)

    def test_what_was_converted_is_counted(self):
        deep = encoded(np.full((4, 4), 65535, np.uint16))
        frames = [PIL.Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
        moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
        values = pa.array(
            [{"bytes": deep, "path": "a.png"}, {"bytes": deep, "path": "b.png"}, {"bytes": moving, "path": "c.png"}]
        )
        modality = image(size=4, channels=3)
        read = modality.read(values)
        assert not read.problems
        modality.partial_fit(read.values)
        modality.finish_fit()
        assert modality.summary()["converted"] == {
            "16 bit scaled to 8": 2,
            "named PNG, is GIF": 1,
            "several frames or pages: first taken": 1,
        }


# -- faults -----------------------------------------------------------------------------------------------------------


def header_bomb(width, height):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def odd_ones():
    """File name → content, what must be said of it (None: it is readable), and its colour when it is."""
    red = PIL.Image.new("RGB", (12, 10), (255, 0, 0))
    good = encoded(pictures(1, 40, 40))
    palette = PIL.Image.new("P", (12, 10), 0)
    palette.putpalette([255, 0, 0])
    frames = [red, PIL.Image.new("RGB", (12, 10), (0, 0, 255))]
    return {
        "truncated.png": (good[: len(good) // 2], "truncated PNG", None),
        "truncated.jpg": (encoded(pictures(1, 40, 40), "JPEG")[:700], "truncated JPEG", None),
        "zero.png": (b"", "empty (0 bytes)", None),
        "words.png": (b"This is a letter, not a picture.", "not an image", None),
        "bomb.png": (header_bomb(50_000, 50_000), "50000×50000 pixels, more than the 64000000", None),
        "gone.png": (None, "no such file", None),
        "deep.png": (encoded(np.full((10, 12), 65535, np.uint16)), None, (255, 255, 255)),
        "press.jpg": (encoded(red.convert("CMYK"), "JPEG"), None, (255, 0, 0)),
        "palette.gif": (encoded(palette, "GIF"), None, (255, 0, 0)),
        "moving.gif": (encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), None, (255, 0, 0)),
        "badexif.jpg": (encoded(red, "JPEG", exif=b"Exif\0\0nonsense"), None, (255, 0, 0)),
        "really_jpeg.png": (encoded(red, "JPEG"), None, (255, 0, 0)),
    }


@pytest.mark.filterwarnings("ignore")
def test_planted_faults_are_counted_and_named_and_the_rest_is_right(tmp_path):
    planted = odd_ones()
    names = []
    for number in range(30):  # otherwise good data, with a planted file after every second picture
        (tmp_path / f"good{number}.png").write_bytes(encoded(PIL.Image.new("RGB", (12, 10), (0, number, 0))))
        names.append(f"good{number}.png")
        if number % 2 and planted:
            name = next(iter(planted))
            content, cause, colour = planted.pop(name)
            if content is not None:
                (tmp_path / name).write_bytes(content)
            names.append(name)
    planted = odd_ones()
    modality = image(size=(10, 12), channels=3)
    started = time.monotonic()
    reading = modality.read(pa.array(names), str(tmp_path))
    assert time.monotonic() - started < 5
    broken = {names.index(name): (name, cause) for name, (_, cause, _) in planted.items() if cause}
    assert list(reading.problems) == sorted(broken)
    assert len(reading.problems) == 6
    for row, (name, cause) in broken.items():
        assert name in reading.problems[row] and cause in reading.problems[row]
    assert np.flatnonzero(np.asarray(reading.values.is_null())).tolist() == sorted(broken)
    pixels = stored(modality, reading.values).astype(int)
    for row, name in enumerate(names):
        colour = (0, int(name[4:-4]), 0) if name.startswith("good") else planted[name][2]
        if colour is not None:
            assert np.abs(pixels[row] - colour).max() <= 4, name


def test_faults_in_bytes_are_named_by_their_length():
    values = pa.array([encoded(pictures(1)), b"", b"words", encoded(pictures(1, 40, 40))[:500], None])
    reading = image(size=4, channels=3).read(values)
    assert list(reading.problems) == [1, 2, 3]
    assert reading.problems[1] == "0 bytes: empty (0 bytes)"
    assert reading.problems[2].startswith("5 bytes: not an image")
    assert reading.problems[3].startswith("500 bytes: truncated PNG")
    assert np.asarray(reading.values.is_null()).tolist() == [False, True, True, True, True]


def test_faults_in_arrays_and_lists_are_named():
    reading = image(size=2, channels=1).read(pa.array([[[0.0, 1.0], [0.5, 2.0]], [[0.0, 0.0], [0.0, 1.0]]]))
    assert list(reading.problems) == [0]
    assert "0 to 2" in reading.problems[0]
    reading = image(size=2, channels=1).read(pa.array([[1, 2, 3, 4], [1, 2, 3], [1, 2, 3, 300], None]))
    assert list(reading.problems) == [1, 2]
    assert "a list of shape (3,)" in reading.problems[1] and "2·2·1 = 4 numbers" in reading.problems[1]
    reading = image(size=2, channels=1).read(tensors(np.zeros((2, 5), np.uint8)))
    assert list(reading.problems) == [0, 1]
    assert "an array of shape (5,)" in reading.problems[0]


def test_other_kinds_of_value_are_problems():
    reading = image(size=2, channels=1).read(pa.array([5, None, 7]))
    assert list(reading.problems) == [0, 2]
    assert reading.problems[0] == "got 5 (int64); expected an image file's path, its bytes, or an array of pixels"


def test_unsized_and_unreadable_is_said_row_by_row():
    modality = image()
    reading = modality.read(pa.array(["gone.png", None, "lost.png"]), "/nowhere")
    assert list(reading.problems) == [0, 2]
    assert "gone.png: no such file in /nowhere" in reading.problems[0]
    reading = modality.read(pa.array([[1, 2, 3, 4]]))
    assert reading.problems == {0: "the size of the image is not said; set `size` and `channels` on this column"}
    modality.partial_fit(reading.values)
    with pytest.raises(DataError, match=r"'photo' has no readable image in the training split \(1 missing"):
        modality.finish_fit()


def test_the_limit_of_pixels_can_be_moved():
    values = pa.array([encoded(pictures(1, 30, 40))])
    assert "40×30 pixels, more than the 1000" in image(size=4, channels=3, max_pixels=1000).read(values).problems[0]
    assert not image(size=4, channels=3, max_pixels=1200).read(values).problems


def test_urls_are_fetched_only_when_allowed():
    with fsspec.open("memory://photos/a.png", "wb") as file:
        file.write(encoded(pictures(1)))
    values = pa.array(["memory://photos/a.png"])
    assert "set `urls: true`" in image(size=4, channels=3).read(values).problems[0]
    assert not image(size=4, channels=3, urls=True).read(values).problems


# -- claiming a column ------------------------------------------------------------------------------------------------


class TestInfer:
    def test_bytes_propose_their_commonest_size(self):
        blobs = [encoded(row) for row in pictures(5, 20, 30)] + [encoded(pictures(1, 10, 10))]
        guess = Image.infer(pa.array(blobs), "photo")
        assert guess.score == pytest.approx(0.95)
        assert guess.settings == {"size": (20, 30), "channels": 3}
        assert "5 of 6 looked at have 20×30" in guess.reason

    def test_large_ones_are_proposed_smaller_and_it_says_so(self):
        guess = Image.infer(pa.array([encoded(pictures(1, 300, 500, 1))]), "photo")
        assert guess.settings == {"size": (224, 224), "channels": 1}
        assert "300×500" in guess.reason and "224×224 is proposed" in guess.reason and "all grey" in guess.reason

    def test_paths(self, tmp_path):
        (tmp_path / "a.png").write_bytes(encoded(pictures(1)))
        paths = pa.array(["a.png", "b.JPG", None])
        assert Image.infer(paths, "photo", str(tmp_path)).settings == {"size": (6, 5), "channels": 3}
        guess = Image.infer(paths, "photo", "/nowhere")
        assert (guess.settings, guess.score) == ({}, pytest.approx(0.95))
        assert "none can be opened from here" in guess.reason
        assert Image.infer(pa.array(["https://a.org/b.png?size=3"]), "photo").score > 0.9

    @pytest.mark.parametrize(
        ("array", "settings"),
        [
            (pictures(3, 28, 28, 1)[..., 0], {"size": (28, 28), "channels": 1}),
            (pictures(3, 32, 32), {"size": (32, 32), "channels": 3}),
            (pictures(3, 32, 30).transpose(0, 3, 1, 2).copy(), {"size": (32, 30), "channels": 3}),
            (pictures(3, 28, 28, 1)[..., 0] / 255, {"size": (28, 28), "channels": 1}),
        ],
    )
    def test_arrays(self, array, settings):
        guess = Image.infer(tensors(np.ascontiguousarray(array)), "photo")
        assert guess.settings == settings
        assert guess.score >= 0.8

    @pytest.mark.parametrize(
        "values",
        [
            pa.array(["a good film", "a bad film"]),
            pa.array(["a.png", "a letter", "another letter"]),
            pa.array([1, 2, 3]),
            pa.array([b"PK\x03\x04", b"\x00\x01"]),
            pa.array([], pa.string()),
            pa.nulls(4),
            pa.array([[1.0, 2.0]]),
            tensors(np.zeros((3, 784), np.uint8)),
            tensors(np.random.default_rng(0).normal(size=(3, 28, 28))),
            tensors(np.zeros((3, 2, 3), np.uint8)),
            tensors(np.zeros((3, 5, 9, 9), np.uint8)),
        ],
    )
    def test_other_columns_are_left_to_others(self, values):
        assert Image.infer(values, "photo") is None

    def test_what_is_inferred_is_valid(self):
        guess = Image.infer(pa.array([encoded(pictures(1))]), "photo")
        assert ImageSettings(**guess.settings).sides == (6, 5)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"size": 0}, "each from 1 to 4096"),
        ({"size": (10, 5000)}, "each from 1 to 4096"),
        ({"channels": 2}, "channels"),
        ({"channels": 1, "normalise": "imagenet"}, "set channels: 3"),
        ({"channels": 1, "augment": {"hue": 0.1}}, "do nothing to grey images"),
        ({"size": 8, "augment": {"crop": 9}}, "more than the image's smaller side"),
        ({"augment": {"mirror": True}}, "mirror"),
        ({"sise": 3}, "sise"),
    ],
)
def test_settings_that_make_no_sense_are_refused(bad, said):
    with pytest.raises(ValidationError, match=said):
        ImageSettings(**bad)


def test_settings_that_turn_out_not_to_fit_the_data_are_refused():
    with pytest.raises(DataError, match="'photo' are 5×6 grey images: normalise: imagenet is for colour"):
        image(normalise="imagenet").read(tensors(pictures(1, channels=1)))


# -- fitting ----------------------------------------------------------------------------------------------------------


class TestFit:
    def test_mean_and_deviation_of_each_channel(self):
        pixels = pictures(50)
        modality, _ = fitted(pixels)
        state = modality.state().json
        np.testing.assert_allclose(state["mean"], pixels.mean(axis=(0, 1, 2)) / 255, rtol=1e-12)
        np.testing.assert_allclose(state["std"], pixels.std(axis=(0, 1, 2)) / 255, rtol=1e-12)

    def test_any_chunks_give_the_same_bits(self):
        pixels = pictures(50)
        whole, _ = fitted(pixels)
        parts = image(size=(6, 5), channels=3)
        values = parts.read(tensors(pixels)).values
        for start, stop in ((0, 1), (1, 1), (1, 17), (17, 50)):
            parts.partial_fit(values.slice(start, stop - start))
        parts.finish_fit()
        assert parts.state() == whole.state()
        assert parts.summary() == whole.summary()

    def test_missing_pictures_are_counted_and_leave_the_mean_alone(self):
        pixels = pictures(3)
        modality = image(size=(6, 5), channels=3)
        values = modality.read(tensors(pixels)).values
        modality.partial_fit(values.take(pa.array([0, None, 1, 2, None])))
        modality.finish_fit()
        assert modality.state() == fitted(pixels)[0].state()
        assert (modality.summary()["images"], modality.summary()["missing"]) == (3, 2)

    def test_many_rows_stay_exact(self):
        pixels = pictures(400, 40, 40, 3)  # more values than one block adds up at a time
        state = fitted(pixels)[0].state().json
        count = 400 * 40 * 40
        for channel in range(3):
            total = int(pixels[..., channel].astype(np.int64).sum())
            square = int((pixels[..., channel].astype(np.int64) ** 2).sum())
            assert state["mean"][channel] == total / count / 255
            assert state["std"][channel] == ((count * square - total * total) / count**2) ** 0.5 / 255

    def test_a_constant_channel_is_only_shifted(self):
        modality, parts = fitted(np.full((3, 4, 4, 1), 51, np.uint8))
        assert modality.state().json["std"] == [1.0]
        assert not modality.collate(parts, None)["photo.pixels"].abs().max() > 1e-7

    @pytest.mark.parametrize(
        ("normalise", "low", "high"),
        [("half", -1.0, 1.0), ("none", 0.0, 1.0), ("imagenet", -0.485 / 0.229, 0.515 / 0.229)],
    )
    def test_fixed_normalisations(self, normalise, low, high):
        pixels = np.zeros((2, 2, 2, 3), np.uint8)
        pixels[1] = 255
        modality, parts = fitted(pixels, normalise=normalise)
        tensor = modality.collate(parts, None)["photo.pixels"]
        assert tensor[0, 0].flatten().tolist() == pytest.approx([low] * 4, abs=1e-6)
        assert tensor[1, 0].flatten().tolist() == pytest.approx([high] * 4, abs=1e-6)

    def test_nothing_to_learn_from(self):
        modality = image(size=4, channels=1)
        modality.partial_fit(modality.read(pa.nulls(2)).values)
        with pytest.raises(DataError, match="no readable image"):
            modality.finish_fit()
        for ask in (modality.describe, modality.state, modality.summary):
            with pytest.raises(DataError, match="not fitted"):
                ask()


class TestState:
    def test_restored_objects_encode_alike_bit_for_bit(self):
        pixels = pictures(9)
        for settings in ({"size": (6, 5), "channels": 3}, {}):
            modality, parts = fitted(pixels)
            other = image(**settings)
            other.restore(State(json.loads(to_json(modality.state().json))))
            assert other.state() == modality.state()
            assert other.describe() == modality.describe() == kinds.Image("photo", ("photo",), 3, 6, 5)
            assert torch.equal(
                other.collate(parts, None)["photo.pixels"], modality.collate(parts, None)["photo.pixels"]
            )
            assert other.read(tensors(pixels)).values.equals(modality.read(tensors(pixels)).values)

    @pytest.mark.parametrize(
        "change",
        [
            {"size": [6]},
            {"size": [6, 0]},
            {"size": [6, 10**6]},
            {"size": [7, 5]},
            {"size": [6, 5.0]},
            {"size": "6x5"},
            {"channels": 2},
            {"channels": 1},
            {"channels": True},
            {"mean": [0.5, 0.5]},
            {"mean": [0.5, 0.5, None]},
            {"mean": [0.5, 0.5, 1.5]},
            {"mean": [0.5, 0.5, "os.system"]},
            {"std": [0.5, 0.5, 0.0]},
            {"std": [0.5, 0.5, True]},
            {"std": {"a": 1}},
            {"more": 1},
            {"size": None},
        ],
    )
    def test_states_nobody_could_have_written_are_refused(self, change):
        state = dict(fitted(pictures(2))[0].state().json) | change
        with pytest.raises(BundleError, match="image column 'photo'"):
            image(size=(6, 5), channels=3).restore(State(state))

    def test_incomplete_and_foreign_states_are_refused(self):
        good = dict(fitted(pictures(2))[0].state().json)
        for state in (
            State({}),
            State({key: good[key] for key in ("size", "channels", "mean")}),
            State(good, {"x": b""}),
            State([1]),
        ):
            with pytest.raises(BundleError):
                image().restore(state)
        with pytest.raises(BundleError, match="normalise: half does not"):
            image(normalise="half").restore(State(good))


# -- batches ----------------------------------------------------------------------------------------------------------


class TestBatches:
    def test_pixels_are_normalised_float32_channels_last(self):
        pixels = pictures(7)
        modality, parts = fitted(pixels)
        tensor = modality.collate(parts, None)["photo.pixels"]
        assert (tensor.shape, tensor.dtype) == ((7, 3, 6, 5), torch.float32)
        assert tensor.is_contiguous(memory_format=torch.channels_last)
        mean, std = pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(0, 1, 2))
        np.testing.assert_allclose(tensor.numpy(), ((pixels - mean) / std).transpose(0, 3, 1, 2), atol=1e-5)
        assert list(modality.collate(parts, None)) == list(modality.describe().tensors)

    def test_the_store_is_not_written_to(self):
        modality, parts = fitted(pictures(7))
        column = parts["pixels"].copy()
        column.flags.writeable = False
        modality.collate({"pixels": column}, None)
        writable = column.copy()
        modality.collate({"pixels": writable}, None)
        assert np.array_equal(writable, column)

    def test_augmentation_only_with_a_draw_and_only_when_asked(self):
        pixels = pictures(8)
        plain, parts = fitted(pixels)
        varied, _ = fitted(pixels, augment={"flip": True, "rotate": 10})
        draw = Draw(1, 0, np.arange(8))
        expected = plain.collate(parts, None)["photo.pixels"]
        assert torch.equal(plain.collate(parts, draw)["photo.pixels"], expected)
        assert torch.equal(varied.collate(parts, None)["photo.pixels"], expected)
        assert not torch.equal(varied.collate(parts, draw)["photo.pixels"], expected)

    def test_a_row_is_augmented_alike_in_any_batch(self):
        pixels = pictures(20)
        modality, parts = fitted(pixels, augment={"flip": True, "crop": 2, "rotate": 10, "contrast": 0.3, "erase": 0.5})
        ids = np.arange(100, 120)
        whole = modality.collate(parts, Draw(3, 5, ids))["photo.pixels"]
        for rows in ([0], [19], [4, 3, 18]):
            part = modality.collate({"pixels": parts["pixels"][rows]}, Draw(3, 5, ids[rows]))["photo.pixels"]
            assert torch.equal(part, whole[rows])

    def test_two_columns_are_varied_independently(self):
        pixels = np.repeat(pictures(1), 16, axis=0)
        settings = ImageSettings(size=(6, 5), channels=3, augment={"flip": True})
        tensors_ = []
        for column in ("left", "right"):
            modality = Image(column, settings)
            values = modality.read(tensors(pixels)).values
            modality.partial_fit(values)
            modality.finish_fit()
            tensors_.append(modality.collate(modality.encode(values), Draw(1, 0, np.arange(16)))[f"{column}.pixels"])
        assert not torch.equal(*tensors_)

    def test_erased_boxes_are_zero_after_normalising(self):
        modality, parts = fitted(pictures(40), augment={"erase": 1.0})
        tensor = modality.collate(parts, Draw(1, 0, np.arange(40)))["photo.pixels"]
        assert (tensor.abs() < 1e-6).all(dim=1).flatten(1).any(dim=1).all()

    @pytest.mark.parametrize("augment", [{}, {"flip": True, "crop": 1, "rotate": 3, "randaugment": {}}])
    def test_empty_batches(self, augment):
        modality, parts = fitted(pictures(2), augment=augment)
        tensor = modality.collate({"pixels": parts["pixels"][:0]}, Draw(1, 0, np.arange(0)))["photo.pixels"]
        assert tensor.shape == (0, 3, 6, 5)

    def test_values_that_were_not_read_are_refused(self):
        modality, _ = fitted(pictures(2))
        with pytest.raises(DataError, match="read them first"):
            modality.encode(pa.array(["a.png"]))


# -- for people -------------------------------------------------------------------------------------------------------


class TestShow:
    def test_small_pictures_are_enlarged_to_be_seen(self):
        pixels = pictures(1, 28, 28, 1)
        modality = image(size=28, channels=1)
        value = modality.read(tensors(pixels)).values[0].as_py()
        shown = modality.show(value)
        assert (shown.kind, shown.text) == ("image", "28×28 grey image")
        picture = np.asarray(PIL.Image.open(io.BytesIO(shown.png)))
        assert np.array_equal(picture[::4, ::4], pixels[0, :, :, 0])
        assert picture.shape == (112, 112)

    def test_large_ones_are_reduced(self):
        modality = image(size=(400, 600), channels=3)
        shown = modality.show(modality.read(tensors(pictures(1, 400, 600))).values[0].as_py())
        assert shown.text == "600×400 colour image"
        assert PIL.Image.open(io.BytesIO(shown.png)).size == (256, 171)

    def test_a_missing_one(self):
        assert image(size=4, channels=1).show(None).text == "no image"


def test_an_image_is_no_target():
    modality, _ = fitted(pictures(1))
    with pytest.raises(NotImplementedError, match="image cannot be a target"):
        modality.encode_target(pa.array([1]))


def test_a_batch_of_small_images_is_quick():
    modality, parts = fitted(pictures(128, 28, 28, 1))
    best = min(_timed(lambda: modality.collate(parts, None)) for _ in range(200))
    assert best < 0.002  # about 0.05 ms on an idle core


def _timed(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
