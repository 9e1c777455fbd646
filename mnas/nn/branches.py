"""Depthwise convolutions that have more branches in training, and are one convolution afterwards.

Structural re-parameterization: RepVGG (Ding et al. 2021, https://arxiv.org/abs/2101.03697) and MobileOne (Vasu et al.
2022, https://arxiv.org/abs/2206.04040). The convolution and its batch norm get two neighbours, and the activation takes
their sum: a 1x1 depthwise convolution with a batch norm, and at stride 1 a batch norm of the input. Once the statistics
are fixed each of them is linear, and so is their sum: one kernel and one bias.

The papers begin with gamma 1 in all branches. Here the added ones have 0: trained weights keep their outputs, and from
random weights a short training learnt faster (docs/measured.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mnas.arch.walk import Layer

Values = npt.NDArray[np.float64]


class Merged(NamedTuple):
    """A convolution that does what all branches do.

    Attributes:
        kernel: (k, k, filters, 1).
        bias: (filters,).
    """

    kernel: Values
    bias: Values


def can_branch(layer: Layer) -> bool:
    """Whether a layer can have branches: a depthwise convolution with a batch norm."""
    return layer.kind == "depthwise" and layer.norm


def sum_name(name: str) -> str:
    """Return the name of the Keras layer that adds the branches of a layer."""
    return f"{name}_branches"


def add_branches(
    keras: Any, norm: Callable[..., Any], name: str, layer: Layer, image: Any, value: Any, *, kernel: Any
) -> Any:
    """Return the sum of a layer's output and of its other branches, which are 0 before training: their gamma is.

    Args:
        keras: the Keras namespace.
        norm: makes a batch norm.
        name: of the layer.
        layer: one that `can_branch`.
        image: its input.
        value: its output after the batch norm.
        kernel: initializer of the 1x1 kernel.
    """
    point = keras.layers.DepthwiseConv2D(
        1, strides=layer.stride, padding="same", use_bias=False, depthwise_initializer=kernel, name=f"{name}_point"
    )(image)
    branches = [value, norm(name=f"{name}_point_norm", gamma_initializer="zeros")(point)]
    if layer.stride == 1:
        branches.append(norm(name=f"{name}_identity_norm", gamma_initializer="zeros")(image))
    return keras.layers.Add(name=sum_name(name))(branches)


def merge_branches(model: Any, name: str, layer: Layer) -> Merged:
    """Return the convolution that does what all branches of a layer do with their moving statistics."""
    kernel, point = (np.asarray(model.get_layer(each).get_weights()[0], np.float64) for each in (name, f"{name}_point"))
    kernel, bias = _folded(kernel, model.get_layer(f"{name}_norm"))
    at = _first_pixel(layer)
    for one, norm in zip((point, np.ones_like(point)), _added_norms(model, name, layer), strict=False):
        scaled, shift = _folded(one, norm)
        kernel[at, at] += scaled[0, 0]
        bias += shift
    return Merged(kernel, bias)


def _added_norms(model: Any, name: str, layer: Layer) -> Iterator[Any]:
    """The batch norms of the 1x1 convolution and, at stride 1, of the input."""
    yield model.get_layer(f"{name}_point_norm")
    if layer.stride == 1:
        yield model.get_layer(f"{name}_identity_norm")


def _folded(kernel: Values, norm: Any) -> Merged:
    """A kernel (k, k, filters, 1) with its batch norm folded into it."""
    gamma, beta, mean, variance = (np.asarray(array, np.float64) for array in norm.get_weights())
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return Merged(kernel * factor[:, None], beta - mean * factor)


def _first_pixel(layer: Layer) -> int:
    """Where in the kernel's window the pixel is that a 1x1 convolution of the same stride reads.

    It is the centre at stride 1. At stride 2, `SAME` pads an even side by one pixel less before it than after it: the
    centre of an output's window is one pixel further.
    """
    padding = max(0, (layer.out_size - 1) * layer.stride + layer.kernel_size - layer.in_size)
    return padding // 2
