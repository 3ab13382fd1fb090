import copy

import pytest
from evidence_samples import epochs, metric, sample, training

from modelyard.report.learning import on_learning
from modelyard.report.words import compare, findings, judgement, trivial_answer


def titles(spec, evidence):
    return {finding.title: finding for finding in findings(spec, evidence)}


@pytest.mark.parametrize(
    ("measured", "standing"),
    [
        (metric("accuracy", 0.9, 0.8, 0.95, 0.6), "better"),
        (metric("accuracy", 0.9, 0.55, 0.95, 0.6), "maybe"),
        (metric("accuracy", 0.6, 0.5, 0.7, 0.6), "worse"),
        (metric("accuracy", 0.5, 0.4, 0.55, 0.6), "worse"),
        (metric("rmse", 2.0, 1.5, 2.5, 3.0, higher=False), "better"),
        (metric("rmse", 2.0, 1.5, 3.5, 3.0, higher=False), "maybe"),
        (metric("rmse", 4.0, 3.5, 4.5, 3.0, higher=False), "worse"),
        (metric("accuracy", 0.9, None, float("nan"), 0.6), "untested"),
        (metric("accuracy", 0.9, 0.8, 0.95, None), "alone"),
        (metric("accuracy", None, None, None, 0.6), "alone"),
    ],
)
def test_better_means_that_the_whole_interval_lies_beyond_the_trivial_answer(measured, standing):
    assert compare(measured) == standing


def test_the_verdict_says_what_was_reached_and_what_the_trivial_answer_reaches():
    _, evidence = sample("binary")
    title, sentences = judgement(evidence)
    assert title == "Better than the trivial answer."
    assert sentences == [
        "Of 40 test rows, 82.5% were answered rightly; the 95% interval goes from 72.5% to 92.5%.",
        "Always answering “no”, the most frequent label in training, would be right on 50.0%.",
    ]


def test_an_interval_that_holds_the_trivial_answer_is_not_sold_as_better():
    _, evidence = sample("regression")
    title, sentences = judgement(evidence)
    assert title == "Perhaps better than the trivial answer: 40 rows cannot tell."
    assert "explain 50.0% of the target’s variance" in sentences[0]
    assert sentences[1] == "Always answering 10.5, the mean in training, would reach −0.0100."
    assert "More test rows would tell" in sentences[2]


def test_without_a_test_split_the_validation_split_judges_and_says_so():
    _, evidence = sample("binary")
    evidence["metrics"] = evidence["metrics"][:1]
    _, sentences = judgement(evidence)
    assert sentences[0].startswith("Of 40 validation rows")
    assert "no test split" in sentences[-1]


def test_without_any_evaluation_nothing_is_claimed():
    title, sentences = judgement({"metrics": []})
    assert title == "Nothing was measured."
    assert "No rows were held out" in sentences[0]


def test_the_trivial_answer_of_several_labels_names_those_that_half_of_the_rows_have():
    _, evidence = sample("multilabel")
    assert trivial_answer(evidence["metrics"][0], evidence) == "Always answering “red”"
    assert trivial_answer(evidence["metrics"][0], {"baseline": {"mean": [0.1, 0.2]}}) == "Always answering no label"
    assert trivial_answer(evidence["metrics"][0], {}) == "The trivial answer"


def test_the_weakest_label_and_the_most_frequent_confusion_are_named():
    found = titles(*sample("binary"))
    assert found["Weakest label"].text == (
        "“yes”: 75.0% of its 20 rows were found, and 88.2% of the rows answered so are of it."
    )
    assert found["Most frequent confusion"].text == "“yes” answered as “no”: 5 of 20 rows (25.0%)."


def test_labels_that_are_never_found_are_counted_and_the_largest_is_named():
    spec, evidence = sample("binary")
    judge = evidence["metrics"][1]
    judge["per_label"] = [
        {"name": name, "rows": rows, "precision": None, "recall": recall, "f1": recall}
        for name, rows, recall in (("a", 3, 0.0), ("b", 9, 0.0), ("c", 5, 0.5), ("d", 0, None))
    ]
    finding = titles(spec, evidence)["Labels that are never found"]
    assert finding.kind == "caution"
    assert finding.text == "2 of 3 labels were not found once; the largest of them is “b”, with 9 rows."


def test_of_several_numbers_the_hardest_is_named():
    assert titles(*sample("two_targets"))["Hardest target"].text == "“rent”, with R² 0.1."


def test_rows_left_out_and_rows_not_measured_are_told_and_cautions_come_first():
    spec, evidence = sample("multilabel")
    found = findings(spec, evidence)
    assert [one.title for one in found][:3] == [
        "3 rows left out of the data",
        "2 test rows not measured",
        "2 validation rows not measured",
    ]
    assert found[0].text == "3 × no label (the target is missing)."


def test_requirements_are_said_to_be_met_or_missed():
    spec, evidence = sample("binary")
    spec["evaluate"]["require"] = {"accuracy": 0.8, "log_loss": 0.3}
    found = titles(spec, evidence)
    assert found["Requirement missed"].text == "The spec asks for Log loss of at most 0.3000 (0.4000)."
    spec["evaluate"]["require"] = {"accuracy": 0.8}
    assert titles(spec, evidence)["Requirements met"].text == "The spec asks for Accuracy of at least 80.0% (82.5%)."


# -- what the epochs tell ---------------------------------------------------------------------------------------------


def history(train, validation):
    return [
        {"epoch": n, "train": {"loss": t}, "validation": {} if v is None else {"loss": v}}
        for n, (t, v) in enumerate(zip(train, validation, strict=True), 1)
    ]


def told(train, validation, kept):
    return on_learning({"epochs": history(train, validation), "kept_epoch": kept}, "accuracy")


def test_a_validation_loss_that_rises_while_the_training_loss_falls_is_overfitting():
    kind, title, text = told([1.0, 0.6, 0.3, 0.1], [1.0, 0.8, 0.9, 1.2], kept=4)
    assert (kind, title) == ("caution", "It overfits")
    assert text.startswith("After epoch 2 the validation loss rose again, from 0.8 to 1.2")
    assert "early_stopping" in text


def test_overfitting_does_no_harm_when_the_best_weights_were_kept():
    kind, title, text = told([1.0, 0.6, 0.3, 0.1], [1.0, 0.8, 0.9, 1.2], kept=2)
    assert (kind, title) == ("neutral", "It overfits late")
    assert text.endswith("The weights kept are those of epoch 2, before that.")


def test_a_loss_that_still_falls_asks_for_more_epochs():
    assert told([1.0, 0.8, 0.6, 0.4], [1.0, 0.9, 0.8, 0.7], kept=4)[1] == "Still learning"


def test_a_loss_that_has_settled_shows_no_overfitting():
    kind, title, text = told([1.0, 0.5, 0.4, 0.4], [1.0, 0.6, 0.5, 0.505], kept=4)
    assert (kind, title) == ("good", "No sign of overfitting")
    assert "ended 1.0% above its lowest, at 0.505" in text


@pytest.mark.parametrize(
    ("train", "validation", "title"),
    [
        ([], [], "Not trained"),
        ([1.0, None], [1.0, 1.0], "Training broke down"),
        ([1.0, 0.5], [None, None], "Overfitting cannot be seen"),
        ([1.0, 0.5], [1.0, 0.9], "Too short to judge"),
    ],
)
def test_where_the_losses_cannot_tell_it_says_why(train, validation, title):
    assert told(train, validation, kept=len(train))[1] == title


def test_the_headline_metric_of_both_splits_is_named_beside():
    record = training(epochs(4))
    assert on_learning(record, "accuracy")[2].endswith(
        "Accuracy in the epoch kept: 87.5% in training, 86.2% in validation."
    )
    assert on_learning(copy.deepcopy(record), None)[2].endswith("more epochs may help.")
