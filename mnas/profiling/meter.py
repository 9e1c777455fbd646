"""Latencies of networks on the device of a latency table, measured once and kept in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mnas.arch.codec import short_fingerprint
from mnas.arch.spec import Architecture
from mnas.checks import convert
from mnas.devices.base import Device
from mnas.devices.registry import open_again
from mnas.latency.table import Configuration, LatencyTable
from mnas.profiling.bench import measure_files
from mnas.profiling.prediction import check_same
from mnas.system.files import read_json, write_json
from mnas.tflite.random_model import write_random_model

MEASURED = "measured.json"
AUTO = "auto"  # the table's device, if that is this machine
_SECONDS = 8.0  # of one network
_QUIET_BURSTS = 12


@dataclass
class LatencyMeter:
    """Measures networks with random weights, on which latency does not depend.

    Attributes:
        device: where to measure.
        dtype: of the files: float32 or int8.
        device_name: the device's name in the file: another device's latencies are not this one's.
        path: of the file that keeps what was measured, device by device; None keeps it in memory.
        reference_ms: of the reference network on this device; 0 if it is not known.
        reference: name of that reference network; None for what suits the files.
        beside: a network and the latency in ms that it had on an earlier occasion. It is measured along with every
            other one, and latencies are scaled to that occasion, so that a device that has become slower or faster as a
            whole does not decide a comparison.
    """

    device: Device
    dtype: str = "float32"
    device_name: str = "local"
    path: Path | None = None
    reference_ms: float = 0.0
    reference: str | None = None
    beside: tuple[Architecture, float] | None = None
    _record: dict[str, float] = field(default_factory=dict)
    _others: dict[str, dict[str, float]] = field(default_factory=dict)  # on other devices

    def __post_init__(self) -> None:
        if self.path is not None:
            self.use_record(self.path)

    def use_record(self, path: Path, *, of_any_device: bool = False) -> None:
        """Take the measured latencies of a file, if it is there.

        Args:
            path: the file.
            of_any_device: take those of other devices too, to repeat a search as it was.

        Raises:
            InputError: if it is damaged.
        """
        if path.is_file():
            devices = convert(read_json(path, "measured latencies"), dict[str, dict[str, float]], str(path))
            own = devices.pop(self.device_name, {})
            for latencies in devices.values() if of_any_device else ():
                self._record |= latencies
            self._record |= own
            self._others |= devices

    def measure(self, architectures: Sequence[Architecture]) -> list[float]:
        """Return latencies in ms, measured interleaved; those in the record are not measured again.

        Raises:
            MnasError: if the device cannot run one of them.
        """
        new = [each for each in dict.fromkeys(architectures) if short_fingerprint(each) not in self._record]
        if new:
            latencies = self._measure(new)
            self._record |= dict(zip(map(short_fingerprint, new), latencies, strict=True))
            if self.path is not None:
                write_json(self.path, {**self._others, self.device_name: dict(self._record)})
        return [self._record[short_fingerprint(each)] for each in architectures]

    def _measure(self, architectures: Sequence[Architecture]) -> list[float]:
        if self.beside is None:
            return self.measure_files([write_random_model(each, dtype=self.dtype) for each in architectures])
        network, earlier_ms = self.beside
        contents = [write_random_model(each, dtype=self.dtype) for each in (*architectures, network)]
        *latencies, now_ms = self.measure_files(contents)
        return [each * earlier_ms / now_ms for each in latencies]

    def measure_files(self, contents: Sequence[bytes]) -> list[float]:
        """Return the latencies of `.tflite` files in ms, measured interleaved; they are not recorded.

        Raises:
            MnasError: if the device cannot run one of them.
        """
        times = measure_files(
            self.device,
            contents,
            seconds=_SECONDS * len(contents),
            quiet_bursts=[_QUIET_BURSTS] * len(contents),
            reference_ms=self.reference_ms,
            reference=self.reference,
        )
        return [time.quiet_ms for time in times]


def open_meter(
    table_path: str,
    where: str = AUTO,
    folder: Path | None = None,
    *,
    benchmark_binary: str | Path | None = None,
    wait_minutes: float = 0.0,
) -> LatencyMeter | None:
    """Open the device of a latency table, to measure other networks on it.

    Args:
        table_path: of the table.
        where: `local`, `adb`, `ssh:HOST`; `none`; or `auto`, which is the table's device if that is this machine.
        folder: where the latencies are kept, in `measured.json`; None keeps them in memory.
        benchmark_binary: the `benchmark_model` for a phone.
        wait_minutes: how long to wait for the device if it is gone.

    Returns:
        None if nothing is to be measured.

    Raises:
        InputError: if the device is not the table's, or the record is damaged.
        MnasError: if the device is not available.
    """
    if where == "none":
        return None
    table = LatencyTable.load(table_path)
    configuration = table.configuration
    automatic = where == AUTO
    if automatic and configuration.device != "local":
        return None
    device = open_again(
        configuration,
        "local" if automatic else where,
        benchmark_binary=None if benchmark_binary is None else Path(benchmark_binary),
        wait_minutes=wait_minutes,
    )
    now = device.configuration(configuration.dtype)
    if automatic and (now.cpu, now.soc) != (configuration.cpu, configuration.soc):
        return None
    return LatencyMeter(
        device,
        configuration.dtype,
        _device_name(now),
        None if folder is None else folder / MEASURED,
        table.reference_ms if check_same(configuration, now) else 0.0,
        table.reference,
    )


def _device_name(configuration: Configuration) -> str:
    """What makes latencies comparable, in one line: after an update of system or runtime they are measured again."""
    machine = configuration.model or configuration.cpu or configuration.soc
    runtime = f"{configuration.runtime} {configuration.runtime_version}".strip()
    names = (configuration.device, machine, configuration.os, runtime, configuration.delegate, configuration.dtype)
    cores = [f"cores {configuration.cores}"] if configuration.cores else []
    return ", ".join([*filter(None, names), f"{configuration.threads} threads", *cores])
