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
        MnasError: for custom, Flex, transposing or other unexpected operators; the message names them.
    """
    found = read_operators(content)
    conversions = {"float32": set(), "float16": {"DEQUANTIZE"}, "int8": {"QUANTIZE", "DEQUANTIZE"}}[dtype]
    unexpected = sorted(set(found) - set(expected_operators(architecture)) - conversions)
    if unexpected:
        raise MnasError(
            f"the converted file holds operators that the network does not call for: {', '.join(unexpected)}"
        )
    return found
