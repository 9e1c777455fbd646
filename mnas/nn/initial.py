"""Random initial weights of single layers, as NumPy arrays."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mnas.arch.walk import Layer

Array = npt.NDArray[np.float32]


def draw_layer(layer: Layer, rng: np.random.Generator) -> list[Array]:
    """Draw the arrays of a convolution: kernel, gamma, beta, mean, variance; or kernel and bias.

    Args:
        layer: of kind `conv` or `depthwise`.
        rng: the kernel is normal with variance 2 / fan-out from it; gamma and variance are 1, the rest is 0.
    """
    side = layer.kernel_size
    shape = (side, side, layer.in_filters, 1 if layer.kind == "depthwise" else layer.filters)
    deviation = math.sqrt(2 / (side**2 * (1 if layer.kind == "depthwise" else layer.filters)))
    kernel = (rng.standard_normal(shape) * deviation).astype(np.float32)
    if not layer.norm:
        return [kernel, np.zeros(layer.filters, np.float32)]
    ones, zeros = np.ones(layer.filters, np.float32), np.zeros(layer.filters, np.float32)
    return [kernel, ones, zeros, zeros.copy(), ones.copy()]
