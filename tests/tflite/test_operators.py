"""Which operators a file holds, against which the network calls for."""

from dataclasses import replace

import pytest

from mnas.arch import ZOO, parse_stages
from mnas.errors import MnasError
from mnas.export.convert import quantizer, to_tflite
from mnas.nn.build import build_model
from mnas.tflite.operators import check_integers, check_operators, expected_operators, read_operators
from mnas.tflite.random_model import write_random_model
from tests.conftest import TINY


def test_expected_operators_are_counted_over_the_walk():
    found = expected_operators(ZOO["mobilenet-v2"])
    assert found == {"CONV_2D": 35, "DEPTHWISE_CONV_2D": 17, "ADD": 10, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}


@pytest.mark.tensorflow
def test_a_float32_file_holds_exactly_what_the_network_calls_for(tiny_model):
    found = check_operators(to_tflite(tiny_model), TINY, "float32")
    assert found == expected_operators(TINY)
    assert {"HARD_SWISH", "AVERAGE_POOL_2D", "MUL"} <= set(found)


@pytest.mark.tensorflow
def test_reshapes_of_maps_of_one_pixel_are_the_converters():
    stages = parse_stages("ir_r1_k3_s2_e2_c8|ir_r3_k3_s2_e2_c8|ir_r1_k3_s1_e2_c16")
    small = replace(TINY, stages=stages, resolution=8, stem_stride=2)
    assert check_operators(to_tflite(build_model(small, probabilities=True)), small, "float32")["RESHAPE"]


@pytest.mark.tensorflow
def test_operators_that_the_network_does_not_call_for_are_refused(tiny_model):
    content = to_tflite(tiny_model)
    with pytest.raises(MnasError, match="does not need: HARD_SWISH"):
        check_operators(content, replace(TINY, activation="relu"), "float32")


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_one_operator_too_many_is_refused(dtype):
    """As a batch norm would leave that was not folded into its convolution."""
    assert check_operators(write_random_model(TINY, dtype=dtype), TINY, dtype)["ADD"] == 4
    fewer = replace(TINY, stages=parse_stages("ds_r1_k3_s1_c8|ir_r2_k3_s2_e2_c8_se0.5_pool|cn_r1_k3_s1_c8_noskip"))
    with pytest.raises(MnasError, match=r"does not need: ADD \(1\)$"):
        check_operators(write_random_model(TINY, dtype=dtype), fewer, dtype)


@pytest.mark.tensorflow
def test_transposes_are_refused():
    import tensorflow as tf

    traced = tf.function(lambda x: tf.transpose(x, (0, 3, 1, 2))).get_concrete_function(tf.TensorSpec((1, 4, 4, 3)))
    content = tf.lite.TFLiteConverter.from_concrete_functions([traced]).convert()
    with pytest.raises(MnasError, match="does not need: TRANSPOSE"):
        check_operators(content, TINY, "float32")


@pytest.mark.tensorflow
def test_an_int8_file_that_computes_in_floats_is_refused(tiny_model, tiny_images):
    configure = quantizer("int8", calibration=tiny_images[0][:16])
    check_integers(to_tflite(tiny_model, configure), "float32")
    with pytest.raises(MnasError, match="has 2 tensors that are not integers"):
        check_integers(to_tflite(tiny_model, configure), "int8")  # whose ends are floats
    with pytest.raises(MnasError, match="tensors that are not integers"):
        check_integers(to_tflite(tiny_model, quantizer("dynamic")), "float32")


@pytest.mark.tensorflow
def test_flex_operators_are_named():
    import tensorflow as tf

    spec = tf.TensorSpec((1, 12, 12))
    traced = tf.function(lambda x: tf.raw_ops.MatrixInverse(input=x)).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    with pytest.raises(MnasError, match="CUSTOM:FlexMatrixInverse"):
        check_operators(converter.convert(), TINY, "float32")


def test_something_else_is_no_tflite_file():
    with pytest.raises(MnasError, match="not a TFLite file"):
        read_operators(b"PK\x03\x04 something else")
