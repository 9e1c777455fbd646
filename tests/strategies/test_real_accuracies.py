"""Strategies on real accuracies: NAS-Bench-Macro's 6,561 networks, each trained three times on CIFAR-10."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mnas.reward import make_reward
from mnas.strategies.registry import make_strategy
from mnas.trial import Measurement, Trial

FILE = Path(__file__).parents[2].parent / "shared" / "data" / "nas-bench-macro_cifar10.json"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason=f"there is no {FILE}")


class MacroSpace:
    """8 layers with 3 choices each: what a strategy needs of a space, without the networks."""

    name = "nas-bench-macro"
    size = 3**8
    decisions = tuple(SimpleNamespace(name=f"layer{i}", choices=(0, 1, 2)) for i in range(8))

    def encode(self, architecture):
        return architecture

    def decode(self, indices):
        return tuple(int(index) for index in indices)

    def sample(self, rng):
        return self.decode(rng.integers(3, size=8))

    def mutate(self, architecture, rng):
        place, step = int(rng.integers(8)), 1 + int(rng.integers(2))
        return tuple((c + step) % 3 if i == place else c for i, c in enumerate(architecture))


@pytest.fixture(scope="module")
def rewards():
    """The absolute reward with multiply-adds for latency, the budget at their 30th percentile."""
    table = json.loads(FILE.read_text())
    budget = float(np.percentile([entry["flops"] for entry in table.values()], 30))
    reward = make_reward("absolute")
    return {
        tuple(map(int, name)): reward(
            Measurement(entry["mean_acc"] / 100, (float(entry["flops"]),), 1, 1), [budget]
        ).value
        for name, entry in table.items()
    }


def _best(name, rewards, seed, num_trials):
    strategy = make_strategy(name, MacroSpace(), seed=seed)
    found = []
    while len(found) < num_trials:
        trials = [Trial(i, a, reward=rewards[a]) for i, a in enumerate(strategy.ask(10), len(found))]
        strategy.tell(trials)
        found.extend(trial.reward for trial in trials)
    return max(found)


def test_the_optimum_is_the_published_one(rewards):
    assert max(rewards.values()) == pytest.approx(0.9191, abs=5e-5)


@pytest.mark.parametrize(
    ("name", "num_seeds"),
    [
        ("evolution", 10),
        pytest.param("reinforce", 3, marks=pytest.mark.tensorflow),
        pytest.param("ppo", 3, marks=pytest.mark.tensorflow),
    ],
)
def test_learning_beats_chance_within_300_trials(name, num_seeds, rewards):
    learned = np.mean([_best(name, rewards, seed, 300) for seed in range(num_seeds)])
    chance = np.mean([_best("random", rewards, seed, 300) for seed in range(20)])
    assert chance == pytest.approx(0.9157, abs=0.0015)
    assert learned > chance + 0.0005
