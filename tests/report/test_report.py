import base64
import copy
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from evidence_samples import KINDS, classification, epochs, full_sample, mistake, png, sample, shown, training

from modelyard.core.files import to_json
from modelyard.report.cards import PICTURE_BUDGET
from modelyard.report.report import render

VOID = {"meta", "br", "img", "input", "link", "hr"}
HOSTILE = "</script><script>alert('1')</script><img src=x onerror=alert(1)>\"'&"


class Page(HTMLParser):
    """A page taken apart: its tags, its visible text, and whether every tag is closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.pieces: list[str] = []
        self.problems: list[str] = []
        self.feed(html)
        self.close()
        if self.open:
            self.problems.append(f"never closed: {self.open}")

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        names = [name for name, _ in attributes]
        if len(names) != len(set(names)):
            self.problems.append(f"<{tag}> has an attribute twice: {names}")
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> at line {self.getpos()[0]} while open: {self.open[-3:]}")
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def words(self) -> str:
        """The visible text, one space between any two words or elements."""
        return " ".join(" ".join(self.pieces).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_has_every_section(kind):
    page = Page(render(*sample(kind)))
    assert not page.problems
    sections = [attributes["id"] for attributes in page.all("section")]
    assert sections == [
        "verdict", "asked", "data", "training", "results", "mistakes", "cost", "environment", "reproduce",
    ]  # fmt: skip
    linked = [attributes["href"] for attributes in page.all("a")]
    assert {f"#{name}" for name in sections} <= set(linked)
    assert len(page.ids) == len(set(page.ids))
    assert "What it is for." in page.words
    assert "None" not in page.words.split() and "nan" not in page.words.split()


ALWAYS_MEASURED = [
    "verdict", "asked", "data", "gate", "training", "results", "mistakes", "slices", "fairness", "robustness",
    "learning-curve", "cross-validation", "cost", "environment", "reproduce",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_measured_has_its_section_in_order(kind):
    page = Page(render(*full_sample(kind)))
    assert not page.problems
    sections = [attributes["id"] for attributes in page.all("section")]
    wanted = list(ALWAYS_MEASURED)
    if kind in ("regression", "two_targets"):
        wanted.insert(wanted.index("slices"), "suspects")
    else:
        wanted[wanted.index("mistakes") : wanted.index("slices")] = ["curves", "calibration", "mistakes", "suspects"]
    if kind in ("binary", "images", "texts"):
        wanted.insert(wanted.index("mistakes"), "threshold")
    assert sections == wanted
    assert len(page.ids) == len(set(page.ids))
    assert "None" not in page.words.split() and "nan" not in page.words.split()


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_opens_no_connection(kind):
    html = render(*full_sample(kind))
    assert not re.search(r"""(?:src|href|action|data)\s*=\s*["']?\s*(?:https?:)?//""", html, re.IGNORECASE)
    assert not re.search(r"url\(|@import|@font-face", html, re.IGNORECASE)
    page = Page(html)
    assert not page.all("link") and not page.all("iframe") and not page.all("object")
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_only_the_pages_own_script_may_run():
    html = render(*sample("binary"))
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html.replace("&#39;", "'")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_stranger_wrote_is_shown_as_text_and_never_run(kind):
    spec, evidence = full_sample(kind)
    text = to_json([spec, evidence])
    written = [
        "label", "no", "yes", "cat", "good", "red", "dark", "width", "shape", "image", "text", "price", "tags", "round",
        "id", "rows.csv", "data/rows.csv", "28×28 grey image", "all values differ", "MIT", "A processor", "mlp",
        "What it is for.", "usual for adamw", "no label (the target is missing)", "1 of 2 labels has no row here",
        "square", "shape", "noise", "missing: width", "3 rows stand twice", "3 test rows also stand in training",
        "It flatters.", "as line 3", "rows.csv, line 9", "data.checks.duplicates_across_splits=keep", "string", "share",
        "duplicates_across_splits", "1 … 2", "each point is one training", "equal rows share a fold", "validation",
        "twice the rows would take it to about 0.875", "the best precision with a recall of at least 0.9",
        "training rows, 3 folds", "counted while 32 training rows ran", "0.1.0",
    ]  # fmt: skip
    for word in written:  # as a value and, but for the names of fields, as a key
        text = re.sub(rf'"{re.escape(word)}"(?!:)', lambda _, w=word: json.dumps(f"{w} {HOSTILE}"), text)
        if word not in ("label", "text", "id", "share", "shape", "validation"):
            text = text.replace(f'"{word}":', f"{json.dumps(f'{word} {HOSTILE}')}:")
    spec, evidence = json.loads(text)
    spec["name"] = f"sample {HOSTILE}"
    page = Page(render(spec, evidence))
    assert not page.problems
    assert len(page.all("script")) == 1
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert all(image["src"].startswith("data:") for image in page.all("img"))
    assert page.text.count("alert('1')</script>") > 5


def test_a_row_that_holds_a_script_is_shown_as_it_is():
    spec, evidence = sample("texts")
    evidence["metrics"][1]["mistakes"] = [
        mistake("bad", "good", {"text": shown("text", "<script>alert(1)</script> fine")})
    ]
    html = render(spec, evidence)
    assert html.count("<script>") == 1
    assert "<script>alert(1)</script> fine" in Page(html).text


def test_the_page_is_the_same_from_records_and_from_the_files_of_a_bundle():
    spec, evidence = sample("binary")
    evidence["metrics"][1]["metrics"][0]["low"] = float("nan")  # null in a file
    assert render(spec, evidence) == render(spec, json.loads(to_json(evidence)))


def test_two_renderings_are_equal():
    assert render(*sample("many_labels")) == render(*sample("many_labels"))


# -- what is shown ----------------------------------------------------------------------------------------------------


def test_the_headline_stands_first_and_every_number_says_where_it_comes_from():
    page = Page(render(*sample("binary")))
    first, second = (page.words.rindex(text) for text in ("Better than the trivial answer.", "What was asked"))
    assert first < second
    assert "82.5%" in page.words and "72.5% to 92.5%" in page.words
    kinds = [attributes.get("class") for attributes in page.all("span")]
    assert "tag measured" in kinds and "tag derived" in kinds


def test_the_data_is_told():
    page = Page(render(*sample("binary")))
    for text in ("400 rows", "train 320 80.0%", "looks like number", "all values differ", "mean 1.5", "missing 2",
                 "MIT", "3 rows left out", "no label (the target is missing)", "data/rows.csv", "ab" * 32):  # fmt: skip
        assert text in page.words, text


def test_a_split_without_a_label_stands_out():
    html = render(*sample("binary"))
    assert re.search(r'class="[^"]*none">.{0,120}<span class="over">0 <small>0%', html, re.DOTALL)


def test_choices_are_shown_with_what_was_chosen_and_why():
    page = Page(render(*sample("binary")))
    assert "train.learning_rate 0.001 usual for adamw" in page.words
    assert "model.family mlp number columns" in page.words
    assert "batch_size: 32" in page.words


def test_mistakes_are_pictures_texts_rows_and_numbers():
    page = Page(render(*sample("images")))
    picture = page.all("img")[0]
    assert picture["alt"] == "image: 28×28 grey image"
    assert (picture["width"], picture["height"], picture["class"]) == ("28", "28", "sharp")
    assert "rows.csv #3 · loss 1.25" in page.words
    texts = Page(render(*sample("texts")))
    assert "Not what was <b>promised</b>." in texts.words and "… more" in texts.words
    rows = Page(render(*sample("binary")))
    assert "width 1.5 shape round" in rows.words and "75.0% sure" in rows.words
    numbers = Page(render(*sample("regression")))
    assert "true 20 answered 12.5 off by −7.5" in numbers.words
    several = Page(render(*sample("two_targets")))
    assert "true price 20 rent 3 answered price 12.5 rent 2.5" in several.words
    assert "answered none" in Page(render(*sample("multilabel"))).words


def test_mistakes_carry_their_labels_for_the_filter():
    html = render(*sample("binary"))
    card = next(attributes for attributes in Page(html).all("li") if "card" in (attributes.get("class") or ""))
    assert json.loads(card["data-true"]) == ["yes"]
    assert json.loads(card["data-answers"]) == ["no"]
    assert '<select name="true">' in html
    assert '<select name="true">' not in render(*sample("regression"))


def test_a_search_for_the_learning_rate_is_drawn_with_what_it_chose():
    spec, evidence = sample("binary")
    rates = [10 ** (-6 + n / 10) for n in range(61)]
    losses = [1.0 - 0.01 * n if n < 50 else n**2 for n in range(61)]
    evidence["training"]["rate_search"] = {"rates": rates, "losses": losses, "suggestion": 0.01}
    page = Page(render(spec, evidence))
    assert "Search for the learning rate" in page.words and "chosen: 0.01" in page.words


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_can_be_heard(kind):
    page = Page(render(*full_sample(kind)))
    assert all(chart.get("aria-label") for chart in page.all("div") if "chart" in (chart.get("class") or "").split())
    for drawing in page.all("svg"):
        assert drawing.get("aria-hidden") == "true" or (drawing["role"] == "img" and drawing["aria-label"])
    assert all(heading.get("scope") in ("col", "row") for heading in page.all("th"))


# -- what is missing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("absent", ["data", "training", "metrics", "baseline", "environment"])
def test_a_record_that_is_absent_leaves_its_part_out(kind, absent):
    spec, evidence = sample(kind)
    del evidence[absent]
    assert not Page(render(spec, evidence)).problems


def test_nothing_but_a_name_is_enough():
    page = Page(render({"name": "sample"}, {}))
    assert not page.problems
    assert "Nothing was measured." in page.words


@pytest.mark.parametrize("kind", KINDS)
def test_without_validation_without_test_without_epochs_without_mistakes(kind):
    spec, evidence = sample(kind)

    def changed(change):
        copied = copy.deepcopy(evidence)
        change(copied)
        page = Page(render(spec, copied))
        assert not page.problems
        return page.words

    assert "2 validation" not in changed(lambda e: e["metrics"].pop(0))
    assert "There is no test split" in changed(lambda e: e["metrics"].pop(1))
    assert "Nothing was measured." in changed(lambda e: e.update(metrics=[]))
    assert "No epoch was run" in changed(lambda e: e.update(training=training([])))
    assert "there was no mistake" in changed(lambda e: [one.update(mistakes=[]) for one in e["metrics"]])
    assert "Overfitting cannot be seen" in changed(lambda e: e.update(training=training(epochs(3, validation=False))))
    assert "every row that was read was used" in changed(lambda e: e["data"].update(dropped={}, dropped_rows=[]))


def test_a_metric_that_is_not_defined_is_a_dash():
    spec, evidence = sample("binary")
    for one in evidence["metrics"]:
        one["metrics"][0].update(value=None, low=None, high=None)
        one["metrics"][1].update(low=float("nan"), high=float("nan"), baseline=None)
    page = Page(render(spec, evidence))
    assert "Log loss is 0.4000." in page.words  # the first that could be measured speaks
    assert "Accuracy share of rows answered rightly 0% 100% – – – – 50.0%" in page.words


def test_epochs_whose_loss_is_no_number_are_left_out_of_the_curve():
    spec, evidence = sample("binary")
    evidence["training"]["epochs"][2]["train"] = {"loss": float("nan"), "accuracy": None}
    page = Page(render(spec, evidence))
    assert "Training broke down" in page.words


# -- size -------------------------------------------------------------------------------------------------------------


def test_many_pictures_keep_the_page_under_five_megabytes_and_those_left_out_are_counted():
    spec, evidence = full_sample("images")
    pictures = [png(256, 256, noise=n + 1) for n in range(24)]
    mistakes = [
        mistake("cat", "dog", {side: shown("image", "a picture", one) for side in "abcd"}, n)
        for n, one in enumerate(pictures)
    ]
    evidence["metrics"] = [
        classification(["cat", "dog"], [[10, 24], [0, 20]], mistakes, split) for split in ("validation", "test")
    ]
    html = render(spec, evidence)
    assert len(html.encode()) < 5_000_000
    assert sum(len(image["src"]) for image in Page(html).all("img")) < 1.02 * PICTURE_BUDGET
    page = Page(html)
    kept = len(page.all("img"))
    assert 96 <= kept < 192  # the split that judges comes first
    assert f"{192 - kept} pictures are left out" in page.words


def test_a_thousand_columns_labels_and_epochs_keep_it_small():
    spec, evidence = sample("binary")
    names = [f"column number {n}" for n in range(1000)]
    spec["data"]["inputs"] = {name: {"type": "number", "missing": ["", "na"]} for name in names}
    evidence["data"]["columns"] = [{"column": name, "modality": "number", "reason": "numbers"} for name in names]
    evidence["data"]["summaries"] = dict.fromkeys(names, evidence["data"]["summaries"]["width"])
    evidence["data"]["labels"] = {"label": {"train": dict.fromkeys(names, 5)}}
    evidence["metrics"][1]["per_label"] = [
        {"name": name, "rows": 5, "precision": 0.5, "recall": 0.5, "f1": 0.5} for name in [*names, *names]
    ]
    evidence["training"]["epochs"] = epochs(2000)
    evidence["metrics"][1]["mistakes"] = [
        mistake("yes", "no", {name: shown("number", "1.25") for name in names}, n) for n in range(24)
    ]
    html = render(spec, evidence)
    assert len(html.encode()) < 5_000_000
    page = Page(html)
    assert not page.problems
    assert "400 more columns are in" in page.words and "1,000 more are in" in page.words


def test_a_picture_that_is_no_png_is_not_put_into_the_page():
    spec, evidence = sample("images")
    evidence["metrics"][1]["mistakes"] = [
        mistake("cat", "dog", {"image": shown("image", "28×28 grey image", broken)})
        for broken in ('"><b>', "AAAA" * 20, "not base64 at all, and long enough to look")
    ]
    html = render(spec, evidence)
    assert Page(html).words.count("28×28 grey image") == 3
    assert not Page(html).problems


def test_letters_that_are_none_are_shown_as_what_they_are():
    spec, evidence = sample("texts")
    evidence["metrics"][1]["mistakes"] = [
        mistake("bad", "good", {"text": shown("text", "bell \x07 nul \x00 half \udcff")})
    ]
    html = render(spec, evidence)
    assert "bell ␇ nul ␀ half \\udcff" in Page(html).text
    html.encode()
