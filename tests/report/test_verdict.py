"""The verdict: what a model is good for, where it fails and what to do next follow from the evidence by their rules."""

import copy

import pytest
from evidence_samples import epochs, metric, sample, training

from modelyard.report.advice import advice
from modelyard.report.report import render
from modelyard.report.strengths import strengths, sure_answers
from modelyard.report.weaknesses import doubted_rows, gap_of, lost_by, slice_name, weaknesses
from modelyard.report.words import Finding


def titled(found: list[Finding]) -> dict[str, Finding]:
    return {one.title: one for one in found}


def steps(spec, evidence):
    return {step.title: step for step in advice(spec, evidence)}


@pytest.fixture
def told():
    """A spec and evidence of 400 test rows, whose last evaluation judges."""
    spec, evidence = sample("binary")
    evidence["training"] = training(epochs(1))
    evidence["metrics"][1].update(rows=400, metrics=[metric("accuracy", 0.9, 0.88, 0.92, 0.5, rows=400)])
    return spec, evidence, evidence["metrics"][1]


def a_bin(low, high, rows, share):
    return {"low": low, "high": high, "rows": rows, "probability": (low + high) / 2, "share": share}


def calibration(bins, label="yes", **values):
    return {"label": label, "ece": 0.01, "low": 0.005, "high": 0.02, "largest": 0.05, "bins": bins} | values


def slice_of(column="age", value="20 … 30", worse=True, at=0.7, rest=0.9, **more):
    part = {"column": column, "value": value, "rows": 50, "metric": "accuracy", "metric_value": at, "rest": rest,
            "low": at - 0.1, "high": at + 0.1, "p_value": 0.001, "worse": worse, "declared": False}  # fmt: skip
    return part | {"condition": []} | more


def corruption(name, severity, change, low, high, metric_name="accuracy", clean=0.9):
    return {"corruption": name, "severity": severity, "columns": ["text"], "rows": 200, "metric": metric_name,
            "clean": clean, "corrupted": clean + change, "change": change, "low": low, "high": high,
            "changed_answers": 0.1}  # fmt: skip


def finding(check, severity="warn", rows=40, policy="keep", title="40 rows also stand in training"):
    return {"check": check, "severity": severity, "title": title, "why": "", "rows": rows, "columns": [],
            "examples": [], "policy": policy, "setting": f"data.checks.{check}=drop", "details": {}}  # fmt: skip


# -- what it is good for ----------------------------------------------------------------------------------------------


def test_labels_found_nine_times_out_of_ten_on_ten_rows_or_more_are_known_well(told):
    spec, evidence, judge = told
    judge["per_label"] = [
        {"name": "no", "rows": 10, "precision": 0.9, "recall": 0.9, "f1": 0.9},
        {"name": "yes", "rows": 100, "precision": 0.89, "recall": 0.99, "f1": 0.9},
        {"name": "rare", "rows": 9, "precision": 1.0, "recall": 1.0, "f1": 1.0},
    ]
    known = titled(strengths(spec, evidence))["Labels it knows well"]
    assert known.text.startswith("“no”: at least 90% of their rows are found")


def test_sure_answers_of_two_labels_are_those_at_either_end():
    _, evidence = sample("binary")
    judge = evidence["metrics"][1]
    bins = [a_bin(0.0, 0.1, 30, 0.1), a_bin(0.4, 0.5, 40, 0.5), a_bin(0.9, 1.0, 10, 0.8)]
    judge["calibration"] = calibration(bins)
    rows, right, total = sure_answers(judge)
    assert (rows, total) == (40, 80)
    assert right == pytest.approx((30 * 0.9 + 10 * 0.8) / 40)
    judge["calibration"] = calibration(bins, label=None)  # of the answer's own probability the low end is not sure
    assert sure_answers(judge)[0] == 10


def test_probabilities_are_trusted_when_the_whole_interval_of_their_error_is_small(told):
    spec, evidence, judge = told
    judge["calibration"] = calibration([a_bin(0.4, 0.5, 400, 0.45)], high=0.05)
    assert "Probabilities that mean what they say" in titled(strengths(spec, evidence))
    judge["calibration"] = calibration([a_bin(0.4, 0.5, 400, 0.45)], high=0.051)
    assert "Probabilities that mean what they say" not in titled(strengths(spec, evidence))


def test_slight_damage_hardly_matters_only_when_no_slight_corruption_does(told):
    spec, evidence, judge = told
    judge["robustness"] = [corruption("typos", 1, -0.02, -0.03, 0.0), corruption("noise", 1, 0.01, 0.0, 0.02),
                           corruption("typos", 3, -0.3, -0.4, -0.2)]  # fmt: skip
    assert titled(strengths(spec, evidence))["Slight damage hardly matters"].text == (
        "Accuracy changes by 2 points at most with slight noise and typos."
    )
    judge["robustness"][0]["change"] = -0.021
    assert "Slight damage hardly matters" not in titled(strengths(spec, evidence))


# -- where it fails ---------------------------------------------------------------------------------------------------


def test_slices_that_are_worse_by_more_than_chance_are_named_and_others_are_not(told):
    spec, evidence, judge = told
    pair = slice_of(condition=[{"column": "age", "value": "30"}, {"column": "sex", "value": "f"}])
    judge["slices"] = [slice_of(value="60 … 70", worse=False), slice_of(), pair]
    found = titled(weaknesses(spec, evidence))
    assert found["Weak where age: 20 … 30"].text == "Accuracy 70.0% on 50 rows, 90.0% on all others."
    assert found["Weak where age: 20 … 30"].kind == "caution"
    assert "Weak where age: 30 and sex: f" in found
    assert not any("60 … 70" in title for title in found)
    assert slice_name(pair) == "age: 30 and sex: f"


def test_a_gap_between_groups_is_named_when_its_interval_does_not_hold_zero(told):
    spec, evidence, judge = told
    sure = {"metric": "true_positive_rate", "difference": 0.12, "low": 0.02, "high": 0.2, "highest": "m", "lowest": "f"}
    unsure = {**sure, "metric": "selection_rate", "difference": 0.3, "low": -0.01}
    judge["fairness"] = [{"column": "sex", "groups": [], "differences": [unsure, sure], "notes": []}]
    assert gap_of(judge["fairness"][0]) == sure
    assert titled(weaknesses(spec, evidence))["Unequal by sex"].text == (
        "True positive rate is 12 points higher for “m” than for “f”."
    )
    judge["fairness"][0]["differences"] = [unsure]
    assert "Unequal by sex" not in titled(weaknesses(spec, evidence))


def test_the_costliest_everyday_corruption_is_named(told):
    spec, evidence, judge = told
    judge["robustness"] = [
        corruption("typos", 2, -0.1, -0.15, -0.05),
        corruption("blur", 1, -0.2, -0.41, 0.01),  # could be chance
        corruption("noise", 3, -0.5, -0.6, -0.4),  # not everyday
        corruption("missing: age", 1, -0.01, -0.02, -0.005),  # too little to matter
    ]
    assert titled(weaknesses(spec, evidence))["Sensitive to typos, severity 2"].text == (
        "Accuracy goes from 90.0% to 80.0% on the same 200 rows."
    )
    judge["robustness"] = judge["robustness"][1:]
    assert not any(title.startswith("Sensitive") for title in titled(weaknesses(spec, evidence)))


def test_what_a_corruption_surely_costs_is_the_near_end_of_its_interval():
    judge = {"metrics": [metric("rmse", 2.0, 1.5, 2.5, 3.0, higher=False), metric("accuracy", 0.9, 0.8, 1.0, 0.5)]}
    assert lost_by(corruption("noise", 1, -0.2, -0.3, -0.1), judge) == pytest.approx(0.1)
    assert lost_by(corruption("noise", 1, 0.2, 0.1, 0.3), judge) is None
    assert lost_by(corruption("noise", 1, 0.2, 0.1, 0.3, "rmse"), judge) == pytest.approx(0.1)
    assert lost_by(corruption("noise", 1, 0.2, float("nan"), float("nan"), "rmse"), judge) is None


def test_probabilities_that_are_off_are_named_with_what_a_temperature_would_mend(told):
    spec, evidence, judge = told
    judge["calibration"] = calibration([a_bin(0.9, 1.0, 400, 0.7)], ece=0.2, low=0.15, high=0.25, ece_calibrated=0.03)
    found = titled(weaknesses(spec, evidence))["Probabilities are off"]
    assert found.text == ("They are 20.0% away from the truth on average. Calibrated, which the bundle offers, 3.0%.")
    assert steps(spec, evidence)["Ask for calibrated probabilities"].command.endswith("--calibrated")


def test_so_many_doubted_labels_speak_against_the_model(told):
    spec, evidence, judge = told
    judge["suspect_rows"] = 40
    assert doubted_rows(evidence) == (40, 400)
    assert "to doubt the label itself" in titled(weaknesses(spec, evidence))["Doubtful labels of 40 rows"].text
    assert "Check the labels of 40 rows" in steps(spec, evidence)
    judge["suspect_rows"] = 41
    assert "as likely to be wrong" in titled(weaknesses(spec, evidence))["Doubtful labels of 41 rows"].text
    assert "Check the labels of 41 rows" not in steps(spec, evidence)


def test_warnings_about_the_data_are_told_and_notes_are_not(told):
    spec, evidence, _ = told
    evidence["data"]["findings"] = [finding("drift", title="Two columns drift"), finding("imbalance", "note")]
    assert titled(weaknesses(spec, evidence))["1 finding in the data"].text == "Two columns drift."
    evidence["data"]["findings"] = [finding("imbalance", "note")]
    assert "1 finding in the data" not in titled(weaknesses(spec, evidence))


# -- what to do next --------------------------------------------------------------------------------------------------


def test_when_nothing_asks_for_a_change_the_step_is_to_measure_newer_rows(told):
    spec, evidence, _ = told
    (step,) = advice(spec, evidence)
    assert step.title == "Measure it on rows that are newer than these"
    assert step.command == "modelyard evaluate BUNDLE --data ROWS"


@pytest.mark.parametrize(
    ("one", "asked"),
    [
        (finding("label_copy", rows=0), True),
        (finding("duplicates_across_splits", rows=1), True),  # 1 of 80 held-out rows
        (finding("duplicates_across_splits", rows=0), False),
        (finding("duplicates_across_splits", policy="drop"), False),
        (finding("group_leakage", severity="note"), False),
        (finding("drift"), False),
    ],
)
def test_a_leak_comes_first_unless_it_is_too_small_to_matter_or_was_dropped(told, one, asked):
    spec, evidence, judge = told
    evidence["data"]["findings"] = [one]
    judge["slices"] = [slice_of()]
    first = advice(spec, evidence)[0]
    assert (first.title == "Close the leak between training and test") is asked
    if asked:
        assert first.command == one["setting"]


def test_rows_to_judge_by_are_asked_for_where_there_are_none(told):
    spec, evidence, _ = told
    evidence["metrics"] = evidence["metrics"][:1]
    assert steps(spec, evidence)["Hold out a test split"].command == "data.split.test=0.1"
    evidence["metrics"] = []
    assert advice(spec, evidence)[0].title == "Hold out rows to measure on"


def test_a_model_that_is_no_better_than_the_trivial_answer_is_not_to_be_used(told):
    spec, evidence, judge = told
    judge["metrics"] = [metric("accuracy", 0.5, 0.48, 0.52, 0.5, rows=400)]
    assert advice(spec, evidence)[0].title.startswith("Do not use this model")


def test_overfitting_asks_for_early_stopping_and_a_falling_loss_for_more_epochs(told):
    spec, evidence, _ = told
    evidence["training"] = training(epochs(4))
    assert steps(spec, evidence)["Train longer"].command == "train.epochs=8"
    rising = epochs(4)
    for epoch, loss in zip(rising, (0.5, 0.4, 0.6, 0.8), strict=True):
        epoch["validation"]["loss"] = loss
    evidence["training"] = training(rising)
    assert steps(spec, evidence)["Stop training where validation is best"].command == "train.early_stopping.patience=3"


def test_more_test_rows_are_asked_for_by_the_width_of_the_interval(told):
    spec, evidence, judge = told
    judge["metrics"] = [metric("accuracy", 0.9, 0.8, 1.0, 0.5, rows=400)]  # 20 points: half of it takes four times
    assert "about 1,600 rows would bring it to 10" in steps(spec, evidence)["Measure on more rows"].because
    judge["metrics"] = [metric("accuracy", 0.9, 0.86, 0.95, 0.5, rows=400)]
    assert "Measure on more rows" not in steps(spec, evidence)


def test_a_threshold_is_worth_choosing_when_precision_and_recall_are_far_apart(told):
    spec, evidence, judge = told
    judge["metrics"] += [metric("precision", 0.9, 0.88, 0.92, None), metric("recall", 0.7, 0.68, 0.72, 0.0)]
    assert "Choose the threshold for what a mistake costs" in steps(spec, evidence)
    judge["threshold"] = {"label": "yes", "goal": "the best F1", "value": 0.3, "default": 0.5,
                          "chosen_on": "validation", "metrics": {}}  # fmt: skip
    assert "Choose the threshold for what a mistake costs" not in steps(spec, evidence)


def test_more_training_rows_are_asked_for_only_when_the_curve_expects_a_gain(told):
    spec, evidence, _ = told
    points = [{"share": 1.0, "rows": 320, "metric": "accuracy", "value": 0.8, "low": 0.7, "high": 0.9, "seconds": 1.0}]
    curve = {"metric": "accuracy", "higher_is_better": True, "split": "validation", "points": points,
             "exponent": 0.2, "doubled": 0.83, "doubling": "twice the rows", "notes": []}  # fmt: skip
    evidence["learning_curve"] = curve
    assert "from 80.0% to 83.0%" in steps(spec, evidence)["Collect more training rows"].because
    evidence["learning_curve"] = {**curve, "doubled": None}
    assert "Collect more training rows" not in steps(spec, evidence)


def test_a_costly_corruption_asks_for_the_augmentation_that_is_like_it_when_it_is_off(told):
    spec, evidence, judge = told
    judge["robustness"] = [{**corruption("contrast", 2, -0.3, -0.4, -0.2), "columns": ["photo"]}]
    spec["data"]["inputs"] = {"photo": {"type": "image", "augment": {"contrast": 0.0}}}
    step = steps(spec, evidence)["Prepare it for contrast"]
    assert step.command == "data.inputs.photo.augment.contrast=0.6"
    assert step.because.startswith("Accuracy falls to 60.0% with it.")
    spec["data"]["inputs"]["photo"]["augment"]["contrast"] = 0.3
    assert steps(spec, evidence)["Prepare it for contrast"].command == ""
    judge["robustness"] = [corruption("missing: age", 1, -0.3, -0.4, -0.2)]
    assert "values arrive" in steps(spec, evidence)["Guard against missing age"].because


def test_at_most_six_steps_are_given(told):
    spec, evidence, judge = told
    evidence["data"]["findings"] = [finding("label_copy")]
    evidence["training"] = training(epochs(4))
    judge.update(
        suspect_rows=3,
        slices=[slice_of()],
        metrics=[metric("accuracy", 0.9, 0.7, 1.0, 0.5), metric("precision", 0.9, 0.8, 1.0, None),
                 metric("recall", 0.5, 0.4, 0.6, 0.0)],
        calibration=calibration([], ece=0.2, low=0.1, high=0.3, ece_calibrated=0.1),
        fairness=[{"column": "sex", "groups": [], "notes": [],
                   "differences": [{"metric": "accuracy", "difference": 0.1, "low": 0.05, "high": 0.2,
                                    "highest": "m", "lowest": "f"}]}],
    )  # fmt: skip
    assert len(advice(spec, evidence)) == 6


# -- on the page ------------------------------------------------------------------------------------------------------


def test_the_page_shows_all_of_it_with_links_that_lead_somewhere(told):
    spec, evidence, judge = told
    judge["slices"] = [slice_of(value="<script>alert(1)</script>")]
    html = render(spec, evidence)
    for title in ("Where it fails, and what to mind", "What to do next", "The rules by which this was said"):
        assert title in html
    assert "<script>alert(1)" not in html
    assert '<a href="#slices">Weak where age: &lt;script&gt;' in html
    without = copy.deepcopy(evidence)
    without["metrics"][1]["slices"] = []
    assert 'href="#fairness"' not in render(spec, without)
