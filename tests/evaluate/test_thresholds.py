import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modelyard.core.errors import SpecError
from modelyard.evaluate.thresholds import check_threshold, choose_threshold, describe_goal, with_threshold
from modelyard.spec.spec import Spec, ThresholdSpec
from modelyard.tasks.classification import Classification, ClassificationSettings
from modelyard.tasks.multilabel import Multilabel, MultilabelSettings

# probabilities .9 .8 .7 .6 .4 .3 and which of them are of the positive label
SCORES, TRUTH = [0.9, 0.8, 0.7, 0.6, 0.4, 0.3], [1, 1, 0, 1, 0, 0]


def classification(labels="ny", **options):
    target = SimpleNamespace(name="category", column="y", labels=tuple(labels))
    return Classification(ClassificationSettings(**options), [target])


def logits_of(probabilities):
    p = np.array(probabilities, np.float64)
    return np.log(p / (1 - p)).astype(np.float32)[:, None]


def choose(goal, scores=SCORES, truth=TRUTH, **options):
    task = classification()
    return choose_threshold(task, logits_of(scores), {"y": np.array(truth)}, ThresholdSpec(goal=goal, **options))


@pytest.mark.parametrize(
    ("options", "threshold"),
    [
        ({"goal": "f1"}, 0.5),  # 3 of 4 answered are right, none is missed: F1 6/7
        ({"goal": "balanced_accuracy"}, 0.5),  # recalls 1 and 2/3
        ({"goal": "youden"}, 0.5),
        ({"goal": "precision", "at_least": 1.0}, 0.75),  # the first two, recall 2/3
        ({"goal": "precision", "at_least": 0.75}, 0.5),
        ({"goal": "recall", "at_least": 0.6}, 0.75),  # precision 1
        ({"goal": "recall", "at_least": 1.0}, 0.5),
        ({"goal": "cost", "false_positive": 10}, 0.75),  # one missed
        ({"goal": "cost", "false_negative": 10}, 0.5),  # one wrong
        ({"goal": "cost", "false_positive": 1, "false_negative": 0}, 0.75),  # free of cost, and the nearest to 0.5
    ],
)
def test_goals_by_hand(options, threshold):
    assert choose(**options) == pytest.approx(threshold, abs=1e-6)


def worth(goal, answer, truth):
    """What a goal says of answers, by its definition; None: not allowed."""
    right, wrong, missed = (answer & truth).sum(), (answer & ~truth).sum(), (~answer & truth).sum()
    recall, precision = right / truth.sum(), right / answer.sum() if answer.any() else None
    match goal.goal:
        case "f1":
            return 2 * right / (2 * right + wrong + missed)
        case "cost":
            return -(wrong * goal.false_positive + missed * goal.false_negative)
        case "precision":
            return None if precision is None or precision < goal.at_least else recall
        case "recall":
            return None if recall < goal.at_least else precision
        case _:
            return (recall + (~answer & ~truth).sum() / (~truth).sum()) / 2


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(2, 30),
    st.integers(1, 12),
    st.sampled_from(
        [
            ThresholdSpec(goal="f1"),
            ThresholdSpec(goal="balanced_accuracy"),
            ThresholdSpec(goal="precision", at_least=0.6),
            ThresholdSpec(goal="recall", at_least=0.8),
            ThresholdSpec(goal="cost", false_positive=1, false_negative=5),
        ]
    ),
)
def test_no_other_threshold_serves_the_goal_better(seed, rows, levels, goal):
    random = np.random.default_rng(seed)
    output = (random.integers(-levels, levels + 1, (rows, 1)) * random.choice([0.01, 1.0, 40.0])).astype(np.float32)
    truth = random.integers(0, 2, rows)
    assume(0 < truth.sum() < rows)
    task = classification()
    score = task.outcome(output, None).score[:, 1]
    # every set of rows that a threshold above 0 and below 1 can part, found the slow way
    levels_seen = np.unique(score)
    tried = np.unique(
        np.clip([*levels_seen, np.nextafter(0, 1), np.nextafter(1, 0)], np.nextafter(0, 1), np.nextafter(1, 0))
    )
    tried = np.unique([*tried, *np.clip(np.nextafter(levels_seen, 2), np.nextafter(0, 1), np.nextafter(1, 0))])
    possible = [worth(goal, score >= threshold, truth == 1) for threshold in tried]
    best = max((value for value in possible if value is not None), default=None)
    if best is None:
        with pytest.raises(SpecError, match="no threshold reaches"):
            choose_threshold(task, output, {"y": truth}, goal)
        return
    found = choose_threshold(task, output, {"y": truth}, goal)
    assert 0 < found < 1
    assert worth(goal, score >= found, truth == 1) == pytest.approx(best)


def test_what_cannot_be_reached_says_how_far_it_goes():
    with pytest.raises(
        SpecError, match=re.escape("no threshold reaches a precision of 0.9 on the validation split")
    ) as error:
        choose("precision", [0.9, 0.8, 0.2], [0, 1, 0], at_least=0.9)
    assert "the best there is 0.5" in str(error.value)


def test_scores_at_the_ends_leave_no_threshold_beyond_them():
    task = classification()
    output = np.array([[800.0], [800.0], [-800.0]], np.float32)  # probabilities of exactly 1, 1 and 0
    found = choose_threshold(task, output, {"y": np.array([0, 1, 1])}, ThresholdSpec(goal="cost", false_positive=9))
    assert found == 0.5  # one cannot answer none of them, as every threshold lies below 1


def test_a_single_label_leaves_nothing_to_choose():
    with pytest.raises(SpecError, match="no row of 'y' to choose by"):
        choose("f1", [0.1, 0.2], [0, 0])
    with pytest.raises(SpecError, match="no row of 'n'"):
        choose("f1", [0.1, 0.2], [1, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"goal": "precision"}, "evaluate.threshold.at_least: goal precision needs it"),
        ({"goal": "recall"}, "evaluate.threshold.at_least: goal recall needs it"),
        ({"goal": "f1", "at_least": 0.5}, "belongs to the goals precision and recall"),
        ({"goal": "cost", "false_positive": 0, "false_negative": 0}, "both costs are 0"),
        ({"goal": "cost", "false_positive": float("inf")}, "evaluate.threshold.false_positive: is infinite"),
        ({"goal": "f1", "false_positive": 3}, "costs belong to the goal cost"),
    ],
)
def test_goals_without_sense_are_refused(options, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        check_threshold(classification(), ThresholdSpec(**options))


def test_a_threshold_needs_two_labels_and_validation_rows():
    with pytest.raises(SpecError, match="between two labels, and this is 3 labels"):
        check_threshold(classification("abc"), ThresholdSpec())
    several = Multilabel(MultilabelSettings(), [SimpleNamespace(name="labels", column="y", labels=("a", "b"))])
    with pytest.raises(SpecError, match="this is a multilabel") as error:
        check_threshold(several, ThresholdSpec(goal="recall"), ["train", "test"])
    assert len(error.value.problems) == 3
    assert "there are none; set data.split.validation" in str(error.value)


def test_a_chosen_threshold_is_the_tasks_and_the_specs():
    values = {"data": {"source": "x.csv"}, "task": {"type": "classification", "positive": "n"}}
    spec = Spec.parse(values)
    task = classification(positive="n")
    changed = with_threshold(spec, task, 0.25)
    assert changed.task.settings.threshold == task.settings.threshold == 0.25
    assert changed.task.settings.positive == "n"
    assert Spec.from_yaml(changed.to_yaml()) == changed
    assert task.decode(logits_of([0.3, 0.2]))["y"] == ["n", "y"]
    with pytest.raises(SpecError, match="between 0 and 1"):
        task.use_threshold(1.0)
    with pytest.raises(SpecError, match="there are 3"):
        classification("abc").use_threshold(0.3)


def test_goals_in_words():
    assert describe_goal(ThresholdSpec()) == "the best F1"
    assert describe_goal(ThresholdSpec(goal="balanced_accuracy")) == "the best balanced accuracy"
    assert (
        describe_goal(ThresholdSpec(goal="precision", at_least=0.9))
        == "the best recall with a precision of at least 0.9"
    )
