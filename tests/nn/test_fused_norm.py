"""The fused batch norm does what Keras's does, in training and in inference."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from mnas.nn.build import build_model, get_layer_weights, set_layer_weights
from tests.nn.test_build import SMALL, images

pytestmark = pytest.mark.tensorflow
NETWORK = replace(SMALL, pooled_filters=12)


def pair(momentum=0.8):
    """Keras's model and the fused one, with the same weights."""
    plain, fused = (build_model(NETWORK, batch_norm_momentum=momentum, fused=each) for each in (False, True))
    set_layer_weights(fused, NETWORK, get_layer_weights(plain, NETWORK))
    return plain, fused


def gradients(model, batch):
    with tf.GradientTape() as tape:
        loss = keras.ops.mean(keras.ops.square(model(batch, training=True)))
    return [array.numpy() for array in tape.gradient(loss, [each.value for each in model.trainable_variables])]


def close(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4 * max(1.0, np.abs(one).max()))


def test_training_and_statistics_are_those_of_keras():
    plain, fused = pair()
    batch = images(6, NETWORK.resolution)
    close(gradients(plain, batch), gradients(fused, batch))
    close(get_layer_weights(plain, NETWORK), get_layer_weights(fused, NETWORK))  # with the moving statistics


def test_inference_is_that_of_keras():
    plain, fused = pair()
    batch = images(6, NETWORK.resolution)
    for model in (plain, fused):
        model(batch, training=True)
    close([plain(batch).numpy()], [fused(batch).numpy()])
    close([plain.predict_on_batch(batch)], [fused.predict_on_batch(batch)])


def test_frozen_layers_keep_their_statistics():
    _, fused = pair()
    fused.trainable = False
    before = get_layer_weights(fused, NETWORK)
    fused(images(4, NETWORK.resolution), training=True)
    for one, other in zip(before, get_layer_weights(fused, NETWORK), strict=True):
        np.testing.assert_array_equal(one, other)
