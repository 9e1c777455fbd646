"""The depthwise convolution for training does what Keras's does, its gradients too."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mnas.nn.depthwise import trained_depthwise_convolution

pytestmark = pytest.mark.tensorflow


def outputs_and_gradients(make, images, **options):
    layer = make(depthwise_initializer=keras.initializers.RandomNormal(seed=1), padding="same", **options)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images)
        loss = tf.reduce_sum(outputs * tf.sin(tf.reshape(tf.range(tf.size(outputs), dtype=tf.float32), outputs.shape)))
    watched = [images, *(weight.value for weight in layer.trainable_weights)]
    return [array.numpy() for array in (outputs, *tape.gradient(loss, watched))]


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 7, 8])
def test_outputs_and_gradients_are_those_of_keras(kernel_size, strides, size):
    images = tf.constant(np.random.default_rng(0).normal(size=(3, size, size, 4)).astype(np.float32))
    found, expected = (
        outputs_and_gradients(make, images, kernel_size=kernel_size, strides=strides, use_bias=size == 7)
        for make in (trained_depthwise_convolution(), keras.layers.DepthwiseConv2D)
    )
    assert len(found) == (4 if size == 7 else 3)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_height_is_not_taken_for_a_width():
    images = tf.constant(np.random.default_rng(0).normal(size=(2, 6, 9, 3)).astype(np.float32))
    found, expected = (
        outputs_and_gradients(make, images, kernel_size=5, strides=2)
        for make in (trained_depthwise_convolution(), keras.layers.DepthwiseConv2D)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
