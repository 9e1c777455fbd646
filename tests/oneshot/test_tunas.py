"""Reinforcement learning beside a supernet's weights."""

import numpy as np
import pytest

from mnas.data.dataset import load_dataset
from mnas.oneshot.evaluator import SupernetEvaluator
from mnas.oneshot.recipe import SupernetRecipe
from mnas.oneshot.tunas import TunasLearner, TunasRecipe
from tests.oneshot.test_differentiable import madds, two_paths

pytestmark = pytest.mark.tensorflow


def _evaluator(checkpoint=None):
    space, digits = two_paths(), load_dataset("digits", resolution=8, limit=400)
    costs = madds(space)
    recipe = TunasRecipe(steps=40, learning_rate=0.2, batch_size=32, beta=-1.0)
    half = digits.train.take(slice(len(digits.train) // 2, None))
    learner = TunasLearner(space, half, recipe, [(costs, costs.extreme()[1])])
    training = SupernetRecipe(steps=40, batch_size=16)
    return SupernetEvaluator(space, digits, training, checkpoint=checkpoint, learner=learner)


def test_the_faster_of_two_paths_is_preferred_and_resuming_changes_nothing(tmp_path):
    policy = _evaluator().policy()
    assert policy[1][0] > 0.7  # kernel size 3
    for step in (5, 21):  # before and after the logits begin to learn
        _evaluator(tmp_path / "supernet.safetensors").train_until(step)
    resumed = _evaluator(tmp_path / "supernet.safetensors")
    for own, again in zip(policy, resumed.policy(), strict=True):
        np.testing.assert_array_equal(own, again)


def test_learning_begins_after_a_quarter():
    recipe = TunasRecipe(steps=100)
    assert [step for step in range(100) if recipe.due(step)] == list(range(25, 100))
