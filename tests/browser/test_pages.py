"""The pages in a real browser: they load without a word of complaint, ask nobody for anything, and answer a reader."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from board_samples import append, epoch, make_run, training
from chromium import Browser, Page, find
from evidence_samples import mistake, png, sample, shown
from pdf_text import words

from modelyard.board.server import Board
from modelyard.report.compare_page import render_comparison
from modelyard.report.report import render

pytestmark = pytest.mark.skipif(
    find() is None, reason="no Chromium here: none of chromium, chromium-browser, google-chrome is on the PATH"
)

ANIMALS = ("cat", "dog", "hen")


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    with Browser(str(find()), tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def page(browser) -> Iterator[Page]:
    opened = browser.page()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> str:
    """A report of pictures with twelve mistakes, a confusion table of three labels, and four epochs."""
    spec, evidence = sample("images")
    wrong = [(true, answer) for true in ANIMALS for answer in ANIMALS if true != answer] * 2
    for evaluation in evidence["metrics"]:
        evaluation["confusion"] = {"labels": list(ANIMALS), "counts": [[9, 2, 2], [2, 9, 2], [2, 2, 10]]}
        evaluation["per_label"] = [
            {"name": name, "rows": rows, "precision": 0.8, "recall": recall, "f1": 0.8}
            for name, rows, recall in zip(ANIMALS, (130, 14, 9), (None, 0.75, 0.9), strict=True)
        ]
    test = next(evaluation for evaluation in evidence["metrics"] if evaluation["split"] == "test")
    test["mistakes"] = [
        mistake(true, answer, {"image": shown("image", f"28×28 grey picture {at}", png())}, position=at)
        for at, (true, answer) in enumerate(wrong)
    ]
    for evaluation in evidence["metrics"]:
        if evaluation is not test:
            evaluation["mistakes"] = []
    return written(tmp_path_factory, render(spec, evidence))


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> str:
    """A report whose one mistake holds a long text that is folded away."""
    spec, evidence = sample("texts")
    long = "It began well. " * 60 + "Zanzibar was the last word."
    for evaluation in evidence["metrics"]:
        evaluation["mistakes"] = [mistake("bad", "good", {"text": shown("text", long)})]
    return written(tmp_path_factory, render(spec, evidence))


def written(factory: pytest.TempPathFactory, html: str) -> str:
    file = factory.mktemp("report") / "report.html"
    file.write_text(html, "utf-8")
    return file.as_uri()


def many(page: Page, selector: str) -> int:
    """How many such elements can be seen."""
    return page.run(f"[...document.querySelectorAll({selector!r})].filter((one) => one.checkVisibility()).length")


FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


def type_into(page: Page, selector: str, value: str) -> None:
    page.run(
        f"((field) => {{ field.value = {value!r}; field.dispatchEvent(new Event('input', {{bubbles: true}})); }})"
        f"(document.querySelector({selector!r}))"
    )


# -- the report opens -------------------------------------------------------------------------------------------------


def test_the_report_opens_without_a_complaint_and_asks_nobody_for_anything(page, report):
    page.open(report)
    assert page.problems == []
    assert page.requests == [report]


@pytest.mark.parametrize("kind", ["regression", "multilabel", "many_labels"])
def test_every_kind_of_task_opens_without_a_complaint(page, tmp_path_factory, kind):
    address = written(tmp_path_factory, render(*sample(kind)))
    page.open(address)
    assert page.problems == [] and page.requests == [address]
    assert page.run("document.documentElement.scrollWidth <= innerWidth")


def test_charts_are_drawn_and_can_be_heard(page, report):
    page.open(report)
    assert many(page, "[role=img]") >= 8
    unnamed = page.run("[...document.querySelectorAll('[role=img]')].filter((one) => !one.ariaLabel).length")
    bare = page.run("document.querySelectorAll('svg:not([role=img]):not([aria-hidden=true])').length")
    assert (unnamed, bare) == (0, 0)
    sizes = page.run(
        "[...document.querySelectorAll('svg[role=img], .chart')].filter((one) => one.checkVisibility())"
        ".map((one) => one.getBoundingClientRect()).map((box) => Math.min(box.width, box.height))"
    )
    assert all(size >= 8 for size in sizes)


def test_there_is_one_title_and_no_level_of_headings_is_left_out(page, report):
    page.open(report)
    levels = page.run("[...document.querySelectorAll('h1, h2, h3, h4, h5')].map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_first_key_leads_past_the_contents(page, report):
    page.open(report)
    page.press("Tab")
    assert page.run("document.activeElement.className") == "skip"
    assert page.run("document.activeElement.getBoundingClientRect().left >= 0")
    page.press("Enter")
    assert page.run("document.activeElement.id") == "main"


def test_the_contents_say_where_the_reader_is(page, report):
    page.open(report)
    page.run("document.getElementById('results').scrollIntoView()")
    page.wait_for("document.querySelector('nav [aria-current]').hash === '#results'")
    assert page.run("document.querySelectorAll('nav [aria-current]').length") == 1


# -- it answers -------------------------------------------------------------------------------------------------------


def test_typing_picks_out_mistakes_and_counts_them(page, report):
    page.open(report)
    page.run("document.querySelector('#mistakes').scrollIntoView()")
    assert many(page, "#mistakes .card") == 12
    type_into(page, "#mistakes [type=search]", "PICTURE 11")
    assert many(page, "#mistakes .card") == 1
    assert page.run("document.querySelector('#mistakes output').textContent") == "1 of 12 shown"
    assert page.run("document.querySelector('#mistakes output').ariaLive") == "polite"
    type_into(page, "#mistakes [type=search]", "no such words")
    assert many(page, "#mistakes .card") == 0
    assert many(page, "#mistakes .none-left") == 1
    page.run("[...document.querySelectorAll('#mistakes button')].find((one) => one.textContent === 'Clear').click()")
    assert many(page, "#mistakes .card") == 12
    assert page.run("document.querySelector('#mistakes output').textContent") == "12 shown"


def test_labels_pick_out_mistakes(page, report):
    page.open(report)
    type_into(page, "#mistakes [name=true]", "hen")
    assert many(page, "#mistakes .card") == 4
    type_into(page, "#mistakes [name=answer]", "dog")
    assert many(page, "#mistakes .card") == 2
    assert page.run("document.querySelector('#mistakes output').textContent") == "2 of 12 shown"


def test_a_confusion_leads_to_its_mistakes(page, report):
    page.open(report)
    page.run('document.querySelector(\'a[data-true="dog"][data-answer="cat"]\').click()')
    assert many(page, "#mistakes .card") == 2
    assert page.run("Math.abs(document.getElementById('mistakes').getBoundingClientRect().top) < 200")


def test_tables_sort_by_number_and_by_name(page, report):
    page.open(report)

    def order() -> list[str]:
        return page.run(
            "[...document.querySelectorAll('#results table.sortable:not(details *) tbody tr')]"
            ".map((row) => row.cells[0].textContent.trim())"
        )

    def press(heading: str) -> str:
        return page.run(
            f"((one) => {{ one.querySelector('button').click(); return one.ariaSort; }})([...document.querySelectorAll("
            f"'#results table.sortable:not(details *) th')].find((one) => one.textContent === {heading!r}))"
        )

    assert order() == ["cat", "dog", "hen"]
    assert press("Rows") == "ascending" and order() == ["hen", "dog", "cat"]
    assert press("Rows") == "descending" and order() == ["cat", "dog", "hen"]
    # what is not known stays last, both ways
    assert press("Recall") == "ascending" and order() == ["dog", "hen", "cat"]
    assert press("Recall") == "descending" and order() == ["hen", "dog", "cat"]
    assert page.run("document.querySelectorAll('#results th[aria-sort]').length") == 1


def test_a_chart_says_its_values_to_the_pointer_and_to_the_keyboard(page, report):
    page.open(report)
    page.run("document.querySelector('#training .chart').scrollIntoView({block: 'center'})")
    page.run(FRAMES)  # scrolling hides what is shown, a frame later
    x, y = page.run(
        "((box) => [box.left + box.width / 2, box.top + box.height / 2])"
        "(document.querySelector('#training .plot').getBoundingClientRect())"
    )
    page.point_at(x, y)
    page.wait_for("!document.getElementById('tip').hidden")
    assert "epoch" in page.run("document.getElementById('tip').textContent").lower()
    page.point_at(2, 2)
    page.wait_for("document.getElementById('tip').hidden")
    page.run("document.querySelector('#training .chart').focus()")
    page.press("ArrowRight")
    assert page.run("document.getElementById('tip').hidden") is False
    assert page.run("document.querySelector('[role=status]').textContent") != ""
    page.press("Escape")
    assert page.run("document.getElementById('tip').hidden") is True


def test_marks_of_a_drawing_say_what_they_are(page, tmp_path_factory):
    marks = "".join(
        f'<circle data-x="{x}" data-y="{y}" cx="{x}" cy="{y}" r="3"><title>at {x}, true {y}</title></circle>'
        for x, y in ((20, 80), (80, 30))
    )
    drawing = f'<svg role="img" aria-label="two points" width="100" height="100">{marks}</svg>'
    html = render(*sample("binary")).replace("</main>", f"<section>{drawing}</section></main>")
    page.open(written(tmp_path_factory, html))
    page.run("document.querySelector('svg:has([data-x])').scrollIntoView({block: 'center'})")
    page.run(FRAMES)
    left, top = page.run(
        "((box) => [box.left, box.top])(document.querySelector('svg:has([data-x])').getBoundingClientRect())"
    )
    page.point_at(left + 90, top + 40)  # beside the second, nearer to it than a finger is wide
    page.wait_for("!document.getElementById('tip').hidden")
    assert page.run("document.getElementById('tip').textContent") == "at 80, true 30"
    page.point_at(2, 2)
    page.wait_for("document.getElementById('tip').hidden")
    page.run("document.querySelector('svg:has([data-x])').focus()")
    page.press("ArrowRight")
    assert page.run("document.getElementById('tip').textContent") == "at 20, true 80"


def test_the_theme_is_chosen_and_remembered(page, report):
    paper = "getComputedStyle(document.body).backgroundColor"
    page.prefer(color_scheme="light")
    page.open(report)
    light = page.run(paper)
    page.run("document.querySelector('.theme').click()")
    dark = page.run(paper)
    assert dark != light
    page.open(f"{report}?again")
    assert page.run(paper) == dark
    page.run("document.querySelector('.theme').click()")
    assert page.run(paper) == light
    page.run("localStorage.clear()")
    page.prefer(color_scheme="dark")
    page.open(report)
    assert page.run(paper) == dark
    assert page.run("document.querySelector('.theme').ariaLabel") == "Light theme"


def test_all_that_is_folded_away_opens_at_once(page, report):
    page.open(report)
    folded = page.run("document.querySelectorAll('main details:not([open])').length")
    assert folded > 0
    page.run("document.querySelector('.unfold').click()")
    assert page.run("document.querySelectorAll('main details:not([open])').length") == 0
    page.wait_for("document.querySelector('.unfold').textContent === 'Close all'")


def test_commands_and_the_spec_can_be_copied(page, report):
    page.open(report)
    assert page.run("document.querySelectorAll('pre').length") == page.run(
        "document.querySelectorAll('pre + .copy').length"
    )
    page.run("document.querySelector('.copy').click()")
    page.wait_for("['Copied', 'Selected'].includes(document.querySelector('.copy').textContent)")
    assert page.problems == []


def test_without_scripts_everything_is_there_and_nothing_is_dead(page, report):
    page.without_scripts()
    page.open(report)
    assert many(page, "#mistakes .card") == 12
    assert many(page, "button, form, input, select") == 0


# -- it fits, is read, and is printed ---------------------------------------------------------------------------------


def test_a_phone_scrolls_in_one_direction_alone(page, report):
    page.resize(360, 740, phone=True)
    page.open(report)
    page.run("for (const details of document.querySelectorAll('details')) details.open = true")
    assert page.run("document.documentElement.scrollWidth") == 360
    over = page.run(
        "[...document.querySelectorAll('main *')].filter((one) => one.checkVisibility()"
        " && !one.closest('.scroll, pre, svg, .plot, .visually-hidden, thead') "
        " && one.getBoundingClientRect().right > 361).map((one) => one.outerHTML.slice(0, 90))"
    )
    assert over == []


# text and the ground under it, by WCAG 2.2 (relative luminance); what is too weak is named with its ratio
CONTRAST = """
(() => {
  const parse = (color) => {
    const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number);
    return color.startsWith('color(srgb') ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const ground = (one) => {
    const layers = [];
    for (let at = one; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const light = (color) => {
    const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = color.map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const weak = {};
  for (const one of document.querySelectorAll('body *:not(svg, svg *, script, style)')) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !one.checkVisibility() || one.closest('.visually-hidden')) continue;
    const below = ground(one);
    const [a, b] = [light(over(parse(getComputedStyle(one).color), below)), light(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) weak[`${one.tagName}.${one.className}`] = ratio.toFixed(2);
  }
  return weak;
})()
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_letter_stands_out_from_its_ground(page, report, theme):
    page.prefer(color_scheme=theme)
    page.open(report)
    page.run("for (const details of document.querySelectorAll('details')) details.open = true")
    assert page.run("matchMedia('(prefers-color-scheme: dark)').matches") is (theme == "dark")
    assert page.run(CONTRAST) == {}


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_on_paper_nothing_stays_folded_away(page, texts, scripts):
    if not scripts:
        page.without_scripts()
    page.prefer(color_scheme="dark")
    page.open(texts)
    assert page.run("document.querySelectorAll('.card details[open]').length") == 0
    pdf = page.print()
    assert pdf.startswith(b"%PDF")
    text = words(pdf)
    assert "Zanzibarwasthelastword." in text
    assert "batch_size" in text  # the whole spec is folded away too
    assert page.run("document.querySelectorAll('.card details[open]').length") == 0


# -- other pages ------------------------------------------------------------------------------------------------------


@pytest.fixture
def board(tmp_path) -> Iterator[str]:
    for name, loss in (("first-run", 0.5), ("second-run", 0.25)):
        run = make_run(tmp_path, name, status="finished", metrics={"accuracy": 0.75}, split="test", seconds=3.0)
        append(run, training() + epoch(1, loss) + epoch(2, loss / 2))
    with Board(Path(tmp_path), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def test_the_board_lists_the_runs_and_asks_its_own_server_alone(page, board):
    page.open(board, ready="document.querySelectorAll('#table tbody tr').length === 2")
    listed: Any = page.run("document.querySelector('#table tbody').textContent")
    assert "first-run" in listed and "second-run" in listed
    assert page.problems == []
    assert all(address.startswith(board) for address in page.requests)


def test_a_comparison_opens_without_a_complaint_sorts_and_fits_a_phone(page, tmp_path_factory):
    runs = []
    for name in ("first", "second"):
        spec, evidence = sample("many_labels")
        runs.append({"name": name, "path": f"runs/{name}", "spec": spec, "evidence": evidence})
    html = render_comparison({"runs": runs, "comparison": None, "why": "their test rows differ"})
    address = written(tmp_path_factory, html)
    page.resize(360, 740, phone=True)
    page.prefer(color_scheme="dark")
    page.open(address)
    assert page.problems == [] and page.requests == [address]
    assert page.run("document.documentElement.scrollWidth") == 360
    assert many(page, "[role=img]") > 0
    page.resize(1280)
    heading = "document.querySelector('table.sortable th:has(button)')"
    page.run(f"{heading}.querySelector('button').click()")
    assert page.run(f"{heading}.ariaSort") == "ascending"
    assert page.run("document.querySelectorAll('#tip').length") == 1
    assert page.run(CONTRAST) == {}
