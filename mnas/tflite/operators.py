"""Which operators a TFLite file holds, and which ones an architecture should give."""

from __future__ import annotations

from collections import Counter
from typing import Any

from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer, layers, unroll
from mnas.errors import MnasError

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
# ReLU and ReLU6 are fused into the operator before them.
_ACTIVATIONS = {"swish": ["LOGISTIC", "MUL"], "sigmoid": ["LOGISTIC"], "hswish": ["HARD_SWISH"]}


def read_operators(content: bytes) -> Counter[str]:
    """Count the operators of a TFLite file by name; custom ones (Flex too) count as `CUSTOM:name`.

    Raises:
        MnasError: if this is no TFLite file.
    """
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    if content[4:8] != b"TFL3":
        raise MnasError("this is not a TFLite file: its identifier TFL3 is missing")
    model = schema.Model.GetRootAs(content, 0)
    found: Counter[str] = Counter()
    for part in range(model.SubgraphsLength()):
        graph = model.Subgraphs(part)
        for index in range(graph.OperatorsLength()):
            found[_name(model.OperatorCodes(graph.Operators(index).OpcodeIndex()), names)] += 1
    return found


def _name(code: Any, names: dict[int, str]) -> str:
    # Old files keep the code in a byte; new ones in an int, with the byte saturated at 127.
    builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if names.get(builtin) == "CUSTOM":
        return f"CUSTOM:{code.CustomCode().decode()}"
    return names.get(builtin, f"UNKNOWN_{builtin}")


def expected_operators(architecture: Architecture) -> Counter[str]:
    """The operators that a network needs in float32, softmax included, counted over the walk."""
    found: Counter[str] = Counter(["SOFTMAX"])
    for placed in unroll(architecture):
        for layer in layers(placed):
            found.update(_operators(layer))
    return found


def _operators(layer: Layer) -> list[str]:
    return [_KINDS[layer.kind], *_ACTIVATIONS.get(layer.activation, [])]


def check_operators(content: bytes, architecture: Architecture, dtype: str) -> Counter[str]:
    """Refuse a file that holds operators which the network does not call for.

    Returns:
        The operators found, counted.

    Raises:
        MnasError: for custom, Flex, transposing or other unexpected operators, or more of one kind than there should
            be; the message names them and says how many are too many.
    """
    found = read_operators(content)
    unexpected = found - expected_operators(architecture)  # a batch norm that was not folded shows as one MUL too many
    named = [f"{kind} ({count})" for kind, count in sorted(unexpected.items()) if kind not in _CONVERSIONS[dtype]]
    if named:
        raise MnasError(f"the converted file holds operators that the network does not call for: {', '.join(named)}")
    return found


def check_integers(content: bytes, io: str) -> None:
    """Refuse an int8 file in which anything is computed in floating point.

    Args:
        content: the file.
        io: `float32` if its input and output may be, `int8` if nothing may.

    Raises:
        MnasError: it names the tensors; a device without floating point would refuse them or fall back.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    ends = {int(index) for index in (*graph.InputsAsNumpy(), *graph.OutputsAsNumpy())} if io == "float32" else set()
    integers = (schema.TensorType.INT8, schema.TensorType.INT32)
    found = [
        graph.Tensors(index).Name().decode()
        for index in range(graph.TensorsLength())
        if index not in ends and graph.Tensors(index).Type() not in integers
    ]
    if found:
        raise MnasError(
            f"the int8 file is not integer throughout: {len(found)} tensors are not, such as {', '.join(found[:3])}"
        )
