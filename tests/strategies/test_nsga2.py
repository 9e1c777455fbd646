"""NSGA-II's two functions by closed forms, and what it is for: the front."""

import numpy as np
import pytest

from mnas.arch.complexity import complexity
from mnas.errors import InputError
from mnas.strategies.nsga2 import NSGA2, crowding_distances, front_numbers
from mnas.strategies.registry import make_strategy
from mnas.trial import Measurement, Trial
from tests.spaces import separable, small_space


def test_fronts_by_hand():
    values = np.array([[1, 4], [2, 2], [4, 1], [2, 4], [3, 3], [4, 4], [1, 4]], dtype=float)
    assert front_numbers(values).tolist() == [0, 0, 0, 1, 1, 2, 0]


def test_every_front_is_free_of_domination_and_dominated_by_the_one_before():
    values = np.random.default_rng(0).integers(0, 6, (60, 3)).astype(float)
    ranks = front_numbers(values)

    def dominated(i, j):
        return bool((values[j] <= values[i]).all() and (values[j] < values[i]).any())

    for i in range(60):
        assert not any(dominated(i, j) for j in range(60) if ranks[j] == ranks[i])
        assert ranks[i] == 0 or any(dominated(i, j) for j in range(60) if ranks[j] == ranks[i] - 1)


def test_crowding_by_hand():
    values = np.array([[0, 4], [1, 2], [4, 0]], dtype=float)
    assert crowding_distances(values).tolist() == [np.inf, 2.0, np.inf]
    assert crowding_distances(np.ones((3, 2)))[1] == 0


def _hypervolume(points, reference):
    area, ceiling = 0.0, reference[1]
    for error, price in sorted(points):
        if price < ceiling and error < reference[0]:
            area += (reference[0] - error) * (ceiling - price)
            ceiling = price
    return area


def _front_area(name, seed, rounds=15):
    """The area that 150 trials dominate, error against multiply-adds."""
    space = small_space(4)
    accuracy = separable(space, 5)
    strategy = make_strategy(name, space, seed=seed)
    points = []
    for _ in range(rounds):
        trials = []
        for architecture in strategy.ask(10):
            cost = complexity(architecture)
            found = Measurement(accuracy(architecture), (), cost.params, cost.madds)
            trials.append(Trial(len(points), architecture, found, found.accuracy))
            points.append((1 - found.accuracy, cost.madds / 1e6))
        strategy.tell(trials)
    return _hypervolume(points, (1.0, 5.0))


def test_its_front_is_better_than_random_searchs():
    ours, chance = (np.mean([_front_area(name, seed) for seed in range(5)]) for name in ("nsga2", "random"))
    assert ours > chance


def test_it_does_not_propose_what_it_has_seen():
    space = small_space(3)
    strategy, accuracy, proposed = NSGA2(space, seed=1), separable(space), []
    for _ in range(15):
        asked = strategy.ask(10)
        strategy.tell([Trial(i, a, Measurement(accuracy(a), (), 1, 1), 0.5) for i, a in enumerate(asked)])
        proposed += asked
    assert len(set(proposed[30:])) > 0.9 * len(proposed[30:])


@pytest.mark.parametrize("wrong", [{"population": 1}, {"crossover": 2}, {"mutations": 0}])
def test_wrong_knobs_are_refused(wrong):
    with pytest.raises(InputError):
        NSGA2(small_space(), **wrong)
