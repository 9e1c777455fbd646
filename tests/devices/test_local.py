"""This machine's interpreter, for real."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from mnas.arch.codec import architecture_to_json
from mnas.devices.local import LocalDevice, Runtime, last_cpus
from mnas.devices.registry import open_device
from mnas.errors import InputError, MnasError
from mnas.space import load_space
from mnas.tflite.random_model import write_random_model
from mnas.tflite.runner import TFLiteRunner

NETWORK = load_space("mnasnet-16").sample(np.random.default_rng(0))
DATA = write_random_model(NETWORK)


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


# In an interpreter that has it: what a file takes there, and what it computes.
_WITH_TFLITE_RUNTIME = """
import json, sys
import numpy as np
from mnas.arch.codec import architecture_from_json
from mnas.devices.registry import open_device
from mnas.export.verify import TFLiteRunner
from mnas.tflite.random_model import write_random_model

network, dtype, delegate, image = json.loads(sys.stdin.read())
data = write_random_model(architecture_from_json(network), dtype=dtype)
device = open_device("local", runtime="tflite-runtime", delegate=delegate)
with device.measuring():
    model = device.load(data)
    times_ms = model.warm_run_times_ms(5, warm_up=1).tolist()
    output = model.infer(np.array(image, np.float32))
where = device.configuration(dtype)
print(json.dumps([times_ms, list(output), where.runtime, where.runtime_version, where.delegate]))
"""


def _with_tflite_runtime(*asked: object) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    python = Path(os.environ.get("MNAS_TFLITE_RUNTIME") or root / ".tflite-runtime") / "bin" / "python"
    if not python.is_file():
        pytest.skip(
            "no tflite-runtime: bash tools/environments/tflite_runtime.sh .tflite-runtime makes an environment with it"
        )
    return subprocess.run(
        [python, "-c", _WITH_TFLITE_RUNTIME],
        input=json.dumps([architecture_to_json(NETWORK), *asked]),
        capture_output=True,
        text=True,
        cwd=root,
        timeout=120,
    )


@pytest.mark.parametrize(("dtype", "delegate"), [("float32", "xnnpack"), ("float32", "none"), ("int8", "none")])
def test_tflite_runtime_runs_the_same_files(dtype: str, delegate: str) -> None:
    here = TFLiteRunner(write_random_model(NETWORK, dtype=dtype))
    size = NETWORK.resolution
    image = np.random.default_rng(0).uniform(-1, 1, (size, size, 3)).astype(np.float32)
    done = _with_tflite_runtime(dtype, delegate, here.taken(image).tolist())
    assert done.returncode == 0, done.stderr
    times_ms, output, *configuration = json.loads(done.stdout.splitlines()[-1])
    assert len(times_ms) == 5
    assert min(times_ms) > 0
    assert configuration == ["tflite-runtime", "2.14.0", delegate]
    # The last bit of an integer is each runtime's own business, layer by layer: as far apart as export lets devices be.
    there, expected = here.read(bytes(output)), here(image[None])[0]
    np.testing.assert_allclose(there, expected, atol=1e-5 if dtype == "float32" else 0.1)


def test_tflite_runtime_says_that_it_runs_int8_without_xnnpack() -> None:
    done = _with_tflite_runtime("int8", "xnnpack", [])
    assert done.returncode != 0
    assert "tflite-runtime: XNNPACK runs none of this network's operators here: use --delegate none" in done.stderr


def test_this_machine_is_pinned_to_the_cores_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    core = min(os.sched_getaffinity(0))
    device = open_device("local", cores=f" {core}-{core}")
    assert device.configuration("float32").affinity == f"{core}-{core}: {core}"
    with device.measuring():
        assert os.sched_getaffinity(0) == {core}
    with pytest.raises(InputError, match="for --threads 2: every thread needs a core"):
        open_device("local", cores=f"{core}-{core}", threads=2)
    monkeypatch.delattr(os, "sched_setaffinity")
    with pytest.raises(InputError, match="cannot pin programs to cores"):
        open_device("local", cores="1")
