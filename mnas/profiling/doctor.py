"""Examining a device before it is measured: what it is, which delegates run on it, and how noisy it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from mnas.devices.base import Device
from mnas.devices.benchmark_binary import BenchmarkBinary
from mnas.devices.condition import read_condition
from mnas.devices.local import DELEGATES
from mnas.devices.registry import open_device
from mnas.errors import InputError, MnasError
from mnas.latency.table import Configuration
from mnas.profiling.bench import LIGHT, bench
from mnas.profiling.diagnosis import DelegateCheck, Diagnosis, NoiseFloor
from mnas.tflite.flatbuffer import DTYPES
from mnas.tflite.random_model import write_random_model

_RUNS = 10
_NOISE_BURSTS, _NOISE_S = 10, 5.0

_log = logging.getLogger(__name__)


def examine(
    device: str,
    *,
    runtime: str = "litert",
    threads: int = 1,
    cores: str = "",
    benchmark_binary: Path | None = None,
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> Diagnosis:
    """Examine a device. What it does not tell is unknown, and what does not run has its reason.

    Args:
        device: as `mnas.devices.registry.open_device` takes it, as are the next.
        runtime: the interpreter.
        threads: of the runtime.
        cores: to pin to.
        benchmark_binary: for a phone, which without it is only described.
        progress: called with the share that is done, and what is done next.

    Raises:
        InputError: for invalid arguments.
        MnasError: if the device cannot be reached.
    """
    is_phone = device.partition(":")[0] == "adb"
    if benchmark_binary is not None and not is_phone:
        raise InputError(f"--benchmark-binary is for phones (--device adb); got --device {device}")
    binary = None if benchmark_binary is None else BenchmarkBinary.read(benchmark_binary)
    progress(0.0, "asking the device")
    condition = read_condition(device)
    if is_phone and binary is None:
        return Diagnosis(device, condition, "")

    def opened(delegate: str) -> Device:
        options = {"runtime": runtime, "threads": threads, "cores": cores, "benchmark_binary": benchmark_binary}
        found = open_device(device, delegate=delegate, **options)  # type: ignore[arg-type]
        found.waits_to_cool = False
        return found

    with _without_warnings():
        checks, configuration = _check_delegates(opened, binary.delegates if binary else DELEGATES, progress)
        noise = _noise_floor(opened, checks)
    if binary is not None:
        program = f"{binary.runtime} ({binary.kind}, {binary.abi or 'a script'}, SHA-256 {binary.sha256[:16]})"
    else:
        program = f"{runtime} {configuration.runtime_version}" if configuration else runtime
    return Diagnosis(device, condition, program, tuple(checks), configuration, noise)


def _check_delegates(
    opened: Callable[[str], Device], names: Sequence[str], progress: Callable[[float, str], None]
) -> tuple[list[DelegateCheck], Configuration | None]:
    """Run a small network on every delegate; returns also where the first of them ran."""
    checks: list[DelegateCheck] = []
    configuration: Configuration | None = None
    for index, name in enumerate(names):
        progress((1 + index) / (2 + len(names)), f"delegate {name}")
        try:
            device = opened(name)
            with device.measuring():
                checks += [_check(device, name, dtype) for dtype in DTYPES]
                configuration = configuration or device.configuration(DTYPES[0])
        except InputError:
            raise
        except MnasError as error:
            checks += [DelegateCheck(name, dtype, None, str(error)) for dtype in DTYPES]
    progress((1 + len(names)) / (2 + len(names)), "noise")
    return checks, configuration


def _check(device: Device, delegate: str, dtype: str) -> DelegateCheck:
    try:
        with closing(device.load(write_random_model(LIGHT, dtype=dtype))) as model:
            return DelegateCheck(delegate, dtype, float(model.warm_run_times_ms(_RUNS, warm_up=1).min()))
    except MnasError as error:
        return DelegateCheck(delegate, dtype, None, str(error))


def _noise_floor(opened: Callable[[str], Device], checks: Sequence[DelegateCheck]) -> NoiseFloor | None:
    """Measure the reference network as any other, on the first delegate that ran it."""
    name = next((check.delegate for check in checks if check.dtype == DTYPES[0] and check.latency_ms), None)
    if name is None:
        return None
    try:
        time = bench(write_random_model(LIGHT), opened(name), quiet_bursts=_NOISE_BURSTS, seconds=_NOISE_S)
    except MnasError as error:
        _log.warning("the noise stays unknown: %s", error)
        return None
    return NoiseFloor(
        delegate=name,
        quiet_ms=time.quiet_ms,
        repeatability=abs(time.halves_ms[0] - time.halves_ms[1]) / time.quiet_ms,
        slowdown=time.median_all_ms / time.quiet_ms,
        quiet_share=time.num_quiet / time.num_bursts,
    )


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Without the devices' warnings, which every opening would repeat: the diagnosis says the same once."""
    logger = logging.getLogger("mnas.devices")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
