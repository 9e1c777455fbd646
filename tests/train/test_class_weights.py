"""Weights of the classes: the numbers, and what they change in a training."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from mnas.data.dataset import Dataset
from mnas.train.class_weights import balanced_weights
from mnas.train.teacher import Teacher
from mnas.train.trained_network import open_trained
from mnas.train.trainer import train_network
from tests.images import coloured
from tests.train.test_finetuning import SOURCE, TINY

FEW = {"epochs": 2, "batch_size": 16}


def test_weights_are_scikit_learns_and_have_a_mean_of_one():
    labels = np.repeat([0, 1, 2], [50, 5, 20])
    weights = balanced_weights(labels, 3)
    assert weights == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=labels))
    assert weights[labels].mean() == pytest.approx(1)
    missing = balanced_weights(np.asarray([0, 0, 0, 2]), 4)
    assert missing == pytest.approx([2 / 3, 0, 2, 0])


@pytest.fixture(scope="module")
def data():
    """60 red images, 2 green and 2 blue ones, and a faint difference."""
    train = coloured(180, 8)
    kept = np.concatenate([np.flatnonzero(train.labels == label)[:count] for label, count in enumerate((60, 2, 2))])
    train = train.take(kept)
    faint = replace(train, images=(train.images // 4 + 60).astype(np.uint8))
    test = coloured(60, 8, 2)
    test = replace(test, images=(test.images // 4 + 60).astype(np.uint8))
    return Dataset("colours", ("red", "green", "blue"), faint, test, test)


@pytest.fixture(scope="module")
def start(data, tmp_path_factory):
    """Nothing is learned yet: a start for all of them."""
    out = tmp_path_factory.mktemp("runs") / "start"
    return train_network(TINY, SOURCE, out, recipe="short", learning_rate=1e-9, dataset=data, **FEW).folder


def train(start, data, out, **options):
    return train_network(TINY, SOURCE, out, weights=str(start), dataset=data, **{**FEW, **options}).training


@pytest.mark.tensorflow
def test_they_are_in_the_configuration_only_when_given(start, data, tmp_path):
    plain, none, balanced = (
        train(start, data, tmp_path / str(number), **options)
        for number, options in enumerate(({}, {"class_weights": "none"}, {"class_weights": "balanced"}))
    )
    assert plain["configuration"] == none["configuration"]
    recipe = dict(balanced["configuration"]["recipe"])
    assert recipe.pop("class_weights") == "balanced"
    assert recipe == plain["configuration"]["recipe"]
    assert balanced["history"][0]["loss"] != plain["history"][0]["loss"]


@pytest.mark.tensorflow
@pytest.mark.parametrize("options", [{}, {"freeze": True}, {"teacher": True}], ids=["whole", "frozen", "taught"])
def test_small_classes_are_not_neglected(start, data, tmp_path, options):
    options = {"epochs": 15, "learning_rate": 0.01, "label_smoothing": 0.0, **options}
    if options.pop("teacher", False):
        options |= {"teacher": start, "distill": 0.3}

    def rare(name, **more):
        train(start, data, tmp_path / name, **options, **more)
        probabilities = open_trained(tmp_path / name).build().predict(data.test.images / 127.5 - 1, verbose=0)
        return probabilities[:, 1:].sum(axis=1).mean()

    assert rare("balanced", class_weights="balanced") > rare("plain") + 0.1


@pytest.mark.tensorflow
def test_the_teachers_part_of_the_loss_is_weighted_too(start, data):
    trained = open_trained(start)
    model = Teacher(trained, share=0.7).teach(trained.build(probabilities=False))
    model.compile(loss=lambda labels, logits: 0 * logits[:, 0])
    images, labels = data.train.images / np.float32(127.5) - 1, data.train.labels
    soft = [float(model.compute_loss(images, labels, model(images), weights)) for weights in _weights(len(labels))]
    assert soft[0] > 0
    assert soft[1] == pytest.approx(soft[0])
    assert soft[2] == pytest.approx(3 * soft[0], rel=1e-5)


def _weights(count):
    return None, np.ones(count, np.float32), np.full(count, 3, np.float32)
