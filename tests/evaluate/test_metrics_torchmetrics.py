"""Metrics against torchmetrics in float64, where it has the same one; what it leaves undefined is not asked of it."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modelyard.evaluate.table import METRICS
from modelyard.tasks.base import Outcome

of_labels = pytest.importorskip("torchmetrics.functional.classification")
of_numbers = pytest.importorskip("torchmetrics.functional")
CLOSE = {"rel": 1e-6, "abs": 1e-6}
SEEDS = st.integers(0, 2**32)


def equal(outcome, references):
    for name, reference in references.items():
        assert METRICS.find(name)(outcome) == pytest.approx(float(reference), **CLOSE), name


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(5, 40), st.integers(2, 30))
def test_two_labels(seed, rows, levels):
    random = np.random.default_rng(seed)
    positive = (random.integers(0, levels, rows) + random.uniform(0.01, 0.9)) / levels
    target = (random.random(rows) < positive).astype(np.int64)
    answer = (positive > 0.5).astype(np.int64)
    assume(0 < target.sum() < rows and 0 < answer.sum() < rows)
    outcome = Outcome(target, np.stack([1 - positive, positive], axis=1), answer, ("no", "yes"))
    score, truth, said = torch.tensor(positive), torch.tensor(target), torch.tensor(answer)
    equal(
        outcome,
        {
            "accuracy": of_labels.binary_accuracy(said, truth),
            "precision": of_labels.binary_precision(said, truth),
            "recall": of_labels.binary_recall(said, truth),
            "f1": of_labels.binary_f1_score(said, truth),
            "matthews": of_labels.binary_matthews_corrcoef(said, truth),
            "cohen_kappa": of_labels.binary_cohen_kappa(said, truth),
            "roc_auc": of_labels.binary_auroc(score, truth),
            "average_precision": of_labels.binary_average_precision(score, truth),
            "expected_calibration_error": of_labels.binary_calibration_error(score, truth, n_bins=15, norm="l1"),
        },
    )


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(8, 40), st.integers(3, 7))
def test_more_labels(seed, rows, labels):
    random = np.random.default_rng(seed)
    score = random.dirichlet(np.ones(labels), rows)
    target = np.concatenate([np.arange(labels), random.integers(0, labels, rows)]).astype(np.int64)[:rows]
    assume(len(np.unique(target)) == labels)
    outcome = Outcome(target, score, score.argmax(axis=1), tuple(f"label {index}" for index in range(labels)))
    given_scores, truth = torch.tensor(score), torch.tensor(target)
    equal(
        outcome,
        {
            "accuracy": of_labels.multiclass_accuracy(given_scores, truth, labels, average="micro"),
            "balanced_accuracy": of_labels.multiclass_accuracy(given_scores, truth, labels, average="macro"),
            "macro_f1": of_labels.multiclass_f1_score(given_scores, truth, labels, average="macro"),
            "precision": of_labels.multiclass_precision(given_scores, truth, labels, average="macro"),
            "recall": of_labels.multiclass_recall(given_scores, truth, labels, average="macro"),
            "matthews": of_labels.multiclass_matthews_corrcoef(given_scores, truth, labels),
            "cohen_kappa": of_labels.multiclass_cohen_kappa(given_scores, truth, labels),
            "roc_auc": of_labels.multiclass_auroc(given_scores, truth, labels),
            "average_precision": of_labels.multiclass_average_precision(given_scores, truth, labels),
            "expected_calibration_error": of_labels.multiclass_calibration_error(given_scores, truth, labels, 15, "l1"),
            **({"top_5_accuracy": of_labels.multiclass_accuracy(given_scores, truth, labels, "micro", top_k=5)}
               if labels > 5 else {}),
        },
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(5, 40), st.integers(2, 5), st.integers(2, 20))
def test_several_labels_a_row(seed, rows, labels, levels):
    random = np.random.default_rng(seed)
    score = (random.integers(0, levels, (rows, labels)) + 0.3) / levels
    target = (random.random((rows, labels)) < 0.4).astype(np.uint8)
    answer = (score > 0.5).astype(np.uint8)
    assume((target.any(axis=0) & ~target.all(axis=0)).all() and answer.any(axis=0).all())
    outcome = Outcome(target, score, answer, tuple(f"label {index}" for index in range(labels)))
    scores, truth, said = torch.tensor(score), torch.tensor(target.astype(np.int64)), torch.tensor(answer.astype(int))
    equal(
        outcome,
        {
            "subset_accuracy": of_labels.multilabel_exact_match(said, truth, labels),
            "hamming_loss": of_labels.multilabel_hamming_distance(said, truth, labels, average="micro"),
            "micro_f1": of_labels.multilabel_f1_score(said, truth, labels, average="micro"),
            "macro_f1": of_labels.multilabel_f1_score(said, truth, labels, average="macro"),
            "precision": of_labels.multilabel_precision(said, truth, labels, average="macro"),
            "recall": of_labels.multilabel_recall(said, truth, labels, average="macro"),
            "micro_jaccard": of_labels.multilabel_jaccard_index(said, truth, labels, average="micro"),
            "roc_auc": of_labels.multilabel_auroc(scores, truth, labels),
            "average_precision": of_labels.multilabel_average_precision(scores, truth, labels),
            "label_ranking_average_precision": of_labels.multilabel_ranking_average_precision(scores, truth, labels),
        },
    )
    if target.any(axis=1).all():  # of a row without labels it says 1, scikit-learn 0
        equal(outcome, {"coverage_error": of_labels.multilabel_coverage_error(scores, truth, labels)})


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(12, 40), st.integers(1, 3), st.integers(0, 2))
def test_numbers(seed, rows, columns, digits):
    random = np.random.default_rng(seed)
    target = random.gamma(3, 2, (rows, columns)).round(digits) + 1
    score = np.abs(target + random.normal(size=(rows, columns)).round(digits))
    assume((target.std(axis=0) > 1).all() and (score.std(axis=0) > 1).all())  # it adds 1e-6 to the ranks' variance
    outcome = Outcome(target, score, score, tuple(f"target {index}" for index in range(columns)))
    truth, said = torch.tensor(target), torch.tensor(score)
    by_column = [(said[:, column], truth[:, column]) for column in range(columns)]

    def mean(function, **options):
        return np.mean([float(function(one, other, **options)) for one, other in by_column])

    equal(
        outcome,
        {
            "r2": of_numbers.r2_score(said, truth),
            "explained_variance": of_numbers.explained_variance(said, truth),
            "rmse": mean(of_numbers.mean_squared_error, squared=False),
            "mae": of_numbers.mean_absolute_error(said, truth),
            "mape": of_numbers.mean_absolute_percentage_error(said, truth),
            "smape": of_numbers.symmetric_mean_absolute_percentage_error(said, truth),
            "rmsle": np.mean([float(of_numbers.mean_squared_log_error(one, other)) ** 0.5 for one, other in by_column]),
            "pearson": mean(of_numbers.pearson_corrcoef),
            "spearman": mean(of_numbers.spearman_corrcoef),
        },
    )
