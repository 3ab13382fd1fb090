"""A file that a cell names is loaded whole, or a DataError says why not."""

import os

import fsspec
import pytest

from modelyard.core.errors import DataError
from modelyard.data.images.cell_files import load_bytes, short_name


def test_relative_and_absolute_paths(tmp_path):
    (tmp_path / "a.png").write_bytes(b"123")
    assert load_bytes("a.png", str(tmp_path), 10, urls=False) == b"123"
    assert load_bytes(str(tmp_path / "a.png"), "/elsewhere", 10, urls=False) == b"123"


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("gone.png", "gone.png: no such file in "),
        ("", "an empty path"),
        ("folder", "folder is a folder"),
        ("a\0b.png", "cannot be read"),
        ("long.png", "long.png has 11 bytes"),
        ("https://example.org/a.png", "https://example.org/a.png is a URL, and fetching is off; set `urls: true`"),
    ],
)
def test_what_cannot_be_loaded_is_named(tmp_path, path, cause):
    (tmp_path / "folder").mkdir()
    (tmp_path / "long.png").write_bytes(b"12345678901")
    with pytest.raises(DataError) as caught:
        load_bytes(path, str(tmp_path), 10, urls=False)
    assert cause in str(caught.value)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="not a plain file"):
        load_bytes("pipe.png", str(tmp_path), 10, urls=False)


def test_urls_go_through_fsspec():
    with fsspec.open("memory://pictures/a.png", "wb") as file:
        file.write(b"1234")
    assert load_bytes("memory://pictures/a.png", "", 10, urls=True) == b"1234"
    assert load_bytes("a.png", "memory://pictures", 10, urls=False) == b"1234"  # the source itself is remote
    with pytest.raises(DataError, match="more than the 3 bytes allowed"):
        load_bytes("memory://pictures/a.png", "", 3, urls=True)
    with pytest.raises(DataError, match=r"memory://pictures/b\.png: no such file"):
        load_bytes("b.png", "memory://pictures", 10, urls=False)
    with pytest.raises(DataError, match="nosuch://a cannot be fetched"):
        load_bytes("nosuch://a", "", 10, urls=True)


def test_names_stay_short_and_on_one_line():
    assert short_name("a/b.png") == "a/b.png"
    assert short_name("a\nb") == "'a\\nb'"
    assert short_name("x" * 500 + "/the_name.png").endswith("x/the_name.png")
    assert len(short_name("x" * 500)) == 90
