"""Writing TFLite's flatbuffer: tensors, constants, operators. Knows the file format, not what a network is.

The schema is the one that the LiteRT wheel ships; TensorFlow is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from mnas.errors import InputError

DTYPES = ("float32", "int8")
_SCALE, _ZERO_POINT = 0.05, -3  # of int8 values between operators: plausible, and no network is run for its answers
_PROBABILITY = (1 / 256, -128)  # what TFLite prescribes behind LOGISTIC and SOFTMAX in int8
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


class GraphWriter:
    """Collects one subgraph and packs it.

    Args:
        dtype: `float32`, or `int8` for full-integer quantisation with float32 at both ends.
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
        """A tensor that some operator fills; returns its index. A `probability` has the scale TFLite prescribes."""
        dtype = dtype or self.dtype
        if probability:
            scale, zero_point = _PROBABILITY
        quantised = (np.array([scale]), np.array([zero_point])) if dtype == "int8" else None
        return self._tensor(shape, dtype, 0, quantised)

    def scale_of(self, tensor: int) -> tuple[float, int]:
        """An int8 tensor's scale and zero point."""
        quantisation = self._tensors[tensor].quantization
        return float(quantisation.scale[0]), int(quantisation.zeroPoint[0])

    def weights(self, shape: Sequence[int], fan_in: int, *, channel_axis: int, of: int) -> tuple[int, int]:
        """Random weights (He et al. 2015) and a bias for the filters along `channel_axis`, to act on tensor `of`.

        In a large tensor the same numbers come again and again: latency does not depend on them.
        """
        filters = shape[channel_axis]
        if self.dtype == "float32":
            weights = np.resize(self._normal * np.float32(np.sqrt(2 / fan_in)), shape)
            bias = np.resize(self._normal * np.float32(0.1), filters)
            return self.constant(weights), self.constant(bias)
        integers = np.resize(self._integers, shape)
        scale = np.full(filters, np.sqrt(2 / fan_in) / 73.3)  # 73.3 is the deviation of those integers
        zeros = np.zeros(filters, dtype=np.int64)
        biases = np.resize(self._integers.astype(np.int32) * 4, filters)
        return (
            self.constant(integers, (scale, zeros), axis=channel_axis),
            self.constant(biases, (scale * self.scale_of(of)[0], zeros)),
        )

    def constant(
        self,
        data: npt.NDArray[Any],
        quantised: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
        *,
        axis: int = 0,
    ) -> int:
        """A tensor with contents; returns its index."""
        raw = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        self._buffers.append(schema.BufferT(data=raw))
        return self._tensor(data.shape, data.dtype.name, len(self._buffers) - 1, quantised, axis)

    def _tensor(
        self,
        shape: Sequence[int],
        dtype: str,
        buffer: int,
        quantised: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None,
        axis: int = 0,
    ) -> int:
        tensor = schema.TensorT(
            shape=list(shape),
            type=getattr(schema.TensorType, dtype.upper()),
            buffer=buffer,
        )
        if quantised is not None:
            tensor.quantization = schema.QuantizationParametersT(
                scale=quantised[0].astype(np.float32), zeroPoint=quantised[1].astype(np.int64), quantizedDimension=axis
            )
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def operator(
        self, name: str, inputs: Sequence[int], output: int, options_type: str = "", options: Any = None
    ) -> int:
        """Add an operator such as CONV_2D; returns its output."""
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
        """The finished file."""
        codes = [self._code(name) for name in self._codes]
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
            operatorCodes=codes,
            subgraphs=[graph],
            description="mnas skeleton: random weights, for measuring",
            buffers=self._buffers,
            signatureDefs=[signature],
        )
        size = sum(buffer.data.size for buffer in self._buffers[1:])
        builder = flatbuffers.Builder(size + (1 << 16))  # growing it would copy
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _code(self, name: str) -> Any:
        code = getattr(schema.BuiltinOperator, name)
        version = _INT8_VERSIONS.get(name, 1) if self.dtype == "int8" else 1
        return schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version)
