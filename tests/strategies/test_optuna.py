"""What is particular to the Optuna adapter; what every strategy owes is in test_contract.py."""

import sys

import pytest

from mnas.errors import InputError, MnasError
from mnas.strategies.registry import check_strategy, make_strategy
from mnas.trial import Measurement, Trial
from tests.spaces import separable, small_space

optuna = pytest.importorskip("optuna", reason="Optuna is not installed: pip install 'mnas[optuna]'")


def _told(strategy, rounds, accuracy, batch=10):
    asked = []
    for _ in range(rounds):
        batch_asked = strategy.ask(batch)
        strategy.tell([Trial(i, a, Measurement(accuracy(a), (), 1, 1), accuracy(a)) for i, a in enumerate(batch_asked)])
        asked += batch_asked
    return asked


@pytest.mark.parametrize("name", ["optuna:tpe", "optuna:nsgaii"])
def test_every_candidate_is_new(name):
    space = small_space(2)
    asked = _told(make_strategy(name, space, seed=2), 8, separable(space))
    assert len(set(asked)) == len(asked)


def test_the_sampler_learns_from_trials_that_it_did_not_ask_for():
    """Told what another search has found, TPE proposes better than one that starts from nothing."""
    space = small_space(4)
    accuracy = separable(space, 3)
    taught, fresh = (make_strategy("optuna:tpe", space, seed=0) for _ in range(2))
    _, other = taught.ask(3), make_strategy("random", space, seed=9)
    taught.tell([Trial(i, a, Measurement(accuracy(a), (), 1, 1), accuracy(a)) for i, a in enumerate(other.ask(150))])
    best = [max(map(accuracy, strategy.ask(10))) for strategy in (taught, fresh)]
    assert best[0] > best[1]


def test_a_samplers_own_options_are_passed_on():
    make_strategy("optuna:tpe", small_space(), multivariate=True).ask(2)
    with pytest.raises(InputError, match="sampler tpe cannot be made with"):
        make_strategy("optuna:tpe", small_space(), flavour=3)
    with pytest.raises(InputError, match="sampler grid cannot be made with no options"):
        make_strategy("optuna:grid", small_space())


def test_an_unknown_sampler_is_refused_with_those_there_are():
    with pytest.raises(InputError, match=r"no sampler 'tpf': expected one of .*cmaes.*tpe"):
        check_strategy("optuna:tpf")


def test_without_optuna_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MnasError, match=r"pip install 'mnas\[optuna\]'"):
        check_strategy("optuna:tpe")
