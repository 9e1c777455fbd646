"""Measuring `.tflite` files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace

from mnas.arch.resize import resize
from mnas.arch.zoo import ZOO
from mnas.checks import convert
from mnas.devices.base import Details, Device
from mnas.devices.benchmark_log import last_lines
from mnas.devices.local import LocalDevice, Runtime
from mnas.errors import MnasError
from mnas.profiling.measure import NetworkTime, Reference, measure_networks
from mnas.system.child import run_module
from mnas.tflite.random_model import write_random_model

# The reference networks, which show how disturbed a device is. The light one is small enough to be back in the caches
# after three runs. The heavy one's 9 MB of weights come from the memory that a device's cores share, at few
# multiply-adds.
LIGHT = replace(resize(ZOO["mnasnet-small"], width=0.5), head_filters=64, resolution=64, num_classes=10)
HEAVY = replace(ZOO["mnasnet-a1"], head_filters=320, resolution=32, num_classes=10)


def open_reference(device: Device, *, known_ms: float = 0.0) -> Reference:
    """Load the reference networks on a device; `known_ms` is the light one's quiet latency, 0 if it is not known."""
    heavy = None if device.pace.start_ms else write_random_model(HEAVY)
    return Reference(device, write_random_model(LIGHT), heavy, known_ms=known_ms)


def bench(
    data: bytes, device: Device, *, quiet_bursts: int = 20, seconds: float = 10.0, reference_ms: float = 0.0
) -> NetworkTime:
    """Measure a network as `bench_with_details` does, without the details."""
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
    """Measure a network until it has enough undisturbed bursts, or the time is over.

    Args:
        data: its `.tflite` file.
        device: where.
        quiet_bursts: the number of undisturbed bursts that is enough.
        seconds: the maximum time, approximately.
        reference_ms: the reference network's quiet latency on this device, from a table; 0 if it is not known.
        details: whether to ask the device for what else it can report, in separate runs.

    Raises:
        MnasError: if the device cannot run it.
    """
    with (
        device.measuring(),
        closing(device.load(data)) as model,
        closing(open_reference(device, known_ms=reference_ms)) as reference,
    ):
        (time,) = measure_networks([model], reference, seconds=seconds, quiet_bursts=[quiet_bursts], seed=0)
        return time, model.details() if details else Details()


def measure_files(
    device: Device,
    files: Sequence[bytes],
    *,
    seconds: float,
    quiet_bursts: Sequence[int],
    reference_ms: float = 0.0,
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> list[NetworkTime]:
    """Measure several `.tflite` files in interleaved bursts, so that a disturbance affects all of them.

    Args:
        device: where.
        files: the files.
        seconds: as for `bench_with_details`.
        quiet_bursts: the number that is enough, for each file.
        reference_ms: as for `bench_with_details`.
        seed: of the order of the bursts.
        progress: called after every burst.

    Raises:
        MnasError: if the device cannot run one of them.
    """
    with device.measuring(), ExitStack() as stack:
        reference = stack.enter_context(closing(open_reference(device, known_ms=reference_ms)))
        models = [stack.enter_context(closing(device.load(content))) for content in files]
        return measure_networks(
            models, reference, seconds=seconds, quiet_bursts=quiet_bursts, seed=seed, progress=progress
        )


def bench_isolated(
    content: bytes, runtime: Runtime, *, seconds: float = 10.0, reference_ms: float = 0.0
) -> NetworkTime:
    """Measure a `.tflite` file on this machine as `bench` does, in a separate process.

    Args:
        content: the file.
        runtime: what runs it.
        seconds: the maximum time, approximately.
        reference_ms: as for `bench_with_details`.

    Raises:
        MnasError: if it cannot be measured.
    """
    options = [runtime.name, runtime.threads, runtime.delegate, seconds, reference_ms]
    done = run_module("mnas.profiling.bench", json.dumps(options), content=content)
    if done.returncode:
        raise MnasError(f"the file could not be measured: {last_lines(done.stderr.decode('utf-8', 'replace'))}")
    return convert(json.loads(done.stdout), NetworkTime, "the measurement")


def main() -> None:
    """Measure a file from stdin in the separate process, and print the result as JSON."""
    name, threads, delegate, seconds, reference_ms = json.loads(sys.argv[1])
    device = LocalDevice(Runtime(name, threads=threads, delegate=delegate))
    print(json.dumps(asdict(bench(sys.stdin.buffer.read(), device, seconds=seconds, reference_ms=reference_ms))))
