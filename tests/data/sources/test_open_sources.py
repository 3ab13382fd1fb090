import gzip
import struct

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelyard.core.errors import DataError, MissingExtraError, SpecError
from modelyard.data.sources.open import open_sources
from modelyard.data.sources.table import SOURCES


def write(folder, *names, content=b"a,b\n1,2\n"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def names(found):
    return {split: source.name for split, source in found.items()}


def rows(source):
    return [row for part in source.read() for row in part.table.to_pylist()]


@pytest.mark.parametrize("ending", [".csv", ".CSV", ".tsv"])
def test_the_ending_says_the_format(tmp_path, ending):
    write(tmp_path, "rows" + ending)
    assert names(open_sources(str(tmp_path / ("rows" + ending)))) == {None: "csv"}
    assert names(open_sources(tmp_path / ("rows" + ending))) == {None: "csv"}


@pytest.mark.parametrize("rows", [[{"a": 1}], {"a": [1]}, pa.table({"a": [1]}), pd.DataFrame({"a": [1]})])
def test_objects_with_rows_are_memory(rows):
    assert names(open_sources(rows)) == {None: "memory"}


def test_a_format_that_does_not_show_is_asked_for(tmp_path):
    write(tmp_path, "rows.dat")
    with pytest.raises(DataError, match=r"rows\.dat.* is of no known format.*\.csv.*\.parquet.*data\.format"):
        open_sources(str(tmp_path / "rows.dat"))
    assert rows(open_sources(str(tmp_path / "rows.dat"), "csv")[None]) == [{"a": "1", "b": "2"}]
    for thing in (5, None, [], [5, "x"]):
        with pytest.raises(DataError):
            open_sources(thing)


def test_an_unknown_format_or_option_is_a_problem_of_the_spec(tmp_path):
    write(tmp_path, "rows.csv")
    with pytest.raises(SpecError, match=r"data\.format: unknown source 'cvs' \(did you mean 'csv'\?\)"):
        open_sources(str(tmp_path / "rows.csv"), "cvs")
    with pytest.raises(SpecError) as caught:
        open_sources(str(tmp_path / "rows.csv"), options={"delimeter": ";", "skip_rows": "many"})
    problems = {problem.place: problem.message for problem in caught.value.problems}
    assert set(problems) == {"data.options.delimeter", "data.options.skip_rows"}
    assert "did you mean 'delimiter'?" in problems["data.options.delimeter"]
    assert "got 'many'" in problems["data.options.skip_rows"]


def test_a_missing_file_says_what_stands_nearby(tmp_path):
    write(tmp_path, "reviews.csv", "other.txt")
    with pytest.raises(DataError, match=r"no such file: .*review\.csv; similar names there: reviews\.csv"):
        open_sources(str(tmp_path / "review.csv"))
    with pytest.raises(DataError, match=r"folder .*absent does not exist"):
        open_sources(str(tmp_path / "absent/review.csv"))
    with pytest.raises(DataError, match=r"no file matches .*\*\.json"):
        open_sources(str(tmp_path / "*.json"))


def test_globs_are_sorted_and_lists_keep_their_order(tmp_path):
    write(tmp_path, "10.csv", "2.csv", "sub/3.csv")
    files = open_sources(str(tmp_path / "*.csv"))[None].files()
    assert [file[-6:] for file in files] == ["10.csv", "/2.csv"]
    assert len(open_sources(str(tmp_path / "**/*.csv"))[None].files()) == 3
    listed = [str(tmp_path / "2.csv"), tmp_path / "10.csv"]
    assert open_sources(listed)[None].files() == [str(path) for path in listed]
    assert open_sources(str(tmp_path / "1*"))[None].name == "csv"


def test_files_of_several_formats_are_not_one_table(tmp_path):
    write(tmp_path, "1.csv", "2.jsonl")
    with pytest.raises(DataError, match="several formats"):
        open_sources([str(tmp_path / "1.csv"), str(tmp_path / "2.jsonl")])
    with pytest.raises(DataError, match=r"several formats \(csv, jsonl\)"):
        open_sources(str(tmp_path))


def test_a_mapping_of_splits(tmp_path):
    write(tmp_path, "a.csv", "b.csv")
    found = open_sources({"train": str(tmp_path / "a.csv"), "val": [{"a": "1"}], "test": str(tmp_path / "*.csv")})
    assert names(found) == {"train": "csv", "validation": "memory", "test": "csv"}
    with pytest.raises(DataError, match=r"unknown split 'tset' \(did you mean 'test'\?\)"):
        open_sources({"train": str(tmp_path / "a.csv"), "tset": str(tmp_path / "b.csv")})
    with pytest.raises(DataError, match=r"name the split validation twice"):
        open_sources({"val": str(tmp_path / "a.csv"), "validation": str(tmp_path / "b.csv")})
    write(tmp_path, "images/train/cat/1.png", "images/test/cat/1.png")
    with pytest.raises(DataError, match=r"itself divided, into test, train"):
        open_sources({"train": str(tmp_path / "images")})


def test_a_folder_of_split_files(tmp_path):
    write(tmp_path, "train.csv", "valid.csv", "test-00001-of-2.csv", "test-00002-of-2.csv", "sample.csv", "README.md")
    found = open_sources(str(tmp_path))
    assert names(found) == {"test": "csv", "train": "csv", "validation": "csv"}
    assert len(found["test"].files()) == 2


def test_a_folder_of_files_of_one_format_is_one_table(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "part-0.parquet")
    pq.write_table(pa.table({"a": [2]}), tmp_path / "part-1.parquet")
    write(tmp_path, "_SUCCESS", ".hidden.csv", "_meta.csv")
    assert rows(open_sources(str(tmp_path))[None]) == [{"a": 1}, {"a": 2}]


def test_an_image_folder_with_and_without_splits(tmp_path):
    write(tmp_path, "plain/cat/1.png", "split/train/cat/1.png", "split/validation/cat/1.png")
    assert names(open_sources(str(tmp_path / "plain"))) == {None: "images"}
    assert names(open_sources(str(tmp_path / "split"))) == {"train": "images", "validation": "images"}


def test_a_folder_of_images_and_tables_is_ambiguous(tmp_path):
    write(tmp_path, "cat/1.png", "labels.csv")
    with pytest.raises(DataError, match=r"both images and tables \(labels\.csv\).*data\.format: images"):
        open_sources(str(tmp_path))
    assert names(open_sources(str(tmp_path), "images")) == {None: "images"}
    assert names(open_sources(str(tmp_path), "csv")) == {None: "csv"}


def test_a_folder_of_nothing_known_says_what_it_holds(tmp_path):
    write(tmp_path, "notes.md")
    with pytest.raises(DataError, match=r"folder without images, or files ending in .*; it holds notes\.md"):
        open_sources(str(tmp_path))
    with pytest.raises(DataError, match="without files of the format csv"):
        open_sources(str(tmp_path), "csv")


def test_the_folder_of_mnist(tmp_path):
    for split in ("train", "t10k"):
        images = struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 1, 1) + b"\1\2"
        (tmp_path / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        labels = struct.pack(">BBBBI", 0, 0, 8, 1, 2) + b"\3\4"
        (tmp_path / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    found = open_sources(str(tmp_path))
    assert names(found) == {"test": "idx", "train": "idx"}
    assert all(source.schema().names == ["image", "label"] for source in found.values())
    assert names(open_sources(str(tmp_path / "train-images-idx3-ubyte.gz"))) == {None: "idx"}


def test_an_archive_of_splits(tmp_path):
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros(3), y_train=np.arange(3), x_test=np.zeros(2), y_test=np.arange(2))
    assert names(open_sources(str(tmp_path / "mnist.npz"))) == {"train": "npz", "test": "npz"}


@pytest.fixture
def memory_files():
    system = fsspec.filesystem("memory")
    for name in ("1.csv", "2.csv", "sub/3.csv"):
        system.pipe(f"/yard/tables/{name}", b"a,b\n1,2\n")
    system.pipe("/yard/pictures/cat/1.png", b"x")
    yield system
    system.rm("/yard", recursive=True)


def test_urls_of_fsspec(memory_files, tmp_path):
    assert rows(open_sources("memory://yard/tables/1.csv")[None]) == [{"a": "1", "b": "2"}]
    assert len(open_sources("memory://yard/tables/*.csv")[None].files()) == 2
    assert len(rows(open_sources("memory://yard/tables")[None])) == 2
    assert rows(open_sources("memory://yard/pictures")[None]) == [{"image": "cat/1.png", "label": "cat"}]
    with pytest.raises(DataError, match=r"there is no file at memory://yard/tables/9.csv"):
        open_sources("memory://yard/tables/9.csv")
    write(tmp_path, "rows.csv")
    assert rows(open_sources((tmp_path / "rows.csv").as_uri())[None]) == [{"a": "1", "b": "2"}]
    parquet = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1]}), parquet)
    memory_files.pipe("/yard/rows.parquet", parquet.getvalue().to_pybytes())
    assert rows(open_sources("memory://yard/rows.parquet")[None]) == [{"a": 1}]


def test_a_protocol_without_its_package_or_home(monkeypatch):
    with pytest.raises(DataError, match="no-such-protocol"):
        open_sources("no-such-protocol://x/rows.csv")

    def missing(url):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(MissingExtraError, match=r"s3://.*Install s3fs"):
        open_sources("s3://bucket/rows.csv")


def test_pipes_and_devices_are_refused():
    with pytest.raises(DataError, match="not a regular file"):
        open_sources("/dev/zero", "csv")


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_opens_by_its_name_and_says_when_nothing_is_there(tmp_path, name):
    with pytest.raises(DataError):
        source = open_sources(str(tmp_path / "absent"), name)[None]
        source.schema()
