"""The supernet: every architecture of a space as a path through one traced graph.

Kernels and channels are sliced by tensors, operations chosen by `tf.switch_case`, squeeze-and-excitation and skips by
conditionals, so that one trace serves all paths and a path costs what its own size costs. Blocks of equal make-up share
one function, so that tracing does not grow with the depth of the space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from mnas.arch.walk import Layer
from mnas.nn.functional import ACTIVATIONS, EPSILON, known_norm
from mnas.nn.shared import Family, SharedWeights, Slot, num_arrays
from mnas.space.space import SearchSpace

POOL_SIZE = 3  # of skips, as `mnas.arch.walk` has it
Norm = Callable[[Any, Any, Any], Any]


class Supernet:
    """A space as a function of its shared weights and a path.

    Attributes:
        shared: the layout of the weights; makes paths, and cuts an architecture's own weights out.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.shared = SharedWeights(space)
        self._functions: dict[Any, Any] = {}

    def train(self, weights: Any, corners: Any, flags: Any, images: Any) -> Any:
        """Logits (batch, classes), batch norms on the batch's own statistics. Differentiable in `weights`.

        Args:
            weights: float32 (num_weights,).
            corners: the path's, int32 (kernels, 2, 4).
            flags: the path's, int32 (slots, 3).
            images: float32 (batch, resolution, resolution, 3).
        """
        return self._run(weights, corners, flags, images, tf.constant(0), calibrated=False)

    def score(self, weights: Any, corners: Any, flags: Any, images: Any, num_calibration: Any) -> Any:
        """Logits (batch, classes), batch norms on the statistics of the first `num_calibration` images.

        So a path's statistics are its own, and what an image gets does not depend on the images beside it.
        """
        return self._run(weights, corners, flags, images, num_calibration, calibrated=True)

    def _run(self, weights: Any, corners: Any, flags: Any, x: Any, count: Any, *, calibrated: bool) -> Any:
        shapes = [shape for kernel in self.shared.kernels for shape in kernel.shapes]
        lengths = [length for kernel in self.shared.kernels for length in kernel.sizes]
        parts = zip(tf.split(weights, lengths), shapes, strict=True)
        arrays = iter([tf.reshape(piece, shape) for piece, shape in parts])
        start = 0
        for number, slot in enumerate(self.shared.slots):
            kernels = [self.shared.kernels[index] for family in slot.families for index in family.kernels.values()]
            pieces = [next(arrays) for kernel in kernels for _ in kernel.shapes]
            own = corners[start : start + len(kernels)]
            x = self._function(slot, pieces, calibrated)(x, pieces, own, flags[number], count)
            start += len(kernels)
        return x

    def _function(self, slot: Slot, pieces: list[Any], calibrated: bool) -> Any:
        """The function of all slots that are made like this one."""
        makes = tuple(
            (f.op, tuple(_make(layer) for layer in f.layers if layer.role in f.kernels)) for f in slot.families
        )
        key = (makes, slot.fixed, calibrated)
        if key not in self._functions:
            image = tf.TensorSpec([None] * 4, tf.float32)
            arrays = [tf.TensorSpec([None] * len(piece.shape), tf.float32) for piece in pieces]
            integers = [tf.TensorSpec(shape, tf.int32) for shape in ([None, 2, 4], [3], [])]
            self._functions[key] = tf.function(
                lambda x, pieces, corners, flags, count: _slot(
                    slot, x, pieces, corners, flags, calibrated_norm(count) if calibrated else batch_norm
                ),
                input_signature=[image, arrays, *integers],
                experimental_attributes={"_noinline": True},
                autograph=False,
            )
        return self._functions[key]


def batch_norm(y: Any, gamma: Any, beta: Any) -> Any:
    """Batch normalisation on the batch's own statistics."""
    return tf.compat.v1.nn.fused_batch_norm(y, gamma, beta, epsilon=EPSILON)[0]


def calibrated_norm(count: Any) -> Norm:
    """Batch normalisation on the statistics of the first `count` images."""

    def norm(y: Any, gamma: Any, beta: Any) -> Any:
        mean, variance = tf.nn.moments(y[:count], [0, 1, 2])
        return known_norm(y, gamma, beta, mean, variance)

    return norm


def _make(layer: Layer) -> tuple[object, ...]:
    """What of a layer its graph depends on, beside the sizes that are given as tensors."""
    return layer.role, layer.kind, layer.stride, layer.activation, layer.norm


def _slot(slot: Slot, x: Any, pieces: list[Any], corners: Any, flags: Any, norm: Norm) -> Any:
    """Whatever block stands in a slot, on its input; the input itself if there is none."""
    branches, arrays = [], iter(pieces)
    rows = iter(tf.unstack(corners, sum(len(family.kernels) for family in slot.families)))
    for family in slot.families:
        weights = {}
        for layer in family.layers:
            if layer.role in family.kernels:
                weights[layer.role] = (next(rows), [next(arrays) for _ in range(num_arrays(layer))])
        branches.append(_Block(family, weights, flags, norm))
    if slot.fixed:
        return branches[0](x)
    calls: list[Callable[[], Any]] = [lambda block=block: block(x) for block in branches]  # type: ignore[misc]
    y = tf.switch_case(flags[0], [*calls, lambda: tf.identity(x)])
    stride = max(layer.stride for family in slot.families for layer in family.layers)
    ways = [lambda: tf.identity(y), lambda: y + x, lambda: y + tf.nn.avg_pool2d(x, POOL_SIZE, stride, "SAME")]
    return tf.switch_case(flags[2], ways)


class _Block:
    """The graph of one family's blocks."""

    def __init__(self, family: Family, weights: dict[str, Any], flags: Any, norm: Norm) -> None:
        self._layers = {layer.role: layer for layer in family.layers}
        self._weights = weights
        self._flags = flags
        self._norm = norm

    def __call__(self, x: Any) -> Any:
        y = x
        for role, layer in self._layers.items():
            if role == "se_squeeze":
                y = tf.cond(self._flags[1] > 0, lambda y=y: self._excited(y), lambda y=y: tf.identity(y))
            elif role in self._weights and not role.startswith("se_"):
                y = self._apply(role, y)
            elif layer.kind == "mean" and role == "pool":
                y = tf.reduce_mean(y, [1, 2], keepdims=True)
        return y

    def _apply(self, role: str, x: Any) -> Any:
        """A layer with weights: sliced to the path's sizes."""
        layer, (corner, (kernel, *others)) = self._layers[role], self._weights[role]
        rank, last = len(kernel.shape), {"depthwise": 2, "dense": 1}.get(layer.kind, 3)
        if role == "project":  # batch norms of blocks without and with a skip
            without, skipping = others[:2], others[2:]
            others = [tf.where(self._flags[2] > 0, b, a) for a, b in zip(without, skipping, strict=True)]
        others = [tf.strided_slice(array, [0], corner[1, last : last + 1]) for array in others]
        y = linear(layer, x, tf.strided_slice(kernel, corner[0, :rank], corner[1, :rank]))
        y = self._norm(y, *others) if layer.norm else y + others[0]
        return ACTIVATIONS[layer.activation](y)

    def _excited(self, y: Any) -> Any:
        gate = self._apply("se_reduce", tf.reduce_mean(y, [1, 2], keepdims=True))
        return y * self._apply("se_expand", gate)


def linear(layer: Layer, x: Any, kernel: Any) -> Any:
    """A dense, depthwise or full convolution; channels may be known at run time only."""
    if layer.kind == "dense":
        return tf.matmul(x[:, 0, 0, :], kernel)
    strides = [1, layer.stride, layer.stride, 1]
    if layer.kind == "depthwise":
        return tf.raw_ops.DepthwiseConv2dNative(input=x, filter=kernel, strides=strides, padding="SAME")
    return tf.nn.conv2d(x, kernel, strides, "SAME")


@contextmanager
def light_graphs() -> Iterator[None]:
    """Run TensorFlow's functions without its graph optimiser.

    On a supernet the optimiser takes longer than a thousand steps save: 31 s of processor time against 9 s for the
    first step of mnasnet-16, and later steps were no quicker.
    """
    before = tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": before})
