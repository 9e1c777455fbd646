"""The finished file on a device, beside this machine. Needs no TensorFlow: the files are written directly."""

import os
from dataclasses import replace

import numpy as np
import pytest

from mnas.devices.base import Device, LoadedModel
from mnas.devices.local import LocalDevice, Runtime
from mnas.devices.registry import open_device
from mnas.errors import MnasError
from mnas.export.on_device import check_on_device
from mnas.tflite.random_model import write_random_model
from tests.conftest import TINY

IMAGES = np.random.default_rng(0).uniform(-1, 1, (4, 12, 12, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr("mnas.export.on_device.SECONDS", 0.05)


class Elsewhere(Device):
    """This machine, whose outputs are changed on the way."""

    def __init__(self, change):
        self.inner, self.change = LocalDevice(Runtime()), change

    def configuration(self, dtype):
        return replace(self.inner.configuration(dtype), device="ssh", model="Board 1")

    def load(self, data):
        model, change = self.inner.load(data), self.change

        class Changed(LoadedModel):
            def run_times_ms(self, num_runs):
                return model.run_times_ms(num_runs)

            def infer(self, image):
                return change(model.infer(image))

            def close(self):
                model.close()

        return Changed()


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_faithful_device_agrees_and_is_measured(dtype):
    content = write_random_model(TINY, dtype=dtype)
    found = check_on_device(content, Elsewhere(lambda output: output), IMAGES, name="ssh:board", dtype=dtype)
    assert (found.images, found.agreement, found.max_difference) == (4, 1.0, 0.0)
    assert (found.device, found.model, found.runtime, found.threads) == ("ssh:board", "Board 1", "litert", 1)
    assert 0 < found.latency_ms < 1000


def _swapped(output):
    return np.frombuffer(output, np.float32)[::-1].tobytes()


@pytest.mark.parametrize(("change", "message"), [
    (lambda output: output[:-4], "ssh:board returns an output of another size"),
    (lambda output: b"", "another size"),
    (_swapped, r"on ssh:board the file gives other outputs than here: probabilities differ by up to"),
    (lambda output: np.full(3, np.nan, np.float32).tobytes(), "differ by up to inf"),
])  # fmt: skip
def test_a_device_that_computes_something_else_is_refused(change, message):
    content = write_random_model(TINY, seed=3)
    with pytest.raises(MnasError, match=message):
        check_on_device(content, Elsewhere(change), IMAGES, name="ssh:board", dtype="float32", trained=False)


def test_other_kernels_on_more_threads_give_the_same():
    device = open_device("local", delegate="none", threads=min(2, len(os.sched_getaffinity(0))))
    found = check_on_device(write_random_model(TINY), device, IMAGES, name="local", dtype="float32")
    assert (found.agreement, found.delegate) == (1.0, "none")
    assert found.max_difference < 1e-3


def test_a_device_that_gives_nothing_back_says_so():
    class Silent(Elsewhere):
        def load(self, data):
            model = super().load(data)
            model.infer = lambda image: LoadedModel.infer(model, image)
            return model

    with pytest.raises(MnasError, match="cannot return their outputs"):
        check_on_device(write_random_model(TINY), Silent(None), IMAGES, name="x", dtype="float32")
