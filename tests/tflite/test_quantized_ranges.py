"""Tensors that are always 0 on the calibration images."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as schema

from mnas.arch.codec import parse_stages
from mnas.arch.spec import Architecture
from mnas.tflite.quantized_ranges import widen_dead_ranges
from mnas.tflite.random_model import write_random_model

NETWORK = Architecture(
    parse_stages("ir_r1_k3_s2_e3_c16_se0.25"), stem_filters=8, head_filters=24, resolution=16, num_classes=4
)


def squeezed(data):
    """The first operator behind a MEAN (squeeze-and-excitation's first convolution) and the next, over a buffer."""
    graph = schema.Model.GetRootAs(data, 0).Subgraphs(0)
    operators = [graph.Operators(index) for index in range(graph.OperatorsLength())]
    first = next(o for o in operators if graph.Tensors(o.Outputs(0)).ShapeAsNumpy().tolist() == [1, 1, 1, 2])
    second = next(o for o in operators if o.Inputs(0) == first.Outputs(0))
    return graph, first, second


def scale_of(graph, tensor):
    return graph.Tensors(tensor).Quantization().ScaleAsNumpy()


@pytest.fixture
def dead():
    data = bytearray(write_random_model(NETWORK, dtype="int8"))
    graph, first, second = squeezed(data)
    scale_of(graph, first.Outputs(0))[0] = 8e-9
    bias = scale_of(graph, second.Inputs(2))
    bias[:] = np.float32(8e-9) * scale_of(graph, second.Inputs(1))
    return bytes(data)


def run(content):
    interpreter = litert.Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_xnnpack_refuses_a_range_of_nothing_and_takes_the_mended_file(dead):
    with pytest.raises((RuntimeError, ValueError)):
        run(dead)
    mended, changed = widen_dead_ranges(dead)
    assert changed == 1
    assert len(mended) == len(dead)
    assert np.isfinite(run(mended)).all()


def test_biases_behind_it_keep_their_values(dead):
    def biases(content):
        graph, _, second = squeezed(bytearray(content))
        model = schema.Model.GetRootAs(content, 0)
        values = model.Buffers(graph.Tensors(second.Inputs(2)).Buffer()).DataAsNumpy().view(np.int32)
        return values * scale_of(graph, second.Inputs(2)), scale_of(graph, second.Inputs(2)).max()

    before, _ = biases(dead)
    after, step = biases(widen_dead_ranges(dead)[0])
    assert np.abs(after - before).max() <= step


def test_a_healthy_file_is_left_alone():
    content = write_random_model(NETWORK, dtype="int8")
    assert widen_dead_ranges(content) == (content, 0)
