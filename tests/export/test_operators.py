"""Which operators a file holds, against which the network calls for."""

from dataclasses import replace

import pytest

from mnas.arch import ZOO
from mnas.errors import MnasError
from mnas.export.convert import to_tflite
from mnas.export.operators import check_operators, expected_operators, read_operators
from tests.export.conftest import TINY


def test_expected_operators_are_counted_over_the_walk():
    found = expected_operators(ZOO["mobilenet-v2"])
    assert found == {"CONV_2D": 35, "DEPTHWISE_CONV_2D": 17, "ADD": 10, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}


@pytest.mark.tensorflow
def test_a_float32_file_holds_exactly_what_the_network_calls_for(tiny_model):
    found = check_operators(to_tflite(tiny_model), TINY, "float32")
    assert found == expected_operators(TINY)
    assert {"HARD_SWISH", "AVERAGE_POOL_2D", "MUL"} <= set(found)


@pytest.mark.tensorflow
def test_operators_that_the_network_does_not_call_for_are_refused(tiny_model):
    content = to_tflite(tiny_model)
    with pytest.raises(MnasError, match="does not call for: HARD_SWISH"):
        check_operators(content, replace(TINY, activation="relu"), "float32")


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
