"""Strategies side by side, in memory."""

from dataclasses import replace

import pytest

from mnas.arch.complexity import complexity
from mnas.arch.walk import unroll
from mnas.errors import InputError, MnasError
from mnas.experiments.comparison import Comparison, run_comparison, with_madds_budget
from mnas.reward import make_reward
from mnas.search.objective import Objective
from tests.conftest import FakeEvaluator
from tests.spaces import small_space


@pytest.fixture
def comparison(space, objective):
    return Comparison(
        space=space, objective=objective, strategies=("random", "evolution"), num_seeds=4, num_trials=(20, 80)
    )


def test_more_trials_never_hurt(comparison):
    standings = run_comparison(comparison)
    assert list(standings) == [20, 80]
    assert [row.strategy for row in standings[80]] == ["random", "evolution"]
    for few, many in zip(standings[20], standings[80], strict=True):
        assert all(a <= b for a, b in zip(few.best_by_seed, many.best_by_seed, strict=True))


def test_evolution_beats_chance_where_accuracies_add_up():
    space = small_space(3)
    objective = Objective(FakeEvaluator(space), make_reward("absolute"))
    comparison = Comparison(
        space=space, objective=objective, strategies=("random", "evolution"), num_seeds=4, num_trials=[150]
    )
    _, evolution = run_comparison(comparison)[150]
    assert evolution.against.verdict == "better"


def test_standings_do_not_depend_on_who_else_takes_part_or_on_longer_runs(comparison):
    alone = run_comparison(replace(comparison, strategies=("evolution",), num_trials=(20,)))
    assert alone[20][0].best_by_seed == run_comparison(comparison)[20][1].best_by_seed


def test_a_network_is_judged_once_for_all_runs(comparison, evaluator):
    said = []
    run_comparison(comparison, on_run=lambda share, what: said.append((share, what)))
    networks = [unroll(architecture) for architecture in evaluator.calls]
    assert len(set(networks)) == len(networks)
    assert said[0] == (1 / 8, "random, seed 0")
    assert said[-1] == (1.0, "evolution, seed 3")


@pytest.mark.parametrize("refuse", [True, False])
def test_candidates_over_the_budget_are_refused_for_every_strategy(comparison, evaluator, refuse):
    budget = comparison.objective.budgets[0].costs.extreme()[1] * 5
    target = replace(comparison.objective.budgets[0], limit=budget)
    run_comparison(
        replace(comparison, objective=replace(comparison.objective, budgets=[target]), reject_infeasible=refuse)
    )
    over = [a for a in evaluator.calls if target.measure(a) > budget]
    assert bool(over) == (not refuse)


def test_multiply_adds_in_the_place_of_latency(comparison, space, evaluator):
    budget = 300_000
    objective = with_madds_budget(comparison.objective, space, budget, reward="absolute", beta=-0.2)
    trial = objective.evaluate(0, space.decode([0] * len(space.decisions)))
    madds = complexity(trial.architecture).madds
    assert trial.measurement.latency_ms == madds
    assert trial.reward == pytest.approx(trial.measurement.accuracy - 0.2 * abs(madds / budget - 1))
    with pytest.raises(InputError, match="the limit on multiply-adds of 1 "):
        replace(comparison, objective=with_madds_budget(objective, space, 1, reward="soft", beta=None))


def test_a_run_without_a_success_is_an_error(comparison, evaluator):
    def fail(count):
        raise MnasError("out of order")

    evaluator.on_call = fail
    with pytest.raises(MnasError, match="out of order"):
        run_comparison(replace(comparison, num_trials=(5,)))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"strategies": ()}, "one or more different"),
        ({"strategies": ("random", "random")}, "one or more different"),
        ({"strategies": ("ramdom",)}, "ramdom"),
        ({"num_seeds": 1}, "2 or more"),
        ({"num_trials": (0,)}, "1 or more"),
        ({"batch_size": 0}, "1 or more"),
    ],
)
def test_what_is_wrong_is_refused_at_once(comparison, fields, said):
    with pytest.raises(InputError, match=said):
        replace(comparison, **fields)
