"""Learning an architecture by gradient: exact expectations, the faster of equals, the same when resumed."""

import dataclasses
import math

import numpy as np
import pytest

from mnas.arch.complexity import block_complexity, complexity
from mnas.data.dataset import load_dataset
from mnas.errors import InputError, MnasError
from mnas.latency.estimator import LatencyEstimator
from mnas.oneshot.differentiable import ExpectedCost, RelaxationLearner, RelaxationRecipe
from mnas.oneshot.evaluator import SupernetEvaluator
from mnas.oneshot.recipe import SupernetRecipe
from mnas.space import SpaceCosts
from mnas.space.files import load_space
from mnas.space.stages import StageChoices
from tests.latency.tables import make_table
from tests.oneshot.test_shared_weights import tiny_space
from tests.spaces import small_space

pytestmark = pytest.mark.tensorflow
RECIPE = SupernetRecipe(steps=24, batch_size=16)


def madds(space):
    return SpaceCosts(space, lambda placed: block_complexity(placed).madds / 1e3)


def two_paths():
    """Nothing to choose but the kernel's size."""
    stage = StageChoices(
        stride=1, op=("sepconv",), kernel_size=(3, 5), se_ratio=(0,), skip=("none",), filters=(8,), repeats=(1,)
    )
    return dataclasses.replace(tiny_space(), stages=(stage,))


def evaluator(checkpoint=None):
    space, digits = two_paths(), load_dataset("digits", resolution=8, limit=400)
    costs = madds(space)
    recipe = RelaxationRecipe(steps=24, every=2, batch_size=16, learning_rate=0.2)
    half = digits.train.take(slice(len(digits.train) // 2, None))
    learner = RelaxationLearner(space, half, recipe, [(costs, costs.extreme()[1])])
    return SupernetEvaluator(space, digits, RECIPE, checkpoint=checkpoint, learner=learner)


def test_an_expected_cost_is_the_mean_over_all_architectures():
    import tensorflow as tf

    space, rng = small_space(), np.random.default_rng(0)
    costs = madds(space)
    shares = [rng.dirichlet(np.ones(len(decision.choices))) for decision in space.decisions]
    mean = 0.0
    for indices in np.ndindex(*(len(own) for own in shares)):
        probability = math.prod(own[i] for own, i in zip(shares, indices, strict=True))
        mean += probability * float(costs(indices)[0])
    found = ExpectedCost(costs)([tf.constant(own, tf.float32) for own in shares])
    assert float(found) == pytest.approx(mean, rel=1e-4)


def test_an_expected_latency_has_the_networks_factor():
    """Sure decisions give the table's own latency; of the next, the factor's slope is in the gradient too."""
    import tensorflow as tf

    space, rng = small_space(), np.random.default_rng(0)
    smallest, largest = (complexity(space.decode(indices)).params for indices in _corners(space))
    curve = ((smallest * 1.1, 0.8), ((smallest + largest) / 2, 1.0), (largest * 0.9, 1.3))
    costs = LatencyEstimator(make_table(space, params_curve=curve)).costs(space)
    plain = LatencyEstimator(make_table(space)).costs(space)
    expected = ExpectedCost(costs)
    drawn = [space.encode(space.sample(rng)) for _ in range(10)]
    for indices in [*_corners(space), *drawn]:
        sure = [np.eye(len(d.choices))[i] for d, i in zip(space.decisions, indices, strict=True)]
        found = float(expected([tf.constant(own, tf.float32) for own in sure]))
        assert found == pytest.approx(float(costs(indices)[0]), rel=1e-4)
    assert any(abs(costs(indices)[0] / plain(indices)[0] - 1) > 0.1 for indices in drawn), "the curve should bite"
    even = tf.constant(
        np.concatenate([np.full(len(d.choices), 1 / len(d.choices)) for d in space.decisions]), tf.float32
    )
    with tf.GradientTape() as tape:
        tape.watch(even)
        cost = expected(tf.split(even, [len(decision.choices) for decision in space.decisions]))
    assert np.isfinite(tape.gradient(cost, even).numpy()).all()


def _corners(space):
    return [[0] * len(space.decisions), [len(decision.choices) - 1 for decision in space.decisions]]


def test_a_space_of_whole_blocks_is_refused_before_any_work():
    digits = load_dataset("digits", resolution=8, limit=100)
    with pytest.raises(InputError, match=r"nas-bench-macro has stages of whole blocks: .*take --strategy tunas"):
        RelaxationLearner(load_space("nas-bench-macro"), digits.train, RelaxationRecipe(steps=4))


def test_the_faster_of_two_paths_is_preferred_and_resuming_changes_nothing(tmp_path):
    whole = evaluator()
    policy = whole.policy()
    assert policy[1][0] > 0.8  # kernel size 3
    stopped = evaluator(tmp_path / "supernet.safetensors")
    stopped.train_until(13)
    resumed = evaluator(tmp_path / "supernet.safetensors")
    for own, again in zip(policy, resumed.policy(), strict=True):
        np.testing.assert_array_equal(own, again)


def test_the_temperature_falls_and_updates_begin_late():
    recipe = RelaxationRecipe(steps=100, begin=0.5, every=10)
    assert [step for step in range(100) if recipe.due(step)] == [50, 60, 70, 80, 90]
    assert recipe.temperature(0) == recipe.temperature(50) == pytest.approx(5)
    assert recipe.temperature(100) == pytest.approx(0.5)


def test_a_damaged_state_is_refused():
    digits = load_dataset("digits", resolution=8, limit=100)
    learner = RelaxationLearner(two_paths(), digits.train, RelaxationRecipe(steps=4))
    with pytest.raises(MnasError, match="logits are missing or damaged"):
        learner.restore({"logits": np.zeros(3)})
