"""Networks as pure functions of their weights, for short trainings.

Building and tracing a Keras model takes many seconds before training starts. Here a network runs block by block.
Blocks of the same structure (operation, stride, squeeze-and-excitation, skip, activation) share one traced function,
which takes kernels of any size. A few dozen small graphs serve all architectures of a space, so a candidate needs no
tracing.

Batch normalisation uses the batch's statistics in training. For inference the statistics are averaged over a few
training batches (`mean_statistics`), so short trainings do not depend on a slow moving average.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer, layers, unroll

Vector = npt.NDArray[np.float32]
EPSILON = 1e-3
_BLOCKS_KEPT = 512  # blocks whose sizes and structure are cached; a space has thousands
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda x: x,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "swish": tf.nn.silu,
    "hswish": lambda x: x * tf.nn.relu6(x + 3) / 6,
    "sigmoid": tf.sigmoid,
    "hsigmoid": lambda x: tf.nn.relu6(x + 3) / 6,
}


def kernel_shape(layer: Layer) -> tuple[int, ...]:
    """Return the shape of a layer's kernel in TensorFlow's order; () for a layer without weights."""
    size = layer.kernel_size
    shapes = {
        "conv": (size, size, layer.in_filters, layer.filters),
        "depthwise": (size, size, layer.in_filters, 1),
        "dense": (layer.in_filters, layer.filters),
    }
    return shapes.get(layer.kind, ())


class Block:
    """A placed block as a function of its weights: the kernel, then gamma and beta or the bias, layer by layer.

    Attributes:
        layers: of the block, as `mnas.arch.walk.layers` returns them.
        num_weights: length of its vector of weights.
    """

    def __init__(self, own: tuple[Layer, ...]) -> None:
        self.layers = own
        self._cut = _cut(own)
        self._weighted = tuple(layer for layer in own if kernel_shape(layer))

    @property
    def num_weights(self) -> int:
        """Length of the vector of weights."""
        return self._cut.num_weights

    @property
    def num_statistics(self) -> int:
        """Length of the vector of statistics: mean and variance of every batch norm."""
        return self._cut.num_statistics

    @cached_property
    def structure(self) -> tuple[Layer, ...]:
        """The layers without sizes; blocks of equal structure share traced functions."""
        return _sizeless(self.layers)

    @property
    def sizes(self) -> tuple[Any, Any]:
        """The sizes of the arrays and the dimensions of the kernels, as `on_batch` functions take them."""
        return self._cut.sizes, self._cut.dimensions

    def train(self, weights: Any, x: Any) -> tuple[Any, Any]:
        """Return the output (batch, size, size, filters) with the batch's own statistics, and these statistics."""
        output, statistics = on_batch(self.structure)(x, weights, *self.sizes)
        return output, statistics

    def infer(self, weights: Any, statistics: Any, x: Any) -> Any:
        """Return the output (batch, size, size, filters) with given statistics."""
        return _on_known(self.structure)(x, weights, *self.sizes, statistics, self._cut.statistics_sizes)

    def layer_arrays(self, weights: Vector, statistics: Vector) -> list[list[npt.NDArray[np.float32]]]:
        """Return each layer's arrays as Keras has them: kernel, gamma, beta, mean, variance; or kernel and bias."""
        sizes = [math.prod(shape) for layer in self._weighted for shape in array_shapes(layer)]
        pieces = iter(np.split(weights, np.cumsum(sizes)[:-1]))
        sizes = [layer.filters for layer in self._weighted if layer.norm for _ in range(2)]
        known = iter(np.split(statistics, np.cumsum(sizes)[:-1]))
        return [
            [next(pieces).reshape(shape) for shape in array_shapes(layer)] + list(islice(known, 2 if layer.norm else 0))
            for layer in self._weighted
        ]

    def vectors(self, arrays: Sequence[npt.NDArray[np.float32]]) -> tuple[Vector, Vector]:
        """Return the vectors of weights and of statistics from the arrays of all layers, one after the other."""
        given = iter(arrays)
        weights, statistics = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
        for layer in self._weighted:
            weights += [next(given).reshape(-1) for _ in array_shapes(layer)]
            statistics += [next(given) for _ in range(2 if layer.norm else 0)]
        return np.concatenate(weights), np.concatenate(statistics)

    @property
    def num_arrays(self) -> int:
        """The number of arrays that `vectors` takes."""
        return sum(5 if layer.norm else 2 for layer in self._weighted)


class Network:
    """An architecture as a function of its weights.

    The vector of weights holds the network's arrays, layer by layer in the order of the walk: the kernel, then gamma
    and beta (with batch norm) or the bias. The vector of statistics holds mean and variance of every batch norm.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.blocks = tuple(Block(layers(placed)) for placed in unroll(architecture))
        self._weighted = tuple(layer for own in self.blocks for layer in own.layers if kernel_shape(layer))

    @property
    def num_weights(self) -> int:
        """Length of the flat vector: the architecture's trainable parameters."""
        return sum(block.num_weights for block in self.blocks)

    def decay_mask(self) -> Vector:
        """Return 1 for kernels, which weight decay applies to, 0 for biases and batch norms. Shape (num_weights,)."""
        shapes = [shape for layer in self._weighted for shape in array_shapes(layer)]
        return np.concatenate([np.full(math.prod(shape), len(shape) > 1, np.float32) for shape in shapes])

    def initial_weights(self, seed: int) -> Vector:
        """Draw initial weights: He-normal kernels over fan-out as in MnasNet and EfficientNet, gamma 1, the rest 0.

        The gamma of a linear projection onto a skip connection is 0 as well, so the block starts as the identity
        (Goyal et al. 2017, section 5.1); in trainings of 100 steps that gained 2 to 8 points of accuracy. It is not 0
        if an activation follows: a rectifier whose input is 0 everywhere has no gradient.
        """
        rng = np.random.default_rng(seed)
        parts: list[Vector] = []
        ends = [block.layers for block in self.blocks if block.layers[-1].kind == "add"]
        onto_skip = [own[own[-1].inputs[0] - 1] for own in ends]
        silent = {id(layer) for layer in onto_skip if layer.activation == "linear"}
        for layer in self._weighted:
            shape = kernel_shape(layer)
            fan = layer.kernel_size**2 * (1 if layer.kind == "depthwise" else layer.filters)
            variance = 1 / layer.in_filters if layer.role == "classifier" else 2 / fan
            parts.append(rng.standard_normal(math.prod(shape), dtype=np.float32) * np.float32(math.sqrt(variance)))
            parts += [np.full(layer.filters, id(layer) not in silent, np.float32)] if layer.norm else []
            parts.append(np.zeros(layer.filters, np.float32))
        return np.concatenate(parts)

    def initial_layer_weights(self, seed: int) -> list[npt.NDArray[np.float32]]:
        """Return the same weights, with statistics of 0 and 1, in the order of `mnas.nn.build.set_layer_weights`."""
        filters = [layer.filters for layer in self._weighted if layer.norm]
        statistics = np.concatenate([np.repeat(np.array([0, 1], np.float32), count) for count in filters])
        return [array for own in self.layer_weights(self.initial_weights(seed), statistics) for array in own]

    def vector(self, arrays: Sequence[npt.NDArray[np.float32]]) -> Vector:
        """Return the flat vector of weights from arrays in the order of `mnas.nn.build.get_layer_weights`."""
        given = iter(arrays)
        return np.concatenate([block.vectors(list(islice(given, block.num_arrays)))[0] for block in self.blocks])

    def cut(self, vector: Vector) -> list[Vector]:
        """Split the flat vector into views, one per block, as `train` takes them."""
        return np.split(vector, np.cumsum([block.num_weights for block in self.blocks])[:-1])

    def cut_statistics(self, vector: Vector) -> list[Vector]:
        """Split the vector of statistics into views, one per block."""
        return np.split(vector, np.cumsum([block.num_statistics for block in self.blocks])[:-1])

    def train(self, weights: Sequence[Any], images: Any) -> tuple[Any, Any]:
        """Run the network with the batch's own statistics. Differentiable in the weights.

        Args:
            weights: one vector per block, as `cut` returns them.
            images: float32 of shape (batch, resolution, resolution, 3).

        Returns:
            Logits of shape (batch, classes), and the vector of this batch's statistics.
        """
        x, statistics = images, []
        for block, vector in zip(self.blocks, weights, strict=True):
            x, found = block.train(vector, x)
            statistics.append(found)
        return x, tf.concat(statistics, 0)

    def infer(self, weights: Vector, statistics: Vector, images: Any) -> Any:
        """Return logits of shape (batch, classes), with the given vector of statistics."""
        x = images
        known = self.cut_statistics(statistics)
        for block, vector, found in zip(self.blocks, self.cut(weights), known, strict=True):
            x = block.infer(vector, found, x)
        return x

    def layer_weights(self, weights: Vector, statistics: Vector) -> list[list[npt.NDArray[np.float32]]]:
        """Return the arrays of every layer with weights, in the order of the walk and in the form of Keras.

        Per layer: kernel, then gamma, beta, moving mean, moving variance, or the bias.
        """
        parts = zip(self.blocks, self.cut(weights), self.cut_statistics(statistics), strict=True)
        return [arrays for block, own, known in parts for arrays in block.layer_arrays(own, known)]


@dataclass(frozen=True)
class _Cut:
    """How a block's vectors are split into its arrays.

    Attributes:
        sizes: sizes of its arrays in the vector of weights, int32 (arrays,).
        dimensions: dimensions of its kernels, one kernel after the other, int32.
        statistics_sizes: sizes of mean and variance of its batch norms, int32.
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
    """Return the shapes of a layer's arrays: kernel, then gamma and beta, or the bias; [] without weights."""
    kernel = kernel_shape(layer)
    return [kernel, *[(layer.filters,)] * (2 if layer.norm else 1)] if kernel else []


def mean_statistics(batches: Sequence[Any]) -> Vector:
    """Average the vectors of statistics of several batches."""
    found: Vector = np.mean(np.stack(list(batches)), axis=0, dtype=np.float32)
    return found


@lru_cache(_BLOCKS_KEPT)
def _sizeless(own: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Remove the sizes of the arrays: the result is equal for all blocks of the same structure."""
    return tuple(
        replace(layer, in_size=0, in_filters=1, filters=1, kernel_size=layer.kernel_size if layer.kind == "pool" else 1)
        for layer in own
    )


_IMAGES = tf.TensorSpec([None] * 4, tf.float32)
_FLOATS, _INTEGERS = tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.int32)


@cache
def on_batch(own: tuple[Layer, ...]) -> Any:
    """Trace a block of this structure with the batch's statistics; it returns the output and the statistics."""

    def run(x: Any, vector: Any, sizes: Any, dimensions: Any) -> tuple[Any, Any]:
        found: list[Any] = []

        def norm(y: Any, gamma: Any, beta: Any) -> Any:
            y, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(y, gamma, beta, epsilon=EPSILON)
            found.extend((mean, variance))
            return y

        y = _run(own, x, _arrays(own, vector, sizes, dimensions), norm)
        return y, tf.concat(found, 0) if found else tf.zeros(0)

    return _traced(run, [_IMAGES, _FLOATS, _INTEGERS, _INTEGERS])


@cache
def _on_known(own: tuple[Layer, ...]) -> Any:
    """Trace a block of this structure with given statistics; it returns the output."""

    def run(x: Any, vector: Any, sizes: Any, dimensions: Any, statistics: Any, statistics_sizes: Any) -> Any:
        count = 2 * sum(layer.norm for layer in own)
        known = iter(tf.split(statistics, statistics_sizes, num=count) if count else [])

        def norm(y: Any, gamma: Any, beta: Any) -> Any:
            # One operator: as several it took twice as long as in training.
            given = {"mean": next(known), "variance": next(known), "is_training": False}
            return tf.compat.v1.nn.fused_batch_norm(y, gamma, beta, epsilon=EPSILON, **given)[0]

        return _run(own, x, _arrays(own, vector, sizes, dimensions), norm)

    return _traced(run, [_IMAGES, _FLOATS, _INTEGERS, _INTEGERS, _FLOATS, _INTEGERS])


def _traced(run: Callable[..., Any], signature: Sequence[Any]) -> Any:
    """Trace a function now; calling what comes out looks for no other trace, which took a seventh of a small step."""
    return tf.function(run, input_signature=signature, autograph=False).get_concrete_function()


def _arrays(own: Sequence[Layer], vector: Any, sizes: Any, dimensions: Any) -> Iterator[Any]:
    """Split a block's vector into its arrays."""
    shapes = [shape for layer in own for shape in array_shapes(layer)]  # only their lengths are used
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


def _apply(layer: Layer, args: list[Any], pieces: Iterator[Any], norm: Callable[[Any, Any, Any], Any]) -> Any:
    """Apply one layer to its inputs, with the next weights of `pieces`."""
    x = args[0]
    if kernel_shape(layer):
        y = linear(layer, x, next(pieces))
        if layer.kind == "dense" and layer.role != "classifier":
            y = y[:, None, None, :]  # what follows, the batch norm too, takes images
        y = norm(y, next(pieces), next(pieces)) if layer.norm else y + next(pieces)
    elif layer.kind == "mean":
        y = tf.reduce_mean(x, [1, 2], keepdims=True)
    elif layer.kind == "pool":
        y = tf.nn.avg_pool2d(x, layer.kernel_size, layer.stride, "SAME")
    else:
        y = x * args[1] if layer.kind == "multiply" else x + args[1]
    return ACTIVATIONS[layer.activation](y)


def linear(layer: Layer, x: Any, kernel: Any) -> Any:
    """Apply a dense layer, a depthwise or a full convolution; the channels may be unknown until run time."""
    if layer.kind == "dense":
        return tf.matmul(x[:, 0, 0, :], kernel)
    strides = [1, layer.stride, layer.stride, 1]
    if layer.kind == "depthwise":
        return tf.raw_ops.DepthwiseConv2dNative(input=x, filter=kernel, strides=strides, padding="SAME")
    return tf.nn.conv2d(x, kernel, strides, "SAME")
