"""Rank correlation, mean ranks, and intervals of means and differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
LEVEL = 0.95
_RESAMPLES = 10_000
_MOST_DRAWN = 2**23  # values drawn at a time: some 200 MB


def kendall_tau(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Kendall's rank correlation tau-b, which allows equal values.

    Args:
        first: shape (count,).
        second: shape (count,).

    Returns:
        -1 to 1; 0 for fewer than two different values.
    """
    from scipy.stats import kendalltau

    first, second = np.asarray(first), np.asarray(second)
    if len(np.unique(first)) < 2 or len(np.unique(second)) < 2:
        return 0.0
    return float(kendalltau(first, second).statistic)


def expected_tau(values: npt.ArrayLike, error: float) -> float:
    """Kendall's tau to expect between values and estimates of them whose relative errors are random.

    Errors are log-normal and independent. A pair then is in order with the probability Phi(d / (sigma sqrt 2)), d being
    the difference of the logarithms; tau is the mean of twice that, less 1. Values that are close to each other are
    hard to put in order.

    Args:
        values: positive, shape (count,), at least two.
        error: mean absolute error of the estimates, as a fraction of the value; positive.

    Returns:
        0 to 1.
    """
    from scipy.special import erf

    logs = np.log(np.asarray(values, np.float64))
    first, second = np.triu_indices(len(logs), 1)
    sigma = error * np.sqrt(np.pi / 2)  # the mean of |x| for normal x is sigma sqrt(2 / pi)
    return float(np.mean(erf(np.abs(logs[first] - logs[second]) / (2 * sigma))))


def mean_ranks(best: Array) -> Array:
    """Mean rank of each strategy. The highest reward of a seed has rank 1; equal rewards share their mean rank.

    Args:
        best: shape (strategies, seeds).

    Returns:
        Shape (strategies,); the sum is n (n + 1) / 2 for n strategies.
    """
    from scipy.stats import rankdata

    result: Array = rankdata(-best, axis=0).mean(axis=1)
    return result


def bootstrap_interval(
    values: npt.ArrayLike, *, level: float = LEVEL, num_resamples: int = _RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean (Efron 1979): quantiles of the means of resamples with replacement.

    Args:
        values: shape (count,).
        level: the share of the resampled means inside the interval.
        num_resamples: number of resamples.
        seed: of the resampling.
    """
    return _bootstrap([np.asarray(values, dtype=np.float64)], np.mean, level, num_resamples, seed)


def difference_interval(first: Array, second: Array, *, num_resamples: int = 2000) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the difference of two samples' means."""

    def difference(one: Array, other: Array, axis: int) -> Array:
        result: Array = one.mean(axis=axis) - other.mean(axis=axis)
        return result

    return _bootstrap([first, second], difference, LEVEL, num_resamples, 0)


def _bootstrap(
    samples: Sequence[Array], statistic: Callable[..., Array], level: float, num_resamples: int, seed: int
) -> tuple[float, float]:
    from scipy.stats import bootstrap

    # SciPy needs at least two values. One value gives the same resamples as that value twice.
    pairs = [np.repeat(sample, 2) if len(sample) == 1 else sample for sample in samples]
    found = bootstrap(
        pairs,
        statistic,
        n_resamples=num_resamples,
        batch=max(1, _MOST_DRAWN // sum(map(len, pairs))),
        vectorized=True,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def welch_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Welch's 95 % interval of the difference of two means, without width if both are constant."""
    from scipy import stats

    if len({*first}) == len({*second}) == 1:
        return first[0] - second[0], first[0] - second[0]
    interval = stats.ttest_ind(first, second, equal_var=False).confidence_interval(LEVEL)
    return float(interval.low), float(interval.high)


def top_interval(rewards: Sequence[float], baseline: Sequence[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the difference of two searches' best rewards.

    A bootstrapped maximum never exceeds the observed one. So this shows how much each best reward depends on a single
    trial, not how good a longer search would be.
    """
    rng = np.random.default_rng(0)
    tops = []
    for sample in (rewards, baseline):
        values = np.sort(np.asarray(sample, dtype=np.float64))
        # The largest of n draws from n values has the inverse distribution function u ** (1 / n): one random number for
        # each resample instead of n, which matters for thousands of trials.
        place = np.ceil(rng.random(_RESAMPLES) ** (1 / len(values)) * len(values)).astype(int) - 1
        tops.append(values[np.clip(place, 0, len(values) - 1)])
    low, high = np.quantile(tops[0] - tops[1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
