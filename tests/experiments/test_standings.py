"""The arithmetic of comparisons, by closed forms."""

import math

import pytest

from mnas.errors import InputError
from mnas.experiments.standings import against, best_so_far, compare


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
