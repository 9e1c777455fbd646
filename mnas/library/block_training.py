"""Training one block alone: Adam on the squared error against the teacher's output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from mnas.arch.walk import Layer
from mnas.errors import MnasError
from mnas.library.options import LibraryOptions
from mnas.nn.functional import Block, Vector, on_batch

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


class BlockTraining:
    """An alternative in training.

    Args:
        block: the alternative.
        weights: its initial vector.
        options: how it is trained.
        scale: of the squared error: one over the variance of the teacher's output.
    """

    def __init__(self, block: Block, weights: Vector, options: LibraryOptions, scale: float) -> None:
        self.block, self._options, self._scale = block, options, tf.constant(scale, tf.float32)
        self._state = (tf.constant(weights), tf.zeros(len(weights)), tf.zeros(len(weights)))
        self._step = _adam_step(block.structure)
        self._sizes = block.sizes

    def step(self, number: int, x: Any, target: Any) -> None:
        """Do one step.

        Args:
            number: of the step, from 0.
            x: input, float32 (batch, size, size, filters).
            target: the teacher's output for it.
        """
        # Adam's corrections of its averages, as one factor of the learning rate.
        correction = math.sqrt(1 - _BETA_2 ** (number + 1)) / (1 - _BETA_1 ** (number + 1))
        rate = tf.constant(self._options.rate(number) * correction, tf.float32)
        self._state = self._step(x, target, self._scale, rate, *self._state, *self._sizes)

    def finish(self, batches: Sequence[Any]) -> tuple[Vector, Vector]:
        """Return the weights, and the batch-norm statistics of these inputs.

        Raises:
            MnasError: if the training diverged.
        """
        weights: Vector = self._state[0].numpy()
        if not np.isfinite(weights).all():
            raise MnasError("the training of a block diverged: try a smaller learning rate")
        return weights, block_statistics(self.block, weights, batches)


def block_statistics(block: Block, weights: Vector, batches: Sequence[Any]) -> Vector:
    """Return a block's batch-norm statistics, averaged over batches of inputs."""
    found: Vector = np.mean([block.train(weights, x)[1].numpy() for x in batches], axis=0, dtype=np.float32)
    return found


@cache
def _adam_step(structure: tuple[Layer, ...]) -> Any:
    """Trace a step for blocks of this structure."""
    run = on_batch(structure)

    def step(
        x: Any, target: Any, scale: Any, rate: Any, weights: Any, first: Any, second: Any, sizes: Any, dimensions: Any
    ) -> tuple[Any, Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            output, _ = run(x, weights, sizes, dimensions)
            loss = tf.reduce_mean(tf.math.squared_difference(output, target)) * scale
        gradient = tape.gradient(loss, weights)
        first = _BETA_1 * first + (1 - _BETA_1) * gradient
        second = _BETA_2 * second + (1 - _BETA_2) * tf.square(gradient)
        return weights - rate * first / (tf.sqrt(second) + _EPSILON), first, second

    images, vector = tf.TensorSpec([None] * 4, tf.float32), tf.TensorSpec([None], tf.float32)
    scalar, integers = tf.TensorSpec([], tf.float32), tf.TensorSpec([None], tf.int32)
    signature = [images, images, scalar, scalar, vector, vector, vector, integers, integers]
    return tf.function(step, input_signature=signature, autograph=False)
