"""Measuring one `.tflite` file."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace

from mnas.arch.resize import resize
from mnas.arch.zoo import ZOO
from mnas.devices.base import Details, Device
from mnas.devices.benchmark_log import last_lines
from mnas.devices.local import LocalDevice, Runtime
from mnas.errors import MnasError
from mnas.profiling.measure import NetworkTime, Reference, measure_networks
from mnas.system.child import run_module
from mnas.tflite.random_model import write_random_model

# The yardsticks for how disturbed a device is. The light one is small enough to be back in the caches after three runs;
# the heavy one's 9 MB of weights come from the memory that a device's cores share, at few multiply-adds.
LIGHT = replace(resize(ZOO["mnasnet-small"], width=0.5), head_filters=64, resolution=64, num_classes=10)
HEAVY = replace(ZOO["mnasnet-a1"], head_filters=320, resolution=32, num_classes=10)


def open_reference(device: Device, *, known_ms: float = 0.0) -> Reference:
    """The reference networks, ready on a device; `known_ms` is the light one's quiet latency where that is known."""
    heavy = None if device.pace.start_ms else write_random_model(HEAVY)
    return Reference(device, write_random_model(LIGHT), heavy, known_ms=known_ms)


def bench(
    data: bytes, device: Device, *, quiet_bursts: int = 20, seconds: float = 10.0, reference_ms: float = 0.0
) -> NetworkTime:
    """The first part of `bench_with_details`, from the same arguments."""
    return bench_with_details(
        data, device, quiet_bursts=quiet_bursts, seconds=seconds, reference_ms=reference_ms, details=False
    )[0]


def bench_with_details(
    data: bytes,
    device: Device,
    *,
    quiet_bursts: int = 20,
    seconds: float = 10.0,
    reference_ms: float = 0.0,
    details: bool = True,
) -> tuple[NetworkTime, Details]:
    """Measure one network until it has enough undisturbed bursts, or the time is over.

    Args:
        data: its `.tflite` file.
        device: where.
        quiet_bursts: how many are enough.
        seconds: at most about this long.
        reference_ms: the reference network's quiet latency on this device, from a table; 0 if it is not known.
        details: whether to ask the device for what else it can tell, in runs of their own.

    Raises:
        MnasError: if the device cannot run it.
    """
    with device.measuring():
        model = device.load(data)
        reference = open_reference(device, known_ms=reference_ms)
        try:
            times = measure_networks([model], reference, seconds=seconds, quiet_bursts=[quiet_bursts], seed=0)
            return times[0], model.details() if details else Details()
        finally:
            reference.close()
            model.close()


@dataclass(frozen=True, slots=True)
class Apart:
    """What was measured: on the quiet device, and the median as it was, in ms."""

    quiet_ms: float
    median_ms: float


def bench_isolated(content: bytes, runtime: Runtime, *, seconds: float = 10.0, reference_ms: float = 0.0) -> Apart:
    """Measure a `.tflite` file as `mnas.profiling.bench.bench` does, in another process.

    Args:
        content: of the file.
        runtime: what it runs with.
        seconds: at most about this long.
        reference_ms: the reference network's quiet latency, from a table; 0 if it is not known.

    Raises:
        MnasError: if it cannot be measured.
    """
    options = [runtime.name, runtime.threads, runtime.delegate, seconds, reference_ms]
    done = run_module("mnas.profiling.bench", json.dumps(options), content=content)
    if done.returncode:
        raise MnasError(f"the file could not be measured: {last_lines(done.stderr.decode('utf-8', 'replace'))}")
    return Apart(*json.loads(done.stdout))


def main() -> None:
    """The other process: a file on stdin, two numbers on stdout."""
    name, threads, delegate, seconds, reference_ms = json.loads(sys.argv[1])
    device = LocalDevice(Runtime(name, threads=threads, delegate=delegate))
    found = bench(sys.stdin.buffer.read(), device, seconds=seconds, reference_ms=reference_ms)
    print(json.dumps([found.quiet_ms, found.median_ms]))
