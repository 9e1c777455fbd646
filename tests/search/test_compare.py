"""The arithmetic of comparisons, by closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mnas.errors import InputError
from mnas.search.compare import against, best_so_far, bootstrap_interval, compare, mean_ranks


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


@given(arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 3).map(float)))
def test_ranks_add_up_whatever_ties(best):
    count = len(best)
    assert mean_ranks(best).sum() == pytest.approx(count * (count + 1) / 2)


def test_against_counts_seeds_won_and_tied():
    found = against([2.0, 1.0, 5.0, 0.0], [1.0, 1.0, 1.0, 1.0])
    assert (found.share_won, found.share_tied, found.mean_difference) == (0.5, 0.25, 1.0)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.3, 0.2, 0.4], "better"),
        ([-0.3, -0.2, -0.4], "worse"),
        ([-0.3, 0.3, 0.1], "undecided"),
        ([0, 0], "undecided"),
    ],
)
def test_the_verdict_needs_an_interval_that_excludes_zero(values, verdict):
    assert against(values, [0.0] * len(values)).verdict == verdict


def test_the_best_so_far_passes_over_failures():
    assert best_so_far([None, 0.5, None, 0.2, 0.7]).tolist() == [-math.inf, 0.5, 0.5, 0.5, 0.7]


def test_compare_puts_it_together():
    random, other = compare({"random": [0.1, 0.2, 0.3], "other": [0.4, 0.4, 0.4]})
    assert (random.against, random.mean_rank, random.mean_best) == (None, 2.0, pytest.approx(0.2))
    assert (other.mean_rank, other.interval, other.best_by_seed) == (1.0, (pytest.approx(0.4),) * 2, (0.4, 0.4, 0.4))
    plain = other.to_dict()["against"]
    assert (plain["verdict"], plain["share_won"]) == ("better", 1.0)
    assert plain["mean_difference"] == pytest.approx(0.2)
    assert compare({"a": [1, 2], "b": [1, 2]})[0].against is None


@pytest.mark.parametrize("best", [{}, {"random": [0.5]}, {"a": [1, 2], "b": [1, 2, 3]}])
def test_too_few_or_unequal_seeds_are_refused(best):
    with pytest.raises(InputError, match="at least 2"):
        compare(best)
