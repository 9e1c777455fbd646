"""Correlation, ranks and intervals, by closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mnas.statistics import (
    bootstrap_interval,
    difference_interval,
    expected_tau,
    kendall_tau,
    mean_ranks,
    top_interval,
    welch_interval,
)


def test_kendall_tau():
    assert kendall_tau([1, 2, 3], [10, 20, 30]) == 1
    assert kendall_tau([1, 2, 3], [3, 2, 1]) == -1
    assert kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    assert kendall_tau([1], [1]) == 0


@pytest.mark.parametrize("error", [0.01, 0.08, 0.3])
def test_the_expected_tau_is_that_of_simulated_estimates(error):
    rng = np.random.default_rng(0)
    values = np.geomspace(1, 2, 12)
    sigma = error * np.sqrt(np.pi / 2)
    simulated = np.mean([kendall_tau(values, values * np.exp(rng.normal(0, sigma, 12))) for _ in range(400)])
    assert expected_tau(values, error) == pytest.approx(simulated, abs=0.03)
    assert expected_tau([1.0, 1.0], error) == 0


def test_the_interval_of_a_constant_is_the_constant():
    assert bootstrap_interval([0.25] * 7) == (0.25, 0.25)


def test_the_interval_of_a_large_sample_is_the_normal_one():
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    margin = 1.959964 * values.std() / math.sqrt(len(values))
    assert bootstrap_interval(values) == pytest.approx((values.mean() - margin, values.mean() + margin), abs=0.01)
    narrow = bootstrap_interval(values, level=0.5)
    assert narrow == pytest.approx((values.mean() - 0.344 * margin, values.mean() + 0.344 * margin), abs=0.01)


def test_the_interval_of_zeros_and_ones_is_the_binomial_one():
    """Resampled means of 10 zeros and 10 ones are binomial over 20: 2.5 % lie at 0.25 and below, as many mirrored."""
    assert bootstrap_interval([0.0, 1.0] * 10) == pytest.approx((0.3, 0.7), abs=0.0501)


def test_intervals_are_seeded():
    values = np.random.default_rng(2).random(9)
    assert bootstrap_interval(values) == bootstrap_interval(values) != bootstrap_interval(values, seed=1)


def test_ranks_with_ties():
    best = np.array([[3.0, 1.0, 1.0], [2.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    assert mean_ranks(best).tolist() == pytest.approx([(1 + 2 + 1.5) / 3, (2 + 2 + 3) / 3, (3 + 2 + 1.5) / 3])


@settings(deadline=None)  # the first call loads SciPy
@given(arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 3).map(float)))
def test_ranks_add_up_whatever_ties(best):
    count = len(best)
    assert mean_ranks(best).sum() == pytest.approx(count * (count + 1) / 2)


def test_the_difference_of_normal_samples_has_the_normal_interval():
    rng = np.random.default_rng(0)
    first, second = rng.normal(1, 1, 400), rng.normal(0, 2, 900)
    margin = 1.96 * np.sqrt(first.var() / 400 + second.var() / 900)
    middle = first.mean() - second.mean()
    assert difference_interval(first, second) == pytest.approx((middle - margin, middle + margin), abs=0.02)


def test_welch_by_hand():
    """Two samples of three, variances 1 and 4: standard error sqrt(5 / 3), 2.94 degrees of freedom, t = 3.2187."""
    low, high = welch_interval([1, 2, 3], [2, 4, 6])
    assert (low + high) / 2 == pytest.approx(-2)
    assert (high - low) / 2 == pytest.approx(math.sqrt(5 / 3) * 3.2187, rel=2e-3)
    assert welch_interval([0.5, 0.5], [0.25, 0.25]) == (0.25, 0.25)


def test_the_interval_of_two_maxima_against_plain_resampling():
    rng = np.random.default_rng(1)
    own, chance = rng.random(30), rng.random(40)
    plain = [rng.choice(own, 30).max() - rng.choice(chance, 40).max() for _ in range(20_000)]
    assert top_interval(own.tolist(), chance.tolist()) == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.01)


def test_kendall_tau_with_equal_values():
    assert kendall_tau([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(2 * 3))  # two of three pairs can be ordered
    assert kendall_tau([1, 1, 1], [1, 2, 3]) == kendall_tau([], []) == 0


def test_a_single_value_is_its_own_interval():
    assert bootstrap_interval([0.5]) == (0.5, 0.5)
    assert difference_interval(np.array([0.75]), np.array([0.25])) == (0.5, 0.5)
    assert difference_interval(np.array([0.5]), np.array([0.25, 0.25, 0.25])) == (0.25, 0.25)


def test_a_large_sample_is_resampled_in_parts():
    values = np.random.default_rng(3).random(20_000)
    whole, again = bootstrap_interval(values, num_resamples=500), bootstrap_interval(values, num_resamples=500)
    margin = 1.959964 * values.std() / math.sqrt(len(values))
    assert whole == again == pytest.approx((values.mean() - margin, values.mean() + margin), abs=0.001)
