"""TFLite's file format: reading a model, and writing tensors, constants and operators.

The schema is part of the LiteRT package; TensorFlow is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from mnas.errors import InputError, MnasError

DTYPES = ("float32", "int8")
_SCALE, _ZERO_POINT = 0.05, -3  # of int8 activations: plausible values; outputs of random networks are not used
_PROBABILITY = (1 / 256, -128)  # TFLite requires it for the int8 output of LOGISTIC and SOFTMAX
# Versions of the operators that take int8; those of float32 are all 1 (tensorflow/lite/tools/versioning/op_version.cc).
_INT8_VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "MEAN": 2,
    "ADD": 2,
    "MUL": 2,
    "LOGISTIC": 2,
    "SOFTMAX": 2,
    "AVERAGE_POOL_2D": 2,
    "DEQUANTIZE": 2,
}
_NAMES: dict[int, str] = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


def read_model(content: bytes) -> Any:
    """Read a TFLite file as the schema's `ModelT`.

    Raises:
        MnasError: if the content is not a TFLite file.
    """
    if content[4:8] != b"TFL3":
        raise MnasError("this is not a TFLite file: its identifier TFL3 is missing")
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def operator_name(code: int, deprecated_code: int) -> str:
    """Return the name of a builtin operator; old files have its code in the deprecated field only."""
    builtin = max(code, deprecated_code)  # the deprecated field is a byte, saturated at 127
    return _NAMES.get(builtin, f"UNKNOWN_{builtin}")


class GraphWriter:
    """Builds a file with one subgraph.

    Args:
        dtype: `float32`, or `int8` for full-integer quantization with float32 input and output.
        seed: of the random weights.

    Raises:
        InputError: for another dtype.
    """

    def __init__(self, dtype: str = "float32", *, seed: int = 0) -> None:
        if dtype not in DTYPES:
            raise InputError(f"dtype is {dtype!r}: expected one of {', '.join(DTYPES)}")
        self.dtype = dtype
        rng = np.random.default_rng(seed)
        self._normal = rng.standard_normal(1 << 16, dtype=np.float32)
        self._integers = rng.integers(-127, 128, 1 << 16, dtype=np.int8)
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]
        self._operators: list[Any] = []
        self._codes: dict[str, int] = {}

    def value(
        self,
        shape: Sequence[int],
        *,
        dtype: str = "",
        scale: float = _SCALE,
        zero_point: int = _ZERO_POINT,
        probability: bool = False,
    ) -> int:
        """Add a tensor that an operator writes, and return its index; TFLite fixes the scale of a `probability`."""
        dtype = dtype or self.dtype
        if probability:
            scale, zero_point = _PROBABILITY
        quantized = (np.array([scale]), np.array([zero_point])) if dtype == "int8" else None
        return self._tensor(shape, dtype, 0, quantized)

    def scale_of(self, tensor: int) -> tuple[float, int]:
        """Return the scale and zero point of an int8 tensor."""
        quantization = self._tensors[tensor].quantization
        return float(quantization.scale[0]), int(quantization.zeroPoint[0])

    def weights(self, shape: Sequence[int], fan_in: int, *, channel_axis: int, of: int) -> tuple[int, int]:
        """Add random weights (He et al. 2015) and a bias for the filters along `channel_axis`, applied to tensor `of`.

        Large tensors repeat the same numbers, which does not change the latency.
        """
        filters = shape[channel_axis]
        if self.dtype == "float32":
            weights = np.resize(self._normal * np.float32(np.sqrt(2 / fan_in)), shape)
            bias = np.resize(self._normal * np.float32(0.1), filters)
            return self.constant(weights), self.constant(bias)
        integers = np.resize(self._integers, shape)
        scale = np.full(filters, np.sqrt(2 / fan_in) / 73.3)  # 73.3 is the standard deviation of the integers
        zeros = np.zeros(filters, dtype=np.int64)
        biases = np.resize(self._integers.astype(np.int32) * 4, filters)
        return (
            self.constant(integers, (scale, zeros), axis=channel_axis),
            self.constant(biases, (scale * self.scale_of(of)[0], zeros)),
        )

    def scalar(self, value: float) -> int:
        """Add a positive number in the graph's type, and return its index."""
        if self.dtype == "float32":
            return self.constant(np.array(value, np.float32))
        return self.constant(np.array(127, np.int8), (np.array([value / 127]), np.array([0])))

    def constant(
        self,
        data: npt.NDArray[Any],
        quantized: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
        *,
        axis: int = 0,
    ) -> int:
        """Add a tensor with contents, and return its index."""
        raw = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        self._buffers.append(schema.BufferT(data=raw))
        return self._tensor(data.shape, data.dtype.name, len(self._buffers) - 1, quantized, axis)

    def _tensor(
        self,
        shape: Sequence[int],
        dtype: str,
        buffer: int,
        quantized: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None,
        axis: int = 0,
    ) -> int:
        tensor = schema.TensorT(shape=list(shape), type=getattr(schema.TensorType, dtype.upper()), buffer=buffer)
        if quantized is not None:
            tensor.quantization = schema.QuantizationParametersT(
                scale=quantized[0].astype(np.float32), zeroPoint=quantized[1].astype(np.int64), quantizedDimension=axis
            )
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def operator(
        self, name: str, inputs: Sequence[int], output: int, options_type: str = "", options: Any = None
    ) -> int:
        """Add an operator such as CONV_2D, and return its output."""
        self._operators.append(
            schema.OperatorT(
                opcodeIndex=self._codes.setdefault(name, len(self._codes)),
                inputs=list(inputs),
                outputs=[output],
                builtinOptionsType=getattr(schema.BuiltinOptions, options_type) if options_type else 0,
                builtinOptions=options,
            )
        )
        return output

    def pack(self, input_tensor: int, output_tensor: int) -> bytes:
        """Return the file."""
        self._tensors[input_tensor].name, self._tensors[output_tensor].name = "image", "probabilities"
        graph = schema.SubGraphT(
            tensors=self._tensors,
            inputs=[input_tensor],
            outputs=[output_tensor],
            operators=self._operators,
            name="main",
        )
        signature = schema.SignatureDefT(
            inputs=[schema.TensorMapT(name="image", tensorIndex=input_tensor)],
            outputs=[schema.TensorMapT(name="probabilities", tensorIndex=output_tensor)],
            signatureKey="serving_default",
        )
        model = schema.ModelT(
            version=3,
            operatorCodes=[self._code(name) for name in self._codes],
            subgraphs=[graph],
            description="mnas skeleton: random weights, for measuring",
            buffers=self._buffers,
            signatureDefs=[signature],
        )
        size = sum(buffer.data.size for buffer in self._buffers[1:])
        builder = flatbuffers.Builder(size + (1 << 16))  # large enough: growing it copies everything
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _code(self, name: str) -> Any:
        code = getattr(schema.BuiltinOperator, name)
        version = _INT8_VERSIONS.get(name, 1) if self.dtype == "int8" else 1
        return schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version)
