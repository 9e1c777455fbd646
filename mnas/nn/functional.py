"""Networks as pure functions of their weights: what short trainings and the supernet run on.

Building and tracing a Keras model costs many seconds before it learns anything. Here a network runs block by block.
Blocks that are made alike (operation, stride, squeeze-and-excitation, skip, activation) share one traced function,
which takes kernels of any size: a few dozen small graphs serve all architectures of a space, so that a candidate costs
no tracing, and every path of a supernet costs what its own size costs.

Batch normalisation uses the batch's own statistics in training. For inference the statistics are averaged over a few
training batches (`mean_statistics`), so short trainings do not suffer from a slow moving average.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer, layers, unroll

Vector = npt.NDArray[np.float32]
EPSILON = 1e-3
_BLOCKS_KEPT = 512  # of which sizes and make are remembered; a space has thousands
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
    """An architecture as a function of its weights.

    The vector holds, layer by layer in the order of the walk, the kernel and then gamma and beta (with batch norm) or
    the bias: the network's arrays. The statistics' vector holds mean and variance of every batch norm.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.blocks = tuple(layers(placed) for placed in unroll(architecture))
        self._cuts = [_cut(own) for own in self.blocks]
        self._weighted = tuple(layer for own in self.blocks for layer in own if kernel_shape(layer))

    @property
    def num_weights(self) -> int:
        """Length of the flat vector: the architecture's trainable parameters."""
        return sum(cut.num_weights for cut in self._cuts)

    def decay_mask(self) -> Vector:
        """1 for kernels, which weight decay applies to; 0 for biases and batch norms. Shape (num_weights,)."""
        shapes = [shape for layer in self._weighted for shape in array_shapes(layer)]
        return np.concatenate([np.full(math.prod(shape), len(shape) > 1, np.float32) for shape in shapes])

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
        filters = [layer.filters for layer in self._weighted if layer.norm]
        statistics = np.concatenate([np.repeat(np.array([0, 1], np.float32), count) for count in filters])
        return [array for own in self.layer_weights(self.initial_weights(seed), statistics) for array in own]

    def cut(self, vector: Vector) -> list[Vector]:
        """Views of the flat vector, one a block, as `train` takes them."""
        return np.split(vector, np.cumsum([block.num_weights for block in self._cuts])[:-1])

    def train(self, weights: Sequence[Any], images: Any) -> tuple[Any, Any]:
        """Batch norms on the batch's own statistics. Differentiable in the weights.

        Args:
            weights: one vector a block, as `cut` gives them.
            images: float32 of shape (batch, resolution, resolution, 3).

        Returns:
            Logits of shape (batch, classes), and the statistics' vector of this batch.
        """
        x, statistics = images, []
        for own, cut, vector in zip(self.blocks, self._cuts, weights, strict=True):
            x, found = _on_batch(_sizeless(own))(x, vector, cut.sizes, cut.dimensions)
            statistics.append(found)
        return x, tf.concat(statistics, 0)

    def infer(self, weights: Vector, statistics: Vector, images: Any) -> Any:
        """Logits of shape (batch, classes) with the given statistics' vector."""
        x = images
        known = np.split(statistics, np.cumsum([block.num_statistics for block in self._cuts])[:-1])
        for own, cut, vector, found in zip(self.blocks, self._cuts, self.cut(weights), known, strict=True):
            x = _on_known(_sizeless(own))(x, vector, cut.sizes, cut.dimensions, found, cut.statistics_sizes)
        return x

    def layer_weights(self, weights: Vector, statistics: Vector) -> list[list[npt.NDArray[np.float32]]]:
        """Weights of every layer that has some, in the order of the walk, as Keras wants them.

        Per layer: kernel, then gamma, beta, moving mean, moving variance, or the bias.
        """
        result, start, start_known = [], 0, 0
        for layer in self._weighted:
            own = []
            for shape in array_shapes(layer):
                end = start + math.prod(shape)
                own.append(weights[start:end].reshape(shape))
                start = end
            for _ in range(2 if layer.norm else 0):
                own.append(statistics[start_known : start_known + layer.filters])
                start_known += layer.filters
            result.append(own)
        return result


@dataclass(frozen=True)
class _Cut:
    """How a block's vectors are cut into its arrays.

    Attributes:
        sizes: of its arrays in the vector of weights, int32 (arrays,).
        dimensions: of its kernels, one after the other, int32.
        statistics_sizes: of mean and variance of its batch norms, int32.
    """

    sizes: Any
    dimensions: Any
    statistics_sizes: Any
    num_weights: int
    num_statistics: int


@lru_cache(_BLOCKS_KEPT)
def _cut(own: tuple[Layer, ...]) -> _Cut:
    shapes = [shape for layer in own for shape in array_shapes(layer)]
    sizes = [math.prod(shape) for shape in shapes]
    dimensions = [dimension for shape in shapes if len(shape) > 1 for dimension in shape]
    statistics = [layer.filters for layer in own if layer.norm for _ in range(2)]
    integers = [tf.constant(each, tf.int32, [len(each)]) for each in (sizes, dimensions, statistics)]
    return _Cut(integers[0], integers[1], integers[2], sum(sizes), sum(statistics))


def array_shapes(layer: Layer) -> list[tuple[int, ...]]:
    """Shapes of a layer's arrays: kernel, then gamma and beta, or the bias; [] for a layer without weights."""
    kernel = kernel_shape(layer)
    return [kernel, *[(layer.filters,)] * (2 if layer.norm else 1)] if kernel else []


def mean_statistics(batches: Sequence[Any]) -> Vector:
    """Average the statistics' vectors of several batches."""
    found: Vector = np.mean(np.stack(list(batches)), axis=0, dtype=np.float32)
    return found


@lru_cache(_BLOCKS_KEPT)
def _sizeless(own: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The layers without the sizes of their arrays: the same for all blocks that are made alike."""
    return tuple(
        replace(layer, in_size=0, in_filters=1, filters=1, kernel_size=layer.kernel_size if layer.kind == "pool" else 1)
        for layer in own
    )


_IMAGES = tf.TensorSpec([None] * 4, tf.float32)
_FLOATS, _INTEGERS = tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.int32)


@cache
def _on_batch(own: tuple[Layer, ...]) -> Any:
    """The traced function of all blocks that are made like this one: output and statistics, which are the batch's."""

    def run(x: Any, vector: Any, sizes: Any, dimensions: Any) -> tuple[Any, Any]:
        found: list[Any] = []

        def norm(y: Any, gamma: Any, beta: Any) -> Any:
            y, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(y, gamma, beta, epsilon=EPSILON)
            found.extend((mean, variance))
            return y

        y = _run(own, x, _arrays(own, vector, sizes, dimensions), norm)
        return y, tf.concat(found, 0) if found else tf.zeros(0)

    return tf.function(run, input_signature=[_IMAGES, _FLOATS, _INTEGERS, _INTEGERS], autograph=False)


@cache
def _on_known(own: tuple[Layer, ...]) -> Any:
    """The same with statistics that are given: the output."""

    def run(x: Any, vector: Any, sizes: Any, dimensions: Any, statistics: Any, statistics_sizes: Any) -> Any:
        count = 2 * sum(layer.norm for layer in own)
        known = iter(tf.split(statistics, statistics_sizes, num=count) if count else [])

        def norm(y: Any, gamma: Any, beta: Any) -> Any:
            return _known_norm(y, gamma, beta, next(known), next(known))

        return _run(own, x, _arrays(own, vector, sizes, dimensions), norm)

    signature = [_IMAGES, _FLOATS, _INTEGERS, _INTEGERS, _FLOATS, _INTEGERS]
    return tf.function(run, input_signature=signature, autograph=False)


def _arrays(own: Sequence[Layer], vector: Any, sizes: Any, dimensions: Any) -> Iterator[Any]:
    """A block's arrays out of its vector."""
    shapes = [shape for layer in own for shape in array_shapes(layer)]  # of which the lengths alone are meant
    pieces = tf.split(vector, sizes, num=len(shapes)) if shapes else []
    start = 0
    for piece, shape in zip(pieces, shapes, strict=True):
        if len(shape) == 1:
            yield piece
        else:
            yield tf.reshape(piece, dimensions[start : start + len(shape)])
            start += len(shape)


def _run(own: Sequence[Layer], x: Any, arrays: Iterator[Any], norm: Callable[[Any, Any, Any], Any]) -> Any:
    values = [x]
    for layer in own:
        values.append(_apply(layer, [values[i] for i in layer.inputs], arrays, norm))
    return values[-1]


def _known_norm(y: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
    """Batch normalisation on given statistics, as one operator: as several it took twice as long as training's."""
    return tf.compat.v1.nn.fused_batch_norm(
        y, gamma, beta, mean=mean, variance=variance, epsilon=EPSILON, is_training=False
    )[0]


def _apply(layer: Layer, args: list[Any], pieces: Iterator[Any], norm: Callable[[Any, Any, Any], Any]) -> Any:
    """One layer on its inputs; takes its weights off `pieces`."""
    x = args[0]
    if kernel_shape(layer):
        y = linear(layer, x, next(pieces))
        y = norm(y, next(pieces), next(pieces)) if layer.norm else y + next(pieces)
    elif layer.kind == "mean":
        y = tf.reduce_mean(x, [1, 2], keepdims=True)
    elif layer.kind == "pool":
        y = tf.nn.avg_pool2d(x, layer.kernel_size, layer.stride, "SAME")
    else:
        y = x * args[1] if layer.kind == "multiply" else x + args[1]
    return ACTIVATIONS[layer.activation](y)


def linear(layer: Layer, x: Any, kernel: Any) -> Any:
    """A dense, depthwise or full convolution; channels may be known at run time only."""
    if layer.kind == "dense":
        return tf.matmul(x[:, 0, 0, :], kernel)
    strides = [1, layer.stride, layer.stride, 1]
    if layer.kind == "depthwise":
        return tf.raw_ops.DepthwiseConv2dNative(input=x, filter=kernel, strides=strides, padding="SAME")
    return tf.nn.conv2d(x, kernel, strides, "SAME")
