"""Training with branches beside depthwise convolutions, see `mnas.nn.branches`, which are merged at its end.

What is kept of such a training is the network without branches. The batch norm of a merged convolution holds the
statistics of its outputs, so the network can be trained further as any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer
from mnas.errors import InputError
from mnas.nn.branches import Merged, can_branch, merge_branches, sum_name
from mnas.nn.build import build_model, get_layer_weights, set_layer_weights, weighted_layers
from mnas.train.evaluate import Images

Moments = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def check_depthwise(architecture: Architecture) -> None:
    """Refuse a network that has no depthwise convolution.

    Raises:
        InputError: if there is none.
    """
    if not _branched(architecture):
        raise InputError(
            "--reparameterize adds branches to depthwise convolutions, and this network has none: leave it out"
        )


def merged(model: Any, architecture: Architecture, batches: Iterable[Images]) -> Any:
    """Return a Keras model without branches that gives the same outputs.

    Args:
        model: with branches; its statistics are right.
        architecture: the network.
        batches: of training images, as `recalibrated` takes them, for the statistics of the merged convolutions.
    """
    branched = _branched(architecture)
    statistics = _moments(model, [name for name, _ in branched], batches)
    plain = build_model(architecture, fused=True)
    set_layer_weights(plain, architecture, get_layer_weights(model, architecture))
    for (name, layer), moments in zip(branched, statistics, strict=True):
        one, norm = merge_branches(model, name, layer), plain.get_layer(f"{name}_norm")
        plain.get_layer(name).set_weights([one.kernel.astype(np.float32)])
        norm.set_weights(_norm_weights(one, moments, norm.epsilon))
    return plain


def _branched(architecture: Architecture) -> list[tuple[str, Layer]]:
    return [(name, layer) for name, layer in weighted_layers(architecture) if can_branch(layer)]


def _norm_weights(one: Merged, moments: Moments, epsilon: float) -> list[npt.NDArray[np.float32]]:
    """A batch norm that adds the bias of a convolution, and has the statistics of its outputs."""
    mean, variance = moments  # of the sum of the branches: kernel and bias
    arrays = (np.sqrt(variance + epsilon), mean, mean - one.bias, variance)
    return [array.astype(np.float32) for array in arrays]


def _moments(model: Any, names: Sequence[str], batches: Iterable[Images]) -> list[Moments]:
    """Mean and variance by channel of the sums of branches, over training images."""
    import keras
    import tensorflow as tf

    sums = keras.Model(model.input, [model.get_layer(sum_name(name)).output for name in names])

    def moments(images: Any) -> Any:
        values = keras.tree.flatten(sums(images, training=False))
        return [tf.stack(tf.nn.moments(tf.cast(value, tf.float32), (0, 1, 2))) for value in values]

    traced = tf.function(moments, autograph=False, jit_compile=False)
    found = [[np.asarray(each, np.float64) for each in traced(tf.constant(images))] for images in batches]
    return [(mean, variance) for mean, variance in (np.mean(each, axis=0) for each in zip(*found, strict=True))]
