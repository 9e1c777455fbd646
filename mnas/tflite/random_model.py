"""Writes an architecture as a `.tflite` file with random weights, without TensorFlow.

The operators, their order and their shapes are those of the Keras model after conversion and quantization: batch norms
are folded into convolutions; relu and relu6 are fused, hard swish is one operator, swish two; squeeze-and-excitation is
MEAN, two 1x1 convolutions, LOGISTIC (for a hard sigmoid RELU6, fused, and MUL by a sixth) and MUL; a convolution after
pooling is FULLY_CONNECTED; the last operator is SOFTMAX.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer, PlacedBlock, layers, unroll
from mnas.tflite.flatbuffer import GraphWriter

_FUSED = {
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
    "hsigmoid": schema.ActivationFunctionType.RELU6,  # the 3 that is added before it is part of the bias
}


def write_random_model(architecture: Architecture, *, dtype: str = "float32", seed: int = 0) -> bytes:
    """Return the network as a `.tflite` file: batch 1, NHWC, float32 input and output.

    Args:
        architecture: the network.
        dtype: `float32` or `int8`.
        seed: of the random weights.

    Raises:
        InputError: for another dtype.
    """
    graph = GraphWriter(dtype, seed=seed)
    size = architecture.resolution
    image = graph.value((1, size, size, 3), dtype="float32")
    value = image
    if dtype == "int8":
        value = graph.operator("QUANTIZE", [image], graph.value((1, size, size, 3), scale=2 / 255, zero_point=0))
    for placed in unroll(architecture):
        value = _write_block(graph, placed, value)
    shape = (1, architecture.num_classes)
    options = schema.SoftmaxOptionsT(beta=1.0)
    value = graph.operator("SOFTMAX", [value], graph.value(shape, probability=True), "SoftmaxOptions", options)
    if dtype == "int8":
        value = graph.operator("DEQUANTIZE", [value], graph.value(shape, dtype="float32"))
    return graph.pack(image, value)


def write_block(placed: PlacedBlock, *, dtype: str = "float32") -> bytes:
    """Return a single block as a `.tflite` file, to compare with tables of blocks measured in isolation.

    Raises:
        InputError: for another dtype.
    """
    graph = GraphWriter(dtype)
    value = graph.value((1, placed.in_size, placed.in_size, placed.in_filters))
    return graph.pack(value, _write_block(graph, placed, value))


def _write_block(graph: GraphWriter, placed: PlacedBlock, value: int) -> int:
    values = [value]
    for layer in layers(placed):
        values.append(_write_layer(graph, layer, [values[i] for i in layer.inputs]))
    return values[-1]


def _write_layer(graph: GraphWriter, layer: Layer, inputs: list[int]) -> int:
    """Write a layer's operators, and return its output tensor."""
    flat = layer.kind == "dense" or layer.role == "pool"
    shape = (1, layer.filters) if flat else (1, layer.out_size, layer.out_size, layer.filters)
    fused = {"fusedActivationFunction": _FUSED.get(layer.activation, 0)}
    same = {"padding": schema.Padding.SAME, "strideW": layer.stride, "strideH": layer.stride}
    kernel = layer.kernel_size
    options: Any
    if layer.kind in ("conv", "depthwise"):
        output = _convolution(graph, layer, inputs[0], {**same, **fused})
    elif layer.kind == "dense":
        weights = graph.weights((layer.filters, layer.in_filters), layer.in_filters, channel_axis=0, of=inputs[0])
        options = schema.FullyConnectedOptionsT(**fused)
        output = graph.value(shape)
        graph.operator("FULLY_CONNECTED", [*inputs, *weights], output, "FullyConnectedOptions", options)
    elif layer.kind == "mean":
        axes = graph.constant(np.array([1, 2], dtype=np.int32))
        options = schema.ReducerOptionsT(keepDims=not flat)
        output = graph.value(shape)
        graph.operator("MEAN", [*inputs, axes], output, "ReducerOptions", options)
    elif layer.kind == "pool":
        options = schema.Pool2DOptionsT(filterWidth=kernel, filterHeight=kernel, **same)
        output = graph.operator("AVERAGE_POOL_2D", inputs, _like(graph, shape, inputs[0]), "Pool2DOptions", options)
    elif layer.kind == "multiply":
        output = graph.operator("MUL", inputs, graph.value(shape), "MulOptions", schema.MulOptionsT())
    else:
        output = graph.operator("ADD", inputs, graph.value(shape), "AddOptions", schema.AddOptionsT())
    return _activate(graph, layer, output, shape)


def _like(graph: GraphWriter, shape: tuple[int, ...], tensor: int) -> int:
    """Add an output with the scale of a tensor, which pooling must keep."""
    if graph.dtype == "float32":
        return graph.value(shape)
    scale, zero_point = graph.scale_of(tensor)
    return graph.value(shape, scale=scale, zero_point=zero_point)


def _convolution(graph: GraphWriter, layer: Layer, tensor: int, shared: dict[str, int]) -> int:
    kernel, depthwise = layer.kernel_size, layer.kind == "depthwise"
    shape = (1, layer.out_size, layer.out_size, layer.filters)
    if depthwise:
        weights = graph.weights((1, kernel, kernel, layer.filters), kernel**2, channel_axis=3, of=tensor)
        options = schema.DepthwiseConv2DOptionsT(depthMultiplier=1, **shared)
        name, kind = "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions"
    else:
        fan_in = kernel**2 * layer.in_filters
        weights = graph.weights((layer.filters, kernel, kernel, layer.in_filters), fan_in, channel_axis=0, of=tensor)
        options = schema.Conv2DOptionsT(**shared)
        name, kind = "CONV_2D", "Conv2DOptions"
    return graph.operator(name, [tensor, *weights], graph.value(shape), kind, options)


def _activate(graph: GraphWriter, layer: Layer, tensor: int, shape: tuple[int, ...]) -> int:
    """Write the activations that TFLite cannot fuse into the preceding operator."""
    if layer.activation == "hswish":
        options = schema.HardSwishOptionsT()
        return graph.operator("HARD_SWISH", [tensor], graph.value(shape), "HardSwishOptions", options)
    if layer.activation == "hsigmoid":
        sixth = graph.scalar(1 / 6)
        return graph.operator("MUL", [tensor, sixth], graph.value(shape), "MulOptions", schema.MulOptionsT())
    if layer.activation == "sigmoid":
        return graph.operator("LOGISTIC", [tensor], graph.value(shape, probability=True))
    if layer.activation == "swish":
        gate = graph.operator("LOGISTIC", [tensor], graph.value(shape, probability=True))
        return graph.operator("MUL", [tensor, gate], graph.value(shape), "MulOptions", schema.MulOptionsT())
    return tensor
