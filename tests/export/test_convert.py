"""Conversion: quiet, with batch 1, and clear when it fails."""

import os
import subprocess
import sys

import pytest

from mnas.errors import MnasError
from mnas.export.convert import to_tflite
from mnas.system.native_output import quiet
from mnas.tflite.runner import TFLiteRunner

pytestmark = pytest.mark.tensorflow


def test_conversion_prints_nothing_and_fixes_the_batch(tiny_model, capfd):
    content = to_tflite(tiny_model)
    assert capfd.readouterr() == ("", "")
    runner = TFLiteRunner(content)
    assert list(runner.input["shape"]) == [1, 12, 12, 3]
    assert list(runner.input["shape_signature"]) == [1, 12, 12, 3]
    assert list(runner.output["shape"]) == [1, 3]


def test_a_failing_conversion_says_why(tiny_model):
    def spoil(converter):
        raise RuntimeError("noise\nthe reason")

    with pytest.raises(MnasError, match="the TFLite converter failed: the reason"):
        to_tflite(tiny_model, spoil)


def test_quiet_keeps_native_output_and_gives_the_descriptors_back(capfd, monkeypatch):
    monkeypatch.delenv("MNAS_DEBUG", raising=False)
    with quiet() as printed:
        os.write(1, b"one ")
        os.write(2, b"two")
        assert printed() == "one two"
    with pytest.raises(KeyError), quiet():
        raise KeyError
    os.write(1, b"seen")
    assert capfd.readouterr().out == "seen"


def test_debug_lets_everything_through(capfd, monkeypatch):
    monkeypatch.setenv("MNAS_DEBUG", "1")
    with quiet():
        os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"


def test_loading_tensorflow_prints_nothing():
    code = "from mnas.system.native_output import load_tensorflow; load_tensorflow()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("given", [None, "0"])
def test_child_processes_choose_their_own_operators(given, monkeypatch):
    """Full trainings use oneDNN; the workers of a library, which they start, must not inherit that."""
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if given is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given)
    code = "import os; from mnas.system.native_output import load_tensorflow; load_tensorflow(onednn=True); "
    code += "print(os.environ.get('TF_ENABLE_ONEDNN_OPTS'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(given)
