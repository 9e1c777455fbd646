"""Batch normalisation for training, as one operator."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def fused_batch_norm() -> Any:
    """Return a class with Keras's `BatchNormalization` as its base, which runs as TensorFlow's fused operator.

    Keras writes a training step's batch norm as ten operators, each of which reads the whole activation: half of the
    time of a training step of a mobile network on a CPU. Weights, moving statistics and outputs are the same. A model
    with it is not a plain Keras file: it is for training, and its weights go into a plain one.
    """
    import keras
    import tensorflow as tf

    class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
        def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
            known = {"mean": self.moving_mean, "variance": self.moving_variance, "is_training": False}
            learns = training and self.trainable
            scale, offset = (tf.cast(each, tf.float32) for each in (self.gamma, self.beta))
            images = inputs if inputs.shape.rank == 4 else inputs[:, None, None, :]  # after pooling there are two axes
            outputs, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(
                images, scale, offset, epsilon=self.epsilon, **({} if learns else known)
            )
            if learns:
                count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
                self._update(self.moving_mean, mean)
                self._update(self.moving_variance, variance * (count - 1) / count)  # Keras's are not Bessel's
            return outputs if inputs.shape.rank == 4 else outputs[:, 0, 0, :]

        def _update(self, moving: Any, found: Any) -> None:
            moving.assign(moving * self.momentum + found * (1 - self.momentum))

    return FusedBatchNormalization
