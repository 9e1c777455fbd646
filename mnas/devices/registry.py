"""Opening devices by their specification: `local`, `adb[:SERIAL]`, `ssh:HOST[:/PATH/TO/PYTHON]`."""

from __future__ import annotations

from pathlib import Path

from mnas.checks import check_number
from mnas.devices.base import Device
from mnas.errors import InputError
from mnas.latency.table import Configuration

DEFAULT_RUNTIME = "litert"


def open_device(
    spec: str,
    *,
    runtime: str = DEFAULT_RUNTIME,
    threads: int = 1,
    delegate: str = "xnnpack",
    benchmark_binary: Path | None = None,
    wait_minutes: float = 0.0,
    cores: str = "",
) -> Device:
    """Open the device of a specification.

    Args:
        spec: as above.
        runtime: litert or tflite-runtime; on a phone, `benchmark_binary` is the runtime.
        threads: of the runtime.
        delegate: xnnpack or none; on a phone also gpu, nnapi, hexagon or external, with options as
            `mnas.devices.delegate.Delegate` writes them.
        benchmark_binary: the `benchmark_model` to measure a phone with.
        wait_minutes: how long to wait for a phone or board that is gone, or not there yet; 0 ends at once.
        cores: which to pin to: `little` (the slowest kind), `big` (all others), the number of the fastest, or a list
            such as `4-6,7`; by default one for each thread.

    Raises:
        InputError: for an unknown specification, or options that the device does not have.
        MnasError: if the device or its runtime is not available.
    """
    check_number("--wait", wait_minutes, 0, 7 * 24 * 60)
    kind, separator, rest = spec.partition(":")
    cores = cores.replace(" ", "")
    if kind == "adb" and (rest or not separator):
        return _phone(rest, runtime, threads, delegate, benchmark_binary, cores, wait_minutes * 60)
    if benchmark_binary is not None:
        raise InputError(f"--benchmark-binary is for phones (--device adb); got --device {spec}")
    if spec == "local":
        from mnas.devices.local import LocalDevice, Runtime

        return LocalDevice(Runtime(runtime, threads=threads, delegate=delegate), cores=cores)
    if kind == "ssh" and rest:
        from mnas.devices.ssh import open_board

        return open_board(
            rest, runtime=runtime, threads=threads, delegate=delegate, cores=cores, wait_s=wait_minutes * 60
        )
    raise InputError(f"--device is {spec!r}: expected local, adb, adb:SERIAL or ssh:HOST")


def open_again(
    configuration: Configuration, spec: str, *, benchmark_binary: Path | None = None, wait_minutes: float = 0.0
) -> Device:
    """Open a device as a table's measurements were made: the same runtime, threads, delegate and cores.

    Args:
        configuration: of the table.
        spec: of the device, as for `open_device`.
        benchmark_binary: the `benchmark_model` to measure a phone with.
        wait_minutes: as for `open_device`.

    Raises:
        InputError: for a device of another kind, or as `open_device`.
        MnasError: as `open_device`.
    """
    if spec.partition(":")[0] != configuration.device:
        raise InputError(f"the table is for --device {configuration.device}; got --device {spec}")
    return open_device(
        spec,
        runtime=configuration.runtime,
        threads=configuration.threads,
        delegate=configuration.delegate,
        benchmark_binary=benchmark_binary,
        wait_minutes=wait_minutes,
        cores=configuration.cores,
    )


def _phone(
    serial: str, runtime: str, threads: int, delegate: str, path: Path | None, cores: str, wait_s: float
) -> Device:
    from mnas.devices.adb import Adb
    from mnas.devices.android import AndroidDevice
    from mnas.devices.benchmark_binary import BenchmarkBinary

    binary = BenchmarkBinary.read(path)  # before the phone is contacted: wrong arguments fail at once
    if runtime not in (DEFAULT_RUNTIME, binary.runtime):
        raise InputError(f"this --benchmark-binary is {binary.runtime}, not {runtime}: on a phone it is the runtime")
    binary.check_delegate(delegate)
    return AndroidDevice(Adb(serial, wait_s=wait_s), binary, threads=threads, delegate=delegate, cores=cores)
