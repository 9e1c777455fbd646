"""Search by gradient on additive scores."""

from itertools import product

import numpy as np
import pytest

from mnas.arch.complexity import block_complexity
from mnas.arch.zoo import zoo
from mnas.errors import InputError
from mnas.search.options import SearchOptions
from mnas.space.around import space_around
from mnas.space.costs import SpaceCosts
from mnas.space.files import load_space
from mnas.strategies.additive import AdditiveScore
from mnas.strategies.expected_cost import ExpectedCost
from mnas.strategies.registry import make_strategy
from mnas.trial import Trial
from tests.spaces import small_space


def madds(space):
    return SpaceCosts(space, lambda placed: block_complexity(placed).madds / 1e6, overhead=0.01)


def with_factor(space):
    """Costs with a factor by the network's parameters, as a latency table has."""
    costs = madds(space)
    costs.scaling = SpaceCosts(space, lambda placed: block_complexity(placed).params), [(2e3, 1.0), (5e4, 1.8)]
    return costs


def random_values(space, seed):
    rng = np.random.default_rng(seed)
    return [rng.random(len(decision.choices)) / len(space.decisions) for decision in space.decisions]


def worth(space, values, architecture):
    return sum(own[i] for own, i in zip(values, space.encode(architecture), strict=True))


def everything(space):
    return np.array(list(product(*(range(len(decision.choices)) for decision in space.decisions))))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_the_first_proposal_is_within_one_percent_of_the_best_that_fits(seed, share):
    space, rows = small_space(), everything(small_space())
    costs, values = madds(space), random_values(space, seed)
    priced = costs(rows)
    budget = float(np.quantile(priced, share))
    scores = sum(own[rows[:, place]] for place, own in enumerate(values))
    best = scores[priced <= budget].max()
    score = AdditiveScore(lambda: values, [(costs, budget)])
    (found,) = make_strategy("differentiable", space, seed=seed, score=score).ask(1)
    assert costs([space.encode(found)])[0] <= budget
    assert worth(space, values, found) >= best - 0.01 * np.ptp(scores)


def test_every_budget_counts():
    space = small_space()
    costs, params = madds(space), SpaceCosts(space, lambda placed: block_complexity(placed).params)
    values = random_values(space, 1)
    budgets = [(costs, float(np.median(costs(everything(space))))), (params, params.extreme()[1] * 1.2)]
    (found,) = make_strategy("differentiable", space, score=AdditiveScore(lambda: values, budgets)).ask(1)
    assert all(priced([space.encode(found)])[0] <= budget for priced, budget in budgets)
    rows = everything(space)
    fits = np.all([priced(rows) <= budget for priced, budget in budgets], axis=0)
    scores = sum(own[rows[:, place]] for place, own in enumerate(values))
    assert worth(space, values, found) >= scores[fits].max() - 0.02 * np.ptp(scores)


def test_what_a_constraint_refuses_is_not_proposed():
    space = small_space()
    values = random_values(space, 2)
    strategy = make_strategy(
        "differentiable",
        space,
        score=AdditiveScore(lambda: values),
        feasible=lambda architecture: architecture.stages[0].block.filters == 8,
    )
    assert {architecture.stages[0].block.filters for architecture in strategy.ask(12)} == {8}


def test_proposals_are_new_and_the_entropy_is_said_once_told():
    space = small_space()
    strategy = make_strategy("differentiable", space, score=AdditiveScore(lambda: random_values(space, 3)))
    proposed = [architecture for _ in range(2) for architecture in strategy.ask(5)]
    assert len(set(proposed)) == len(proposed)
    assert strategy.diagnostics() == {}
    strategy.tell([Trial(number, architecture, reward=0.5) for number, architecture in enumerate(proposed)])
    most = sum(np.log(len(decision.choices)) for decision in space.decisions)
    assert 0 < strategy.diagnostics()["entropy"] < most


def test_scores_are_asked_for_at_the_first_proposal_alone():
    space, asked = small_space(), []

    def values():
        asked.append(1)
        return random_values(space, 0)

    strategy = make_strategy("differentiable", space, score=AdditiveScore(values))
    assert asked == []
    strategy.ask(2)
    strategy.ask(2)
    assert asked == [1]


def test_what_it_cannot_work_on_is_refused():
    space = small_space()
    with pytest.raises(InputError, match="use it with --evaluator library --teacher FOLDER"):
        make_strategy("differentiable", space)
    values = random_values(space, 0)[1:]
    with pytest.raises(InputError, match=r"the scores have \[.*\] choices: the space small has \[3, 2, 1"):
        make_strategy("differentiable", space, score=AdditiveScore(lambda: values)).ask(1)


@pytest.mark.parametrize(
    ("fields", "said"), [({"reward": "soft"}, "--reward is soft"), ({"beta": -0.2}, "--beta is -0.2")]
)
def test_a_reward_that_would_be_ignored_is_refused(fields, said):
    with pytest.raises(InputError, match=f"{said} and the strategy differentiable maximises the accuracy"):
        SearchOptions(strategy="differentiable", evaluator="tabular:a.json", **fields)


SPACES = {
    "six decisions a stage": small_space,
    "whole blocks": lambda: space_around(zoo("mnasnet-a1")),
    "whole blocks and resolutions": lambda: space_around(zoo("mnasnet-a1"), resolutions=(128, 96)),
    "whole blocks with filters to choose": lambda: load_space("proxylessnas"),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_an_expectation_over_certain_decisions_is_the_cost(space):
    space = space()
    costs, rng = madds(space), np.random.default_rng(0)
    for _ in range(5):
        indices = space.encode(space.sample(rng))
        certain = [np.eye(len(one.choices))[i] for one, i in zip(space.decisions, indices, strict=True)]
        assert ExpectedCost(costs)(certain)[0] == pytest.approx(costs([indices])[0])


def test_an_expectation_is_the_mean_over_all_networks():
    space, rng = small_space(), np.random.default_rng(0)
    shares = [rng.dirichlet(np.ones(len(decision.choices))) for decision in space.decisions]
    rows = everything(space)
    weights = np.prod([own[rows[:, place]] for place, own in enumerate(shares)], axis=0)
    assert ExpectedCost(madds(space))(shares)[0] == pytest.approx(weights @ madds(space)(rows))


@pytest.mark.parametrize("costs_of", [madds, with_factor])
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_derivatives_are_those_of_the_expectation(space, costs_of):
    space, rng = space(), np.random.default_rng(1)
    expected = ExpectedCost(costs_of(space))
    shares = [rng.dirichlet(np.ones(len(decision.choices))) for decision in space.decisions]
    steps = [rng.normal(size=own.shape) for own in shares]
    _, slopes = expected(shares)
    ahead, behind = (
        expected([own + sign * 1e-5 * step for own, step in zip(shares, steps, strict=True)])[0] for sign in (1, -1)
    )
    along = sum(slope @ step for slope, step in zip(slopes, steps, strict=True))
    assert (ahead - behind) / 2e-5 == pytest.approx(along, rel=1e-5)
