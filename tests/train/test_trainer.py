"""Training: learns, resumes where it stopped, and never overwrites another training."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnas.arch import Architecture, parse_stages
from mnas.arch.codec import architecture_to_dict
from mnas.data.batches import some_images
from mnas.data.dataset import DataSource, normalise
from mnas.errors import InputError, MnasError
from mnas.nn.build import build_model, get_layer_weights, set_layer_weights
from mnas.nn.functional import Network
from mnas.system.lock import hold
from mnas.train.assessment import read_assessment
from mnas.train.augment import training_epoch
from mnas.train.evaluate import evaluate, plain_images, recalibrated
from mnas.train.history import read_progress
from mnas.train.optimizer import hold_average, make_optimizer
from mnas.train.recipe import Recipe
from mnas.train.trained_network import open_trained
from mnas.train.trainer import LOCK, train_network

pytestmark = pytest.mark.tensorflow
TINY = Architecture(
    parse_stages("ds_r1_k3_s1_c8|ir_r2_k3_s2_e3_c16"),
    stem_filters=8,
    head_filters=32,
    resolution=8,
    num_classes=1000,
    stem_stride=1,
    stochastic_depth=0.2,
)
SOURCE = DataSource("digits", limit=800)
RECIPE = Recipe(epochs=3, batch_size=16, flip=False, ema=0.9, zero_init_residual=False)  # so small a network needs none


@pytest.fixture(scope="module")
def dataset():
    return SOURCE.load(8)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    return train_network(TINY, SOURCE, tmp_path_factory.mktemp("runs") / "a", recipe=RECIPE, dataset=dataset)


def test_it_learns_and_says_how(trained, dataset):
    record = trained.training
    assert record["test_accuracy"] > 0.4
    assert len(record["history"]) == 3
    assert record["history"][-1]["loss"] < record["history"][0]["loss"]
    assert trained.architecture == dataclasses.replace(TINY, num_classes=10)
    assert json.loads((trained.folder / "architecture.json").read_text()) == architecture_to_dict(trained.architecture)
    assert sorted(path.name for path in trained.folder.iterdir()) == [
        "architecture.json",
        "test.json",
        "training.json",
        "weights.safetensors",
    ]


def test_a_gentle_start_knows_nothing_and_says_so(dataset):
    """Published initial weights begin with a loss far above that of guessing, in a network of some depth."""
    deep = dataclasses.replace(TINY, stages=parse_stages("ir_r4_k3_s1_e6_c24|ir_r4_k3_s1_e6_c40"), num_classes=10)
    model = build_model(deep)
    set_layer_weights(model, deep, Network(deep).initial_layer_weights(0))
    images, labels = normalise(dataset.train.images[:64]), dataset.train.labels[:64]
    logits = np.asarray(model(images, training=True), np.float64)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert -np.log(chances[np.arange(64), labels]).mean() == pytest.approx(np.log(10), abs=0.3)
    means, variances = get_layer_weights(model, deep)[3:5]
    assert model.predict_on_batch(images).shape == (64, 10)
    assert (means.shape, variances.shape) == ((8,), (8,))


def test_a_damaged_record_of_progress_is_refused(tmp_path):
    configuration = {"recipe": {"epochs": 3}, "seed": 0}
    epoch = {"loss": 1.5, "seconds": 1}

    def read(**record):
        (tmp_path / "progress.json").write_text(json.dumps({"configuration": configuration, **record}))
        return read_progress(tmp_path, configuration, resume=True)

    assert read(history=[epoch, epoch]) == [epoch, epoch]
    damaged = (None, {}, [], [1], [{"loss": True}], [{"loss": "low"}], [epoch] * 4)
    for record in ({}, *({"history": history} for history in damaged)):
        with pytest.raises(InputError, match=r"progress.json is damaged \(.*\): delete .* to train again"):
            read(**record)


def test_what_is_opened_again_is_what_was_tested(trained, dataset):
    model = open_trained(trained.folder).build()
    guesses = model.predict(some_images(dataset.test, 10_000), verbose=0).argmax(-1)
    assert np.mean(guesses == dataset.test.labels) == trained.training["test_accuracy"]
    assert trained.load_data().fingerprint == dataset.fingerprint


def test_the_test_is_told_in_detail(trained, dataset):
    tested = read_assessment(trained.folder)
    assert tested.accuracy == trained.training["test_accuracy"]
    assert [each.images for each in tested.classes] == np.bincount(dataset.test.labels, minlength=10).tolist()
    guesses = trained.build().predict(some_images(dataset.test, 10_000), verbose=0)
    worst = tested.mistakes[0]
    assert dataset.test.labels[worst.image] == worst.label
    assert guesses[worst.image].argmax() == worst.predicted
    assert guesses[worst.image].max() == pytest.approx(worst.probability, rel=1e-4)


def test_the_same_training_is_not_done_twice(trained, dataset):
    def fail(state):
        raise AssertionError("trained again")

    again = train_network(TINY, SOURCE, trained.folder, recipe=RECIPE, dataset=dataset, progress=fail)
    assert again.training == trained.training


def test_another_training_in_the_folder_is_refused(trained, dataset):
    with pytest.raises(InputError, match=r"belongs to another training \(its recipe differ"):
        train_network(TINY, SOURCE, trained.folder, recipe=dataclasses.replace(RECIPE, epochs=4), dataset=dataset)
    with pytest.raises(InputError, match="its architecture, seed differ"):
        train_network(
            dataclasses.replace(TINY, dropout=0.5), SOURCE, trained.folder, recipe=RECIPE, seed=1, dataset=dataset
        )


def test_an_interrupted_training_goes_on_where_it_stopped(trained, dataset, tmp_path):
    def interrupt(state):
        if state.epoch == 2 and state.step % 5 == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_network(TINY, SOURCE, tmp_path, recipe=RECIPE, dataset=dataset, progress=interrupt)
    with pytest.raises(
        InputError, match="holds this training, interrupted after 1 of 3 epochs; continue with --resume"
    ):
        train_network(TINY, SOURCE, tmp_path, recipe=RECIPE, dataset=dataset)
    with pytest.raises(InputError, match="another training"):
        train_network(TINY, SOURCE, tmp_path, recipe=RECIPE, seed=1, dataset=dataset, resume=True)
    resumed = train_network(TINY, SOURCE, tmp_path, recipe=RECIPE, dataset=dataset, resume=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in trained.folder.iterdir())
    histories = [[{**epoch, "seconds": 0} for epoch in run.training["history"]] for run in (resumed, trained)]
    assert histories[0] == histories[1]
    assert (tmp_path / "weights.safetensors").read_bytes() == (trained.folder / "weights.safetensors").read_bytes()


TWO = """
import sys
from pathlib import Path
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
known, mirrored = tf.config.list_logical_devices, tf.distribute.MirroredStrategy
tf.config.list_logical_devices = lambda kind=None: known("CPU") if kind == "GPU" else known(kind)
tf.distribute.MirroredStrategy = lambda: mirrored(["/cpu:0", "/cpu:1"])
from mnas.train.trainer import train_network
from tests.train.test_trainer import RECIPE, SOURCE, TINY
assert train_network(TINY, SOURCE, Path(sys.argv[1]), recipe=RECIPE).training
"""


def test_two_accelerators_train_a_network_together(trained, dataset, tmp_path):
    """This CPU twice. Each takes half of a batch, so the batch norms see other statistics, and the end is another."""
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", TWO, tmp_path / "two"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    together = open_trained(tmp_path / "two")
    losses = [[epoch["loss"] for epoch in run.training["history"]] for run in (together, trained)]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
    assert losses[0] != losses[1]
    guesses = together.build().predict(some_images(dataset.test, 10_000), verbose=0).argmax(-1)
    assert np.mean(guesses == dataset.test.labels) == together.training["test_accuracy"]


def test_a_checkpoint_half_written_is_set_aside_and_the_training_begins_anew(trained, dataset, tmp_path, caplog):
    def interrupt(state):
        if state.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_network(TINY, SOURCE, tmp_path, recipe=RECIPE, dataset=dataset, progress=interrupt)
    checkpoint = tmp_path / "checkpoint-1.safetensors"
    half = checkpoint.read_bytes()[:5000]
    checkpoint.write_bytes(half)
    resumed = train_network(TINY, SOURCE, tmp_path, recipe=RECIPE, dataset=dataset, resume=True)
    assert "The training starts again" in caplog.text
    assert (tmp_path / "checkpoint-1.safetensors.damaged").read_bytes() == half
    for one, other in zip(resumed.training["history"], trained.training["history"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


def test_one_training_a_folder_and_a_folder_that_can_be_written(dataset, tmp_path):
    with (
        hold(tmp_path / LOCK, "the training"),
        pytest.raises(MnasError, match=f"is being worked on by process {os.getpid()} on"),
    ):
        train_network(TINY, SOURCE, tmp_path, recipe=RECIPE, dataset=dataset)
    with pytest.raises(MnasError, match="cannot write into /proc/mnas for the training"):
        train_network(TINY, SOURCE, Path("/proc/mnas"), recipe=RECIPE, dataset=dataset)


def test_the_average_is_put_in_place_once_at_the_end():
    model = build_model(TINY, seed=1)
    recipe = Recipe(optimizer="sgd", learning_rate=0.1, warmup_share=0, weight_decay=0, ema=0.5)
    model.compile(optimizer=make_optimizer(recipe, 100), loss="mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    put = hold_average(model)
    start = model.trainable_variables[0].numpy()
    for _ in range(2):
        model.optimizer.apply([np.ones(tuple(v.shape), np.float32) for v in model.trainable_variables])
    model.optimizer.finalize_variable_values(model.trainable_variables)
    moved = model.trainable_variables[0].numpy()
    put()
    average = model.trainable_variables[0].numpy()
    assert np.all(moved < average)
    assert np.all(average < start)


def test_a_resolution_that_the_strides_reduce_to_nothing(tmp_path):
    deep = dataclasses.replace(TINY, stages=parse_stages("ir_r1_k3_s2_e1_c8|ir_r1_k3_s2_e1_c8|ir_r1_k3_s2_e1_c8") * 2)
    with pytest.raises(InputError, match=r"8 px.*strides where one pixel is left.*at least 33 px"):
        train_network(deep, SOURCE, tmp_path, recipe=RECIPE)
    assert not list(tmp_path.iterdir())


def test_a_training_that_diverges_says_what_to_do(dataset, tmp_path):
    recipe = dataclasses.replace(RECIPE, optimizer="sgd", learning_rate=100.0, weight_decay=1.0)
    with pytest.raises(MnasError, match=r"training diverged in epoch \d .*smaller --learning-rate"):
        train_network(TINY, SOURCE, tmp_path, recipe=recipe, dataset=dataset)


def test_recalibrated_statistics_are_those_of_the_training_images(trained, dataset):
    architecture = trained.architecture
    model = build_model(architecture, seed=5)
    recalibrated(model, architecture, plain_images(dataset.train, 64))
    import keras

    stem = keras.Model(model.input, model.get_layer("stem").output)
    values = stem.predict(some_images(dataset.train, 10_000), verbose=0)
    moving = model.get_layer("stem_norm").moving_mean
    np.testing.assert_allclose(moving, values.mean((0, 1, 2)), atol=0.02)


@pytest.mark.parametrize("damage", ["truncated", "missing", "another"])
def test_damaged_weights_are_an_error_with_a_name(damage, trained, tmp_path):
    weights = (trained.folder / "weights.safetensors").read_bytes()
    if damage != "missing":
        (tmp_path / "weights.safetensors").write_bytes(
            weights[: len(weights) // 2] if damage == "truncated" else weights
        )
    architecture = trained.architecture
    if damage == "another":
        architecture = dataclasses.replace(architecture, head_filters=48)
    broken = dataclasses.replace(trained, folder=tmp_path, architecture=architecture)
    with pytest.raises(MnasError, match=r"weights\.safetensors"):
        broken.build()


def test_a_folder_without_training_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no finished training"):
        open_trained(tmp_path)
    (tmp_path / "training.json").write_text('{"format": "mnas.training", "version": 1}')
    with pytest.raises(InputError, match="not a training's record"):
        open_trained(tmp_path)


def test_folders_written_before_safetensors_open_and_go_on(tmp_path):
    before = Path(__file__).parents[1] / "fixtures" / "npz"
    finished = open_trained(before / "trained")
    accuracy = evaluate(finished.build(probabilities=False), finished.load_data().test, 64)
    assert accuracy == pytest.approx(finished.training["test_accuracy"], abs=0.006)  # two of the images
    shutil.copytree(before / "interrupted", tmp_path / "run")
    recipe = Recipe.from_dict(finished.training["configuration"]["recipe"])
    resumed = train_network(finished.architecture, finished.data, tmp_path / "run", recipe=recipe, resume=True)
    assert resumed.training["history"][:2] == json.loads((before / "interrupted/progress.json").read_text())["history"]
    assert resumed.training["test_accuracy"] == pytest.approx(finished.training["test_accuracy"], abs=0.03)
    names = sorted(path.name for path in resumed.folder.iterdir())
    assert names == ["architecture.json", "test.json", "training.json", "weights.safetensors"]
    assert resumed.training["version"] == 2


def test_statistics_are_those_of_augmented_or_of_whole_images_whichever_validates_better(dataset, tmp_path):
    for epochs, crop in ((1, 0.3), (4, 0.3)):
        recipe = dataclasses.replace(RECIPE, crop=crop, epochs=epochs)
        found = train_network(TINY, SOURCE, tmp_path / f"{epochs}", recipe=recipe, dataset=dataset)
        augmented = training_epoch(dataset.train, recipe, seed=0, epoch=epochs)
        accuracies = [
            evaluate(recalibrated(found.build(), found.architecture, images), dataset.validation, 64)
            for images in (plain_images(dataset.train, 16), (images.numpy() for images, _ in augmented))
        ]
        assert accuracies[0] != accuracies[1]
        assert found.training["validation_accuracy"] == max(accuracies)
