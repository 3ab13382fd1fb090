"""Each metric against scikit-learn on generated rows, plain and with rows counted several times; its edges by hand."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.core.errors import UsageError
from modelyard.evaluate.table import METRICS
from modelyard.tasks.base import Outcome

sk = pytest.importorskip("sklearn.metrics")
scipy_stats = pytest.importorskip("scipy.stats")
CLOSE = {"rel": 1e-6, "abs": 1e-6, "nan_ok": True}


@st.composite
def classifications(draw, labels):
    """Few rows, few different scores: ties, absent labels and single-label sets come up all the time."""
    count, rows = draw(labels), draw(st.integers(1, 25))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    score = random.integers(1, draw(st.integers(2, 6)), (rows, count)).astype(float)
    score /= score.sum(axis=1, keepdims=True)
    target = random.choice(random.permutation(count)[: draw(st.integers(1, count))], rows)
    answer = (score[:, 1] >= 0.5).astype(np.int64) if count == 2 else score.argmax(axis=1)
    return Outcome(target.astype(np.int64), score, answer, tuple(f"label {index}" for index in range(count)))


@st.composite
def multilabels(draw):
    count, rows = draw(st.integers(2, 5)), draw(st.integers(1, 25))  # scikit-learn takes one column for single labels
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    score = random.integers(0, draw(st.integers(2, 12)), (rows, count)) / 12
    target = (random.random((rows, count)) < draw(st.sampled_from([0.05, 0.4, 0.95]))).astype(np.uint8)
    return Outcome(target, score, (score >= 0.5).astype(np.uint8), tuple(f"label {index}" for index in range(count)))


@st.composite
def regressions(draw):
    columns, rows = draw(st.integers(1, 3)), draw(st.integers(2, 25))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    target = random.normal(draw(st.sampled_from([0.0, 1e6])), draw(st.sampled_from([0.01, 5.0])), (rows, columns))
    score = target + random.normal(size=(rows, columns)).round(draw(st.integers(0, 3)))
    return Outcome(target, score, score, tuple(f"target {index}" for index in range(columns)))


def quiet(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(function(*arguments, **options))


def check(outcome, references, random_seed):
    """The metric equals the reference, and with row weights it equals itself on the repeated rows."""
    counts = np.random.default_rng(random_seed).integers(0, 3, (2, len(outcome)))
    counts[:, 0] += 1
    for name, reference in references.items():
        metric = METRICS.find(name)
        assert metric.name == name
        assert metric(outcome) == pytest.approx(reference(outcome), **CLOSE), name
        weighted = metric.prepared(outcome)(counts.astype(np.float64))
        for value, repeats in zip(weighted, counts, strict=True):
            rows = np.repeat(np.arange(len(outcome)), repeats)
            repeated = Outcome(outcome.target[rows], outcome.score[rows], outcome.answer[rows], outcome.labels)
            assert value == pytest.approx(metric(repeated), **CLOSE), f"{name}, weighted"


def columns_mean(outcome, function):
    """Mean over targets of what the reference says of each."""
    return float(
        np.mean(
            [quiet(function, target, score) for target, score in zip(outcome.target.T, outcome.score.T, strict=True)]
        )
    )


def one_against_rest(function, needs_negative):
    """Mean over the labels for which the value exists: with a positive row and, where needed, a negative one."""

    def reference(outcome):
        target = outcome.target
        if target.ndim == 1:
            target = target[:, None] == (np.arange(outcome.score.shape[1]))
        values = [
            quiet(function, truth, score)
            for truth, score in zip(target.T, outcome.score.T, strict=True)
            if truth.any() and not (needs_negative and truth.all())
        ]
        return float(np.mean(values)) if values else math.nan

    return reference


def of_positive(function, needs_negative):
    def reference(outcome):
        truth = outcome.target == 1
        if not truth.any() or (needs_negative and truth.all()):
            return math.nan
        return quiet(function, truth, outcome.score[:, 1])

    return reference


def present_labels(outcome):
    if outcome.target.ndim == 2:
        return np.flatnonzero((outcome.target | outcome.answer).any(axis=0))
    return np.union1d(outcome.target, outcome.answer)


def macro(function):
    def reference(outcome):
        labels = present_labels(outcome)
        if len(labels) == 0:
            return math.nan
        return quiet(function, outcome.target, outcome.answer, labels=labels, average="macro", zero_division=0)

    return reference


def calibration_error(outcome):
    """The definition, in plain loops: rows / all rows · |mean probability - share that is true|, over 15 bins."""
    if outcome.target.ndim == 2:
        pairs = list(zip(outcome.score.ravel(), outcome.target.ravel(), strict=True))
    elif outcome.score.shape[1] == 2:
        pairs = list(zip(outcome.score[:, 1], outcome.target, strict=True))
    else:
        rows = zip(outcome.score, outcome.answer, outcome.target, strict=True)
        pairs = [(score[answer], answer == target) for score, answer, target in rows]
    error = 0.0
    for index in range(15):
        held = [(p, y) for p, y in pairs if index / 15 <= p and (p < (index + 1) / 15 or index == 14)]
        error += abs(sum(p for p, _ in held) - sum(int(y) for _, y in held)) / len(pairs)
    return error


def log_loss(outcome):
    return quiet(sk.log_loss, outcome.target, outcome.score, labels=np.arange(outcome.score.shape[1]))


COMMON = {
    "accuracy": lambda o: quiet(sk.accuracy_score, o.target, o.answer),
    "balanced_accuracy": lambda o: quiet(sk.balanced_accuracy_score, o.target, o.answer),
    "macro_f1": macro(sk.f1_score),
    "matthews": lambda o: quiet(sk.matthews_corrcoef, o.target, o.answer),
    "cohen_kappa": lambda o: quiet(sk.cohen_kappa_score, o.target, o.answer),
    "expected_calibration_error": calibration_error,
    "log_loss": log_loss,
}


def of_answers(function):
    return lambda o: quiet(function, o.target, o.answer, average="binary", zero_division=np.nan)


@settings(max_examples=40, deadline=None)
@given(classifications(st.just(2)), st.integers(0, 999))
def test_metrics_of_two_labels(outcome, seed):
    references = {
        **COMMON,
        "precision": of_answers(sk.precision_score),
        "recall": of_answers(sk.recall_score),
        "f1": of_answers(sk.f1_score),
        "brier": lambda o: quiet(sk.brier_score_loss, o.target, o.score[:, 1], labels=[0, 1], pos_label=1),
        "roc_auc": of_positive(sk.roc_auc_score, needs_negative=True),
        "average_precision": of_positive(sk.average_precision_score, needs_negative=False),
    }
    check(outcome, references, seed)


@settings(max_examples=40, deadline=None)
@given(classifications(st.integers(3, 8)), st.integers(0, 999))
def test_metrics_of_more_labels(outcome, seed):
    labels = np.arange(outcome.score.shape[1])
    references = {
        **COMMON,
        "precision": macro(sk.precision_score),
        "recall": macro(sk.recall_score),
        "f1": macro(sk.f1_score),
        "brier": lambda o: float(((o.score - (o.target[:, None] == labels)) ** 2).sum(axis=1).mean()),
        "roc_auc": one_against_rest(sk.roc_auc_score, needs_negative=True),
        "average_precision": one_against_rest(sk.average_precision_score, needs_negative=False),
        "top_5_accuracy": lambda o: quiet(sk.top_k_accuracy_score, o.target, o.score, k=5, labels=labels),
    }
    check(outcome, references, seed)


@settings(max_examples=40, deadline=None)
@given(multilabels(), st.integers(0, 999))
def test_metrics_of_several_labels_a_row(outcome, seed):
    references = {
        "micro_f1": lambda o: quiet(
            sk.f1_score, o.target.ravel(), o.answer.ravel(), average="binary", zero_division=np.nan
        ),
        "macro_f1": macro(sk.f1_score),
        "f1": macro(sk.f1_score),
        "precision": macro(sk.precision_score),
        "recall": macro(sk.recall_score),
        "expected_calibration_error": calibration_error,
        "jaccard": lambda o: quiet(sk.jaccard_score, o.target, o.answer, average="samples", zero_division=1),
        "micro_jaccard": lambda o: (
            quiet(sk.jaccard_score, o.target, o.answer, average="micro") if (o.target | o.answer).any() else math.nan
        ),
        "label_ranking_average_precision": lambda o: quiet(sk.label_ranking_average_precision_score, o.target, o.score),
        "coverage_error": lambda o: quiet(sk.coverage_error, o.target, o.score),
        "subset_accuracy": lambda o: float((o.target == o.answer).all(axis=1).mean()),
        "hamming_loss": lambda o: quiet(sk.hamming_loss, o.target.ravel(), o.answer.ravel()),
        "roc_auc": one_against_rest(sk.roc_auc_score, needs_negative=True),
        "average_precision": one_against_rest(sk.average_precision_score, needs_negative=False),
    }
    check(outcome, references, seed)


@settings(max_examples=40, deadline=None)
@given(regressions(), st.integers(0, 999))
def test_metrics_of_numbers(outcome, seed):
    references = {
        "r2": lambda o: quiet(sk.r2_score, o.target, o.score),
        "rmse": lambda o: quiet(sk.root_mean_squared_error, o.target, o.score),
        "mae": lambda o: quiet(sk.mean_absolute_error, o.target, o.score),
        "median_absolute_error": lambda o: quiet(sk.median_absolute_error, o.target, o.score),
        "mape": lambda o: quiet(sk.mean_absolute_percentage_error, o.target, o.score),
        "smape": lambda o: float((2 * np.abs(o.score - o.target) / (np.abs(o.score) + np.abs(o.target))).mean()),
        "explained_variance": lambda o: quiet(sk.explained_variance_score, o.target, o.score),
        "max_error": lambda o: columns_mean(o, sk.max_error),
        "pearson": lambda o: columns_mean(o, lambda target, score: scipy_stats.pearsonr(target, score)[0]),
        "spearman": lambda o: columns_mean(o, lambda target, score: scipy_stats.spearmanr(target, score)[0]),
    }
    check(outcome, references, seed)


def test_scikit_learn_agrees_on_the_multi_class_averages():
    random = np.random.default_rng(3)
    score = random.dirichlet(np.ones(4), 60)
    outcome = Outcome(random.integers(0, 4, 60), score, score.argmax(axis=1), tuple("abcd"))
    expected = sk.roc_auc_score(outcome.target, score, multi_class="ovr", average="macro")
    assert METRICS.find("roc_auc")(outcome) == pytest.approx(expected)
    target = (random.random((60, 4)) < 0.3).astype(np.uint8)
    several = Outcome(target, score, (score > 0.3).astype(np.uint8), tuple("abcd"))
    assert METRICS.find("average_precision")(several) == pytest.approx(sk.average_precision_score(target, score))


def test_every_metric_of_the_table_knows_its_name():
    for name in METRICS:
        metric = METRICS.find(name)
        assert metric.name == name
        assert metric.title
        assert metric.forms


# -- edges ------------------------------------------------------------------------------------------------------------


def binary(target, positive_score):
    score = np.array(positive_score, dtype=float)
    answer = (score >= 0.5).astype(np.int64)
    return Outcome(np.array(target, dtype=np.int64), np.stack([1 - score, score], axis=1), answer, ("no", "yes"))


def test_roc_auc_and_average_precision_by_hand():
    tied = binary([0, 1, 1, 0], [0.2, 0.8, 0.2, 0.1])
    assert METRICS.find("roc_auc")(tied) == (1 + 1 + 0.5 + 1) / 4
    assert METRICS.find("average_precision")(tied) == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_rank_correlation_and_largest_error_by_hand():
    target, score = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([[10.0], [30.0], [20.0], [20.0]])
    outcome = Outcome(target, score, score, ("x",))
    # ranks 1 2 3 4 and 1 4 2.5 2.5: covariance 1.5, variances 5 and 4.5
    assert METRICS.find("spearman")(outcome) == pytest.approx(1.5 / math.sqrt(5 * 4.5))
    assert METRICS.find("max_error")(outcome) == 28
    assert METRICS.find("smape")(Outcome(target * 0, target * 0, target * 0, ("x",))) == 0
    assert METRICS.find("rmsle")(outcome) == pytest.approx(
        math.sqrt(np.mean([math.log(11 / 2) ** 2, math.log(31 / 3) ** 2, math.log(21 / 4) ** 2, math.log(21 / 5) ** 2]))
    )
    assert math.isnan(METRICS.find("rmsle")(Outcome(target - 2, score, score, ("x",))))


def test_calibration_error_by_hand():
    # bins 1 … 15: .10 and .05 are in the 2nd and 1st, .95 and 1 in the 15th
    outcome = binary([0, 1, 1, 0], [0.05, 0.10, 0.95, 1.0])
    expected = (abs(0.05 - 0) + abs(0.10 - 1) + abs(0.95 + 1.0 - 1)) / 4
    assert METRICS.find("expected_calibration_error")(outcome) == pytest.approx(expected)


def test_rankings_of_labels_by_hand():
    score = np.array([[0.9, 0.5, 0.5, 0.1], [0.1, 0.2, 0.3, 0.4]])
    target = np.array([[0, 1, 0, 0], [0, 0, 0, 0]], np.uint8)
    outcome = Outcome(target, score, (score > 0.5).astype(np.uint8), tuple("abcd"))
    # the one true label shares the third place with another; a row without labels counts as ranked well
    assert METRICS.find("label_ranking_average_precision")(outcome) == pytest.approx((1 / 3 + 1) / 2)
    assert METRICS.find("coverage_error")(outcome) == (3 + 0) / 2
    assert METRICS.find("jaccard")(outcome) == (0 + 1) / 2


def test_what_does_not_exist_is_nan():
    only_no, only_yes = binary([0, 0], [0.1, 0.2]), binary([1, 1], [0.9, 0.8])
    for name in ("roc_auc", "average_precision", "precision", "recall", "f1"):
        assert math.isnan(METRICS.find(name)(only_no)), name
    assert math.isnan(METRICS.find("roc_auc")(only_yes))
    assert METRICS.find("accuracy")(only_no) == 1
    constant = np.full((3, 1), 0.1)
    assert math.isnan(METRICS.find("r2")(Outcome(constant, constant + 1, constant + 1, ("x",))))
    for name in ("pearson", "spearman", "explained_variance"):
        assert math.isnan(METRICS.find(name)(Outcome(constant, constant + 1, constant + 1, ("x",)))), name
    rising = np.arange(3.0)[:, None]
    assert math.isnan(METRICS.find("pearson")(Outcome(rising, constant, constant, ("x",))))
    assert math.isnan(METRICS.find("cohen_kappa")(only_no))
    zero = np.array([[0.0], [1.0]])
    assert math.isnan(METRICS.find("mape")(Outcome(zero, zero, zero, ("x",))))


def test_no_rows_are_nan():
    empty = Outcome(np.empty(0, np.int64), np.empty((0, 2)), np.empty(0, np.int64), ("no", "yes"))
    for name in ("accuracy", "roc_auc", "macro_f1", "log_loss"):
        assert math.isnan(METRICS.find(name)(empty))


def test_an_impossible_answer_costs_much_but_not_infinitely():
    assert METRICS.find("log_loss")(binary([1], [0.0])) == pytest.approx(-math.log(np.finfo(np.float64).eps))


def test_a_metric_of_another_kind_of_answer_is_refused():
    with pytest.raises(UsageError, match="'rmse' is defined for regression, not for a classification"):
        METRICS.find("rmse")(binary([0, 1], [0.1, 0.9]))
    with pytest.raises(UsageError, match="float32"):
        METRICS.find("rmse")(Outcome(np.zeros(3, np.float32), np.zeros((3, 1)), np.zeros(3), ()))
