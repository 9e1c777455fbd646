"""Training by stochastic gradient descent with Nesterov momentum, in place on NumPy vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mnas.nn.functional import Network

Vector = npt.NDArray[np.float32]
MOMENTUM = 0.9
_PIECE = 32_768  # weights that are updated at a time: few enough for the processor's cache


def loss_and_gradients(network: Network, weights: Vector, images: Any, targets: Any) -> tuple[float, list[Vector]]:
    """Mean cross-entropy of a batch, and its gradient with respect to the weights of each block.

    Args:
        network: the network to train.
        weights: its flat vector.
        images: float32 (batch, resolution, resolution, 3).
        targets: probabilities of the classes, float32 (batch, classes).
    """
    import tensorflow as tf

    blocks = [tf.constant(vector) for vector in network.cut(weights)]
    with tf.GradientTape() as tape:
        tape.watch(blocks)
        logits, _ = network.train(blocks, tf.constant(images))
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
    return float(loss), [own.numpy() for own in tape.gradient(loss, blocks)]


def descend(weights: Vector, velocity: Vector, gradient: Vector, decay: Vector, *, rate: float) -> None:
    """Update weights and velocity in place.

    Args:
        weights: changed.
        velocity: changed; 0 before the first update.
        gradient: of the loss, without weight decay.
        decay: the weight decay of every weight.
        rate: the learning rate.
    """
    factor, momentum = np.float32(rate), np.float32(MOMENTUM)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging training shows in its loss
        for start in range(0, len(weights), _PIECE):
            piece = slice(start, start + _PIECE)
            own, moving = weights[piece], velocity[piece]
            step = factor * (gradient[piece] + decay[piece] * own)
            moving *= momentum
            moving -= step
            own += momentum * moving - step
