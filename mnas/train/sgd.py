"""Training by stochastic gradient descent with Nesterov momentum, in place on flat NumPy vectors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mnas.nn.functional import Network

Vector = npt.NDArray[np.float32]
MOMENTUM = 0.9


def loss_and_gradient(network: Network, weights: Vector, images: Any, targets: Any) -> tuple[float, Vector, Vector]:
    """Mean cross-entropy of a batch, its probabilities, and the gradient with respect to the weights.

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
    gradient = np.concatenate([own.numpy() for own in tape.gradient(loss, blocks)])
    return float(loss), tf.nn.softmax(logits).numpy(), gradient


def descend(
    weights: Vector, velocity: Vector, gradient: Vector, decay: Vector, *, rate: float, clip_norm: float = math.inf
) -> None:
    """Update weights and velocity in place.

    Args:
        weights: changed.
        velocity: changed; 0 before the first update.
        gradient: of the loss, without weight decay.
        decay: the weight decay of every weight.
        rate: the learning rate.
        clip_norm: the gradient is scaled down to this norm.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging training shows in its loss
        scale = np.float32(1)
        if math.isfinite(clip_norm):
            scale = np.float32(clip_norm / max(math.sqrt(float(np.vdot(gradient, gradient))), clip_norm))
        step = np.float32(rate) * (scale * gradient + decay * weights)
        velocity *= np.float32(MOMENTUM)
        velocity -= step
        weights += np.float32(MOMENTUM) * velocity - step
