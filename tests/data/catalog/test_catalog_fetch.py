"""A data set appears whole and verified, or not at all; once it is there nobody is asked again."""

from __future__ import annotations

import errno
import functools
import gzip
import hashlib
import json
import multiprocessing
import os
import resource
import signal
import threading
import time

import pytest
from catalog_packing import make_tar

from modelyard.core.errors import DataError, StorageError, UnreachableError
from modelyard.data.catalog import catalog, origins
from modelyard.data.catalog.contents import content_digest
from modelyard.data.catalog.download import download
from modelyard.data.catalog.origins import Hub, Url

ROWS = '{"text": "one"}\n{"text": "two"}\n'


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def nothing_is_left(cache):
    return everything(cache) in ([], ["data"])


def test_it_arrives_with_a_record_of_where_it_came_from(known, home, tmp_path):
    entry = known()
    seen = []
    directory = catalog.get("toy", tmp_path, lambda name, done, total: seen.append((name, done, total)))
    assert directory == tmp_path / "data" / "toy" / "1" == catalog.place("toy", tmp_path)
    assert everything(directory) == ["all.jsonl", "origin.json"]
    assert (directory / entry.files["all"]).read_text() == ROWS
    archive = home.answers["/toy.tar.gz"]
    record = json.loads((directory / "origin.json").read_text())
    assert record["downloads"] == [
        {
            "file": "toy.tar.gz",
            "bytes": len(archive),
            "sha256": hashlib.sha256(archive).hexdigest(),
            "pinned": False,
        }
    ]
    assert record["files"] == {
        "all.jsonl": {
            "split": "all",
            "rows": 2,
            "bytes": len(ROWS),
            "content_sha256": hashlib.sha256(ROWS.encode()).hexdigest(),
            "pinned": False,
        }
    }
    assert record["licence"] == "CC0" and record["from"] == home.url + "/toy.tar.gz" and record["fetched"]
    assert seen[-1] == ("toy", len(archive), len(archive))
    assert everything(tmp_path / "data" / "toy") == ["1", "1/all.jsonl", "1/origin.json"]


def test_the_second_time_nobody_is_asked(known, home, tmp_path):
    known()
    first = catalog.get("toy", tmp_path)
    assert home.requests == ["/toy.tar.gz"]
    home.answers.clear()
    assert catalog.get("toy", tmp_path) == first
    assert home.requests == ["/toy.tar.gz"]


def test_another_version_is_another_arrival(known, home, tmp_path):
    known()
    catalog.get("toy", tmp_path)
    known(version="2")
    assert catalog.get("toy", tmp_path).name == "2"
    assert len(home.requests) == 2


def test_a_pinned_file_and_pinned_content_are_accepted(known, home, tmp_path):
    digest = hashlib.sha256(home.answers["/toy.tar.gz"]).hexdigest()
    pinned = Url(urls={home.url + "/toy.tar.gz": digest}, root="toy-1/", take=("lines.txt",))
    known(origins=(pinned,), digests={"all.jsonl": hashlib.sha256(ROWS.encode()).hexdigest()})
    record = json.loads((catalog.get("toy", tmp_path) / "origin.json").read_text())
    assert record["downloads"][0]["pinned"] and record["files"]["all.jsonl"]["pinned"]


def test_another_file_than_the_pinned_one_is_refused_before_it_is_opened(known, home, tmp_path):
    received = hashlib.sha256(home.answers["/toy.tar.gz"]).hexdigest()
    opened = []
    known(
        origins=(Url(urls={home.url + "/toy.tar.gz": "0" * 64}, root="toy-1/", take=("lines.txt",)),),
        convert=lambda raw, out: opened.append(raw),
    )
    with pytest.raises(UnreachableError, match=f"SHA-256 {'0' * 64} expected, {received} received"):
        catalog.get("toy", tmp_path)
    assert not opened and nothing_is_left(tmp_path)


def test_other_content_than_the_pinned_one_is_refused(known, tmp_path):
    known(digests={"all.jsonl": "0" * 64})
    with pytest.raises(UnreachableError, match=f"where {'0' * 64} was expected"):
        catalog.get("toy", tmp_path)
    assert nothing_is_left(tmp_path)


def test_another_number_of_rows_is_refused(known, tmp_path):
    known(rows={"all": 3})
    with pytest.raises(UnreachableError, match=r"all\.jsonl came with 2 rows, where 3 were expected"):
        catalog.get("toy", tmp_path)
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>please log in</html>", make_tar({"toy-1/other.txt": b""})],
    ids=["nothing", "a page", "another archive"],
)
def test_something_else_than_the_archive_is_refused(known, home, tmp_path, content):
    known()
    home.answers["/toy.tar.gz"] = content
    with pytest.raises(UnreachableError, match="none of its 1 origins"):
        catalog.get("toy", tmp_path)
    assert nothing_is_left(tmp_path)


def test_an_archive_larger_than_its_limit_is_refused(known, tmp_path):
    known(expanded_limit=3)
    with pytest.raises(UnreachableError, match="more than the 3 bytes"):
        catalog.get("toy", tmp_path)
    assert nothing_is_left(tmp_path)


def test_the_next_origin_is_used_when_one_fails(known, home, toy, tmp_path):
    gone = Url(urls={home.url + "/gone.tar.gz": None}, root="toy-1/", take=("lines.txt",))
    wrong = Url(urls={home.url + "/toy.tar.gz": "0" * 64}, root="toy-1/", take=("lines.txt",))
    known(origins=(gone, wrong, *toy.origins))
    record = json.loads((catalog.get("toy", tmp_path) / "origin.json").read_text())
    assert record["from"] == toy.origins[0].label
    assert home.requests == ["/gone.tar.gz", "/toy.tar.gz", "/toy.tar.gz"]


def test_when_all_fail_each_is_named_with_its_reason_and_what_to_do(known, home, tmp_path):
    known(
        origins=(
            Url(urls={home.url + "/gone.tar.gz": None}),
            Url(urls={"http://127.0.0.1:9/closed.tar.gz": "ab" * 32}),
            Hub(repository="some/set", revision="0" * 40, paths={"data/train.parquet": None}),
        )
    )
    os.environ["HF_ENDPOINT"] = home.url
    try:
        with pytest.raises(UnreachableError) as caught:
            catalog.get("toy", tmp_path)
    finally:
        del os.environ["HF_ENDPOINT"]
    message = str(caught.value)
    assert "cannot fetch toy: none of its 3 origins could be used" in message
    assert f"{home.url}/gone.tar.gz answered 404" in message
    assert "http://127.0.0.1:9/closed.tar.gz cannot be reached: Connection refused" in message
    assert f"/datasets/some/set/resolve/{'0' * 40}/data/train.parquet answered 404" in message
    assert str(tmp_path / "data" / "toy" / "by-hand") in message
    assert "PIP_INDEX_URL" in message and "closed.tar.gz (http://127.0.0.1:9/closed.tar.gz)" in message
    assert nothing_is_left(tmp_path)


def test_a_download_that_breaks_off_leaves_nothing(known, home, tmp_path):
    def half(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        handler.wfile.write(home.whole[: len(home.whole) // 2])

    known()
    home.whole, home.answers["/toy.tar.gz"] = home.answers["/toy.tar.gz"], half
    with pytest.raises(UnreachableError, match=r"(ended after \d+ of 1000000 bytes|broke off)"):
        catalog.get("toy", tmp_path)
    assert nothing_is_left(tmp_path)


def test_a_silent_home_is_given_up_soon(known, home, tmp_path, monkeypatch):
    release = threading.Event()
    known()
    home.answers["/toy.tar.gz"] = lambda handler: release.wait(20) and None
    monkeypatch.setattr(origins, "download", functools.partial(download, timeout=0.2))
    start = time.monotonic()
    try:
        with pytest.raises(UnreachableError, match=r"no answer within 0\.2 seconds"):
            catalog.get("toy", tmp_path)
    finally:
        release.set()
    assert time.monotonic() - start < 5
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_only_the_web_is_asked(tmp_path, url):
    with pytest.raises(UnreachableError, match="not an http or https address"):
        download(url, tmp_path / "x", lambda done, total: None)
    assert not (tmp_path / "x").exists()


def test_a_redirect_cannot_lead_to_a_file_of_this_machine(home, tmp_path):
    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", "file:///etc/passwd")
        handler.end_headers()

    home.answers["/x"] = redirect
    with pytest.raises(UnreachableError):
        download(home.url + "/x", tmp_path / "x", lambda done, total: None)
    assert (tmp_path / "x").read_bytes() == b""


def test_ctrl_c_leaves_nothing(known, tmp_path):
    known()

    def interrupt(name, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalog.get("toy", tmp_path, interrupt)
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_leaves_nothing_and_is_said(known, toy, tmp_path, number):
    def full(raw, out):
        toy.convert(raw, out)
        raise OSError(number, os.strerror(number))

    known(convert=full)
    with pytest.raises(StorageError):
        catalog.get("toy", tmp_path)
    assert nothing_is_left(tmp_path)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("most", [10, 100, 5_000, 100_000])
def test_no_file_can_grow_past_a_full_disk(known, home, tmp_path, most):
    """The operating system refuses every file longer than `most` bytes: the download, the members, the result."""
    text = "".join(f"line {number}\n" for number in range(20_000))
    home.answers["/toy.tar.gz"] = make_tar({"toy-1/lines.txt": text.encode()})
    known(rows={"all": 20_000})

    def attempt():
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        try:
            catalog.get("toy", tmp_path)
        except StorageError:
            os._exit(0)
        os._exit(1)

    process = multiprocessing.get_context("fork").Process(target=attempt)
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize("moment", ["convert", "write"])
def test_ctrl_c_while_converting_leaves_nothing(known, toy, tmp_path, moment):
    def interrupted(raw, out):
        if moment == "write":
            toy.convert(raw, out)
        raise KeyboardInterrupt

    known(convert=interrupted)
    with pytest.raises(KeyboardInterrupt):
        catalog.get("toy", tmp_path)
    assert nothing_is_left(tmp_path)


def test_a_conversion_that_meets_another_layout_says_so(known, tmp_path):
    for failing in (lambda raw, out: {}["column"], lambda raw, out: int("x"), lambda raw, out: None):
        known(convert=failing)
        with pytest.raises(UnreachableError, match="not laid out as toy is"):
            catalog.get("toy", tmp_path)
    assert nothing_is_left(tmp_path)


def test_what_a_person_put_there_is_used_without_any_connection(known, home, tmp_path):
    known()
    by_hand = tmp_path / "data" / "toy" / "by-hand"
    by_hand.mkdir(parents=True)
    (by_hand / "toy.tar.gz").write_bytes(home.answers["/toy.tar.gz"])
    directory = catalog.get("toy", tmp_path)
    assert (directory / "all.jsonl").read_text() == ROWS
    assert home.requests == []
    assert "by hand" in json.loads((directory / "origin.json").read_text())["from"]
    assert (by_hand / "toy.tar.gz").exists()


def test_the_wrong_file_put_there_by_hand_is_an_error_and_not_passed_over(known, home, tmp_path):
    known(origins=(Url(urls={home.url + "/toy.tar.gz": "0" * 64}, root="toy-1/", take=("lines.txt",)),))
    by_hand = tmp_path / "data" / "toy" / "by-hand"
    by_hand.mkdir(parents=True)
    (by_hand / "toy.tar.gz").write_bytes(home.answers["/toy.tar.gz"])
    with pytest.raises(DataError, match=r"0000 expected, \w+ received.*by hand"):
        catalog.get("toy", tmp_path)
    assert home.requests == []


def test_of_several_files_those_put_there_by_hand_are_told_from_those_that_lack(known, home, tmp_path):
    known(origins=(Url(urls={home.url + "/train.csv": None, home.url + "/test.csv": None}),))
    by_hand = tmp_path / "data" / "toy" / "by-hand"
    by_hand.mkdir(parents=True)
    (by_hand / "train.csv").write_text("a\n")
    with pytest.raises(UnreachableError, match=r"train\.csv \(is there\), test\.csv \("):
        catalog.get("toy", tmp_path)
    assert everything(tmp_path / "data" / "toy") == ["by-hand", "by-hand/train.csv"]


@pytest.mark.parametrize("change", ["longer", "shorter", "gone", "no record", "broken record", "empty record"])
def test_a_data_set_that_was_changed_is_not_used(known, home, tmp_path, change):
    known()
    directory = catalog.get("toy", tmp_path)
    data, record = directory / "all.jsonl", directory / "origin.json"
    match change:
        case "longer":
            data.write_text(ROWS + "{}\n")
        case "shorter":
            data.write_text("")
        case "gone":
            data.unlink()
        case "no record":
            record.unlink()
        case "broken record":
            record.write_text("{")
        case "empty record":
            record.write_text("[]")
    with pytest.raises(DataError, match=r"origin\.json|changed since toy was fetched"):
        catalog.get("toy", tmp_path)
    assert len(home.requests) == 1


def test_many_threads_that_ask_at_once_cause_one_fetch(known, home, tmp_path):
    known()
    found = []
    threads = [threading.Thread(target=lambda: found.append(catalog.get("toy", tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [catalog.place("toy", tmp_path)] * 8
    assert home.requests == ["/toy.tar.gz"]
    assert everything(tmp_path / "data" / "toy") == ["1", "1/all.jsonl", "1/origin.json"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_several_processes_that_ask_at_once_cause_one_fetch(known, home, tmp_path):
    known()
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=catalog.get, args=("toy", tmp_path)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 4
    assert home.requests == ["/toy.tar.gz"]
    assert everything(tmp_path / "data" / "toy") == ["1", "1/all.jsonl", "1/origin.json"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_what_a_killed_process_left_is_cleared_by_the_next(known, tmp_path):
    known()

    def hang(name, done, total):
        time.sleep(60)

    process = multiprocessing.get_context("fork").Process(target=catalog.get, args=("toy", tmp_path, hang))
    process.start()
    deadline = time.monotonic() + 20
    while not list((tmp_path / "data" / "toy").glob(".1.*.tmp/.arriving/arrived/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert list((tmp_path / "data" / "toy").glob(".1.*.tmp"))
    catalog.get("toy", tmp_path)
    assert everything(tmp_path / "data" / "toy") == ["1", "1/all.jsonl", "1/origin.json"]


def test_the_digest_of_content_does_not_depend_on_compression(tmp_path):
    for level in (1, 9):
        (tmp_path / f"{level}.gz").write_bytes(gzip.compress(b"content" * 1000, level))
    assert content_digest(tmp_path / "1.gz") == content_digest(tmp_path / "9.gz")
    assert content_digest(tmp_path / "1.gz") == hashlib.sha256(b"content" * 1000).hexdigest()
