"""Gradient descent on flat vectors: Keras's updates, and the gradient that they are given."""

import numpy as np
import pytest

from mnas.space import load_space
from mnas.train.sgd import descend, loss_and_gradients

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


def test_decay_is_added_to_the_gradient_of_every_piece():
    count = 100_000  # updated in several pieces
    weights, velocity = np.full(count, 2, np.float32), np.zeros(count, np.float32)
    decay = np.arange(count, dtype=np.float32) / count
    gradient = np.linspace(-1, 1, count, dtype=np.float32)
    descend(weights, velocity, gradient, decay, rate=0.5)
    step = 0.5 * (gradient + 2 * decay)
    np.testing.assert_allclose(velocity, -step, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(weights, 2 - 1.9 * step, rtol=1e-5, atol=1e-6)


def test_the_gradient_is_the_loss_differentiated():
    from mnas.nn.functional import Network

    rng = np.random.default_rng(3)
    network = Network(load_space("mnasnet-16").with_data(resolution=8).sample(rng))
    weights = network.initial_weights(0).astype(np.float32)
    images = rng.normal(size=(8, 8, 8, 3)).astype(np.float32)
    targets = np.eye(10, dtype=np.float32)[rng.integers(10, size=8)]
    loss, gradients = loss_and_gradients(network, weights, images, targets)
    logits = network.train(network.cut(weights), images)[0].numpy()
    answers = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert loss == pytest.approx(-np.log(answers[targets > 0]).mean(), rel=1e-3)
    gradient = np.concatenate(gradients)
    direction = gradient / np.linalg.norm(gradient)
    step = np.float32(2e-4)
    ahead, behind = (loss_and_gradients(network, weights + s * direction, images, targets)[0] for s in (step, -step))
    assert (ahead - behind) / (2 * step) == pytest.approx(np.linalg.norm(gradient), rel=0.1)
