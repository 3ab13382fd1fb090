import itertools
import json
import re

import pytest

from modelyard.report.charts import HEIGHT, Curve, Mark, line_chart, thin
from modelyard.report.heatmap import heat_map, level_of
from modelyard.report.scales import Scale
from modelyard.report.strips import Interval, difference_strip, interval_strip, range_strip, stacked_bar
from modelyard.report.svg import Drawn, element


def test_an_element_escapes_what_it_is_given_and_keeps_what_is_drawn():
    inside = element("b", None, "a < b")
    drawn = element("a", {"title": '"x" & <y>', "hidden": False, "open": True, "at": 1.50, "no": None}, inside, "<i>")
    assert drawn == '<a title="&quot;x&quot; &amp; &lt;y&gt;" open at="1.5"><b>a &lt; b</b>&lt;i&gt;</a>'
    assert element("br") == "<br>"


def chart(*curves: Curve, mark: Mark | None = None) -> Drawn:
    hover = [(1.0, ["epoch 1"]), (2.0, ["epoch <2>"])]
    return line_chart("Loss", curves, Scale(1, 2), Scale(0, 1), [(1, "1"), (2, "2")], hover, mark, "epoch")


def test_a_curve_runs_through_its_points_with_the_greatest_value_on_top():
    drawn = chart(Curve("train", "train", [(1, 0.25), (2, 1.0)]))
    assert 'd="M0.00 75.00L100.00 0.00"' in drawn
    assert "Train" not in drawn and "train goes from 0.25 to 1." in drawn


def test_a_curve_of_one_point_is_a_dot():
    drawn = chart(Curve("train", "train", [(1, 0.5)]))
    assert 'class="curve dot train" d="M0.00 50.00h0"' in drawn


def test_names_at_the_ends_of_lines_do_not_cover_each_other():
    curves = [Curve(name, name, [(1, 0.5), (2, value)]) for name, value in (("a", 0.0), ("b", 0.01), ("c", 0.02))]
    tops = [float(top) * HEIGHT / 100 for top in re.findall(r'end-name \w" style="top:([\d.]+)%', chart(*curves))]
    assert len(tops) == 3
    assert all(below - above >= 14.9 for above, below in itertools.pairwise(tops))
    assert tops[-1] <= HEIGHT + 0.01


def test_a_mark_stands_at_its_place():
    drawn = chart(Curve("", "plain", [(1, 0.5), (2, 0.5)]), mark=Mark(2, "kept: epoch 2"))
    assert '<line class="mark" x1="100" x2="100"' in drawn
    assert "kept: epoch 2" in drawn


def test_what_is_said_under_the_pointer_is_json_that_cannot_leave_its_attribute():
    drawn = chart(Curve("train", "train", [(1, 0.5), (2, 0.5)]))
    raw = re.search(r'data-hover="([^"]*)"', drawn)[1]
    assert "<2>" not in raw
    assert json.loads(raw.replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">")) == [
        [0.0, ["epoch 1"]],
        [100.0, ["epoch <2>"]],
    ]


def test_long_curves_are_thinned_and_keep_their_last_point():
    points = [(float(x), float(x)) for x in range(10_001)]
    thinned = thin(points, 100)
    assert len(thinned) <= 102
    assert thinned[0] == points[0] and thinned[-1] == points[-1]
    assert thin(points[:50], 100) == points[:50]


def test_an_interval_is_a_bar_a_dot_and_a_tick_for_the_baseline():
    drawn = interval_strip([Interval("judged", 0.5, 0.0, 1.0, 0.25)], Scale(0, 1), "accuracy")
    assert 'class="interval judged" x1="2.00%" x2="98.00%"' in drawn  # the ends leave room for the dot
    assert 'class="value judged" cx="50.00%"' in drawn
    assert 'class="baseline" x1="26.00%" x2="26.00%"' in drawn


def test_what_is_not_known_of_an_interval_is_not_drawn():
    drawn = interval_strip([Interval("judged", None, None, None, None)], Scale(0, 1), "accuracy")
    assert "circle" not in drawn and "baseline" not in drawn and "interval" not in drawn


def test_the_other_strips():
    assert range_strip(1.0, 1.0, 1.0, 0.0, 1.0, "constant") == ""
    assert 'class="median" x1="26.00%"' in range_strip(0.0, 4.0, 2.0, 1.0, 1.0, "width")
    assert 'class="error" x1="2.00%" x2="98.00%"' in difference_strip(0, 10, Scale(0, 10), "off by 10")
    assert 'class="b" x="75.00%" width="25.00%"' in stacked_bar([("a", 0.75), ("b", 0.25)], "rows")


@pytest.mark.parametrize(("share", "level"), [(1e-9, 1), (1 / 64, 1), (0.05, 2), (0.25, 4), (0.5, 6), (1.0, 8)])
def test_depth_grows_with_the_root_of_the_share(share, level):
    assert level_of(share) == level


def test_a_heat_map_has_right_answers_and_mistakes_in_their_cells():
    drawn = heat_map(["no", "<yes>"], [[4, 0], [1, 3]])
    assert '<path class="right level-8" d="M0 0h1v1h-1z">' in drawn
    assert '<path class="right level-7" d="M1 1h1v1h-1z">' in drawn
    assert '<path class="wrong level-4" d="M0 1h1v1h-1z">' in drawn
    assert drawn.count('class="cell') == 3  # 0 is not written
    assert "1 mistakes" in drawn
    assert "<yes>" not in drawn and "&lt;yes&gt;" in drawn


def test_a_hundred_labels_are_all_named_and_stay_small():
    labels = [f"label {n}" for n in range(100)]
    drawn = heat_map(labels, [[1 + (i * j) % 7 for j in range(100)] for i in range(100)])
    assert all(f">{label}</text>" in drawn for label in labels)
    assert len(drawn) < 300_000


def test_a_row_without_any_answer_is_empty():
    assert "path" not in heat_map(["a", "b"], [[0, 0], [0, 0]])
