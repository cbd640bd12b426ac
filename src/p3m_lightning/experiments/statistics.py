"""Statistics of scores on the same images: intervals by resampling images, tests of paired differences.

Efron, Bootstrap Methods (Annals of Statistics, 1979), percentile intervals; Wilcoxon, Individual Comparisons by Ranking
Methods (Biometrics, 1945); Fisher's permutation of signs; Holm, A Simple Sequentially Rejective Multiple Test Procedure
(Scandinavian Journal of Statistics, 1979).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from p3m_lightning.metrics.report import TAIL

SAMPLES = 10_000
LEVEL = 0.95
AT_ONCE = 2**21  # values of resamples held in memory at once

Statistic = Callable[..., np.ndarray]
"""Takes (..., images) and `axis`, always the last, and returns (...)."""


class Estimate(NamedTuple):
    """A statistic with its interval."""

    value: float
    low: float
    high: float


class PairedTest(NamedTuple):
    """Difference of two runs on the same images."""

    mean: Estimate  # of the differences, second minus first
    median: float  # of the differences
    better: float  # share of images on which the second is smaller; ties count half
    wilcoxon: float  # p of the signed-rank test, two-sided
    permutation: float  # p of the mean difference under random signs, two-sided


def mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the mean over one axis, by default the last."""
    return np.mean(values, axis=axis)


def median(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the median over one axis, by default the last."""
    return np.median(values, axis=axis)


def tail_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the mean of the largest tenth along one axis, by default the last; of at least one value."""
    values = np.moveaxis(values, axis, -1)
    count = int(np.ceil(TAIL * values.shape[-1]))
    return np.partition(values, -count, axis=-1)[..., -count:].mean(axis=-1)


def bootstrap(values: np.ndarray, statistic: Statistic = mean, samples: int = SAMPLES, seed: int = 0) -> Estimate:
    """Return a statistic of the images with the percentile interval of `LEVEL` over resampled images.

    The same seed and number of images give the same resamples, so the intervals of two runs are comparable.

    Args:
        values: one for each image, (N,).
        statistic: of the values.
        samples: how many resamples.
        seed: of the resamples.
    """
    values = np.asarray(values, np.float64)
    value = float(statistic(values, axis=-1))
    if len(values) < 2:  # scipy refuses it: every resample is the image itself
        return Estimate(value, value, value)
    interval = stats.bootstrap(
        (values,),
        statistic,
        n_resamples=samples,
        batch=max(1, AT_ONCE // len(values)),
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high))


def paired_test(first: np.ndarray, second: np.ndarray, samples: int = SAMPLES, seed: int = 0) -> PairedTest:
    """Test whether two runs differ on the same images.

    The signed-rank test asks whether one is smaller on most images, however large the few large errors are; the
    permutation test compares the means, which those few may dominate.

    Args:
        first: one value for each image, (N,).
        second: likewise, in the same order.
        samples: resamples of the interval and of the permutation test, exact for few images.
        seed: of both.
    """
    differences = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    signed_rank = permutation = 1.0
    if len(differences) > 1 and differences.any():  # of one image both signs are as likely
        signed_rank = float(stats.wilcoxon(differences).pvalue)
        permutation = float(
            stats.permutation_test(
                (differences,), mean, permutation_type="samples", n_resamples=samples, vectorized=True, rng=seed
            ).pvalue
        )
    return PairedTest(
        bootstrap(differences, mean, samples, seed),
        float(np.median(differences)),
        float(np.mean((differences < 0) + 0.5 * (differences == 0))),
        signed_rank,
        permutation,
    )


def holm(probabilities: Sequence[float]) -> list[float]:
    """Return the p values of several tests, corrected by Holm's method for the family-wise error rate."""
    count = len(probabilities)
    corrected, largest = [1.0] * count, 0.0
    for rank, index in enumerate(np.argsort(probabilities, kind="stable")):
        largest = max(largest, min(1.0, (count - rank) * probabilities[index]))
        corrected[index] = largest
    return corrected
