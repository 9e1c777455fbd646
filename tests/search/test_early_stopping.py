"""Stopping hopeless candidates: it saves, loses little, and depends on nothing but the trials before the batch."""

import math

import numpy as np
import pytest

from mnas.errors import MnasError
from mnas.evaluators.base import Evaluator
from mnas.reward import make_reward
from mnas.search.early_stopping import thresholds
from mnas.search.loop import run_trials
from mnas.search.objective import Objective
from mnas.strategies.registry import make_strategy
from mnas.study.summary import share_of_steps
from mnas.study.trial_log import MemoryLog, TrialLog
from mnas.trial import Measurement, Trial
from tests.spaces import separable, small_space

REWARD = make_reward("absolute")
SCORE = Objective(None, REWARD).score
SPACE = small_space(3)


class Curves(Evaluator):
    """Learning curves that rise to the final accuracy and do not cross much; counts what was trained."""

    num_rungs = 4

    def __init__(self):
        self.function = separable(SPACE)
        self.steps = 0
        self.full = 0

    def accuracy(self, architecture):
        return list(self.rungs(architecture))[-1]

    def rungs(self, architecture):
        final = self.function(architecture)
        noise = np.random.default_rng(list(SPACE.encode(architecture))).normal(0, 0.02, 4)
        for rung, steps in enumerate((1, 1, 2, 4)):
            self.steps += steps
            yield float(np.clip(final * (0.6, 0.75, 0.9, 1.0)[rung] + noise[rung] * (rung < 3), 0, 1))
        self.full += 1

    def describe(self):
        return {"name": "curves"}


def _run(strategy="evolution", seed=0, log=None, num_trials=150, thrifty=True):
    evaluator = Curves()
    if not thrifty:
        evaluator.rungs = lambda architecture: iter_last(Curves.rungs(evaluator, architecture))
    made = make_strategy(strategy, SPACE, seed=seed)
    trials = run_trials(made, Objective(evaluator, REWARD), log or MemoryLog(), num_trials=num_trials, batch_size=10)
    return trials, evaluator


def iter_last(accuracies):
    yield list(accuracies)[-1]


def _trial(number, *rungs):
    return Trial(number, SPACE.decode([0] * 18), Measurement(rungs[-1], (), 1, 1, rungs), rungs[-1])


def test_a_threshold_is_the_least_of_the_best_third_of_those_who_reached_the_rung():
    trials = [_trial(i, 0.1 * i) for i in range(4)] + [_trial(4 + i, 0.1 * i, 0.5 + 0.1 * i) for i in range(5)]
    assert thresholds(trials, SCORE) == (pytest.approx(0.3),)
    assert thresholds([], SCORE) == ()
    assert thresholds([_trial(0, 0.5, 0.6)], SCORE) == (-math.inf,)


def test_only_the_latest_count():
    old = [_trial(i, 0.1, 0.2) for i in range(100)]
    new = [_trial(100 + i, 0.5, 0.6) for i in range(40)]
    assert thresholds([*old, *new], SCORE) == (0.5,)


@pytest.mark.parametrize("strategy", ["random", "evolution"])
def test_it_saves_half_of_the_steps_at_no_loss_in_the_winner(strategy):
    best, full = [], []
    for seed in range(6):
        trials, evaluator = _run(strategy, seed)
        networks = len({trial.architecture for trial in trials})
        assert evaluator.steps < 0.5 * 8 * networks
        assert share_of_steps(trials, 4) < 0.5
        winner = max(trials, key=lambda trial: trial.reward)
        assert len(winner.measurement.rungs) == 4, "a winner must have been trained to the end"
        best.append(winner.reward)
        full.append(max(trial.reward for trial in _run(strategy, seed, thrifty=False)[0]))
    assert np.mean(best) > np.mean(full) - 0.01


def test_pieces_give_what_one_run_gives(tmp_path):
    at_once = _run()[0]
    log = TrialLog(tmp_path / "trials.jsonl")
    for num_trials in (13, 37, 40, 150):
        in_pieces = _run(log=log, num_trials=num_trials)[0]
    assert [(t.architecture, t.measurement) for t in in_pieces] == [(t.architecture, t.measurement) for t in at_once]


def test_an_evaluator_that_gives_nothing_is_a_failed_trial():
    evaluator = Curves()
    evaluator.rungs = lambda architecture: (x for x in ())
    trial = Objective(evaluator, REWARD).evaluate(0, SPACE.decode([0] * 18))
    assert trial.error == "the evaluator returned no accuracy"


def test_a_training_that_fails_half_way_is_a_failed_trial():
    def fail(architecture):
        yield 0.5
        raise MnasError("diverged")

    evaluator = Curves()
    evaluator.rungs = fail
    trial = Objective(evaluator, REWARD).evaluate(0, SPACE.decode([0] * 18))
    assert (trial.error, trial.measurement, trial.reward) == ("diverged", None, None)
