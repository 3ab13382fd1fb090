"""Archives are other people's: what is wanted is taken, what is dangerous is refused before it touches the disk."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import random
import stat
import tarfile
import tracemalloc
import zipfile

import pyarrow as pa
import pytest
from catalog_packing import make_deb, make_tar, make_zip

from modelyard.core.errors import DataError
from modelyard.data.catalog.archives import decompress, is_archive, unpack

LIMIT = 1 << 20


def taken(tmp_path, name, content, root="", take=("*",), limit=LIMIT):
    archive = tmp_path / name
    archive.write_bytes(content)
    into = tmp_path / "into"
    into.mkdir()
    unpack(archive, into, root, take, limit)
    return {path.relative_to(into).as_posix(): path.read_bytes() for path in into.rglob("*") if path.is_file()}


MEMBERS = {"p/a.txt": b"a", "p/deep/b.txt": b"b", "p/setup.py": b"no", "q/a.txt": b"no"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.zip", make_zip(MEMBERS)),
        ("x.whl", make_zip(MEMBERS)),
        ("x.tgz", make_tar(MEMBERS)),
        ("x.tar.xz", make_tar(MEMBERS, "w:xz")),
        ("x.tar.bz2", make_tar(MEMBERS, "w:bz2")),
        ("x.tar", make_tar(MEMBERS, "w")),
        ("x_1_all.deb", make_deb(make_tar({"./" + k: v for k, v in MEMBERS.items()}, "w:xz"), ".xz")),
        ("x_1_all.deb", make_deb(make_tar(MEMBERS, "w:gz"), ".gz")),
        ("x_1_all.deb", make_deb(pa.compress(make_tar(MEMBERS, "w"), "zstd", asbytes=True), ".zst")),
    ],
    ids=["zip", "wheel", "tgz", "tar.xz", "tar.bz2", "tar", "deb of xz", "deb of gz", "deb of zstd"],
)
def test_only_the_wanted_members_are_taken(tmp_path, name, content):
    assert is_archive(tmp_path / name)
    assert taken(tmp_path, name, content, "p/", ("*.txt",)) == {"a.txt": b"a", "deep/b.txt": b"b"}


def test_a_plain_file_is_no_archive(tmp_path):
    assert not is_archive(tmp_path / "train-images-idx3-ubyte.gz")
    assert not is_archive(tmp_path / "train.csv")


def test_a_wanted_member_that_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"does not hold p/c\.txt"):
        taken(tmp_path, "x.zip", make_zip(MEMBERS), "p/", ("a.txt", "c.txt"))


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "c:/evil"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_never_lands_outside_the_folder(tmp_path, name, kind):
    content = make_zip({name: b"evil"}) if kind == "zip" else make_tar({name: b"evil"})
    with pytest.raises(DataError):
        taken(tmp_path, f"x.{'zip' if kind == 'zip' else 'tgz'}", content)
    assert {path.name for path in tmp_path.rglob("*")} == {f"x.{'zip' if kind == 'zip' else 'tgz'}", "into"}


def test_the_cut_off_root_cannot_be_used_to_climb(tmp_path):
    with pytest.raises(DataError, match="outside its folder"):
        taken(tmp_path, "x.tgz", make_tar({"p/../../evil": b"evil"}), "p/")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_link_or_device_in_a_tar_is_refused(tmp_path, kind):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(DataError, match="link or a device"):
        taken(tmp_path, "x.tgz", buffer.getvalue())
    assert not list((tmp_path / "into").iterdir())


def test_a_file_cannot_be_written_through_a_link(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        link = tarfile.TarInfo("door")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        archive.addfile(link)
        member = tarfile.TarInfo("door/evil.txt")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(DataError):
        taken(tmp_path, "x.tgz", buffer.getvalue())
    assert not list(outside.iterdir())


def test_a_link_in_a_zip_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="link or a device"):
        taken(tmp_path, "x.zip", buffer.getvalue())


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tgz"])
@pytest.mark.parametrize("wanted", ["*.bin", "small.txt"])
def test_an_archive_that_expands_too_far_is_refused_without_filling_the_disk(tmp_path, name, wanted):
    members = {"bomb.bin": bytes(20 << 20), "small.txt": b"x"}
    content = make_zip(members) if name.endswith("zip") else make_tar(members)
    assert len(content) < 100_000
    if name.endswith("zip") and wanted == "small.txt":
        assert taken(tmp_path, name, content, take=(wanted,)) == {"small.txt": b"x"}  # a zip need not expand the rest
        return
    with pytest.raises(DataError, match=f"more than the {LIMIT} bytes"):
        taken(tmp_path, name, content, take=(wanted,))
    assert sum(path.stat().st_size for path in (tmp_path / "into").iterdir()) <= LIMIT


def test_a_sparse_member_that_claims_to_be_huge_is_refused(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("huge")
        member.size = 1 << 40
        buffer.write(member.tobuf())
        buffer.write(bytes(1024))
        archive.offset = buffer.tell()
    with pytest.raises(DataError):
        taken(tmp_path, "x.tar", buffer.getvalue())


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_named_twice_is_refused(tmp_path, kind):
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("a", b"1")
            archive.writestr("a", b"2")
    else:
        buffer.write(make_tar({"a": b"1", "./a": b"2"}))
    with pytest.raises(DataError, match="twice"):
        taken(tmp_path, "x.zip" if kind == "zip" else "x.tgz", buffer.getvalue())


@pytest.mark.parametrize("name", ["x.zip", "x.tgz", "x.deb", "x.tar.xz"])
@pytest.mark.parametrize("content", [b"", b"no archive at all" * 100])
def test_a_broken_archive_is_an_error_of_its_own(tmp_path, name, content):
    with pytest.raises(DataError):
        taken(tmp_path, name, content)


@pytest.mark.parametrize("name", ["x.zip", "x.tgz", "x.tar.xz"])
def test_a_truncated_archive_is_an_error_of_its_own(tmp_path, name):
    content = make_tar(MEMBERS | {"p/more.txt": bytes(range(256)) * 99}, "w:xz" if name.endswith("xz") else "w:gz")
    content = make_zip(MEMBERS) if name == "x.zip" else content
    with pytest.raises(DataError):
        taken(tmp_path, name, content[: len(content) // 2])


@pytest.mark.parametrize("name", ["x.zip", "x.tgz", "x.tar", "x.tar.bz2", "x.deb"])
def test_an_archive_with_changed_bytes_is_read_or_refused_and_nothing_else(tmp_path, name):
    modes = {"x.tgz": "w:gz", "x.tar": "w", "x.tar.bz2": "w:bz2"}
    content = make_zip(MEMBERS) if name == "x.zip" else make_tar(MEMBERS, modes.get(name, "w:xz"))
    content = make_deb(content, ".xz") if name == "x.deb" else content
    chance = random.Random(name)
    for number in range(200):
        changed = bytearray(content)
        for _ in range(chance.choice([1, 3, 20])):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        folder = tmp_path / str(number)
        folder.mkdir()
        with contextlib.suppress(DataError):
            taken(folder, name, bytes(changed), "p/", ("*.txt",))


def test_a_name_that_no_disk_can_hold_is_refused(tmp_path):
    with pytest.raises(DataError, match="name too long"):
        taken(tmp_path, "x.tgz", make_tar({"n" * 300: b"x"}))


def test_a_full_disk_is_not_taken_for_a_broken_archive(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("modelyard.data.catalog.archives._Taking.copy", full)
    with pytest.raises(OSError, match="No space left"):
        taken(tmp_path, "x.tgz", make_tar(MEMBERS))


def test_a_compressed_file_has_its_limit_too(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(bytes(50 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more than the 1000 bytes"):
            decompress(path, 1000)
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()
    path.write_bytes(gzip.compress(b"abc")[:-9])
    with pytest.raises(DataError, match="cannot be decompressed"):
        decompress(path, 1000)
