"""Run the file on a device, compare its outputs with those of this machine's interpreter, and measure its latency."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnas.devices.base import Device, LoadedModel
from mnas.devices.local import LocalDevice
from mnas.devices.registry import open_device
from mnas.errors import InputError, MnasError
from mnas.export.verify import Tolerance, check_tolerance, compare_outputs
from mnas.profiling.bench import bench, bench_isolated
from mnas.profiling.measure import NetworkTime
from mnas.profiling.prediction import Prediction, check_same, predict
from mnas.tflite.runner import Floats, TFLiteRunner

if TYPE_CHECKING:
    import numpy.typing as npt

    from mnas.arch.spec import Architecture

IMAGES = 16  # a phone starts a new process for each
SECONDS = 5.0  # of measuring
_EXACT = Tolerance(1e-3, 0.999, 0.001)  # float32 with the kernels of XNNPACK or TFLite, on any CPU
_ROUNDED = Tolerance(0.1, 0.9, 0.01)  # integers, whose rounding differs between kernels, and GPUs' half precision
_IN_FLOATS = ("xnnpack", "none")  # delegates that compute float32 in float32


@dataclass(frozen=True, slots=True)
class DeviceCheck:
    """Outputs and latency of the file on a device.

    Attributes:
        device: name of the device as it was passed, e.g. `adb:SERIAL`.
        model: model name that the device reports, or its CPU.
        runtime, delegate, threads: what ran the file there.
        images: number of images that the device and this machine both classified.
        agreement: share of images on which both give the same class.
        max_difference, mean_difference: between two probabilities.
        latency_ms: latency on the quiet device; `median_ms` is the median of all runs.
    """

    device: str
    model: str
    runtime: str
    delegate: str
    threads: int
    images: int
    agreement: float
    max_difference: float
    mean_difference: float
    latency_ms: float
    median_ms: float


def check_on_device(
    content: bytes, device: Device, images: Floats, *, name: str, dtype: str, trained: bool = True
) -> DeviceCheck:
    """Run the file here and on a device on the same images, compare the outputs, and measure the latency there.

    Args:
        content: the TFLite file.
        device: the other device.
        images: (count, size, size, 3) in [-1, 1].
        name: name of the device, for messages.
        dtype: data type of the file, which decides the tolerance.
        trained: False for random weights: then agreement is not checked.

    Raises:
        MnasError: if the outputs differ by more than the tolerance, or the device cannot run the file or is lost.
    """
    here = TFLiteRunner(content)
    with device.measuring():
        model = device.load(content)
        try:
            there = np.stack([_infer(model, here, image, name) for image in images])
        finally:
            model.close()
    found = compare_outputs(here(images), there)
    configuration = device.configuration(dtype)
    exact = dtype == "float32" and configuration.delegate in _IN_FLOATS
    check_tolerance(
        found,
        _EXACT if exact else _ROUNDED,
        trained=trained,
        what=f"on {name} the file gives other outputs than here",
    )
    time = _measure(content, device)
    return DeviceCheck(
        device=name,
        model=configuration.model or configuration.cpu,
        runtime=configuration.runtime,
        delegate=configuration.delegate,
        threads=configuration.threads,
        images=found.images,
        agreement=found.agreement,
        max_difference=found.max_difference,
        mean_difference=found.mean_difference,
        latency_ms=time.quiet_ms,
        median_ms=time.median_ms,
    )


def _measure(content: bytes, device: Device) -> NetworkTime:
    if isinstance(device, LocalDevice):  # this process has TensorFlow in it, whose threads would be measured too
        return bench_isolated(content, device.runtime, cores=device.cores, seconds=SECONDS)
    return bench(content, device, seconds=SECONDS)


def _infer(model: LoadedModel, here: TFLiteRunner, image: Any, name: str) -> Floats:
    try:
        return here.read(model.infer(here.taken(image)))
    except ValueError:
        raise MnasError(
            f"{name} returns an output of another size than this file has: did it run another file?"
        ) from None


@dataclass
class Verifier:
    """An opened device, and the latency that a table predicts for it.

    Attributes:
        name: name of the device as it was passed.
        device: the device.
        prediction: prediction of the table; None without a table.
    """

    name: str
    device: Device
    prediction: Prediction | None = None

    def check(self, content: bytes, images: npt.NDArray[np.float32], *, dtype: str, trained: bool) -> DeviceCheck:
        """Run `check_on_device` on the first `IMAGES` images."""
        return check_on_device(content, self.device, images[:IMAGES], name=self.name, dtype=dtype, trained=trained)


def open_verifier(
    name: str | None, how: dict[str, Any], table: Path | None, architecture: Architecture, *, dtype: str, out: Path
) -> Verifier | None:
    """Open the device that --verify-on names, before any long work; None without it.

    Args:
        name: the device, as in --verify-on.
        how: the other arguments of `mnas.devices.registry.open_device`.
        table: latency table of that device.
        architecture: the network to export.
        dtype: data type of the file.
        out: the file to write.

    Raises:
        InputError: for options that cannot be combined, or a table of another device or dtype.
        MnasError: if the device cannot be reached.
    """
    if name is None:
        options = {"--table": table, "--benchmark-binary": how["benchmark_binary"], "--wait": how["wait_minutes"]}
        if given := [option for option, value in options.items() if value]:
            raise InputError(f"{' and '.join(given)} need --verify-on DEVICE: add it, e.g. --verify-on adb")
        return None
    prediction = None
    if table is not None:
        prediction = predict(architecture, table, dtype=dtype, file=out)
    device = open_device(name, **how)
    if prediction is not None:
        check_same(prediction.configuration, device.configuration(dtype))
    return Verifier(name, device, prediction)
