"""The verdict on random search: it claims a win only where the noise allows it."""

import numpy as np
import pytest

from mnas.arch.codec import architecture_to_dict
from mnas.reward import make_reward
from mnas.search.finalists import run_retrainings
from mnas.search.objective import Objective
from mnas.study.trial_log import TrialLog
from mnas.study.verdict import compare_to_baseline
from mnas.trial import Measurement, Trial
from tests.conftest import FakeEvaluator
from tests.spaces import small_space

SPACE = small_space()
OWN, CHANCE = SPACE.decode([0] * 12), SPACE.decode([0, 1] + [0] * 10)


def _winner(architecture, reward):
    return {"architecture": architecture_to_dict(architecture), "reward": reward, "accuracy": reward}


def _trials(rewards, architecture=None):
    rng = np.random.default_rng(0)
    return [
        Trial(i, architecture or SPACE.sample(rng), Measurement(min(1, reward), (), 1, 1), reward)
        for i, reward in enumerate(rewards)
    ]


def _judge(own, chance, repeats=(), best=None, found=None):
    best, found = best or max(own), found or max(chance)
    return compare_to_baseline(_winner(OWN, best), _winner(CHANCE, found), _trials(own), _trials(chance), repeats)


def test_fresh_trainings_decide_and_the_flattered_rewards_do_not():
    repeats = _trials([0.50, 0.51, 0.52], OWN) + _trials([0.505, 0.515, 0.525], CHANCE)
    found = _judge([0.9] * 20, [0.5] * 20, repeats)
    assert found.difference == pytest.approx(-0.005)
    assert not found.beaten
    assert found.rewards == (0.50, 0.51, 0.52)
    assert "did NOT beat" in found.sentence("ppo")


def test_a_clear_win_over_fresh_trainings():
    repeats = _trials([0.60, 0.61, 0.62], OWN) + _trials([0.50, 0.51, 0.52], CHANCE)
    found = _judge([0.6], [0.5], repeats)
    assert found.beaten
    assert found.sentence("ppo").startswith("ppo beat random search at equal cost: +0.1000 reward")


def test_a_lead_within_the_noise_is_no_win():
    repeats = _trials([0.50, 0.53, 0.52], OWN) + _trials([0.50, 0.51, 0.52], CHANCE)
    found = _judge([0.6], [0.5], repeats)
    assert found.difference > 0
    assert "did NOT surely beat random search at equal cost, the lead is within the noise" in found.sentence("ppo")


def test_without_fresh_trainings_one_lucky_trial_is_no_win_and_many_are():
    chance = np.linspace(0.4, 0.5, 50).tolist()
    assert not _judge([*chance[:-1], 0.6], chance).beaten
    assert _judge([*chance[:-10], *np.linspace(0.55, 0.6, 10)], chance).beaten


def test_repeats_are_logged_and_not_done_again(tmp_path):
    evaluators = [FakeEvaluator(SPACE, bonus=0.01 * i) for i in range(3)]
    objectives = [Objective(evaluator, make_reward("absolute")) for evaluator in evaluators]
    log = TrialLog(tmp_path / "repeats.jsonl", selected=True)
    run_retrainings([OWN, CHANCE], objectives[:2], log)
    run_retrainings([OWN, CHANCE], objectives, log)
    assert [len(evaluator.calls) for evaluator in evaluators] == [2, 2, 2]
    assert sorted((t.number, t.architecture == OWN) for t in log.read()) == [
        (i, own) for i in range(3) for own in (0, 1)
    ]
