"""Keras models from architectures: one fold over `unroll` and `layers`, standard Keras layers only.

Follows the TensorFlow reference (tensorflow/tpu models/official/mnasnet and efficientnet): `SAME` padding everywhere,
batch norm with epsilon 1e-3, kernels drawn with fan-out variance. `keras.applications` pads strided convolutions
by hand (`ZeroPadding2D`, then `valid`), by just what `SAME` pads, so the outputs are the same.

Input: float32, NHWC, values in [-1, 1]; nothing is rescaled inside. Output: logits, or probabilities on request.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mnas.arch.complexity import layer_complexity
from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer, PlacedBlock, layers, named_blocks, unroll
from mnas.errors import InputError


def build_model(
    architecture: Architecture,
    *,
    keras: Any = None,
    batch_norm_momentum: float = 0.99,
    batch_norm_epsilon: float = 1e-3,
    probabilities: bool = False,
    seed: int = 0,
) -> Any:
    """Build a network as a functional Keras model, with random weights.

    Args:
        architecture: what to build.
        keras: the Keras namespace, `keras` by default; `tf_keras` where Keras 2 is needed.
        batch_norm_momentum: 0.99 as published; short training needs 0.9, or the statistics never arrive.
        batch_norm_epsilon: as published.
        probabilities: end with a softmax (for export) instead of logits (for training).
        seed: the same seed gives the same weights.

    Returns:
        A `keras.Model` from (batch, resolution, resolution, 3) to (batch, num_classes).
    """
    if keras is None:
        keras = importlib.import_module("keras")
    fold = _Fold(keras, batch_norm_momentum, batch_norm_epsilon, seed)
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
    """Stochastic depth as in the reference: rate * index / number of blocks, stem, head and classifier never."""
    count = len(unroll(architecture)) - (3 if architecture.head_filters else 2)
    rates = [architecture.stochastic_depth * index / count for index in range(count)]
    return [0.0, *rates, *([0.0] if architecture.head_filters else []), 0.0]


def weighted_layers(architecture: Architecture) -> list[tuple[str, Layer]]:
    """The layers that hold weights, with their names in the Keras model, in the order of the walk."""
    return [
        (_layer_name(name, layer), layer)
        for name, placed in named_blocks(architecture)
        for layer in layers(placed)
        if layer_complexity(layer).params
    ]


def get_layer_weights(model: Any, architecture: Architecture) -> list[Any]:
    """All weights as numpy arrays, in an order that does not depend on Keras.

    Layer by layer in the order of `layers(placed)` over `unroll(architecture)`: the kernel (conv: (k, k, in, out),
    depthwise: (k, k, in, 1), dense: (in, out)), then the bias, or the batch norm's gamma, beta, moving mean and moving
    variance, each (out,).
    """
    return [array for layer in _holders(model, architecture) for array in layer.get_weights()]


def set_layer_weights(model: Any, architecture: Architecture, weights: Sequence[Any]) -> None:
    """Put weights in, in the order of `get_layer_weights`.

    Raises:
        InputError: if their number or a shape does not fit.
    """
    holders = _holders(model, architecture)
    shapes = [tuple(weight.shape) for holder in holders for weight in holder.weights]
    given = [tuple(array.shape) for array in weights]
    if shapes != given:
        at = next((i for i, pair in enumerate(zip(shapes, given, strict=False)) if pair[0] != pair[1]), None)
        where = "their number differs" if at is None else f"array {at} is {given[at]}, expected {shapes[at]}"
        raise InputError(f"these weights ({len(given)} arrays) do not fit the network ({len(shapes)} arrays): {where}")
    start = 0
    for holder in holders:
        count = len(holder.weights)
        holder.set_weights(list(weights[start : start + count]))
        start += count


def _holders(model: Any, architecture: Architecture) -> list[Any]:
    """The Keras layers that hold weights, in the order of the walk."""
    names = []
    for name, layer in weighted_layers(architecture):
        names += [name, f"{name}_norm"] if layer.norm else [name]
    return [model.get_layer(name) for name in names]


def _layer_name(block: str, layer: Layer) -> str:
    # Keras 3 allows no slash in a name. The classifier and the plain convolutions are their block's only weights.
    return block if layer.role in ("conv", "classifier") else f"{block}_{layer.role}"


@dataclass
class _Fold:
    """Turns layers into Keras layers, one at a time."""

    keras: Any
    momentum: float
    epsilon: float
    seed: int
    count: int = field(default=0)

    def block(self, name: str, placed: PlacedBlock, value: Any, *, drop_rate: float, dropout: float) -> Any:
        """Apply one block's layers to its input; the value of the last one is the block's output."""
        values = [value]
        for layer in layers(placed):
            operands = [values[index] for index in layer.inputs]
            if layer.kind == "add" and layer.inputs[1] == 0 and drop_rate:
                operands[0] = self.drop_path(f"{name}_drop", drop_rate, operands[0])
            if layer.kind == "dense" and dropout:
                operands[0] = self.keras.layers.Dropout(dropout, seed=self.next_seed(), name=f"{name}_dropout")(
                    operands[0]
                )
            values.append(self.layer(_layer_name(name, layer), layer, operands))
        return values[-1]

    def layer(self, name: str, layer: Layer, operands: list[Any]) -> Any:
        """Apply one layer: the operator, its batch norm, its activation."""
        value = _OPERATORS[layer.kind](self, name, layer, operands)
        if layer.norm:
            norm = self.keras.layers.BatchNormalization
            value = norm(momentum=self.momentum, epsilon=self.epsilon, name=f"{name}_norm")(value)
        return self.activate(name, layer.activation, value)

    def drop_path(self, name: str, rate: float, value: Any) -> Any:
        """Drop a whole image's residual with this rate, in training only."""
        drop = self.keras.layers.Dropout(rate, noise_shape=(None, 1, 1, 1), seed=self.next_seed(), name=name)
        return drop(value)

    def activate(self, name: str, activation: str, value: Any) -> Any:
        """The activation as its own layer."""
        make = self.keras.layers
        if activation == "linear":
            return value
        if activation in ("relu", "relu6"):
            return make.ReLU(max_value=6.0 if activation == "relu6" else None, name=f"{name}_{activation}")(value)
        if activation in ("swish", "sigmoid"):
            return make.Activation(activation, name=f"{name}_{activation}")(value)
        # x * relu6(x + 3) / 6 spelled out: only this form becomes one HARD_SWISH in TFLite, Keras's own does not.
        shifted = make.Rescaling(1.0, offset=3.0, name=f"{name}_hswish_shift")(value)
        gate = make.ReLU(max_value=6.0, name=f"{name}_hswish_clip")(shifted)
        product = make.Multiply(name=f"{name}_hswish_gate")([value, gate])
        return make.Rescaling(1.0 / 6.0, name=f"{name}_hswish")(product)

    def next_seed(self) -> int:
        """A seed of its own for every layer that draws numbers."""
        self.count += 1
        return (self.seed * 100_003 + self.count) % 2**31

    def kernel(self, *, dense: bool = False) -> Any:
        """Initial weights as in the reference: normal with variance 2 / fan-out; uniform for the classifier."""
        draw = self.keras.initializers.VarianceScaling
        if dense:
            return draw(1.0 / 3.0, "fan_out", "uniform", seed=self.next_seed())
        return draw(2.0, "fan_out", "untruncated_normal", seed=self.next_seed())


def _conv(fold: _Fold, name: str, layer: Layer, operands: list[Any]) -> Any:
    return fold.keras.layers.Conv2D(
        layer.filters,
        layer.kernel_size,
        strides=layer.stride,
        padding="same",
        use_bias=not layer.norm,
        kernel_initializer=fold.kernel(),
        name=name,
    )(operands[0])


def _depthwise(fold: _Fold, name: str, layer: Layer, operands: list[Any]) -> Any:
    return fold.keras.layers.DepthwiseConv2D(
        layer.kernel_size,
        strides=layer.stride,
        padding="same",
        use_bias=not layer.norm,
        depthwise_initializer=fold.kernel(),
        name=name,
    )(operands[0])


def _dense(fold: _Fold, name: str, layer: Layer, operands: list[Any]) -> Any:
    return fold.keras.layers.Dense(layer.filters, kernel_initializer=fold.kernel(dense=True), name=name)(operands[0])


def _mean(fold: _Fold, name: str, layer: Layer, operands: list[Any]) -> Any:
    # Inside squeeze-and-excitation convolutions follow, which need the two axes; before the classifier they go.
    keepdims = layer.role != "pool"
    return fold.keras.layers.GlobalAveragePooling2D(keepdims=keepdims, name=name)(operands[0])


def _pool(fold: _Fold, name: str, layer: Layer, operands: list[Any]) -> Any:
    pool = fold.keras.layers.AveragePooling2D
    return pool(layer.kernel_size, strides=layer.stride, padding="same", name=name)(operands[0])


def _multiply(fold: _Fold, name: str, layer: Layer, operands: list[Any]) -> Any:
    return fold.keras.layers.Multiply(name=name)(operands)


def _add(fold: _Fold, name: str, layer: Layer, operands: list[Any]) -> Any:
    return fold.keras.layers.Add(name=name)(operands)


_OPERATORS: dict[str, Callable[[_Fold, str, Layer, list[Any]], Any]] = {
    "conv": _conv,
    "depthwise": _depthwise,
    "dense": _dense,
    "mean": _mean,
    "pool": _pool,
    "multiply": _multiply,
    "add": _add,
}
