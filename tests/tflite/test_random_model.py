"""The file written directly against the file that Keras and the converter give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from mnas.arch.codec import parse_stages
from mnas.arch.spec import Architecture
from mnas.tflite.random_model import write_random_model

pytestmark = pytest.mark.tensorflow

# Every op, every skip with and without effect, squeeze-and-excitation, both strides, odd sizes.
STAGES = parse_stages(
    "cn_r2_k3_s1_c8_se0.25_skip|ds_r2_k5_s2_c12_pool|ir_r2_k3_s1_e3_c12_se0.25|"
    "er_r1_k3_s1_e2_c12_se0.25|uir_r1_a5_k3_s1_e3_c12|uir_r1_a3_k0_s1_e2_c12|uir_r1_a0_k0_s1_e4_c12|"
    "ir_r1_k5_s2_e6_c16_noskip|"
    "ir_r2_k3_s2_e3_c16_pool|id_r2_k1_s2_c18|cn_r1_k5_s2_c20_pool"
)
_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_OPTIONS = ("padding", "strideW", "strideH", "fusedActivationFunction", "filterWidth", "keepDims", "depthMultiplier")


def architecture(activation: str, **fields: Any) -> Architecture:
    sizes = {"stem_filters": 8, "head_filters": 24, "resolution": 21, "num_classes": 7, **fields}
    return Architecture(STAGES, activation=activation, **sizes)


def operators(data: bytes) -> list[tuple[Any, ...]]:
    """Every operator: name, version-free options, shapes and types of its activations and weights, in order."""
    model = schema.ModelT.InitFromPackedBuf(data)
    graph = model.subgraphs[0]

    def describe(index: int) -> tuple[Any, ...]:
        tensor = graph.tensors[index]
        shape = () if tensor.shape is None else tuple(int(side) for side in tensor.shape)
        return shape, tensor.type

    found = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        name = _NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
        options = {key: getattr(operator.builtinOptions, key, None) for key in _OPTIONS}
        # Multiplication commutes, and the converter writes the gate on either side.
        inputs = [describe(index) for index in operator.inputs]
        if name == "FULLY_CONNECTED":  # its bias may be (n,) or (1, n)
            inputs[2] = (inputs[2][0][-1:], inputs[2][1])
        found.append(
            (name, options, sorted(inputs) if name == "MUL" else inputs, [describe(i) for i in operator.outputs])
        )
    return found


def converted(network: Architecture, dtype: str) -> bytes:
    from mnas.export.convert import quantizer, to_tflite
    from mnas.nn.build import build_model

    model = build_model(network, probabilities=True)
    rng = np.random.default_rng(0)
    for layer in model.layers:  # as after training: the converter leaves out biases that are all zero
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(rng.normal(size=layer.bias.shape))
        if getattr(layer, "beta", None) is not None:
            layer.beta.assign(rng.normal(size=layer.beta.shape))
    size = network.resolution
    images = rng.uniform(-1, 1, (8, size, size, 3)).astype(np.float32)
    return to_tflite(model, quantizer(dtype, calibration=images))


@pytest.mark.parametrize(
    ("activation", "dtype"),
    [("relu", "float32"), ("relu6", "float32"), ("swish", "float32"), ("hswish", "float32"), ("relu", "int8")],
)
def test_same_operators_as_the_converter(activation: str, dtype: str) -> None:
    network = architecture(activation)
    written, expected = operators(write_random_model(network, dtype=dtype)), operators(converted(network, dtype))
    assert [operator[0] for operator in written] == [operator[0] for operator in expected]
    for mine, theirs in zip(written, expected, strict=True):
        assert mine == theirs


# Squeeze-and-excitation with a hard sigmoid, activations by block, a convolution after pooling.
NEWER = parse_stages(
    "ds_r1_k3_s2_c8_hse0.25_nre|ir_r2_k9_s1_e3_c12_hse0.25|er_r1_k3_s1_e2_c12_nsw|uir_r1_a3_k0_s1_e2_c12"
)


@pytest.mark.parametrize(("activation", "norm", "dtype"), [
    ("hswish", False, "float32"), ("hswish", False, "int8"), ("relu", True, "float32"), ("relu", True, "int8"),
])  # fmt: skip
def test_mobilenet_v3_and_v4_have_the_same_operators_as_the_converters(activation: str, norm: bool, dtype: str) -> None:
    sizes = {"stem_filters": 8, "head_filters": 24, "resolution": 21, "num_classes": 7}
    network = Architecture(NEWER, activation=activation, pooled_filters=16, pooled_norm=norm, **sizes)
    written, expected = operators(write_random_model(network, dtype=dtype)), operators(converted(network, dtype))
    assert [operator[0] for operator in written] == [operator[0] for operator in expected]
    for mine, theirs in zip(written, expected, strict=True):
        assert mine == theirs
