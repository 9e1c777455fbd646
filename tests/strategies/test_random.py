"""Random search among architectures of which few are feasible."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mnas.arch.complexity import block_complexity, complexity
from mnas.arch.spec import Architecture
from mnas.search.constraints import Feasibility, latency_budget
from mnas.space.costs import SpaceCosts
from mnas.strategies.random import RandomSearch
from tests.spaces import small_space

SPACE = small_space(3)
COSTS = SpaceCosts(SPACE, lambda placed: block_complexity(placed).madds)


def madds(architecture: Architecture) -> float:
    return complexity(architecture).madds


def smallest(share: float) -> float:
    """Multiply-adds that this share of random architectures has at most."""
    rng = np.random.default_rng(1)
    return float(np.quantile([madds(SPACE.sample(rng)) for _ in range(2000)], share))


def test_candidates_are_those_of_a_check_one_by_one() -> None:
    for share in (0.5, 0.01):
        limit = smallest(share)
        feasible = Feasibility([latency_budget(madds, limit, COSTS)])
        slow = RandomSearch(SPACE, seed=3, feasible=lambda architecture, f=feasible: f(architecture))
        quick = RandomSearch(SPACE, seed=3, feasible=feasible)
        assert [*quick.ask(7), *quick.ask(20)] == (found := slow.ask(27))
        assert all(madds(each) <= limit for each in found)


def test_where_nothing_is_feasible_the_last_one_is_proposed_as_in_a_check_one_by_one() -> None:
    feasible = Feasibility([latency_budget(madds, 1.0, COSTS)])
    slow = RandomSearch(SPACE, seed=3, feasible=lambda architecture: False)
    assert RandomSearch(SPACE, seed=3, feasible=feasible).ask(2) == slow.ask(2)


def test_few_architectures_are_made_where_few_are_feasible() -> None:
    limit, made = smallest(0.01), []

    def counted(architecture: Architecture) -> float:
        made.append(architecture)
        return madds(architecture)

    found = RandomSearch(SPACE, seed=0, feasible=Feasibility([latency_budget(counted, limit, COSTS)])).ask(20)
    assert len(made) == len(found) == 20


def test_a_constraint_without_costs_is_checked_for_every_architecture() -> None:
    rows: npt.NDArray[np.intp] = np.array([SPACE.encode(SPACE.sample(np.random.default_rng(0)))])
    assert Feasibility([latency_budget(madds, 1.0)]).preselect(rows).tolist() == [True]
    assert Feasibility([latency_budget(madds, 1.0, COSTS)]).preselect(rows).tolist() == [False]
