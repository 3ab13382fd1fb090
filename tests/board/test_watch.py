"""What the board knows of the runs in a folder while they train."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from board_samples import append, epoch, line, make_run, training, write_record

from modelyard.board.run_folder import FILES
from modelyard.board.watch import Runs


def only(runs):
    (summary,) = runs.summaries()
    return summary


def test_a_run_is_told_by_its_record_and_its_events(tmp_path):
    path = make_run(tmp_path, "a", name="cancer")
    append(path, training() + epoch(1, 0.8) + epoch(2, 0.6))
    summary = only(Runs(tmp_path, 0))
    assert (summary["id"], summary["name"], summary["status"]) == ("a", "cancer", "running")
    assert (summary["family"], summary["parameters"], summary["epoch"], summary["epochs"]) == ("linear", 31, 2, 3)
    assert summary["latest"] == {"loss": 0.6, "accuracy": 0.5}
    assert summary["spark"] == [0.8, 0.6]
    assert summary["last"] == 1002.0


def test_the_events_are_followed_as_they_grow(tmp_path):
    path = make_run(tmp_path, "a")
    runs = Runs(tmp_path, 0)
    assert only(runs)["epoch"] == 0
    append(path, training() + epoch(1, 0.8))
    first = runs.curves("a", -1, 0)
    assert first["columns"]["validation/loss"] == [0.8] and first["columns"]["seconds"] == [1.0]
    append(path, epoch(2, 0.6) + epoch(3, 0.5))
    news = runs.curves("a", int(first["generation"]), first["epochs"])
    assert (news["from"], news["epochs"]) == (1, 3)
    assert news["columns"]["epoch"] == [2, 3] and news["columns"]["validation/loss"] == [0.6, 0.5]
    assert runs.curves("a", int(first["generation"]), 3)["columns"]["epoch"] == []


def test_a_line_that_is_still_being_written_waits_for_its_end(tmp_path):
    path = make_run(tmp_path, "a")
    runs = Runs(tmp_path, 0)
    text = epoch(1, 0.8)
    for cut in (1, 20, len(text) - 1):
        (path / "events.jsonl").write_text(text[:cut])
        assert only(runs)["epoch"] == 0
        assert only(runs)["unreadable"] == 0
    (path / "events.jsonl").write_text(text)
    assert only(runs)["epoch"] == 1
    assert runs.curves("a", -1, 0)["columns"]["validation/loss"] == [0.8]


@pytest.mark.parametrize(
    "damage",
    [b"not json\n", b'{"event": "epoch", "epo\n', b"[1]\n", b'{"event": 3}\n', b"\xff\xfe\n", b"[" * 9999 + b"\n"],
)
def test_a_damaged_line_is_counted_and_the_others_are_read(tmp_path, damage):
    path = make_run(tmp_path, "a")
    append(path, epoch(1, 0.8))
    append(path, damage)
    append(path, epoch(2, 0.6))
    summary = only(Runs(tmp_path, 0))
    assert (summary["unreadable"], summary["epoch"]) == (1, 2)


def test_values_that_are_no_numbers_become_gaps(tmp_path):
    path = make_run(tmp_path, "a", metrics={"accuracy": None, "f1": "high"}, seconds="long")
    append(path, epoch(1, 0.8, validation={"loss": None, "accuracy": "x"}, learning_rate=10**400))
    append(path, epoch(2, 0.6, validation=None, train=[1]))
    append(path, epoch(3, 0.5))
    runs = Runs(tmp_path, 0)
    columns = runs.curves("a", -1, 0)["columns"]
    assert columns["validation/loss"] == [None, None, 0.5]
    assert columns["train/loss"] == [0.4, None, 0.25]
    assert columns["learning_rate"] == [None, 0.1, 0.1]
    summary = only(runs)
    assert summary["metrics"] == {"accuracy": None, "f1": None} and summary["seconds"] is None


def test_a_metric_that_appears_later_has_a_gap_before(tmp_path):
    path = make_run(tmp_path, "a")
    runs = Runs(tmp_path, 0)
    append(path, epoch(1, 0.8))
    runs.curves("a", -1, 0)
    append(path, epoch(2, 0.6, validation={"loss": 0.6, "f1": 0.9}))
    columns = runs.curves("a", -1, 0)["columns"]
    assert columns["validation/f1"] == [None, 0.9] and columns["validation/accuracy"] == [0.5, None]


def test_events_written_anew_are_read_anew(tmp_path):
    path = make_run(tmp_path, "a")
    append(path, epoch(1, 0.8) + epoch(2, 0.6))
    runs = Runs(tmp_path, 0)
    before = runs.curves("a", -1, 0)
    (path / "events.jsonl").write_text(epoch(1, 0.9))
    after = runs.curves("a", int(before["generation"]), 2)
    assert (after["from"], after["columns"]["validation/loss"]) == (0, [0.9])
    assert after["generation"] != before["generation"]


def test_a_run_that_vanishes_is_forgotten_and_a_new_one_found(tmp_path):
    first = make_run(tmp_path, "a")
    runs = Runs(tmp_path, 0)
    assert only(runs)["id"] == "a"
    shutil.rmtree(first)
    make_run(tmp_path, "b")
    assert only(runs)["id"] == "b"
    assert runs.curves("a", -1, 0) is None and runs.file("a", "spec.yaml") is None


def test_the_end_of_a_run_is_seen(tmp_path):
    path = make_run(tmp_path, "a")
    runs = Runs(tmp_path, 0)
    assert only(runs)["status"] == "running"
    write_record(path, status="finished", metrics={"accuracy": 0.9}, split="test", seconds=12.5)
    summary = only(runs)
    assert (summary["status"], summary["metrics"], summary["split"]) == ("finished", {"accuracy": 0.9}, "test")


def test_a_record_that_cannot_be_read_is_said_so(tmp_path):
    path = make_run(tmp_path, "a")
    (path / "run.json").write_text("{half")
    summary = only(Runs(tmp_path, 0))
    assert (summary["status"], summary["message"]) == ("unknown", "run.json cannot be read")


def test_the_newest_run_comes_first_and_other_folders_are_no_runs(tmp_path):
    make_run(tmp_path, "old", started="2026-01-01T00:00:00+00:00")
    make_run(tmp_path, "new", started="2026-02-01T00:00:00+00:00")
    (tmp_path / "notes").mkdir()
    (tmp_path / "readme.txt").write_text("x")
    assert [run["id"] for run in Runs(tmp_path, 0).summaries()] == ["new", "old"]


def test_a_folder_that_does_not_exist_yet_has_no_runs(tmp_path):
    runs = Runs(tmp_path / "later", 0)
    assert runs.summaries() == []
    make_run(tmp_path / "later", "a")
    assert only(runs)["id"] == "a"


def test_links_that_lead_out_of_the_folder_are_not_followed(tmp_path):
    root, outside = tmp_path / "runs", tmp_path / "outside"
    secret = make_run(outside, "secret")
    (secret / "spec.yaml").write_text("name: secret")
    root.mkdir()
    (root / "linked").symlink_to(secret)
    mine = make_run(root, "mine")
    (mine / "spec.yaml").symlink_to(secret / "spec.yaml")
    (mine / "events.jsonl").symlink_to(secret / "run.json")
    (mine / "bundle").symlink_to(tmp_path)
    runs = Runs(root, 0)
    assert only(runs)["id"] == "mine" and only(runs)["files"] == []
    assert runs.file("mine", "spec.yaml") is None and runs.file("linked", "spec.yaml") is None
    assert only(runs)["unreadable"] == 0


def test_what_is_no_plain_file_is_not_opened(tmp_path):
    path = make_run(tmp_path, "a")
    os.mkfifo(path / "events.jsonl")
    os.mkfifo(path / "spec.yaml")
    runs = Runs(tmp_path, 0)
    assert only(runs)["epoch"] == 0 and runs.file("a", "spec.yaml") is None


def test_only_named_files_are_known(tmp_path):
    path = make_run(tmp_path, "a")
    (path / "bundle").mkdir()
    for file, _ in FILES.values():
        (path / file).write_text("x")
    runs = Runs(tmp_path, 0)
    assert only(runs)["files"] == list(FILES) == ["report.html", "card.md", "spec.yaml"]
    assert runs.file("a", "report.html") == path / "bundle" / "report.html"
    for other in ("run.json", "events.jsonl", "../a/run.json", "bundle/report.html", ""):
        assert runs.file("a", other) is None


def test_settings_that_differ_are_listed_for_runs_that_have_a_spec(tmp_path):
    for name, text in (("a", "seed: 1\ntrain: {epochs: 3}"), ("b", "seed: 1\ntrain: {epochs: 5}"), ("c", "[broken")):
        (make_run(tmp_path, name) / "spec.yaml").write_text(text)
    make_run(tmp_path, "early")
    runs = Runs(tmp_path, 0)
    found = runs.differences(["a", "b", "early", "c", "gone"])
    assert found["settings"] == {"train.epochs": [3, 5]}
    assert found["runs"] == ["a", "b"] and sorted(found["left_out"]) == ["c", "early", "gone"]
    assert runs.differences(["a"])["settings"] == {}


def test_a_long_training_is_sampled_for_its_small_curve(tmp_path):
    path = make_run(tmp_path, "a")
    append(path, "".join(epoch(number, float(number)) for number in range(1, 1001)))
    summary = only(Runs(tmp_path, 0))
    assert len(summary["spark"]) == 40
    assert (summary["spark"][0], summary["spark"][-1]) == (1.0, 1000.0)
    assert summary["latest"]["loss"] == 1000.0


def test_what_a_running_run_is_doing_is_told(tmp_path):
    path = make_run(tmp_path, "a")
    runs = Runs(tmp_path, 0)
    phases = []
    for text in (line("preparing"), training(), epoch(1, 0.5), line("fold", fold=1)):
        append(path, text)
        phases.append(only(runs)["phase"])
    assert phases == ["preparing", "training", "training", "fold"]


def test_everything_told_is_json(tmp_path):
    path = make_run(tmp_path, "a")
    append(path, training() + '{"event": "epoch", "time": NaN, "epoch": 1, "validation": {"loss": Infinity}}\n')
    runs = Runs(tmp_path, 0)
    json.dumps([runs.summaries(), runs.curves("a", -1, 0)], allow_nan=False)


@pytest.mark.parametrize("event", ["continued", "went_back"])
def test_epochs_that_come_again_take_the_place_of_those_before(tmp_path, event):
    path = make_run(tmp_path, "a")
    runs = Runs(tmp_path, 0)
    append(path, training() + epoch(1, 0.8) + epoch(2, 0.7) + epoch(3, 0.6))
    before = runs.curves("a", -1, 0)
    append(path, line(event, epoch=1, step=10))
    assert only(runs)["epoch"] == 1 and only(runs)["latest"] == {"loss": 0.8, "accuracy": 0.5}
    append(path, epoch(2, 0.5))
    after = runs.curves("a", int(before["generation"]), before["epochs"])
    assert after["from"] == 0 and after["columns"]["validation/loss"] == [0.8, 0.5]
    assert only(runs)["spark"] == [0.8, 0.5]


def test_a_run_that_goes_back_to_its_beginning_has_no_epochs(tmp_path):
    path = make_run(tmp_path, "a")
    runs = Runs(tmp_path, 0)
    append(path, training() + epoch(1, 0.8) + line("went_back", epoch=0))
    assert only(runs)["epoch"] == 0 and only(runs)["spark"] == []
