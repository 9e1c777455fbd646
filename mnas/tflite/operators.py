"""The operators in a TFLite file, and the operators that an architecture needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer, layers, unroll
from mnas.errors import MnasError
from mnas.tflite.flatbuffer import operator_name, read_model

_KINDS = {
    "conv": "CONV_2D",
    "depthwise": "DEPTHWISE_CONV_2D",
    "dense": "FULLY_CONNECTED",
    "mean": "MEAN",
    "pool": "AVERAGE_POOL_2D",
    "multiply": "MUL",
    "add": "ADD",
}
_CONVERSIONS: dict[str, set[str]] = {
    "float32": set(),
    "float16": {"DEQUANTIZE"},
    "dynamic": {"DEQUANTIZE"},
    "int8": {"QUANTIZE", "DEQUANTIZE"},
}
# ReLU and ReLU6 are fused into the preceding operator; so is the hard sigmoid's ReLU6.
_ACTIVATIONS = {"swish": ["LOGISTIC", "MUL"], "sigmoid": ["LOGISTIC"], "hswish": ["HARD_SWISH"], "hsigmoid": ["MUL"]}


def read_operators(content: bytes) -> Counter[str]:
    """Count the operators of a TFLite file by name; custom ones (Flex too) count as `CUSTOM:name`.

    Raises:
        MnasError: if the content is not a TFLite file.
    """
    model = read_model(content)
    names = [_name(code) for code in model.operatorCodes or ()]
    return Counter(names[operator.opcodeIndex] for graph in model.subgraphs for operator in graph.operators)


def _name(code: Any) -> str:
    name = operator_name(code.builtinCode, code.deprecatedBuiltinCode)
    return f"CUSTOM:{code.customCode.decode()}" if name == "CUSTOM" else name


def expected_operators(architecture: Architecture) -> Counter[str]:
    """Count the operators that a network needs in float32, softmax included."""
    found: Counter[str] = Counter(["SOFTMAX"])
    for layer in _layers(architecture):
        found.update([_KINDS[layer.kind], *_ACTIVATIONS.get(layer.activation, [])])
    return found


def _layers(architecture: Architecture) -> Iterator[Layer]:
    return (layer for placed in unroll(architecture) for layer in layers(placed))


def _most_reshapes(architecture: Architecture) -> int:
    """Count the layers on maps of one pixel, which converters may turn into reshapes, or put reshapes between.

    Such a reshape moves nothing. The mean of one pixel is one itself.
    """
    pixels = [placed for placed in unroll(architecture) if placed.out_size == 1]
    return sum(layer.in_size == 1 and layer.kind != "dense" for placed in pixels for layer in layers(placed))


def check_operators(content: bytes, architecture: Architecture, dtype: str) -> Counter[str]:
    """Check that a file has no operators that the network does not need.

    Returns:
        The operators of the file, counted.

    Raises:
        MnasError: for custom, Flex, transposing or other unexpected operators, or too many of one kind; the message
            names them and says how many are too many.
    """
    found, expected = read_operators(content), expected_operators(architecture)
    expected["RESHAPE"] += _most_reshapes(architecture)
    unexpected = found - expected  # a batch norm that was not folded shows as one MUL too many
    named = [f"{kind} ({count})" for kind, count in sorted(unexpected.items()) if kind not in _CONVERSIONS[dtype]]
    if named:
        raise MnasError(f"the converted file has operators that the network does not need: {', '.join(named)}")
    return found


def check_integers(content: bytes, io: str) -> None:
    """Check that nothing in an int8 file is computed in floating point.

    Args:
        content: the file.
        io: the type of its input and output, which may be `float32` or `uint8`; `int8` if nothing may be anything else.

    Raises:
        MnasError: the message names the tensors. A device without floating point refuses such a file or falls back.
    """
    graph = read_model(content).subgraphs[0]
    ends = {*graph.inputs, *graph.outputs} if io != "int8" else set()
    integers = (schema.TensorType.INT8, schema.TensorType.INT32)
    found = [
        tensor.name.decode()
        for index, tensor in enumerate(graph.tensors)
        if index not in ends and tensor.type not in integers
    ]
    if found:
        raise MnasError(
            f"the int8 file has {len(found)} tensors that are not integers, such as {', '.join(found[:3])}: a device "
            "without floating point cannot run it"
        )
