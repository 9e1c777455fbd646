"""Strategies on an additive score get it from the evaluator, in a search and in a comparison."""

import numpy as np
import pytest

from mnas.errors import InputError
from mnas.evaluators.base import Evaluator
from mnas.experiments.comparison import Comparison, run_one
from mnas.reward import make_reward
from mnas.search.build import rejection, strategy_for
from mnas.search.objective import Objective
from tests.conftest import madds_target
from tests.spaces import small_space


class AdditiveEvaluator(Evaluator):
    """Every choice is worth something; known once it is prepared."""

    is_additive = True

    def __init__(self, space):
        self.space = space
        self.values = None

    def prepare(self, on_progress=lambda share, what: None):
        rng = np.random.default_rng(0)
        self.values = [rng.random(len(one.choices)) / len(self.space.decisions) for one in self.space.decisions]

    def additive_scores(self):
        assert self.values is not None
        return self.values

    def accuracy(self, architecture):
        return sum(own[i] for own, i in zip(self.values, self.space.encode(architecture), strict=True))

    def describe(self):
        return {"kind": "additive"}


def test_a_search_waits_until_the_evaluator_is_prepared(space):
    evaluator = AdditiveEvaluator(space)
    budgets = [madds_target(space, 200)]
    strategy = strategy_for("differentiable", space, evaluator, budgets, seed=0, feasible=None)
    assert strategy.needs_preparation
    evaluator.prepare()
    (found,) = strategy.ask(1)
    assert budgets[0].measure(found) <= 200


def test_a_comparison_prepares_it():
    space = small_space()
    evaluator = AdditiveEvaluator(space)
    objective = Objective(evaluator, make_reward("absolute"), [madds_target(space, 200)])
    comparison = Comparison(space=space, objective=objective, strategies=["differentiable"], num_trials=[5])
    trials = run_one(comparison, "differentiable", 0, {})
    assert max(trial.reward for trial in trials) == pytest.approx(trials[0].reward, abs=0.05)


def test_a_policy_on_predictions_learns_from_networks_beyond_a_budget_too(space, evaluator):
    rng = np.random.default_rng(0)
    budget, limit = madds_target(space, 200), madds_target(space, 400)
    drawn = [space.sample(rng) for _ in range(200)]
    for strategy, kind, beyond in (
        ("reinforce", AdditiveEvaluator(space), True),
        ("evolution", AdditiveEvaluator(space), False),
        ("reinforce", evaluator, False),
    ):
        feasible = rejection(strategy, kind, [budget], [limit])
        taken = [budget.measure(network) for network in drawn if feasible(network)]
        assert (max(taken) > 200) is beyond
        assert max(taken) <= 400, "a file's size is not in the reward"
    assert rejection("reinforce", AdditiveEvaluator(space), [budget]) is None


def test_an_evaluator_without_such_a_score_is_refused(space, evaluator):
    with pytest.raises(InputError, match="FakeEvaluator is not a sum over the space's decisions"):
        evaluator.additive_scores()
    with pytest.raises(InputError, match="the strategy differentiable needs an accuracy that is a sum"):
        Comparison(space=space, objective=Objective(evaluator, make_reward("absolute")), strategies=["differentiable"])
