"""Gradient descent on flat vectors: Keras's updates, and the gradient that they are given."""

import numpy as np
import pytest

from mnas.space import load_space
from mnas.train.sgd import descend, loss_and_gradient

pytestmark = pytest.mark.tensorflow


def test_updates_are_those_of_keras():
    import keras

    rng = np.random.default_rng(0)
    weights, velocity = rng.normal(size=5).astype(np.float32), np.zeros(5, np.float32)
    variable = keras.Variable(weights)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    for _ in range(4):
        gradient = rng.normal(size=5).astype(np.float32)
        optimizer.apply([gradient], [variable])
        descend(weights, velocity, gradient, np.zeros(5, np.float32), rate=0.1)
    np.testing.assert_allclose(weights, variable, rtol=1e-5)


def test_a_long_gradient_is_cut_and_decay_is_not_part_of_it():
    weights, velocity = np.array([2.0, 2.0], np.float32), np.zeros(2, np.float32)
    descend(weights, velocity, np.array([30.0, 40.0], np.float32), np.array([0.5, 0], np.float32), rate=1, clip_norm=5)
    np.testing.assert_allclose(velocity, [-(3 + 1), -4])
    np.testing.assert_allclose(weights, [2 - 1.9 * 4, 2 - 1.9 * 4])


def test_the_gradient_is_the_loss_differentiated():
    from mnas.nn.functional import Network

    rng = np.random.default_rng(3)
    network = Network(load_space("mnasnet-16").with_data(resolution=8).sample(rng))
    weights = network.initial_weights(0).astype(np.float32)
    images = rng.normal(size=(8, 8, 8, 3)).astype(np.float32)
    targets = np.eye(10, dtype=np.float32)[rng.integers(10, size=8)]
    loss, answers, gradient = loss_and_gradient(network, weights, images, targets)
    assert loss == pytest.approx(-np.log(answers[targets > 0]).mean(), rel=1e-3)
    direction = gradient / np.linalg.norm(gradient)
    step = np.float32(2e-4)
    ahead, behind = (loss_and_gradient(network, weights + s * direction, images, targets)[0] for s in (step, -step))
    assert (ahead - behind) / (2 * step) == pytest.approx(np.linalg.norm(gradient), rel=0.1)
