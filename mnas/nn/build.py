"""Keras models from architectures: one pass over `unroll` and `layers`, standard Keras layers only.

Follows the TensorFlow reference (tensorflow/tpu models/official/mnasnet and efficientnet): `SAME` padding everywhere,
batch norm with epsilon 1e-3, kernels drawn with fan-out variance. `keras.applications` pads strided convolutions
explicitly (`ZeroPadding2D`, then `valid`) by the same amounts as `SAME`, so the outputs are the same.
For training there are faster batch norms (`mnas.nn.fused_norm`) and depthwise convolutions (`mnas.nn.depthwise`); their
weights are those of Keras's.

Input: float32, NHWC, values in [-1, 1]; nothing is rescaled inside. Output: logits, or probabilities on request.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from mnas.arch.complexity import layer_complexity
from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer, PlacedBlock, layers, named_blocks, unroll
from mnas.errors import InputError
from mnas.nn.branches import add_branches, can_branch
from mnas.nn.depthwise import trained_depthwise_convolution
from mnas.nn.fused_norm import fused_batch_norm


def build_model(
    architecture: Architecture,
    *,
    keras: Any = None,
    batch_norm_momentum: float = 0.99,
    batch_norm_epsilon: float = 1e-3,
    probabilities: bool = False,
    seed: int = 0,
    fused: bool = False,
    branches: bool = False,
) -> Any:
    """Build a network as a functional Keras model, with random weights.

    Args:
        architecture: the network to build.
        keras: the Keras namespace, `keras` by default; `tf_keras` where Keras 2 is needed.
        batch_norm_momentum: 0.99 as published; short trainings need 0.9, or the statistics do not converge.
        batch_norm_epsilon: as published.
        probabilities: end with a softmax (for export) instead of logits (for training).
        seed: seed of the weights.
        fused: for training, with batch norms and depthwise convolutions that take less time than Keras's; see
            `mnas.nn.fused_norm` and `mnas.nn.depthwise`.
        branches: for training, with more branches beside every depthwise convolution; see `mnas.nn.branches`.

    Returns:
        A `keras.Model` from (batch, resolution, resolution, 3) to (batch, num_classes).
    """
    if keras is None:
        keras = importlib.import_module("keras")
    norm = fused_batch_norm() if fused else keras.layers.BatchNormalization
    depthwise = trained_depthwise_convolution() if fused else keras.layers.DepthwiseConv2D
    norm = partial(norm, momentum=batch_norm_momentum, epsilon=batch_norm_epsilon)
    fold = _Fold(keras, norm, depthwise, seed, branches)
    size = architecture.resolution
    image = keras.Input((size, size, 3), name="image")
    value = image
    drop_rates = _drop_rates(architecture)
    for (name, placed), drop_rate in zip(named_blocks(architecture), drop_rates, strict=True):
        value = fold.block(name, placed, value, drop_rate=drop_rate, dropout=float(architecture.dropout))
    if probabilities:
        value = keras.layers.Softmax(name="probabilities")(value)
    return keras.Model(image, value, name="mnas")


def _drop_rates(architecture: Architecture) -> list[float]:
    """Stochastic depth as in the reference: rate * index / number of blocks; 0 for stem, head and classifier."""
    count = len(unroll(architecture)) - (3 if architecture.head_filters else 2)
    rates = [architecture.stochastic_depth * index / count for index in range(count)]
    return [0.0, *rates, *([0.0] if architecture.head_filters else []), 0.0]


def weighted_layers(architecture: Architecture) -> list[tuple[str, Layer]]:
    """Return the layers with weights and their names in the Keras model, in the order of the walk."""
    return [
        (_layer_name(name, layer), layer)
        for name, placed in named_blocks(architecture)
        for layer in layers(placed)
        if layer_complexity(layer).params
    ]


def get_layer_weights(model: Any, architecture: Architecture) -> list[Any]:
    """Return all weights as numpy arrays, in an order that does not depend on Keras.

    Layer by layer in the order of `layers(placed)` over `unroll(architecture)`: the kernel (conv: (k, k, in, out),
    depthwise: (k, k, in, 1), dense: (in, out)), then the bias, or the batch norm's gamma, beta, moving mean and moving
    variance, each (out,).
    """
    return [array for layer in _holders(model, architecture) for array in layer.get_weights()]


def set_layer_weights(model: Any, architecture: Architecture, weights: Sequence[Any]) -> None:
    """Set all weights, in the order of `get_layer_weights`.

    Raises:
        InputError: if their number or a shape does not match.
    """
    holders = _holders(model, architecture)
    shapes = [tuple(weight.shape) for holder in holders for weight in holder.weights]
    given = [tuple(array.shape) for array in weights]
    if shapes != given:
        at = next((i for i, pair in enumerate(zip(shapes, given, strict=False)) if pair[0] != pair[1]), None)
        where = "their number differs" if at is None else f"array {at} is {given[at]}, expected {shapes[at]}"
        raise InputError(f"these weights ({len(given)} arrays) do not fit the network ({len(shapes)} arrays): {where}")
    arrays = iter(weights)
    for holder in holders:
        holder.set_weights(list(islice(arrays, len(holder.weights))))


def _holders(model: Any, architecture: Architecture) -> list[Any]:
    """Return the Keras layers with weights, in the order of the walk."""
    names = []
    for name, layer in weighted_layers(architecture):
        names += [name, f"{name}_norm"] if layer.norm else [name]
    return [model.get_layer(name) for name in names]


def _layer_name(block: str, layer: Layer) -> str:
    # Keras 3 allows no slash in a name. The classifier and the plain convolutions are their block's only weights.
    return block if layer.role in ("conv", "classifier") else f"{block}_{layer.role}"


@dataclass
class _Fold:
    """Builds Keras layers one at a time, each with its own seed."""

    keras: Any
    norm: Callable[..., Any]
    depthwise: Callable[..., Any]
    seed: int
    branches: bool
    count: int = 0

    def block(self, name: str, placed: PlacedBlock, value: Any, *, drop_rate: float, dropout: float) -> Any:
        """Apply one block's layers to its input; the last value is the block's output."""
        values = [value]
        for layer in layers(placed):
            operands = [values[index] for index in layer.inputs]
            drop = self.keras.layers.Dropout
            if layer.kind == "add" and layer.inputs[1] == 0 and drop_rate:  # drops an image's residual as a whole
                shape = (None, 1, 1, 1)
                path = drop(drop_rate, noise_shape=shape, seed=self.next_seed(), name=f"{name}_drop")
                operands[0] = path(operands[0])
            if layer.role == "classifier" and dropout:
                operands[0] = drop(dropout, seed=self.next_seed(), name=f"{name}_dropout")(operands[0])
            values.append(self.layer(_layer_name(name, layer), layer, operands))
        return values[-1]

    def layer(self, name: str, layer: Layer, operands: list[Any]) -> Any:
        """Apply one layer: the operator, its batch norm, its activation."""
        value = self.apply(name, layer, operands)
        if layer.norm:
            value = self.norm(name=f"{name}_norm")(value)
        if self.branches and can_branch(layer):
            kernel = self.draw_kernel()
            value = add_branches(self.keras, self.norm, name, layer, operands[0], value, kernel=kernel)
        return self.activate(name, layer.activation, value)

    def activate(self, name: str, activation: str, value: Any) -> Any:
        """Apply an activation as a separate layer."""
        make = self.keras.layers
        if activation == "linear":
            return value
        if activation in ("relu", "relu6"):
            return make.ReLU(max_value=6.0 if activation == "relu6" else None, name=f"{name}_{activation}")(value)
        if activation in ("swish", "sigmoid"):
            return make.Activation(activation, name=f"{name}_{activation}")(value)
        # x * relu6(x + 3) / 6 written out: only this form becomes one HARD_SWISH in TFLite; Keras's layer does not.
        shifted = make.Rescaling(1.0, offset=3.0, name=f"{name}_{activation}_shift")(value)
        gate = make.ReLU(max_value=6.0, name=f"{name}_{activation}_clip")(shifted)
        if activation == "hswish":
            gate = make.Multiply(name=f"{name}_hswish_gate")([value, gate])
        return make.Rescaling(1.0 / 6.0, name=f"{name}_{activation}")(gate)

    def draw_kernel(self) -> Any:
        """Return an initializer of a convolution's kernel, as in the reference: normal with variance 2 / fan-out."""
        scaling = self.keras.initializers.VarianceScaling
        return scaling(2.0, "fan_out", "untruncated_normal", seed=self.next_seed())

    def next_seed(self) -> int:
        """Return a different seed for every layer that draws numbers."""
        self.count += 1
        return (self.seed * 100_003 + self.count) % 2**31

    def apply(self, name: str, layer: Layer, operands: list[Any]) -> Any:
        """Apply a layer's operator."""
        make, value = self.keras.layers, operands[0]
        draw = self.keras.initializers.VarianceScaling
        window = {"strides": layer.stride, "padding": "same", "name": name}
        if layer.kind in ("conv", "depthwise"):
            kernel = self.draw_kernel()
            if layer.kind == "depthwise":
                bias = not layer.norm
                return self.depthwise(layer.kernel_size, use_bias=bias, depthwise_initializer=kernel, **window)(value)
            conv = make.Conv2D
            return conv(layer.filters, layer.kernel_size, use_bias=not layer.norm, kernel_initializer=kernel, **window)(
                value
            )
        if layer.kind == "dense":
            scale, shape = (1.0 / 3.0, "uniform") if layer.role == "classifier" else (2.0, "untruncated_normal")
            kernel = draw(scale, "fan_out", shape, seed=self.next_seed())
            return make.Dense(layer.filters, use_bias=not layer.norm, kernel_initializer=kernel, name=name)(value)
        if layer.kind == "mean":  # convolutions follow inside squeeze-and-excitation and need the two axes
            return make.GlobalAveragePooling2D(keepdims=layer.role != "pool", name=name)(value)
        if layer.kind == "pool":
            return make.AveragePooling2D(layer.kernel_size, **window)(value)
        return {"multiply": make.Multiply, "add": make.Add}[layer.kind](name=name)(operands)
