"""Which reference network a device is watched with, by the name that tables and logs keep.

CPUs run any file, and have the float32 network of all tables so far. An accelerator may run int8 only, or may lack the
operators of squeeze-and-excitation: behind a phone's runtime, the network has the dtype of the measured files, and only
operators that these have. Latencies of different reference networks must not be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ai_edge_litert import schema_py_generated as schema

from mnas.arch.spec import Architecture
from mnas.arch.walk import layers
from mnas.devices.base import Device
from mnas.latency.table import FLOAT_REFERENCE
from mnas.space.space import SearchSpace
from mnas.tflite.flatbuffer import read_model
from mnas.tflite.operators import read_operators
from mnas.tflite.random_model import write_random_model

_PLAIN = "-plain"  # without squeeze-and-excitation


def reference_for_space(device: Device, space: SearchSpace, dtype: str) -> str:
    """Return the name of the reference network to profile a space with."""
    if device.runs_any_file:
        return FLOAT_REFERENCE
    excites = any(layer.kind == "multiply" for placed in space.placed_blocks() for layer in layers(placed))
    return dtype + ("" if excites else _PLAIN)


def reference_for_files(device: Device, files: Sequence[bytes]) -> str:
    """Return the name of the reference network to measure `.tflite` files with.

    Raises:
        MnasError: if one is not a TFLite file.
    """
    if device.runs_any_file:
        return FLOAT_REFERENCE
    dtype = "int8" if any(map(_is_int8, files)) else "float32"
    excites = all("MUL" in read_operators(content) for content in files)
    return dtype + ("" if excites else _PLAIN)


def write_reference(light: Architecture, name: str) -> bytes:
    """Return the `.tflite` file of a reference network by its name."""
    if name.endswith(_PLAIN):
        stages = [replace(stage, block=replace(stage.block, se_ratio=0)) for stage in light.stages]
        light = replace(light, stages=tuple(stages))
    return write_random_model(light, dtype=name.removesuffix(_PLAIN))


def _is_int8(content: bytes) -> bool:
    """Whether convolutions take int8, rather than have int8 weights alone."""
    model = read_model(content)
    return any(
        graph.tensors[operator.inputs[0]].type == schema.TensorType.INT8
        for graph in model.subgraphs
        for operator in graph.operators
        if len(operator.inputs) > 1
    )
