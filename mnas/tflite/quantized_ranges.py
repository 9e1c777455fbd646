"""Int8 files whose ranges an interpreter would refuse, mended in place.

A filter that never fires on the calibration images gives its tensor a range of nothing, and a scale of 1e-8. XNNPACK
refuses an operator whose scales, input times filter over output, come to 256 or more. What the tensor holds is 0 at
any scale, so it gets a scale at which the operator can be computed, and the biases behind it are put on that scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.errors import MnasError

_LIMIT = 256.0  # XNNPACK's, on input scale times filter scale over output scale
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_KEEPS_SCALE = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "RESHAPE")


def widen_dead_ranges(content: bytes) -> tuple[bytes, int]:
    """Give every output that is too narrow to be computed a scale of its own operator's inputs.

    Args:
        content: a `.tflite` file; where it computes in floats, there is nothing to do.

    Returns:
        The file, of the same length, and how many tensors were changed.

    Raises:
        MnasError: if such a tensor goes where its scale cannot be changed.
    """
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    data = bytearray(content)  # arrays over it are written through
    model = schema.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    operators = [graph.Operators(index) for index in range(graph.OperatorsLength())]
    kinds = [_kind(model.OperatorCodes(operator.OpcodeIndex()), names) for operator in operators]
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
    """Make an operator that reads the tensor right for its new scale."""
    if kind in _KEEPS_SCALE:
        raise MnasError(f"a range of nothing goes into {kind}, whose scale cannot be changed: export as float16")
    if kind not in _WEIGHTED or reader.Inputs(0) != tensor or reader.InputsLength() < 3 or reader.Inputs(2) < 0:
        return  # it takes whatever scale its inputs have
    scales, bias = _scales(graph, reader.Inputs(2)), graph.Tensors(reader.Inputs(2))
    values = np.frombuffer(model.Buffers(bias.Buffer()).DataAsNumpy(), dtype=np.int32)
    values[:] = np.round(values.astype(np.float64) / factor).astype(np.int32)
    scales[:] = scales * np.float32(factor)


def _scales(graph: Any, tensor: int) -> npt.NDArray[np.float32]:
    """The scales of a tensor, as a view of the file; empty for none."""
    quantization = graph.Tensors(tensor).Quantization()
    if quantization is None or quantization.ScaleIsNone():
        return np.zeros(0, dtype=np.float32)
    found: npt.NDArray[np.float32] = quantization.ScaleAsNumpy()
    return found


def _kind(code: Any, names: dict[int, str]) -> str:
    return names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "")
