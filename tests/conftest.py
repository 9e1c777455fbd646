import pytest

from mnas.arch.complexity import block_complexity, complexity
from mnas.evaluators.base import Evaluator
from mnas.reward import make_reward
from mnas.search.constraints import latency_budget
from mnas.search.objective import Objective
from mnas.space.costs import SpaceCosts
from tests.spaces import separable, small_space


class FakeEvaluator(Evaluator):
    """Separable accuracies; counts its evaluations, and does what `on_call` says at each."""

    def __init__(self, space, bonus=0.0):
        self.function = separable(space)
        self.bonus = bonus
        self.calls = []
        self.on_call = lambda count: None

    def accuracy(self, architecture):
        self.on_call(len(self.calls))
        self.calls.append(architecture)
        return 0.9 * self.function(architecture) + self.bonus

    def describe(self):
        return {"name": "fake", "bonus": self.bonus}


@pytest.fixture
def space():
    return small_space()


@pytest.fixture
def evaluator(space):
    return FakeEvaluator(space)


def madds_target(space, budget):
    """Multiply-adds in thousands stand in for milliseconds."""
    costs = SpaceCosts(space, lambda placed: block_complexity(placed).madds / 1e3)
    return latency_budget(lambda architecture: complexity(architecture).madds / 1e3, budget, costs)


@pytest.fixture
def objective(space, evaluator):
    target = madds_target(space, 1000.0)
    return Objective(evaluator, make_reward("absolute"), [target])
