"""Drawing from a policy that was learnt elsewhere."""

import numpy as np
import pytest

from mnas.errors import InputError
from mnas.search.build import prepare
from mnas.search.options import SearchOptions
from mnas.strategies.registry import make_strategy
from mnas.trial import Trial
from tests.spaces import small_space


def _policy(space, sure=0.99):
    """The last choice of every decision is nearly certain."""
    shares = []
    for decision in space.decisions:
        rest = (1 - sure) / max(1, len(decision.choices) - 1)
        shares.append(np.array([rest] * (len(decision.choices) - 1) + [1 - rest * (len(decision.choices) - 1)]))
    return lambda: shares


def test_the_mode_comes_first_and_nothing_twice():
    space = small_space()
    strategy = make_strategy("differentiable", space, policy=_policy(space, 0.7))
    proposed = [architecture for _ in range(4) for architecture in strategy.ask(5)]
    assert space.encode(proposed[0]) == tuple(len(decision.choices) - 1 for decision in space.decisions)
    assert len(set(proposed)) == len(proposed)


def test_a_mode_over_the_budget_is_not_proposed():
    space = small_space()
    strategy = make_strategy(
        "differentiable", space, policy=_policy(space, 0.7), feasible=lambda a: a.stages[0].block.filters == 8
    )
    assert {architecture.stages[0].block.filters for architecture in strategy.ask(6)} == {8}


@pytest.mark.parametrize("name", ["differentiable", "tunas"])
def test_it_says_how_undecided_its_policy_is_once_it_was_told(name):
    space = small_space()
    most = sum(np.log(len(decision.choices)) for decision in space.decisions)
    for policy, expected in (
        (lambda: [np.full(len(d.choices), 1 / len(d.choices)) for d in space.decisions], most),
        (lambda: [np.eye(len(d.choices))[0] for d in space.decisions], 0.0),
    ):
        strategy = make_strategy(name, space, policy=policy)
        proposed = strategy.ask(3)
        assert strategy.diagnostics() == {}
        strategy.tell([Trial(number, architecture, reward=0.5) for number, architecture in enumerate(proposed)])
        assert strategy.diagnostics() == {"entropy": pytest.approx(expected)}


def test_it_is_refused_without_a_supernet():
    with pytest.raises(InputError, match="use it with mnas search --evaluator supernet"):
        make_strategy("differentiable", small_space())
    with pytest.raises(InputError, match="the strategy tunas is trained together with a supernet's weights: use it"):
        make_strategy("tunas", small_space())
    with pytest.raises(InputError, match="evaluator is proxy: add --evaluator supernet"):
        SearchOptions(strategy="differentiable", data="digits")


@pytest.mark.parametrize(
    ("strategy", "fields", "said"),
    [
        ("tunas", {"reward": "soft"}, "--reward is soft and the strategy tunas learns from the absolute reward"),
        ("tunas", {"reward": "hard"}, "expected absolute; leave --reward out"),
        ("differentiable", {"reward": "soft"}, "the strategy differentiable learns from a loss of its own"),
        ("differentiable", {"beta": -0.2}, "--beta is -0.2 and the strategy differentiable weighs latency against"),
    ],
)
def test_a_reward_that_would_be_ignored_is_refused(strategy, fields, said):
    with pytest.raises(InputError, match=said):
        SearchOptions(strategy=strategy, data="digits", evaluator="supernet", **fields)
    SearchOptions(strategy="random", data="digits", evaluator="supernet", **fields)


@pytest.mark.tensorflow
@pytest.mark.parametrize(("beta", "learnt"), [(None, -0.1), (-0.3, -0.3)])
def test_tunas_learns_from_the_beta_that_was_said(beta, learnt):
    options = SearchOptions(
        space="mnasnet-16",
        strategy="tunas",
        data="digits",
        evaluator="supernet",
        beta=beta,
        max_train_images=200,
        baseline=False,
    )
    assert prepare(options).config["evaluator"]["learner"]["beta"] == learnt
