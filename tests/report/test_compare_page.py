"""The comparison page: what the paired tests say first, all runs side by side, nothing of theirs run or fetched."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re

import pytest
from evidence_samples import KINDS, mistake, png, sample, shown
from test_report import HOSTILE, Page

from modelyard.core.files import to_json
from modelyard.report.compare_page import render_comparison

ROW = {"width": shown("number", "1.5"), "shape": shown("label", "round")}


def run(kind: str, path: str, **changes) -> dict:
    spec, evidence = copy.deepcopy(sample(kind))
    spec["train"].update(changes)
    return {"name": spec["name"], "path": path, "link": f"../{path}", "spec": spec, "evidence": evidence}


def difference(bundle: int, metric: str, by: float, verdict: str, p: float, **more) -> dict:
    return {"bundle": bundle, "metric": metric, "difference": by, "low": by - 0.05, "high": by + 0.05, "p_value": p,
            "test": "McNemar, exact", "higher_is_better": metric != "log_loss", "verdict": verdict, "rows_needed": None,
            **more}  # fmt: skip


def paired(runs: list[dict], differences: list[dict], only_right: list[dict] = ()) -> dict:
    """A comparison on the rows that the runs measured themselves."""
    bundles = [
        {"path": one["path"], "name": one["name"], "family": "mlp", "parameters": 12289,
         "metrics": [{**metric, "baseline": None} for metric in one["evidence"]["metrics"][1]["metrics"]]}
        for one in runs
    ]  # fmt: skip
    return {"data": "rows held out", "target": ["label"], "rows": 40, "rows_left_out": 0, "confidence": 0.95,
            "bundles": bundles, "differences": differences, "only_right": list(only_right), "verdict": ["a is better"],
            "notes": ["something to keep in mind"], "seconds": 0.1}  # fmt: skip


def two(verdict: str = "better", **more) -> dict:
    runs = [run("binary", "runs/a-1"), run("binary", "runs/b-2", learning_rate=0.01)]
    by = {"better": 0.1, "worse": -0.1, "not distinguishable": 0.02}[verdict]
    differences = [
        difference(1, "accuracy", by, verdict, 0.012 if verdict != "not distinguishable" else 0.51, **more),
        difference(1, "log_loss", -0.2, "better", 0.0004),
    ]
    only = {"bundle": 1, "only_first": 1, "only_this": 5, "agreement": 0.85, "examples": [
        {"right": 0, "row": mistake("yes", "no", dict(ROW), position=7)},
        {"right": 1, "row": mistake("no", "yes", {**ROW, "text": shown("text", "so it goes")}, position=1234)},
    ]}  # fmt: skip
    return {"runs": runs, "comparison": paired(runs, differences, [only]), "why": ""}


def page_of(comparison: dict) -> Page:
    page = Page(render_comparison(comparison))
    assert not page.problems
    return page


def sections(page: Page) -> list[str]:
    return [attributes["id"] for attributes in page.all("section")]


# -- the verdict ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "title"),
    [("better", "B is better than A."), ("worse", "B is worse than A."),
     ("not distinguishable", "40 rows cannot tell B from A.")],
)  # fmt: skip
def test_the_verdict_stands_first_in_words(verdict, title):
    page = page_of(two(verdict))
    assert title in page.words
    assert page.words.rindex(title) < page.words.rindex("Paired tests")


def test_a_sentence_names_the_difference_the_interval_the_test_and_other_metrics():
    words = page_of(two()).words
    assert (
        "B is better than A on these 40 rows: Accuracy +10 points (95% interval +5 to +15 points), p = 0.012, "
        "McNemar, exact. Of the other metrics, it is better by Log loss."
    ) in words


def test_rows_that_would_tell_are_named_where_these_cannot():
    words = page_of(two("not distinguishable", rows_needed=1234)).words
    assert "A difference of this size would take about 1,234 rows to tell." in words
    assert "cannot be told" in words
    assert "would take" not in page_of(two("not distinguishable", rows_needed=30)).words


def test_of_many_runs_the_headline_tells_who_is_better_who_is_worse_and_who_cannot_be_told():
    runs = [run("binary", f"runs/{n}") for n in range(4)]
    verdicts = ("better", "worse", "not distinguishable")
    found = [difference(n, "accuracy", 0.1, verdict, 0.01) for n, verdict in enumerate(verdicts, 1)]
    words = page_of({"runs": runs, "comparison": paired(runs, found), "why": ""}).words
    assert "B is better and C is worse than A; the rest cannot be told apart." in words
    assert "no correction for their number" in words
    found = [difference(n, "accuracy", 0.1, "better", 0.01) for n in (1, 2, 3)]
    assert (
        "B, C and D are better than A." in page_of({"runs": runs, "comparison": paired(runs, found), "why": ""}).words
    )
    found = [difference(n, "accuracy", 0.0, "not distinguishable", 1.0) for n in (1, 2, 3)]
    words = page_of({"runs": runs, "comparison": paired(runs, found), "why": ""}).words
    assert "40 rows tell none of the others from A." in words


def test_without_a_paired_comparison_the_page_says_why_and_shows_the_rest():
    page = page_of({**two(), "comparison": None, "why": "the runs have different data; name rows with --data"})
    assert "Not tested on the same rows." in page.words
    assert "There is no test row by row: the runs have different data; name rows with --data." in page.words
    assert sections(page) == ["verdict", "metrics", "training", "labels", "settings", "cost"]
    assert "These may be different rows" in page.words


# -- side by side -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_can_be_compared(kind):
    runs = [run(kind, "runs/a"), run(kind, "runs/b", batch_size=64)]
    first = runs[0]["evidence"]["metrics"][1]["metrics"][0]["name"]
    found = [difference(1, first, 0.05, "not distinguishable", 0.3)]
    page = page_of({"runs": runs, "comparison": paired(runs, found), "why": ""})
    assert {"verdict", "tests", "metrics", "training", "settings", "cost"} <= set(sections(page))
    assert {"#main", *(f"#{name}" for name in sections(page))} <= {link["href"] for link in page.all("a")}
    assert len(page.ids) == len(set(page.ids))
    assert "None" not in page.words.split() and "nan" not in page.words.split()
    assert "train.batch_size 32 64" in page.words


def test_metrics_measured_on_the_same_rows_stand_once_with_intervals_and_the_trivial_answer():
    words = page_of(two()).words
    assert words.count("share of rows answered rightly 0% 100%") == 1
    assert "On the same 40 test rows" in words
    assert "82.5% 72.5% to 92.5% 82.5% 72.5% to 92.5% 50.0%" in words


def test_metrics_on_other_rows_stand_beside_those_each_run_measured_itself():
    comparison = two()
    comparison["comparison"]["rows"] = 30
    for bundle in comparison["comparison"]["bundles"]:
        for metric in bundle["metrics"]:
            metric.update(value=0.6, rows=30)
    words = page_of(comparison).words
    assert "On the same 30 rows: rows held out" in words
    assert "On A: 40 test rows; B: 40 test rows" in words


def test_settings_that_are_the_same_are_not_shown():
    words = page_of(two()).words
    assert "train.learning_rate 0.001 0.01" in words
    assert "train.batch_size" not in words
    same = two()
    same["runs"][1]["spec"] = copy.deepcopy(same["runs"][0]["spec"])
    assert "None: the runs were asked the same." in page_of(same).words


def test_validation_curves_lie_over_each_other_and_can_be_read_as_a_table():
    comparison = two()
    comparison["runs"][1]["evidence"]["training"]["epochs"] = comparison["runs"][1]["evidence"]["training"]["epochs"][
        :2
    ]
    page = page_of(comparison)
    charts = [attributes for attributes in page.all("div") if "data-hover" in attributes]
    assert len(charts) == 2
    # loss 1.1 / epoch: 1.1 to 0.275 in four epochs, to 0.55 in two
    assert charts[0]["aria-label"] == (
        "Loss on validation, by epoch. A goes from 1.1 to 0.275; B goes from 1.1 to 0.55."
    )
    assert json.loads(charts[0]["data-hover"])[-1][1] == ["epoch 4", "A 0.2750"]
    assert "Epoch A B 1 1.1000 1.1000 2 0.5500 0.5500 3 0.3667 – 4 0.2750 –" in page.words


def test_rows_that_only_one_gets_right_are_counted_and_shown():
    words = page_of(two()).words
    assert (
        "They give the same answer to 85.0% of the rows. Only A is right on 1 row, only B is right on 5 rows" in words
    )
    assert "both are right, or both wrong, on 34 rows" in words
    assert "Rows that only A gets right" in words and "#7" in words
    assert "so it goes" in words and "#1,234" in words


def test_labels_that_differ_most_stand_first():
    comparison = two()
    for entry, value in zip(comparison["runs"][1]["evidence"]["metrics"][1]["per_label"], (0.8, 0.1), strict=True):
        entry["f1"] = value
    words = page_of(comparison).words
    labels = words[words.rindex("F1 of each label") :]
    assert labels.index("yes 20 rows") < labels.index("no 20 rows")


def test_slices_that_both_runs_measured_tell_what_changed():
    comparison = two()
    part = {"column": "shape", "rows": 12, "metric": "accuracy", "low": 0.3, "high": 0.7, "rest": 0.9, "p_value": 0.01,
            "worse": True, "declared": True, "condition": []}  # fmt: skip
    for one, value in zip(comparison["runs"], (0.5, 0.75), strict=True):
        one["evidence"]["metrics"][1]["slices"] = [{**part, "value": "round", "metric_value": value}]
    words = page_of(comparison).words
    assert "shape is round 12 rows 50.0% elsewhere 90.0%, worse 75.0% elsewhere 90.0%, worse +25 points" in words
    assert "a dash says nothing" not in words
    comparison["runs"][0]["evidence"]["metrics"][1]["slices"] = []
    words = page_of(comparison).words
    assert "a dash says nothing" in words


def test_calibration_robustness_and_cost_stand_side_by_side():
    comparison = two()
    for n, one in enumerate(comparison["runs"]):
        one["evidence"]["metrics"][1]["calibration"] = {
            "label": "yes", "ece": 0.1 + n / 10, "low": 0.05, "high": 0.3, "largest": 0.4, "bins": [],
            "temperature": 1.5, "ece_calibrated": None, "log_loss": 0.4, "log_loss_calibrated": 0.3}  # fmt: skip
        one["evidence"]["metrics"][1]["robustness"] = [
            {"corruption": "noise", "severity": 2, "columns": ["width"], "rows": 40, "metric": "accuracy", "clean": 0.8,
             "corrupted": 0.7 - n / 10, "change": -0.1 - n / 10, "low": -0.3, "high": 1e-17, "changed_answers": 0.1}
        ]  # fmt: skip
        one["evidence"]["cost"] = {
            "seconds": {},
            "flops_per_row_forward": 60.0,
            "flops_training": 1e6,
            "energy_how": "",
            "energy_joules": 728.0 * (n + 1),
            "peak_memory_bytes": 10**9,
        }
    words = page_of(comparison).words
    assert "0.1 0.05 to 0.3 0.2 0.05 to 0.3" in words
    assert "Calibration error with this temperature" not in words  # neither run has it
    assert "noise, severity 2 −10 points −30 to 0 points −20 points −30 to 0 points" in words
    assert "728 J 1,456 J" in words


def test_each_run_links_to_its_report_by_a_relative_address():
    comparison = two()
    links = [link["href"] for link in page_of(comparison).all("a") if not link["href"].startswith("#")]
    assert links == ["../runs/a-1/bundle/report.html", "../runs/b-2/bundle/report.html"]
    comparison["runs"][0]["link"] = "javascript:alert(1)//x y"
    comparison["runs"][1]["evidence"] = {}
    comparison["comparison"] = None
    links = [link["href"] for link in page_of(comparison).all("a") if not link["href"].startswith("#")]
    assert links == ["javascript%3Aalert%281%29//x%20y/bundle/report.html"]


def test_many_runs_have_letters_of_their_own_and_colours_that_come_round_dashed():
    runs = [run("binary", f"runs/{n}") for n in range(30)]
    html = render_comparison({"runs": runs, "comparison": None, "why": ""})
    assert not Page(html).problems
    letters = re.findall(r'<li><b class="run (run-\d(?: dashed)?)">(\w+)</b>', html)
    assert [letter for _, letter in letters[:30]] == [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "A1", "B1", "C1", "D1"]
    assert letters[5][0] == "run-5" and letters[6][0] == "run-0 dashed"


# -- safe and offline -------------------------------------------------------------------------------------------------


def hostile() -> dict:
    comparison = two()
    comparison["comparison"]["only_right"][0]["examples"][0]["row"]["shown"]["image"] = shown("image", "round", png())
    for one in comparison["runs"]:
        one["evidence"]["metrics"][1]["slices"] = [
            {"column": "shape", "value": "round", "rows": 12, "metric": "accuracy", "metric_value": 0.5, "low": 0.3,
             "high": 0.7, "rest": 0.9, "p_value": 0.01, "worse": True, "declared": True, "condition": []}]  # fmt: skip
        one["evidence"]["metrics"][1]["robustness"] = [
            {"corruption": "noise", "severity": 2, "columns": [], "rows": 40, "metric": "accuracy", "clean": 0.8,
             "corrupted": 0.7, "change": -0.1, "low": -0.3, "high": 0.0, "changed_answers": 0.1}]  # fmt: skip
    text = to_json(comparison)
    written = ["label", "no", "yes", "width", "shape", "round", "data/rows.csv", "mlp", "What it is for.",
               "A processor", "rows held out", "sample", "runs/a-1", "runs/b-2", "../runs/b-2", "McNemar, exact",
               "so it goes", "noise", "something to keep in mind", "cpu", "accuracy", "test", "rows.csv"]  # fmt: skip
    for word in written:
        text = re.sub(rf'"{re.escape(word)}"(?!:)', lambda _, w=word: json.dumps(f"{w} {HOSTILE}"), text)
        if word not in ("label", "test", "accuracy"):
            text = text.replace(f'"{word}":', f"{json.dumps(f'{word} {HOSTILE}')}:")
    comparison = json.loads(text)
    comparison["runs"][1]["spec"][HOSTILE] = HOSTILE
    return comparison


def test_what_a_stranger_wrote_is_shown_as_text_and_never_run():
    comparison = hostile()
    for made in (comparison, {**comparison, "comparison": None, "why": HOSTILE}):
        page = page_of(made)
        assert len(page.all("script")) == 1
        assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
        assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
        assert page.text.count("alert('1')</script>") > 5
        assert not [link for link in page.all("a") if ":" in link["href"]]


def test_a_picture_that_is_none_is_not_shown():
    comparison = two()
    row = comparison["comparison"]["only_right"][0]["examples"][0]["row"]
    row["shown"] = {"image": shown("image", "a picture", png())}
    assert len(page_of(comparison).all("img")) == 1
    row["shown"] = {"image": shown("image", "a picture", "PHN2Zz4=")}
    assert not page_of(comparison).all("img")


def test_the_page_opens_no_connection_and_only_its_own_script_may_run():
    html = render_comparison(hostile())
    assert not re.search(r"""(?:src|href|action|data)\s*=\s*["']?\s*(?:https?:)?//""", html, re.IGNORECASE)
    assert not re.search(r"url\(|@import|@font-face", html, re.IGNORECASE)
    policy = next(
        meta["content"] for meta in Page(html).all("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    )
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"script-src 'sha256-{digest}'" in policy


def test_two_renderings_are_equal_and_files_give_what_records_give():
    comparison = two()
    comparison["runs"][0]["evidence"]["metrics"][1]["metrics"][0]["low"] = float("nan")  # null in a file
    assert render_comparison(comparison) == render_comparison(json.loads(to_json(comparison)))
