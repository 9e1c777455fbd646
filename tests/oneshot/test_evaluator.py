"""The supernet evaluator: learns, goes on where it stopped, refuses what is not its own."""

import copy
import dataclasses
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mnas.data.batches import Batches
from mnas.data.dataset import load_dataset
from mnas.errors import InputError
from mnas.oneshot.evaluator import SupernetEvaluator
from mnas.oneshot.path_sampling import PathSampler
from mnas.oneshot.recipe import SupernetRecipe
from mnas.oneshot.trainer import SupernetTrainer
from mnas.random_streams import Stream, generator
from mnas.space.space import SearchSpace
from mnas.space.stages import StageChoices
from mnas.system.arrays import write_arrays
from tests.images import without_test
from tests.oneshot.test_shared_weights import tiny_space

pytestmark = pytest.mark.tensorflow
STAGE = {"op": ("sepconv", "mbconv3"), "kernel_size": (3, 5), "se_ratio": (0,), "skip": ("none", "identity")}
SPACE = dataclasses.replace(
    tiny_space(), head_filters=64, stages=(StageChoices(stride=1, filters=(8, 12), repeats=(1, 2), **STAGE),)
)  # fewer kinds of blocks than the tiny space: the less there is to trace
RECIPE = SupernetRecipe(steps=100, batch_size=64, num_paths=2, sampling="sandwich", learning_rate=0.2)


@pytest.fixture(scope="module")
def digits():
    return without_test(load_dataset("digits", resolution=8))


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """An evaluator that was stopped on the way, and its checkpoints from then and from the end."""
    folder = tmp_path_factory.mktemp("supernet")
    evaluator = SupernetEvaluator(SPACE, digits, RECIPE, checkpoint=folder / "supernet.safetensors")
    evaluator.train_until(40)
    (folder / "early.safetensors").write_bytes((folder / "supernet.safetensors").read_bytes())
    evaluator.prepare()
    return evaluator, folder


def used(trainer, architecture):
    mask = np.zeros(len(trainer.weights), bool)
    for view in trainer.shared.cut(architecture, mask):
        view[...] = True
    return mask


def test_it_learns_and_goes_on_bit_for_bit(digits, trained):
    evaluator, folder = trained
    rng = np.random.default_rng(0)
    candidates = [evaluator.space.sample(rng) for _ in range(5)]
    accuracies, losses = zip(*map(evaluator.judge, candidates), strict=True)
    assert np.mean(accuracies) > 0.35  # chance is 0.1
    assert np.mean(losses) < 2.0  # chance is 2.303
    resumed = SupernetEvaluator(SPACE, digits, RECIPE, checkpoint=folder / "early.safetensors")
    assert resumed.trainer.step == 40
    resumed.prepare()
    np.testing.assert_array_equal(resumed.trainer.weights, evaluator.trainer.weights)
    worker = copy.copy(resumed)  # as another process gets it: without the network, which is read from the checkpoint
    assert worker.accuracy(candidates[0]) == accuracies[0]


def test_a_step_leaves_the_weights_of_other_paths_alone(digits):
    recipe = SupernetRecipe(steps=4, batch_size=16, sampling="uniform")
    trainer = SupernetTrainer(SPACE, digits.train, recipe)
    sampler = PathSampler(SPACE, "uniform", num_paths=1, seed=0)
    before = trainer.weights.copy()
    trainer.advance()
    (architecture,) = sampler(0)
    active = used(trainer, architecture)
    moved = trainer.weights != before
    assert not moved[~active].any()
    assert moved[active].mean() > 0.5


def test_a_checkpoint_of_something_else_is_refused(digits, trained):
    _, folder = trained
    checkpoint = folder / "supernet.safetensors"
    other_space = dataclasses.replace(SPACE, head_filters=24)
    with pytest.raises(InputError, match="was trained for another space: delete the file"):
        _ = SupernetEvaluator(other_space, digits, RECIPE, checkpoint=checkpoint).trainer
    other_recipe = dataclasses.replace(RECIPE, steps=101)
    with pytest.raises(InputError, match="another recipe"):
        _ = SupernetEvaluator(SPACE, digits, other_recipe, checkpoint=checkpoint).trainer


def test_a_checkpoint_half_written_is_set_aside_and_the_end_is_the_same(digits, trained, tmp_path, caplog):
    evaluator, folder = trained
    path = tmp_path / "supernet.safetensors"
    half = (folder / "early.safetensors").read_bytes()[:5000]
    path.write_bytes(half)
    again = SupernetEvaluator(SPACE, digits, RECIPE, checkpoint=path)
    again.prepare()
    np.testing.assert_array_equal(again.trainer.weights, evaluator.trainer.weights)
    assert path.read_bytes() == (folder / "supernet.safetensors").read_bytes()
    assert (tmp_path / "supernet.safetensors.damaged").read_bytes() == half
    assert "or a damaged one" in caplog.text
    write_arrays(path, {"weights": np.zeros(3)})
    assert SupernetEvaluator(SPACE, digits, RECIPE, checkpoint=path).trainer.step == 0
    assert "is no supernet's checkpoint" in caplog.text


def test_a_space_that_does_not_fit_the_data_is_refused(digits):
    with pytest.raises(InputError, match="takes 16 px and 10 classes; digits has 8 px"):
        SupernetEvaluator(SPACE.with_data(resolution=16), digits, RECIPE)


def test_batches_are_a_function_of_the_step(digits):
    chance = partial(generator, 0, Stream.SUPERNET_BATCHES)
    batches = Batches(digits.train, 100, chance)
    epoch = len(digits.train) // 100
    labels = [batches(step)[1] for step in range(epoch + 1)]
    again = Batches(digits.train, 100, chance)(epoch)[1]
    np.testing.assert_array_equal(labels[-1], again)
    assert not np.array_equal(labels[0], labels[-1])


def test_a_checkpoint_written_before_safetensors_goes_on(tmp_path):
    stage = {"op": ("sepconv",), "kernel_size": (3,), "se_ratio": (0,), "skip": ("none", "identity")}
    stages = (StageChoices(stride=1, filters=(4,), repeats=(1,), **stage),)
    space = SearchSpace("small", stages, stem_filters=4, stem_stride=1, head_filters=8, resolution=8, num_classes=10)
    shutil.copy(Path(__file__).parents[1] / "fixtures/npz/supernet.npz", tmp_path)
    recipe, data = SupernetRecipe(steps=3, batch_size=8), load_dataset("digits", resolution=8)
    evaluator = SupernetEvaluator(space, data, recipe, checkpoint=tmp_path / "supernet.safetensors")
    assert evaluator.trainer.step == 2
    evaluator.prepare()
    again = SupernetEvaluator(space, data, recipe, checkpoint=tmp_path / "supernet.safetensors")
    assert again.trainer.step == 3
    np.testing.assert_array_equal(again.trainer.weights, evaluator.trainer.weights)
