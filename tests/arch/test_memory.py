"""What networks take up, against files and the interpreter that runs them, and which networks cannot be."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import interpreter as litert

from mnas.arch import memory
from mnas.arch.codec import parse_stages
from mnas.arch.complexity import complexity
from mnas.arch.memory import check_fits, check_strides, footprint
from mnas.arch.spec import Architecture
from mnas.arch.zoo import zoo
from mnas.errors import InputError
from mnas.space.files import load_space
from mnas.tflite.random_model import write_random_model

NETWORKS = {
    **{name: zoo(name) for name in ("mobilenet-v2", "mnasnet-a1", "efficientnet-b0")},
    **{f"sample {seed}": load_space("mnasnet-32").sample(np.random.default_rng(seed)) for seed in range(6)},
}

# Resident memory that grows by loading and running a file, once the runtime itself has been loaded and used.
RESIDENT = """
import sys
from ai_edge_litert.interpreter import Interpreter
def run(path):
    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.invoke()
    return interpreter
def resident():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmRSS"))
kept = [run(sys.argv[1])]
before = resident()
kept.append(run(sys.argv[2]))
print((resident() - before) * 1024)
"""


def planned_bytes(data: bytes) -> int:
    """How far the memory planner's area reaches: the interpreter shows where each value lies."""
    resolver = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = litert.Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    values = {int(index) for operator in interpreter._get_ops_details() for index in operator["outputs"]}
    values.add(interpreter.get_input_details()[0]["index"])
    arrays = [interpreter.tensor(index)() for index in values]
    places = [(array.__array_interface__["data"][0], array.nbytes) for array in arrays]
    return max(at + size for at, size in places) - min(at for at, _ in places)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_against_the_file_and_the_memory_planner(name: str, dtype: str) -> None:
    data = write_random_model(NETWORKS[name], dtype=dtype)
    taken = footprint(NETWORKS[name], dtype=dtype)
    assert taken.file_bytes == pytest.approx(len(data), rel=0.01)
    planned = planned_bytes(data)
    assert 0.92 * planned <= taken.activation_bytes <= planned  # it may leave gaps, but cannot do with less


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize(
    ("name", "dtype"), [("mnasnet-a1", "float32"), ("efficientnet-b0", "float32"), ("efficientnet-b0", "int8")]
)
def test_against_resident_memory(name: str, dtype: str, tmp_path: Path) -> None:
    small, large = tmp_path / "small.tflite", tmp_path / "large.tflite"
    small.write_bytes(write_random_model(NETWORKS["sample 0"], dtype=dtype))
    large.write_bytes(write_random_model(NETWORKS[name], dtype=dtype))
    command = [sys.executable, "-c", RESIDENT, str(small), str(large)]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert footprint(NETWORKS[name], dtype=dtype).memory_bytes == pytest.approx(grown, rel=0.15)


def test_without_a_packed_copy() -> None:
    network = NETWORKS["mobilenet-v2"]
    packed, plain = footprint(network), footprint(network, delegate="none")
    assert packed.memory_bytes - plain.memory_bytes == packed.weight_bytes
    with pytest.raises(InputError, match="float16"):
        footprint(network, dtype="float16")


def test_a_skip_connection_keeps_its_input_alive() -> None:
    def activations(skip: str) -> int:
        stages = parse_stages(f"ir_r1_k3_s1_e3_c32_{skip}")
        network = Architecture(stages, stem_filters=32, head_filters=0, resolution=32, num_classes=2, stem_stride=1)
        return footprint(network).activation_bytes

    assert activations("skip") - activations("noskip") == 32 * 32 * 32 * 4


def test_memory_by_hand() -> None:
    tiny = Architecture(parse_stages("ds_r1_k3_s1_c8"), stem_filters=8, head_filters=0, resolution=16, num_classes=4)
    found = footprint(tiny)
    # Weights and biases of stem, depthwise and pointwise convolution and classifier; batch norms are folded into them.
    assert found.weight_bytes == 4 * (8 * 28 + 8 * 10 + 8 * 9 + 4 * 9)
    assert found.weight_bytes < 4 * complexity(tiny).params
    # The image stays; the stem leaves 8x8x8, which the skip keeps, and two more of those are made beside it.
    assert found.activation_bytes == 4 * (3 * 16 * 16 + 3 * 8 * 8 * 8)
    assert found.memory_bytes == found.file_bytes + found.activation_bytes + found.weight_bytes


def test_published_networks_fit() -> None:
    check_fits(zoo("efficientnet-b7"), available=2**33)


def test_a_network_beyond_memory_says_how_much_it_would_take() -> None:
    with pytest.raises(InputError, match=r"would take [\d.]+ MiB of memory .* this machine has 10.0 MiB"):
        check_fits(zoo("mnasnet-a1"), available=10 * 2**20)


def test_a_network_beyond_any_file_says_so() -> None:
    wide = replace(zoo("mnasnet-a1"), head_filters=65536, num_classes=50_000)
    with pytest.raises(InputError, match=r"a file of 12.\d GiB .* at most 2.0 GiB"):
        check_fits(wide)


@pytest.mark.parametrize(("size", "fits"), [(17, True), (16, False), (4, False)])
def test_strides_that_leave_nothing(size: int, fits: bool) -> None:
    network = replace(zoo("mnasnet-a1"), resolution=size)
    if fits:
        check_strides(network)
    else:
        with pytest.raises(InputError, match=rf"{size} px.*divides its image by 32, so it needs at least 17 px"):
            check_strides(network)


def test_the_limit_of_a_container_counts(monkeypatch, tmp_path):
    machine = memory.physical_memory()
    for text, expected in (("max", machine), ("1048576", 2**20), (str(2**62), machine)):
        (tmp_path / "memory.max").write_text(text + "\n")
        monkeypatch.setattr(memory, "CONTAINER_LIMITS", (tmp_path / "memory.max", tmp_path / "none"))
        assert memory.physical_memory() == expected
