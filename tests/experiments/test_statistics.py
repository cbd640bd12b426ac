import itertools

import numpy as np
import pytest
from scipy import stats

from p3m_lightning.experiments import statistics
from p3m_lightning.experiments.statistics import bootstrap, holm, mean, median, paired_test, tail_mean


@pytest.fixture
def scores():
    return np.random.default_rng(1).lognormal(size=(2, 9))


def test_interval_is_that_of_a_loop_over_resamples(scores, monkeypatch):
    monkeypatch.setattr(statistics, "AT_ONCE", 9 * 7)  # not a divisor of the number of resamples
    draw = np.random.default_rng(5)
    resampled = []
    for size in [7] * 14 + [2]:
        for rows in draw.integers(0, 9, (size, 9)):
            resampled.append([scores[0][row] for row in rows])
    for statistic, reference in ((mean, np.mean), (median, np.median), (tail_mean, np.max)):  # of 9 images
        low, high = np.percentile([reference(one) for one in resampled], [2.5, 97.5])
        found = bootstrap(scores[0], statistic, samples=100, seed=5)
        assert found == pytest.approx((reference(scores[0]), low, high))


def test_interval_covers_the_mean_about_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(3, 1, (200, 60))
    intervals = [bootstrap(values, samples=300, seed=k) for k, values in enumerate(draws)]
    assert 0.88 < np.mean([low <= 3 <= high for _, low, high in intervals]) < 0.99


def test_a_single_image_has_no_width():
    assert bootstrap(np.array([3.0])) == (3, 3, 3)


def test_tail_is_the_mean_of_the_worst_tenth_and_at_least_of_one_image():
    assert tail_mean(np.arange(25.0)) == pytest.approx(np.mean([22, 23, 24]))
    assert tail_mean(np.array([[3.0, 5.0], [9.0, 2.0]])) == pytest.approx([5, 9])


def test_paired_tests_are_scipys_and_an_exhaustive_flip_of_signs(scores):
    found = paired_test(*scores)
    differences = scores[1] - scores[0]
    assert found.wilcoxon == pytest.approx(stats.wilcoxon(scores[1], scores[0]).pvalue)
    flipped = [abs(np.mean(differences * signs)) for signs in itertools.product((1, -1), repeat=9)]
    assert found.permutation == pytest.approx(np.mean(np.array(flipped) >= abs(differences.mean()) - 1e-12))
    assert found.mean.value == pytest.approx(differences.mean())
    assert found.median == pytest.approx(np.median(differences))
    assert found.better == np.mean(scores[1] < scores[0])


def test_runs_that_do_not_differ_are_not_told_apart(scores):
    found = paired_test(scores[0], scores[0])
    assert (found.wilcoxon, found.permutation, found.better) == (1, 1, 0.5)


def test_holms_correction_of_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1, 1]


def test_one_image_tells_of_no_difference():
    found = paired_test(np.array([1.0]), np.array([2.0]))
    assert (found.wilcoxon, found.permutation) == (1, 1)
    assert found.mean == (1, 1, 1)
