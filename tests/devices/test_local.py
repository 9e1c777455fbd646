"""This machine's interpreter, for real."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from mnas.devices.local import LocalDevice, Runtime, last_cpus
from mnas.devices.registry import open_device
from mnas.errors import InputError, MnasError
from mnas.profiling.skeleton import write_skeleton
from mnas.space import load_space

DATA = write_skeleton(load_space("mnasnet-16").sample(np.random.default_rng(0)))


@pytest.mark.parametrize("delegate", ["xnnpack", "none"])
def test_runs_are_timed(delegate: str) -> None:
    device = open_device("local", delegate=delegate)
    with device.measuring():
        model = device.load(DATA)
        times = model.run_times_ms(5)
        model.close()
    assert times.shape == (5,)
    assert (times > 0).all()


def test_a_configuration_says_where_and_how() -> None:
    configuration = open_device("local", threads=1, delegate="none").configuration("int8")
    assert (configuration.device, configuration.runtime, configuration.delegate) == ("local", "litert", "none")
    assert (configuration.dtype, configuration.threads) == ("int8", 1)
    assert configuration.runtime_version[0].isdigit()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not pin")
def test_pinned_only_while_measuring() -> None:
    before = os.sched_getaffinity(0)
    device = LocalDevice(Runtime())
    with device.measuring():
        assert len(os.sched_getaffinity(0)) == 1
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()  # born pinned, as a library's worker would be
    assert os.sched_getaffinity(0) == before
    assert os.sched_getaffinity(thread.native_id or 0) == before
    stop.set()
    thread.join()
    with pytest.raises(InputError, match="CPUs"):
        last_cpus(1000)


def test_a_broken_file_is_said() -> None:
    with pytest.raises(MnasError, match="litert cannot load"):
        open_device("local").load(DATA[:200])


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("adb", {}, "--benchmark-binary"),
        ("adb:", {}, "expected local"),
        ("ssh:", {}, "expected local"),
        ("local", {"benchmark_binary": Path("x")}, "is for phones"),
        ("toaster", {}, "expected local"),
        ("local:1", {}, "expected local"),
        ("local", {"runtime": "onnx"}, "litert, tflite-runtime"),
        ("local", {"delegate": "gpu"}, "xnnpack, none"),
        ("local", {"threads": 0}, "--threads"),
    ],
)
def test_what_cannot_be_is_refused(spec: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_device(spec, **options)  # type: ignore[arg-type]


def test_a_runtime_that_is_not_there_says_how_to_install_it() -> None:
    try:
        import tflite_runtime  # noqa: F401
    except ImportError:
        with pytest.raises(MnasError, match=r"mnas\[tflite-runtime\]"):
            open_device("local", runtime="tflite-runtime")
