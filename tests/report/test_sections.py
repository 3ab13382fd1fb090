"""What each section of the report shows, from hand-made records."""

import copy
import re

import pytest
from evidence_samples import KINDS, calibration, corrupted, curve, fairness, finding, full_sample, slice_
from test_report import HOSTILE, Page

from modelyard.report import calibration as calibration_section
from modelyard.report import (
    cost,
    cross_validation,
    curves,
    environment,
    gate,
    learning_curve,
    reproduce,
    robustness,
    slices,
    suspects,
    threshold,
)
from modelyard.report import fairness as fairness_section
from modelyard.report.column_statistics import column_statistics, drift
from modelyard.report.report import render


def words(spec, evidence):
    page = Page(render(spec, evidence))
    assert not page.problems
    return page.words


def section_of(html, name):
    return re.search(rf'<section id="{name}".*?</section>', html, re.DOTALL)[0]


# -- data -------------------------------------------------------------------------------------------------------------


def test_refusals_come_before_notes_with_their_rows_and_the_setting():
    view = gate.view(*full_sample("binary"))
    assert view["counts"] == ["1 refusal", "1 note"]
    assert view["accepted"] == 1
    (urgent,) = view["urgent"]
    assert urgent["title"] == "3 test rows also stand in training"
    assert urgent["rows"] == "3 rows" and urgent["done"] == "its rows were kept"
    assert urgent["setting"] == "data.checks.duplicates_across_splits=keep"
    assert urgent["examples"] == [{"place": "rows.csv, line 9", "what": "as line 3"}]
    assert urgent["more_rows"] == "2"
    assert ("share", "0.075") in urgent["details"]


def test_a_gate_that_found_nothing_says_so_and_one_that_never_looked_is_left_out():
    spec, evidence = full_sample("binary")
    evidence["data"]["findings"] = []
    assert "The data gate had nothing to say" in words(spec, evidence)
    del evidence["data"]["findings"]
    assert gate.view(spec, evidence) is None


def test_a_row_without_a_place_is_named_by_file_and_record():
    spec, evidence = full_sample("binary")
    one = finding("warn", "1 row", rows=1)
    one["examples"] = [{"file": "a.csv", "position": 1234, "place": "", "what": ""}]
    evidence["data"]["findings"] = [one]
    (shown,) = gate.view(spec, evidence)["urgent"]
    assert shown["examples"][0]["place"] == "a.csv, record 1,234"
    assert shown["more_rows"] == ""


def test_many_findings_are_cut_and_counted():
    spec, evidence = full_sample("binary")
    evidence["data"]["findings"] = [finding("note", f"note {n}") for n in range(150)]
    assert gate.view(spec, evidence)["left_out"] == "50"
    assert "50 more are in evidence/data.json" in words(spec, evidence)


def test_a_column_shows_its_quantiles_of_each_split_and_its_drift():
    _, evidence = full_sample("binary")
    found = column_statistics(evidence["data"], {"width": "input", "shape": "input", "label": "target"})
    assert found["splits"] == ["train", "validation", "test"]
    assert [line["name"] for line in found["lines"]] == ["label", "width", "shape"]  # the target first
    label, width, shape = found["lines"]
    assert label["role"] == "target" and width["role"] == ""
    assert width["words"] == "0 to 3, mean 1.5, median 1.5"
    assert width["missing"] == ["0.6%", "5.0%", "5.0%"] and not width["none_missing"]
    assert width["drifted"] and width["drift"] == "0.38"
    assert "train: nine tenths of the values from 0.25 to 2.75" in width["picture"]
    assert width["picture"].count("<title>") == 3
    # 308 of 318 known values in training, 28 of 38 in the others
    assert "round: train 96.9%, validation 73.7%, test 73.7%" in shape["picture"]


def test_texts_show_their_lengths():
    _, evidence = full_sample("texts")
    text = next(
        line for line in column_statistics(evidence["data"], {"text": "input"})["lines"] if line["kind"] == "text"
    )
    assert text["words"] == "0 to 3 characters, mean 1.5, median 1.5"
    assert text["picture"]


def test_drift_names_the_columns_beyond_chance_alone():
    _, evidence = full_sample("binary")
    found = drift(evidence["data"])
    assert found["words"] == "1 of 1 column is distributed otherwise than in training: width."
    assert [(line["split"], line["value"], line["threshold"]) for line in found["lines"]] == [("test", "0.375", "0.25")]
    for one in evidence["data"]["drift"]:
        one["drifted"] = False
    assert drift(evidence["data"])["lines"] == []
    assert "chance aside" in drift(evidence["data"])["words"]
    assert drift({}) is None


def test_sixty_columns_are_pictured_and_the_others_folded_away():
    one = {"kind": "number", "rows": 10, "missing": 0, "mean": 1.0, "minimum": 0.0, "maximum": 2.0,
           "quantiles": {"5": 0.0, "25": 0.5, "50": 1.0, "75": 1.5, "95": 2.0}}  # fmt: skip
    data = {"statistics": {"train": {f"column {n}": one for n in range(700)}}}
    found = column_statistics(data, {})
    assert len(found["lines"]) == 60 and all(line["picture"] for line in found["lines"])
    assert len(found["more"]) == 540 and not any(line["picture"] for line in found["more"])
    assert found["left_out"] == "100"


def test_a_column_whose_values_are_all_equal_is_drawn():
    one = {"kind": "number", "rows": 10, "missing": 10, "mean": 5.0, "minimum": 5.0, "maximum": 5.0,
           "quantiles": dict.fromkeys(("5", "25", "50", "75", "95"), 5.0)}  # fmt: skip
    (line,) = column_statistics({"statistics": {"train": {"a": one}}}, {})["lines"]
    assert "nan" not in line["picture"] and line["missing"] == ["100%"]


# -- what thresholds would give ---------------------------------------------------------------------------------------


def test_curves_are_drawn_with_their_finding_in_words_and_their_numbers_as_a_table():
    (part,) = curves.view(*full_sample("binary"))["parts"]
    assert [chart["title"] for chart in part["charts"]] == ["ROC", "Precision and recall", "Gain", "Lift"]
    roc, precision, gain, lift = part["charts"]
    assert "the area is 0.8125" in roc["chart"] and "it finds 50.0% of its own" in roc["chart"]
    assert ["yes", "25.0%", "75.0%"] in roc["rows"]
    assert "average precision is 0.8750" in precision["chart"]
    assert ["yes", "25.0%", "50.0%"] in gain["rows"]
    # 20 of 40 rows are of the label, so that a precision of 1 is a lift of 2; nothing taken has none
    assert lift["rows"] == [
        ["yes", "25.0%", "2"], ["yes", "50.0%", "1.5"], ["yes", "75.0%", "1.25"], ["yes", "100%", "1"],
    ]  # fmt: skip
    assert "2 times as frequent" in lift["chart"]


def test_points_say_what_they_are():
    (part,) = curves.view(*full_sample("binary"))["parts"]
    drawn = part["charts"][0]["chart"]
    assert 'data-x="false positive rate 25.0%" data-y="true positive rate 75.0%"' in drawn
    assert "<title>false positive rate 25.0%, true positive rate 75.0%</title>" in drawn


def test_six_labels_are_drawn_and_all_are_in_the_table():
    (part,) = curves.view(*full_sample("many_labels"))["parts"]
    assert part["not_drawn"] == "2"
    assert len(part["labels"]) == 8
    assert [line["name"] for line in part["charts"][0]["legend"]] == [f"label {n}" for n in range(6)]
    assert part["charts"][0]["chart"].count("<path") == 6


def test_long_curves_stay_small():
    spec, evidence = full_sample("binary")
    long = curve("yes")
    for key in ("threshold", "true_positive_rate", "false_positive_rate", "precision", "share"):
        long[key] = [n / 199 for n in range(200)]
    evidence["metrics"][-1]["curves"] = [dict(long, label=f"label {n}") for n in range(20)]
    (part,) = curves.view(spec, evidence)["parts"]
    assert sum(len(chart["chart"]) for chart in part["charts"]) < 120_000
    assert all(chart["chart"].count("<circle") <= 60 for chart in part["charts"])


def test_the_reliability_diagram_says_where_probabilities_are_off():
    (part,) = calibration_section.view(*full_sample("binary"))["parts"]
    # (30 · 0.25 + 10 · 0.75) / 40 = 37.5% given, (30 · 0.125 + 10 · 0.5) / 40 = 21.9% true
    assert part["words"] == (
        "On average “yes” is given a probability of 37.5%, and it was true of 21.9% of the rows: probabilities are too "
        "high on the whole."
    )
    assert part["chart"]["rows"][1] == ["50.0% to 100%", "10", "75.0%", "50.0%", "25.0% to 75.0%"]
    assert ("Calibration error", "15.6% (95% interval 6.2% to 25.0%)", "measured") in part["facts"]
    assert part["temperature"] == (
        "Above 1: the model is too sure. With it, the calibration error falls from 15.6% to 9.4% and the log loss "
        "falls from 0.5 to 0.4 on these rows."
    )


def test_without_a_temperature_none_is_spoken_of():
    spec, evidence = full_sample("binary")
    record = evidence["metrics"][-1]["calibration"]
    record.update(temperature=None, ece_calibrated=None, log_loss_calibrated=None)
    (part,) = calibration_section.view(spec, evidence)["parts"]
    assert part["temperature"] == "" and len(part["facts"]) == 3
    assert "No temperature was fitted" in words(spec, evidence)


def test_what_does_not_change_by_a_temperature_is_said_to_stay():
    record = calibration() | {"ece": 0.015, "ece_calibrated": 0.01501, "temperature": 0.8}
    spec, evidence = full_sample("binary")
    evidence["metrics"][-1]["calibration"] = record
    (part,) = calibration_section.view(spec, evidence)["parts"]
    assert "the calibration error stays at 1.5%" in part["temperature"]


def test_a_threshold_is_shown_with_its_price():
    (part,) = threshold.view(*full_sample("binary"))["parts"]
    assert (part["label"], part["value"], part["default"]) == ("yes", "0.25", "0.5")
    accuracy = next(line for line in part["lines"] if line["name"] == "Accuracy")
    assert (accuracy["chosen"], accuracy["default"], accuracy["change"]) == ("60.0%", "82.5%", "−22.5 points")
    assert "accuracy is 22.5 points lower" in part["price"]
    assert "chosen: 0.25" in part["chart"]["chart"]
    assert part["chart"]["rows"][2] == ["0.5", "75.0%", "75.0%"]


def test_a_threshold_without_its_curve_has_its_table():
    spec, evidence = full_sample("binary")
    evidence["metrics"][-1]["curves"] = []
    (part,) = threshold.view(spec, evidence)["parts"]
    assert part["chart"] is None and part["lines"]
    assert "best precision with a recall of at least 0.9" in words(spec, evidence)


# -- rows -------------------------------------------------------------------------------------------------------------


def test_doubted_labels_are_shown_and_named():
    view = suspects.view(*full_sample("binary"))
    held_out, folds = view["parts"]
    assert held_out["many"] == "30 rows" and len(held_out["cards"]) == 1 and held_out["more"] == "29"
    assert folds["many"] == "2 rows" and folds["cards"] == [] and folds["more"] == ""
    assert folds["named"][0] == {
        "file": "rows.csv", "path": "data/rows.csv", "position": "5", "sort": "5", "target": "no", "answer": "yes",
        "probability": "96.9%", "sort_probability": "0.96875",
    }  # fmt: skip


def test_labels_that_nobody_doubts_are_a_finding_where_all_training_rows_were_asked():
    spec, evidence = full_sample("binary")
    evidence["metrics"][-1]["suspect_rows"] = 0
    evidence["cross_validation"]["evaluation"]["suspect_rows"] = 0
    assert suspects.view(spec, evidence) == {"parts": []}
    del evidence["cross_validation"]
    assert suspects.view(spec, evidence) is None


def test_slices_name_the_one_farthest_behind():
    view = slices.view(*full_sample("binary"))
    assert view["words"] == (
        "One is worse than the other rows by more than chance. The farthest behind: shape: square, accuracy 50.0% on "
        "10 rows against 90.0%, 40 points apart."
    )
    (found,), (declared,) = view["found"]["lines"], view["declared"]["lines"]
    assert found["worse"] and found["chance"] == "0.4%" and found["interval"] == "40.0% to 60.0%"
    assert declared["name"] == "width: 1 … 2" and not declared["worse"]


def test_a_slice_of_two_columns_names_both():
    spec, evidence = full_sample("binary")
    both = [{"column": "shape", "value": "square"}, {"column": "width", "value": "1 … 2"}]
    evidence["metrics"][-1]["slices"] = [slice_("shape, width", "square, 1 … 2", 0.2, 0.9, True, condition=both)]
    (line,) = slices.view(spec, evidence)["found"]["lines"]
    assert line["name"] == "shape: square and width: 1 … 2"


def test_a_search_that_found_no_slice_says_so():
    spec, evidence = full_sample("binary")
    evidence["metrics"][-1]["slices"] = []
    assert slices.view(spec, evidence) is None
    spec["evaluate"]["slices"] = "auto"
    assert "none are worse by more than chance" in words(spec, evidence)


def test_groups_are_compared_and_chance_is_named():
    (column,) = fairness_section.view(*full_sample("binary"))["columns"]
    assert column["words"] == (
        "A difference is larger than chance would make it: true positive rate (25 points, higher for “round” than for "
        "“square”)."
    )
    (difference,) = column["differences"]
    assert difference["interval"] == "6.2 points to 43.8 points" and difference["sure"]
    assert difference["ratio"] == "0.667"
    assert [group["cells"][0]["text"] for group in column["groups"]] == ["75.0%", "50.0%"]


def test_a_difference_that_chance_could_make_is_not_called_one():
    spec, evidence = full_sample("binary")
    one = fairness()
    one["differences"][0]["low"] = -0.01
    evidence["metrics"][-1]["fairness"] = [one]
    (column,) = fairness_section.view(spec, evidence)["columns"]
    assert column["words"].startswith("No difference between these groups is larger than chance")
    assert not column["differences"][0]["sure"]


def test_groups_that_cannot_be_compared_say_why():
    spec, evidence = full_sample("binary")
    note = "column 'width' holds double, which does not make groups"
    evidence["metrics"][-1]["fairness"] = [{"column": "width", "groups": [], "differences": [], "notes": [note]}]
    assert "Column 'width' holds double" in words(spec, evidence)


def test_corruptions_are_told_apart_from_missing_columns():
    view = robustness.view(*full_sample("binary"))
    assert view["words"] == (
        "2 of 3 trials make it worse by more than chance; most of all with noise (severity 3): 82.5% becomes 57.5%."
    )
    values, columns = view["tables"]
    assert [(line["name"], line["severity"], line["hurt"]) for line in values["lines"]] == [
        ("noise", "1", False), ("noise", "3", True),
    ]  # fmt: skip
    assert [line["name"] for line in columns["lines"]] == ["width"]
    assert values["lines"][1]["change"] == "−25 points" and values["lines"][1]["interval"] == "−35 points to −15 points"


def test_of_an_error_more_is_worse():
    spec, evidence = full_sample("regression")
    judge = evidence["metrics"][-1]
    rows = [corrupted("noise", 1, 0.5, 0.25, 0.75, "rmse"), corrupted("blur", 1, -0.5, -0.75, -0.25, "rmse")]
    judge["robustness"] = [row | {"changed_answers": None} for row in rows]
    view = robustness.view(spec, evidence)
    assert [line["hurt"] for line in view["tables"][0]["lines"]] == [True, False]
    assert not view["answers"]


# -- training again, cost, how to repeat ------------------------------------------------------------------------------


def test_the_learning_curve_ends_with_what_is_expected_of_twice_the_rows():
    view = learning_curve.view(*full_sample("binary"))
    assert view["words"] == "Twice the rows would take it to about 0.875"
    drawn = view["chart"]["chart"]
    assert drawn.count("<circle") == 4 and drawn.count("value second") == 1
    assert "62.5% with 80, 81.2% with 320; 87.5% expected with twice as many" in drawn
    assert view["chart"]["rows"][0] == ["80", "25.0%", "62.5%", "57.5% to 67.5%", "1.0 s"]


def test_a_learning_curve_that_promises_nothing_draws_no_expectation():
    spec, evidence = full_sample("binary")
    evidence["learning_curve"].update(doubled=None, exponent=None, doubling="unclear: the points do not say")
    view = learning_curve.view(spec, evidence)
    assert view["chart"]["chart"].count("<circle") == 3
    assert view["words"] == "Unclear: the points do not say"
    for point in evidence["learning_curve"]["points"]:
        point["value"] = None
    assert learning_curve.view(spec, evidence) is None


def test_numbers_of_rows_that_would_touch_are_not_all_written():
    spec, evidence = full_sample("binary")
    for point, rows in zip(evidence["learning_curve"]["points"], (100, 310, 320), strict=True):
        point["rows"] = rows
    drawn = learning_curve.view(spec, evidence)["chart"]["chart"]
    written = re.findall(r">([\d,]+)</text>", drawn)
    assert written == ["640", "320", "100"]


def test_folds_are_summed_up_and_listed():
    view = cross_validation.view(*full_sample("binary"))
    assert "which rows it is trained on makes a difference of 10 points" in view["words"]
    assert (view["spread"][0]["mean"], view["spread"][0]["deviation"]) == ("85.0%", "5 points")
    assert [line["cells"] for line in view["lines"]] == [["80.0%"], ["85.0%"], ["90.0%"]]


def test_cost_says_how_it_is_known():
    view = cost.view(*full_sample("binary"))
    facts = {name: (value, kind) for group in view["groups"] for name, value, kind in group["facts"]}
    assert facts["Energy"] == ("about 7.2 kJ", "derived")
    assert facts["In kilowatt hours"] == ("about 0.002 kWh", "derived")
    assert facts["All training steps"] == ("4.8 MFLOP", "derived")
    assert facts["Most main memory"] == ("476.0 MB", "measured")
    assert facts["Learning curve"] == ("2.0 s", "measured")  # its last point is the training itself
    assert view["stages"]["total"] == "10.0 s"
    assert [stage["share"] for stage in view["stages"]["legend"]] == ["10.0%", "80.0%", "10.0%"]
    assert "An estimate, not a measurement: 10 W per busy core." in words(*full_sample("binary"))


def test_energy_that_was_read_is_measured_and_one_that_is_unknown_is_a_dash():
    spec, evidence = full_sample("binary")
    evidence["cost"].update(energy_how="read from the processor's counter")
    facts = [fact for group in cost.view(spec, evidence)["groups"] for fact in group["facts"]]
    assert ("Energy", "7.2 kJ", "measured") in facts
    evidence["cost"].update(energy_joules=None, energy_how="no counter can be read")
    facts = [fact for group in cost.view(spec, evidence)["groups"] for fact in group["facts"]]
    assert ("Energy", "–", "") in facts


def test_versions_and_machine_are_named():
    facts = [fact[:2] for group in environment.view(*full_sample("binary"))["groups"] for fact in group["facts"]]
    assert ("modelyard", "0.1.0") in facts and ("PyTorch", "2.13.0") in facts and ("Seed", "7") in facts


def test_commands_run_from_the_bundle_and_name_what_was_not_measured():
    spec, evidence = full_sample("binary")
    view = reproduce.view(spec, evidence)
    commands = [command for _, command in view["commands"]]
    verbs = ["check", "train", "evaluate", "predict", "compare", "bundle"]
    assert [command.split()[1] for command in commands] == verbs
    assert view["unmeasured"] == []
    del evidence["learning_curve"], evidence["cross_validation"]
    evidence["metrics"][-1].update(fairness=[], threshold=None)
    told = [command for _, command in reproduce.view(spec, evidence)["unmeasured"]]
    assert told == [
        'modelyard train spec.yaml "evaluate.learning_curve=[0.25,0.5]"',
        'modelyard train spec.yaml "evaluate.cross_validate=5"',
        'modelyard train spec.yaml "evaluate.groups=[COLUMN]"',
        'modelyard train spec.yaml "evaluate.threshold.goal=f1"',
    ]


def test_the_whole_spec_stands_in_a_block_of_its_own():
    html = render(*full_sample("binary"))
    assert '<pre id="spec-yaml"' in html
    assert "family: mlp" in section_of(html, "reproduce")


# -- strangers, and what is not there ---------------------------------------------------------------------------------


NAMED = [
    "gate", "curves", "calibration", "threshold", "suspects", "slices", "fairness", "robustness", "learning-curve",
    "cross-validation", "cost", "environment",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_hostile_names_stay_text_in_every_section(name):
    spec, evidence = full_sample("binary")

    def poisoned(value):
        if isinstance(value, dict):
            return {key: poisoned(one) for key, one in value.items()}
        if isinstance(value, list):
            return [poisoned(one) for one in value]
        kept = ("refuse", "warn", "note", "keep", "test", "validation", "train")
        return f"{value}{HOSTILE}" if isinstance(value, str) and value not in kept else value

    html = render(spec, poisoned(evidence))
    part = section_of(html, name)
    assert "<script" not in part and "<img src=x" not in part
    assert not Page(html).problems


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("absent", ["cost", "cross_validation", "learning_curve", "data", "training", "metrics"])
def test_a_record_that_is_absent_leaves_its_section_out(kind, absent):
    spec, evidence = full_sample(kind)
    del evidence[absent]
    assert not Page(render(spec, evidence)).problems


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_that_are_none_are_dashes(kind):
    """What could not be measured is written as null, or is no number: the page neither fails nor says `nan`."""

    def emptied(value, key=""):
        if isinstance(value, dict):
            return {name: emptied(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [emptied(one, key) for one in value]
        kept = ("rows", "counts", "position", "epoch", "epochs", "step", "fold", "severity", "suspect_rows", "trained")
        return float("nan") if isinstance(value, float) and key not in kept else value

    spec, evidence = full_sample(kind)
    for value in (emptied(evidence), copy.deepcopy(evidence)):
        page = Page(render(spec, value))
        assert not page.problems
        assert "nan" not in page.words.lower().split()


def test_a_long_report_stays_under_five_megabytes():
    spec, evidence = full_sample("many_labels")
    judge = evidence["metrics"][-1]
    long = curve("a")
    for key in ("threshold", "true_positive_rate", "false_positive_rate", "precision", "share"):
        long[key] = [n / 199 for n in range(200)]
    judge["curves"] = [dict(long, label=f"label {n}") for n in range(1000)]
    judge["slices"] = [slice_(f"column {n}", "x" * 200, 0.5, 0.9, worse=True) for n in range(1000)]
    judge["robustness"] = [corrupted(f"noise {n}", 1, -0.1, -0.2, -0.05) for n in range(1000)]
    judge["fairness"] = [fairness(f"column {n}") for n in range(20)]
    evidence["data"]["findings"] = [finding("warn", f"finding {n}") for n in range(1000)]
    evidence["cross_validation"]["folds"] *= 300
    one = next(iter(evidence["data"]["statistics"]["train"].values()))
    for split in evidence["data"]["statistics"]:
        evidence["data"]["statistics"][split] = {f"column {n}": one for n in range(1000)}
    html = render(spec, evidence)
    assert len(html.encode()) < 5_000_000
    assert not Page(html).problems


# -- training ---------------------------------------------------------------------------------------------------------


def test_a_training_tells_what_happened_to_it():
    spec, evidence = full_sample(KINDS[0])
    plain = section_of(render(spec, evidence), "training")
    assert "interrupted" not in plain and "left out" not in plain
    evidence["training"] |= {"continued": 2, "skipped": [7, 1234], "without_targets": 1}
    evidence["training"]["epochs"][-1]["unlabelled"] = {"rows": 400, "confident": 0.62, "loss": 0.1, "labels": {}}
    told = section_of(render(spec, evidence), "training")
    assert "interrupted and continued 2 times" in told
    assert "The batches of 2 steps were left out" in told and "7, 1,234" in told
    assert "No row of 1 batch had a target" in told
    assert "62% of 400 rows without a target" in told
