import os

import pyarrow as pa
import pytest

from modelyard.core.errors import DataError
from modelyard.data.sources.images import ImageFolder, ImageSettings
from modelyard.data.sources.open import open_sources


def make(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    return ImageFolder(str(root), ImageSettings())


def rows(source, **options):
    return [row for part in source.read(**options) for row in part.table.to_pylist()]


def test_a_folder_a_class_sorted_by_path(tmp_path):
    source = make(tmp_path, "dog/b.JPG", "cat/2.png", "cat/10.webp", "dog/deep/a.tiff")
    assert source.schema() == pa.schema([("image", pa.string()), ("label", pa.string())])
    assert rows(source) == [
        {"image": "cat/10.webp", "label": "cat"},
        {"image": "cat/2.png", "label": "cat"},
        {"image": "dog/b.JPG", "label": "dog"},
        {"image": "dog/deep/a.tiff", "label": "dog"},
    ]
    assert source.folder() == str(tmp_path)
    assert source.files()[1] == os.path.join(str(tmp_path), "cat/2.png")
    parts = list(source.read(["label"], chunk=3))
    assert [(part.start, part.table.num_rows, part.file) for part in parts] == [
        (0, 3, str(tmp_path)),
        (3, 1, str(tmp_path)),
    ]
    assert parts[0].table.schema.names == ["label"]


def test_images_without_classes_have_no_label(tmp_path):
    source = make(tmp_path, "b.png", "a.bmp")
    assert source.schema().names == ["image"]
    assert rows(source) == [{"image": "a.bmp"}, {"image": "b.png"}]


def test_an_image_beside_the_class_folders_has_a_null_label(tmp_path):
    assert rows(make(tmp_path, "x.png", "cat/1.png")) == [
        {"image": "cat/1.png", "label": "cat"},
        {"image": "x.png", "label": None},
    ]


def test_what_is_hidden_or_no_image_is_listed(tmp_path):
    source = make(tmp_path, "cat/1.png", "cat/notes.txt", "cat/.2.png", ".git/3.png", "__MACOSX/cat/4.png", "README")
    assert rows(source) == [{"image": "cat/1.png", "label": "cat"}]
    assert source.skipped == [".git/3.png", "README", "__MACOSX/cat/4.png", "cat/.2.png", "cat/notes.txt"]


def test_split_folders_make_parts(tmp_path):
    source = make(tmp_path, "train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "test/4.png", "README.md")
    parts = source.parts()
    assert list(parts) == ["test", "train", "validation"]
    assert rows(parts["train"]) == [
        {"image": "train/cat/1.png", "label": "cat"},
        {"image": "train/dog/2.png", "label": "dog"},
    ]
    assert rows(parts["validation"]) == [{"image": "val/cat/3.png", "label": "cat"}]
    assert rows(parts["test"]) == [{"image": "test/4.png"}]
    assert parts["test"].folder() == str(tmp_path)
    assert parts["train"].parts() == {}


def test_classes_that_are_called_like_splits_are_classes(tmp_path):
    source = make(tmp_path, "train/1.png", "plane/2.png", "car/3.png")
    assert source.parts() == {}
    assert [row["label"] for row in rows(source)] == ["car", "plane", "train"]
    assert make(tmp_path / "other", "test/1.png", "dev/1.png").parts() == {}


def test_two_folders_for_one_split_are_refused(tmp_path):
    with pytest.raises(DataError, match="more than one folder for validation"):
        make(tmp_path, "train/a/1.png", "val/a/1.png", "valid/a/1.png").parts()


def test_a_folder_without_images_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"no image under .*\(1 other files\); expected files ending in \.png"):
        make(tmp_path, "notes.txt").files()
    with pytest.raises(DataError, match="is not a folder"):
        ImageFolder(str(tmp_path / "absent"), ImageSettings()).schema()


def test_links_are_followed_and_circles_end(tmp_path):
    make(tmp_path / "far", "1.png")
    make(tmp_path / "here", "dog/2.png")
    (tmp_path / "here/cat").symlink_to(tmp_path / "far")
    (tmp_path / "here/dog/again").symlink_to(tmp_path / "here")
    source = ImageFolder(str(tmp_path / "here"), ImageSettings())
    assert rows(source) == [{"image": "cat/1.png", "label": "cat"}, {"image": "dog/2.png", "label": "dog"}]


def test_a_name_beyond_unicode_is_skipped_and_listed(tmp_path):
    source = make(tmp_path, "cat/1.png", "cat/é.png")
    try:
        with open(os.fsencode(str(tmp_path / "cat")) + b"/\xff.png", "wb"):
            pass
    except OSError:
        pytest.skip("this file system holds Unicode names alone")
    assert [row["image"] for row in rows(source)] == ["cat/1.png", "cat/é.png"]
    assert len(source.skipped) == 1


def test_the_fingerprint_is_of_contents_and_labels(tmp_path):
    def digest(name, path, content):
        make(tmp_path / name, path)
        (tmp_path / name / path).write_bytes(content)
        return ImageFolder(str(tmp_path / name), ImageSettings()).fingerprint()

    first = digest("a", "cat/1.png", b"1")
    assert digest("b", "cat/other.png", b"1") == first
    assert digest("c", "dog/1.png", b"1") != first
    assert digest("d", "cat/1.png", b"2") != first


def test_claims_are_made_by_a_look_into_the_folder(tmp_path):
    make(tmp_path / "images", "cat/1.png")
    make(tmp_path / "texts", "1.txt")
    assert ImageFolder.claims(str(tmp_path / "images")) and ImageFolder.claims(tmp_path / "images")
    assert not ImageFolder.claims(str(tmp_path / "texts"))
    assert ImageFolder.claims(str(tmp_path / "images/cat/1.png")), "a single picture, to be predicted"
    assert not ImageFolder.claims(str(tmp_path / "images/cat/absent.png"))
    assert not ImageFolder.claims([{"a": 1}])


def test_a_single_picture_is_a_source_of_one_row(tmp_path):
    from PIL import Image

    Image.new("L", (4, 4)).save(tmp_path / "one.png")
    source = open_sources(str(tmp_path / "one.png"))[None]
    (rows,) = source.read()
    assert source.folder() == str(tmp_path) and rows.table.to_pylist() == [{"image": "one.png"}]
    assert source.files() == [str(tmp_path / "one.png")]
