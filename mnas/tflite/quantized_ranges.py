"""Repair of int8 files with ranges that an interpreter refuses.

A filter that is 0 on all calibration images gives its tensor an empty range, and a scale of 1e-8. XNNPACK refuses an
operator whose input scale times filter scale over output scale is 256 or more. The values of the tensor are 0 at any
scale, so it gets a scale that works, and the biases of the next operators are converted to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from mnas.errors import MnasError
from mnas.tflite.flatbuffer import operator_name

_LIMIT = 256.0  # XNNPACK's, on input scale times filter scale over output scale
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_KEEPS_SCALE = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "RESHAPE")


def widen_dead_ranges(content: bytes) -> tuple[bytes, int]:
    """Raise the output scales that are too small to be computed, to input scale times filter scale.

    Args:
        content: a `.tflite` file; one that computes in floats stays as it is.

    Returns:
        The file, of the same length, and the number of changed tensors.

    Raises:
        MnasError: if the scale of such a tensor cannot be changed.
    """
    data = bytearray(content)  # the arrays below are views of it
    model = schema.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    operators = [graph.Operators(index) for index in range(graph.OperatorsLength())]
    codes = [model.OperatorCodes(operator.OpcodeIndex()) for operator in operators]
    kinds = [operator_name(code.BuiltinCode(), code.DeprecatedBuiltinCode()) for code in codes]
    changed = 0
    for operator, kind in zip(operators, kinds, strict=True):
        if kind not in _WEIGHTED:
            continue
        output = operator.Outputs(0)
        scale, image, filters = (_scales(graph, at) for at in (output, operator.Inputs(0), operator.Inputs(1)))
        if not (len(scale) and len(image) and len(filters)):
            continue  # not computed in integers
        computed = image * filters
        if float(computed.max()) < _LIMIT * float(scale[0]):
            continue
        factor = float(computed.max()) / float(scale[0])
        scale[0] = np.float32(computed.max())
        changed += 1
        for reader, reads in zip(operators, kinds, strict=True):
            if output in (reader.Inputs(place) for place in range(reader.InputsLength())):
                _follow(model, graph, reader, reads, output, factor)
    return bytes(data), changed


def _follow(model: Any, graph: Any, reader: Any, kind: str, tensor: int, factor: float) -> None:
    """Adapt an operator that reads the tensor to its new scale."""
    if kind in _KEEPS_SCALE:
        raise MnasError(f"the input of {kind} has an empty range, and its scale cannot be changed: export as float16")
    if kind not in _WEIGHTED or reader.Inputs(0) != tensor or reader.InputsLength() < 3 or reader.Inputs(2) < 0:
        return  # it accepts any scale of its inputs
    scales, bias = _scales(graph, reader.Inputs(2)), graph.Tensors(reader.Inputs(2))
    values = np.frombuffer(model.Buffers(bias.Buffer()).DataAsNumpy(), dtype=np.int32)
    values[:] = np.round(values.astype(np.float64) / factor).astype(np.int32)
    scales[:] = scales * np.float32(factor)


def _scales(graph: Any, tensor: int) -> npt.NDArray[np.float32]:
    """Return a tensor's scales as a view of the file; empty if it has none."""
    quantization = graph.Tensors(tensor).Quantization()
    if quantization is None or quantization.ScaleIsNone():
        return np.zeros(0, dtype=np.float32)
    found: npt.NDArray[np.float32] = quantization.ScaleAsNumpy()
    return found
