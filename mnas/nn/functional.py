"""Networks as pure functions of one flat vector of weights: what short trainings run on.

Building and tracing a Keras model costs many seconds before it learns anything. The same network as plain TensorFlow
operators on one flat vector traces in a fraction of that, and an optimiser's step on a single vector is one operator.

Batch normalisation uses the batch's own statistics in training. For inference the statistics are averaged over a few
training batches (`calibrate`), so short trainings do not suffer from a slow moving average.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer, layers, unroll

Vector = npt.NDArray[np.float32]
EPSILON = 1e-3
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda x: x,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "swish": tf.nn.silu,
    "hswish": lambda x: x * tf.nn.relu6(x + 3) / 6,
    "sigmoid": tf.sigmoid,
}


def kernel_shape(layer: Layer) -> tuple[int, ...]:
    """Shape of a layer's kernel as TensorFlow has it; () for a layer without weights."""
    size = layer.kernel_size
    shapes = {
        "conv": (size, size, layer.in_filters, layer.filters),
        "depthwise": (size, size, layer.in_filters, 1),
        "dense": (layer.in_filters, layer.filters),
    }
    return shapes.get(layer.kind, ())


class Network:
    """An architecture as a function of its flat weights.

    The vector holds, layer by layer in the order of the walk, the kernel and then gamma and beta (with batch norm) or
    the bias. The statistics' vector holds mean and variance of every batch norm.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.blocks = tuple(layers(placed) for placed in unroll(architecture))
        self._weighted = tuple(layer for own in self.blocks for layer in own if kernel_shape(layer))
        self._shapes: list[tuple[int, ...]] = []
        for layer in self._weighted:
            self._shapes += [kernel_shape(layer)] + [(layer.filters,)] * (2 if layer.norm else 1)
        self._sizes = [math.prod(shape) for shape in self._shapes]
        self._stat_sizes = [layer.filters for layer in self._weighted if layer.norm for _ in range(2)]

    @property
    def num_weights(self) -> int:
        """Length of the flat vector: the architecture's trainable parameters."""
        return sum(self._sizes)

    def decay_mask(self) -> Vector:
        """1 for kernels, which weight decay applies to; 0 for biases and batch norms. Shape (num_weights,)."""
        pairs = zip(self._shapes, self._sizes, strict=True)
        return np.concatenate([np.full(size, len(shape) > 1, np.float32) for shape, size in pairs])

    def initial_weights(self, seed: int) -> Vector:
        """He-normal kernels over fan-out as MnasNet's and EfficientNet's, a small dense layer, gamma 1, the rest 0.

        The gamma of a linear projection onto a skip connection is 0 as well, so that the block begins as its skip
        (Goyal et al. 2017, section 5.1): in trainings of 100 steps that was worth 2 to 8 points of accuracy. Not where
        an activation follows: a rectifier that starts at 0 everywhere would stay there.
        """
        rng = np.random.default_rng(seed)
        parts: list[Vector] = []
        onto_skip = [own[own[-1].inputs[0] - 1] for own in self.blocks if own[-1].kind == "add"]
        silent = {id(layer) for layer in onto_skip if layer.activation == "linear"}
        for layer in self._weighted:
            shape = kernel_shape(layer)
            fan = layer.kernel_size**2 * (1 if layer.kind == "depthwise" else layer.filters)
            variance = 1 / layer.in_filters if layer.kind == "dense" else 2 / fan
            parts.append(rng.standard_normal(math.prod(shape), dtype=np.float32) * np.float32(math.sqrt(variance)))
            parts += [np.full(layer.filters, id(layer) not in silent, np.float32)] if layer.norm else []
            parts.append(np.zeros(layer.filters, np.float32))
        return np.concatenate(parts)

    def initial_layer_weights(self, seed: int) -> list[npt.NDArray[np.float32]]:
        """The same, with statistics of 0 and 1, as `mnas.nn.build.set_layer_weights` takes them."""
        statistics = np.concatenate(
            [np.full(size, number % 2, np.float32) for number, size in enumerate(self._stat_sizes)]
        )
        return [array for own in self.layer_weights(self.initial_weights(seed), statistics) for array in own]

    def train(self, weights: Any, images: Any) -> tuple[Any, Any]:
        """Batch norms on the batch's own statistics. Differentiable in `weights`.

        Args:
            weights: the flat vector.
            images: float32 of shape (batch, resolution, resolution, 3).

        Returns:
            Logits of shape (batch, classes), and the statistics' vector of this batch.
        """
        found: list[Any] = []

        def norm(y: Any, gamma: Any, beta: Any) -> Any:
            y, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(y, gamma, beta, epsilon=EPSILON)
            found.extend((mean, variance))
            return y

        logits = self._run(weights, images, norm)
        return logits, tf.concat(found, 0)

    def infer(self, weights: Any, statistics: Any, images: Any) -> Any:
        """Logits of shape (batch, classes) with the given statistics' vector."""
        known = iter(tf.split(statistics, self._stat_sizes))

        def norm(y: Any, gamma: Any, beta: Any) -> Any:
            return known_norm(y, gamma, beta, next(known), next(known))

        return self._run(weights, images, norm)

    def _run(self, weights: Any, x: Any, norm: Callable[[Any, Any, Any], Any]) -> Any:
        cut = zip(tf.split(weights, self._sizes), self._shapes, strict=True)
        pieces = iter([tf.reshape(piece, shape) for piece, shape in cut])
        for own in self.blocks:
            values = [x]
            for layer in own:
                values.append(_apply(layer, [values[i] for i in layer.inputs], pieces, norm))
            x = values[-1]
        return x

    def layer_weights(self, weights: Vector, statistics: Vector) -> list[list[npt.NDArray[np.float32]]]:
        """Weights of every layer that has some, in the order of the walk, as Keras wants them.

        Per layer: kernel, then gamma, beta, moving mean, moving variance, or the bias.
        """
        cut = zip(np.split(weights, np.cumsum(self._sizes)[:-1]), self._shapes, strict=True)
        pieces = iter([piece.reshape(shape) for piece, shape in cut])
        known = iter(np.split(statistics, np.cumsum(self._stat_sizes)[:-1]))
        result = []
        for layer in self._weighted:
            own = [next(pieces) for _ in range(3 if layer.norm else 2)]
            result.append(own + [next(known) for _ in range(2 if layer.norm else 0)])
        return result


def known_norm(y: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
    """Batch normalisation on given statistics, as one operator: as several it took twice as long as training's."""
    return tf.compat.v1.nn.fused_batch_norm(
        y, gamma, beta, mean=mean, variance=variance, epsilon=EPSILON, is_training=False
    )[0]


def mean_statistics(batches: Sequence[Any]) -> Any:
    """Average the statistics' vectors of several batches."""
    return tf.add_n(list(batches)) / len(batches)


def _apply(layer: Layer, args: list[Any], pieces: Iterator[Any], norm: Callable[[Any, Any, Any], Any]) -> Any:
    """One layer on its inputs; takes its weights off `pieces`."""
    x = args[0]
    if kernel_shape(layer):
        y = _linear(layer, x, next(pieces))
        y = norm(y, next(pieces), next(pieces)) if layer.norm else y + next(pieces)
    elif layer.kind == "mean":
        y = tf.reduce_mean(x, [1, 2], keepdims=True)
    elif layer.kind == "pool":
        y = tf.nn.avg_pool2d(x, layer.kernel_size, layer.stride, "SAME")
    else:
        y = x * args[1] if layer.kind == "multiply" else x + args[1]
    return ACTIVATIONS[layer.activation](y)


def _linear(layer: Layer, x: Any, kernel: Any) -> Any:
    if layer.kind == "dense":
        return tf.matmul(x[:, 0, 0, :], kernel)
    if layer.kind == "depthwise":
        return tf.nn.depthwise_conv2d(x, kernel, [1, layer.stride, layer.stride, 1], "SAME")
    return tf.nn.conv2d(x, kernel, layer.stride, "SAME")
