"""Runs side by side."""

from __future__ import annotations

import csv
from html.parser import HTMLParser

import pytest
from small_training import blobs

import modelyard
from modelyard.core.errors import UsageError
from modelyard.spec.spec import Spec
from modelyard.train.compare import compare, write_comparison


def write_rows(path, rows: int, seed: int = 0):
    """Two clouds of points far apart, as CSV, with a column that says nothing of them."""
    data = {"nothing": [row // 2 % 7 for row in range(rows)], **blobs(rows, seed)}
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(data)
        writer.writerows(zip(*data.values(), strict=True))
    return path


def run(folder, source, name="small", seed=0, split=None, inputs=("x", "y"), **train):
    spec = {
        "name": name,
        "seed": seed,
        "data": {
            "source": str(source),
            "inputs": dict.fromkeys(inputs, "number"),
            "targets": ["side"],
            "split": split or {"validation": 0.2, "test": 0.4},
        },
        "model": "linear",
        "train": {"epochs": 2, "batch_size": 16, "learning_rate": 0.1, "threads": 1, **train},
        "evaluate": {"resamples": 50, "robustness": False, "slices": None},
    }
    return modelyard.train(Spec.parse(spec), folder).path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three runs on the same 200 rows: learned, blind, and with another seed; one on other rows."""
    folder = tmp_path_factory.mktemp("compare")
    rows, others = write_rows(folder / "rows.csv", 200), write_rows(folder / "others.csv", 200, seed=1)
    runs = folder / "runs"
    return {
        "folder": folder,
        "rows": rows,
        "learned": run(runs, rows, "learned", epochs=8),
        "blind": run(runs, rows, "blind", inputs=["nothing"]),
        "reseeded": run(runs, rows, "reseeded", seed=5, epochs=8),
        "elsewhere": run(runs, others, "elsewhere"),
    }


class Links(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag == "a":
            self.found.append(dict(attributes)["href"])


def test_two_runs_on_the_same_rows_are_tested_row_by_row(made):
    found = compare([made["blind"], made["learned"]])
    assert found.unpaired_because == ""
    assert [record.name for record in found.runs] == ["blind", "learned"]
    # 40% of 200 rows, give or take the hash: as many as each of the runs measured itself
    measured = modelyard.core.files.read_json(made["learned"] / "bundle" / "evidence" / "metrics.json")
    assert found.paired.rows == measured[-1]["rows"] > 50
    assert found.paired.rows_left_out == 0
    headline = found.paired.differences[0]
    assert (headline.metric, headline.test, headline.verdict) == ("accuracy", "McNemar, exact", "better")
    assert headline.p_value < 0.001
    assert found.metrics["accuracy"][1] == pytest.approx(1.0)
    assert headline.difference == pytest.approx(found.metrics["accuracy"][1] - found.metrics["accuracy"][0])
    assert found.settings["train.epochs"] == [2, 8]
    assert "seed" not in found.settings


def test_runs_of_different_seeds_are_compared_on_what_both_held_out(made):
    found = compare([made["learned"], made["reseeded"]])
    assert found.settings["seed"] == [0, 5]
    alone = compare([made["learned"], made["blind"]]).paired.rows
    assert 0 < found.paired.rows < alone
    assert any(f"these {found.paired.rows} in common" in note for note in found.paired.notes)
    # the order of the runs changes nothing about the rows
    assert compare([made["reseeded"], made["learned"]]).paired.rows == found.paired.rows


def test_no_note_says_that_held_out_rows_may_have_been_trained_on(made):
    assert compare([made["learned"], made["blind"]]).paired.notes == []


def test_different_data_are_not_compared_row_by_row(made):
    found = compare([made["learned"], made["elsewhere"]])
    assert found.paired is None
    assert "different data" in found.unpaired_because
    assert "--data" in found.unpaired_because
    assert all(value is not None for value in found.metrics["accuracy"])


def test_rows_that_are_named_are_compared_on_whatever_the_runs_were_made_from(made):
    new = write_rows(made["folder"] / "new.csv", 30, seed=2)
    found = compare([made["learned"], made["elsewhere"]], new)
    assert found.paired.rows == 30
    assert found.unpaired_because == ""


def test_data_that_has_changed_since_is_not_taken_for_what_was_held_out(made, tmp_path):
    rows = write_rows(tmp_path / "rows.csv", 120)
    runs = [run(tmp_path / "runs", rows, name) for name in ("a", "b")]
    write_rows(rows, 120, seed=3)
    assert "has changed since" in compare(runs).unpaired_because
    rows.unlink()
    found = compare(runs)
    assert found.paired is None
    assert "cannot be had" in found.unpaired_because


def test_without_a_test_split_the_validation_rows_judge_and_a_note_says_so(made, tmp_path):
    split = {"validation": 0.3, "test": 0}
    runs = [run(tmp_path, made["rows"], name, split=split) for name in ("a", "b")]
    found = compare(runs)
    assert found.paired.rows > 30
    assert any("no test split" in note for note in found.paired.notes)


def test_a_run_without_a_bundle_is_named(made, tmp_path):
    modelyard.core.files.write_json(
        tmp_path / "run.json",
        {
            "name": "cut short",
            "path": "",
            "status": "failed",
            "started": "",
            "seconds": 1.0,
            "metrics": {},
            "split": "",
        },
    )
    found = compare([made["learned"], tmp_path])
    assert found.paired is None
    assert f"{tmp_path} holds no bundle" in found.unpaired_because
    assert found.metrics["accuracy"][1] is None
    write_comparison(found, tmp_path / "page.html")
    assert "holds no bundle" in (tmp_path / "page.html").read_text()


def test_the_page_links_to_the_reports_from_where_it_stands(made):
    found = compare([made["blind"], made["learned"]])
    for page in (made["folder"] / "comparison.html", made["folder"] / "pages" / "deep" / "comparison.html"):
        write_comparison(found, page)
        text = page.read_text()
        links = [link for link in Links(text).found if not link.startswith("#")]
        assert [(page.parent / link).resolve() for link in links] == [
            (made[name] / "bundle" / "report.html").resolve() for name in ("blind", "learned")
        ]
        assert all((page.parent / link).is_file() for link in links)
        assert "B is better than A." in text


def test_one_run_or_a_folder_that_is_none_is_said(made, tmp_path):
    with pytest.raises(UsageError, match="two runs or more, got 1"):
        compare([made["learned"]])
    with pytest.raises(UsageError, match="not a run"):
        compare([made["learned"], tmp_path])
