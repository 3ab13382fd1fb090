import math

import numpy as np
import pytest
from scipy import stats

from modelyard.evaluate.significance import fisher, holm, mcnemar, paired_permutation, student_t, welch


def test_students_t_is_scipys():
    t = np.array([0.0, 0.5, -2.0, 3.5, 12.0, 40.0])
    for degrees in (1.0, 2.5, 30.0, 4000.0):
        np.testing.assert_allclose(student_t(t, degrees), 2 * stats.t.sf(np.abs(t), degrees), rtol=1e-9)


def test_welch_is_scipys():
    random = np.random.default_rng(0)
    first, second = random.normal(0, 1, 12), random.normal(1, 3, 40)
    expected = stats.ttest_ind(first, second, equal_var=False)
    one, two = ((np.array([len(x)]), np.array([x.mean()]), np.array([x.var(ddof=1)])) for x in (first, second))
    t, p = welch(one, two)
    assert (t[0], p[0]) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))


def test_samples_without_variance_differ_surely_or_not_at_all():
    five = np.array([5.0])
    t, p = welch((five, np.array([1.0]), np.array([0.0])), (five, np.array([0.0]), np.array([0.0])))
    assert (t[0], p[0]) == (math.inf, 0.0)
    t, p = welch((five, np.array([1.0]), np.array([0.0])), (five, np.array([1.0]), np.array([0.0])))
    assert (t[0], p[0]) == (0.0, 1.0)


def test_fisher_doubles_the_smaller_tail():
    # 10 rows, 4 of them hits; a sample of 3 with 3 hits: C(4,3) / C(10,3) = 4 / 120
    assert fisher(np.array([3]), np.array([3]), 4, 10)[0] == pytest.approx(2 * 4 / 120)
    for hits, rows in ((0, 5), (2, 20), (9, 30), (30, 40)):
        tails = stats.hypergeom.sf(hits - 1, 200, 60, rows), stats.hypergeom.cdf(hits, 200, 60, rows)
        assert fisher(np.array([hits]), np.array([rows]), 60, 200)[0] == pytest.approx(min(1, 2 * min(tails)), rel=1e-9)


def test_holm_by_hand():
    # 0.01·4, then max(0.04, 0.02·3), max(0.06, 0.03·2), max(0.06, 0.5·1)
    assert holm(np.array([0.03, 0.01, 0.5, 0.02])).tolist() == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert holm(np.empty(0)).tolist() == []


def test_mcnemar_is_the_binomial_test():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(4, 4) == 1.0
    assert mcnemar(30, 70) == pytest.approx(stats.binomtest(30, 100).pvalue)


def test_paired_permutation():
    # ten differences of one sign: 2 of the 1024 sign changes are as far from 0
    p = paired_permutation(np.ones(10), seed=0, draws=20_000)
    assert p == pytest.approx(2 / 1024, rel=0.4)
    assert paired_permutation(np.zeros(10), seed=0) == 1.0
    assert paired_permutation(np.array([1.0, -1.0, 1.0, -1.0]), seed=0) == 1.0
    assert paired_permutation(np.arange(5.0), seed=1) == paired_permutation(np.arange(5.0), seed=1)
