"""Policies on predictions: latency weighs little at first and more beyond the budgets, and settled ones begin anew."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.reward import make_reward
from mnas.space.space import SearchSpace
from mnas.strategies.base import Strategy
from mnas.strategies.dual_ascent import DualAscent
from mnas.strategies.registry import make_strategy
from mnas.trial import Measurement, Trial
from tests.spaces import separable, small_space

SPACE = small_space(3)
ARCHITECTURE = SPACE.decode([0] * len(SPACE.decisions))
BUDGET_MS = 1.0
BATCHES = 90
every_policy = pytest.mark.parametrize("name", ["reinforce", "ppo"])


def size(space: SearchSpace, architecture: Architecture) -> float:
    """0 for the first choice of every decision, 1 for the last one of each."""
    pairs = zip(space.encode(architecture), space.decisions, strict=True)
    return sum(index / max(len(decision.choices) - 1, 1) for index, decision in pairs) / len(space.decisions)


def search(strategy: Strategy, *, slope: float) -> tuple[list[Trial], list[float]]:
    """Latency is 0.6 to 2.1 budgets, and accuracy rises with it by `slope` a budget; also the entropies of batches."""
    reward, worth = make_reward("absolute"), separable(SPACE)
    trials: list[Trial] = []
    entropies = []
    for _ in range(BATCHES):
        batch = []
        for number, architecture in enumerate(strategy.ask(10), len(trials)):
            latency_ms = 0.6 + 1.5 * size(SPACE, architecture)
            accuracy = 0.1 * worth(architecture) + slope * latency_ms
            found = Measurement(accuracy, (latency_ms,), 1, 1)
            batch.append(Trial(number, architecture, found, reward(found, [BUDGET_MS]).value))
        strategy.tell(batch)
        trials += batch
        entropies.append(strategy.diagnostics()["entropy"])
    return trials, entropies


def num_within(trials: list[Trial]) -> int:
    return sum(trial.measurement is not None and trial.measurement.latencies_ms[0] <= BUDGET_MS for trial in trials)


@pytest.mark.tensorflow
@every_policy
def test_the_budget_is_met_where_accuracy_rises_faster_than_the_reward_takes_away(name: str) -> None:
    stuck, _ = search(make_strategy(name, SPACE), slope=0.4)
    assert num_within(stuck[-300:]) == 0
    found, _ = search(make_strategy(name, SPACE, budgets_ms=[BUDGET_MS]), slope=0.4)
    assert num_within(found[-300:]) > 30


@pytest.mark.tensorflow
def test_another_policy_begins_when_one_has_settled() -> None:
    alone, _ = search(make_strategy("reinforce", SPACE), slope=0.0)
    trials, entropies = search(make_strategy("reinforce", SPACE, budgets_ms=[BUDGET_MS]), slope=0.0)
    assert any(after > 2 * before + 1 for before, after in pairwise(entropies))
    assert len({trial.architecture for trial in trials}) > len({trial.architecture for trial in alone})
    again, _ = search(make_strategy("reinforce", SPACE, budgets_ms=[BUDGET_MS]), slope=0.0)
    assert again == trials, "a search resumes by repeating the calls"


def trial(*latencies_ms: float) -> Trial:
    return Trial(7, ARCHITECTURE, Measurement(0.5, latencies_ms, 1, 1), 0.4)


def test_the_weight_rises_while_a_budget_is_exceeded_and_not_while_latencies_fall_to_it() -> None:
    rising = DualAscent([2.0, 1.0], max_entropy=10.0)
    first = rising.weight
    assert rising.reward(trial(3.0, 0.5)) == pytest.approx(0.5 - first * 0.1)
    for _ in range(20):
        assert not rising.update([trial(3.0, 0.5)], 5.0)  # one of two budgets is exceeded
    assert rising.weight == pytest.approx(first * math.exp(20 * 0.05))
    weights = [rising.weight]
    for latency_ms in [3.0 - 0.07 * number for number in range(14)] + [2.04] * 10:
        rising.update([trial(latency_ms, 0.5)], 5.0)
        weights.append(rising.weight)
    assert any(after < before for before, after in pairwise(weights)), "the budget is exceeded still, but soon is not"
    for _ in range(100):
        rising.update([trial(1.0, 0.5)], 5.0)
    assert rising.weight == first, "never less than at first"


def test_a_policy_that_settles_beyond_a_budget_leaves_its_weight_to_the_next() -> None:
    ascent = DualAscent([1.0], max_entropy=10.0)
    first = ascent.weight
    for _ in range(40):
        assert not ascent.update([trial(1.5)], 5.0)
    weight = ascent.weight * math.exp(0.05)
    assert ascent.update([trial(1.5)], 0.1)
    assert ascent.weight == pytest.approx(weight)
    for _ in range(5):
        assert not ascent.update([trial(0.9)], 5.0)
    assert ascent.update([trial(0.9)], 0.1)
    assert ascent.weight == first


def test_without_budgets_there_is_nothing_to_weigh() -> None:
    assert not DualAscent([], max_entropy=10.0).update([trial()], 0.0)


def test_what_it_cannot_learn_from_is_named() -> None:
    ascent = DualAscent([2.0, 1.0], max_entropy=10.0)
    with pytest.raises(InputError, match="trial 7 has 1 latencies and the strategy 2 budgets"):
        ascent.update([trial(3.0)], 5.0)
    with pytest.raises(InputError, match="trial 7 has no measurement"):
        ascent.reward(Trial(7, ARCHITECTURE, None, 0.4))
