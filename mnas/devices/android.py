"""An Android phone over adb, measured with a `benchmark_model` that the user provides.

Every burst is one start of that program, because it only reports a summary of its runs. A start takes about as long as
the runs of a small network, so bursts are longer than on this machine.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mnas.checks import check_integer
from mnas.devices.adb import Adb
from mnas.devices.base import SLOWER, Array, Details, Device, LoadedModel, MeasurementSettings
from mnas.devices.benchmark_binary import MAX_SECONDS, BenchmarkBinary
from mnas.devices.benchmark_log import BenchmarkLog, parse_benchmark_log, printable
from mnas.devices.phone import Cpu, read_heat, read_phone
from mnas.errors import InputError, MnasError
from mnas.latency.table import Configuration
from mnas.system.lock import hold

FOLDER = "/data/local/tmp/mnas"  # adb's user may write and run programs there
_PROGRAM = f"{FOLDER}/benchmark_model"
_LIMIT_S = 2 * MAX_SECONDS + 20
_WARM, _HOT = 38.0, 41.0  # degrees of the battery: cool enough to continue; too warm to measure
_THROTTLING = 2  # thermal status from which Android slows the CPU down
_COOLING_S, COOLING_LIMIT_S = 10.0, 600.0
_PROFILED_RUNS = 20

_log = logging.getLogger(__name__)


class AndroidDevice(Device):
    """A phone.

    Args:
        adb: connection to the phone.
        binary: the program to measure with.
        threads: of the runtime.
        delegate: xnnpack, none, gpu or nnapi.

    Raises:
        InputError: if the program does not run on the phone, or has no such delegate.
        MnasError: if the phone goes away.
    """

    pace = MeasurementSettings(
        burst_ms=60.0, most_runs=60, start_ms=120.0, reference_runs=30, first_looks=10, wave_networks=10
    )
    sleep = staticmethod(time.sleep)

    def __init__(self, adb: Adb, binary: BenchmarkBinary, *, threads: int = 1, delegate: str = "xnnpack") -> None:
        check_integer("--threads", threads, 1, 64)
        binary.check_delegate(delegate)
        self.adb, self.binary, self.threads, self.delegate = adb, binary, threads, delegate
        self.phone = read_phone(adb)
        if self.phone.cpus and threads > len(self.phone.cpus):
            raise InputError(f"--threads is {threads}: this phone has {len(self.phone.cpus)} cores")
        binary.check_abis(self.phone.abis)
        self._cpus = self._pinnable(self.phone.fastest(threads))
        self._folder: Path | None = None
        self._number = 0
        self._waiting: list[Path] = []
        self._closed: list[str] = []

    def _pinnable(self, cpus: Sequence[Cpu]) -> tuple[Cpu, ...]:
        """The cores, if programs can be pinned to them."""
        if cpus and "yes" in self.adb.shell(f"taskset {_mask(cpus)} true && echo yes", check=False):
            return tuple(cpus)
        _log.warning("programs cannot be pinned to the fast cores of this phone: its times will vary more")
        return ()

    def configuration(self, dtype: str) -> Configuration:
        """See `Device`."""
        return Configuration(
            device="adb",
            model=self.phone.model,
            soc=self.phone.soc,
            cpu=self.phone.cpu,
            os=self.phone.fingerprint,
            runtime=self.binary.runtime,
            runtime_version="",
            delegate=self.delegate,
            dtype=dtype,
            threads=self.threads,
            affinity=",".join(str(cpu.number) for cpu in self._cpus),
            governor=",".join(dict.fromkeys(cpu.governor for cpu in self._cpus)),
            binary_sha256=self.binary.sha256,
        )

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """See `Device`. Files on the phone are removed afterwards, and before that those of an interrupted run.

        Raises:
            MnasError: if another mnas of this user measures on the phone, or the phone goes away.
        """
        name = printable(self.adb.serial)
        with (
            hold(_lock_file(self.adb.serial), f"the phone {name}", remove=True),
            tempfile.TemporaryDirectory(prefix="mnas-") as folder,
        ):
            self._folder = Path(folder)
            self.adb.shell(f"rm -rf {FOLDER} && mkdir {FOLDER}")
            try:
                program = self._folder / "benchmark_model"  # the name on the phone
                program.write_bytes(self.binary.path.read_bytes())
                self.adb.push([program], f"{FOLDER}/")
                self.adb.shell(f"chmod 755 {_PROGRAM}")
                self.cool_down()
                yield
            finally:
                self._folder = None
                self._waiting.clear()
                self._closed.clear()
                self._clean()

    def _clean(self) -> None:
        try:
            self.adb.shell(f"rm -rf {FOLDER}")
        except MnasError as error:
            _log.warning("could not remove %s from the phone (%s): the next measurement does", FOLDER, error)

    def load(self, data: bytes) -> LoadedModel:
        """See `Device`. The file is copied together with others, when the first of them runs.

        Raises:
            MnasError: outside of `measuring`.
        """
        if self._folder is None:
            raise MnasError("networks can be loaded onto a phone only within measuring()")
        self._number += 1
        path = self._folder / f"{self._number}.tflite"
        path.write_bytes(data)
        self._waiting.append(path)
        return _PhoneModel(self, path.name)

    def cool_down(self, slowdown: float = 1.0) -> None:
        """Wait until the phone is cool enough to measure.

        Args:
            slowdown: of the reference network in the last measurements.

        Raises:
            MnasError: if it does not cool down in time.
        """
        if slowdown > SLOWER:
            _log.warning(
                "the phone ran %.2f times slower than at its best: it throttles, or another program uses it", slowdown
            )
        heat = read_heat(self.adb)
        if (heat.celsius or 0.0) < _HOT and heat.status < _THROTTLING:
            return
        _log.warning("the phone is too warm to measure (%s): waiting for it to cool down", heat)
        give_up = time.monotonic() + COOLING_LIMIT_S
        while (heat.celsius or 0.0) > _WARM or heat.status >= _THROTTLING:
            if time.monotonic() > give_up:
                raise MnasError(
                    f"the phone throttles and does not cool down ({heat}): take it out of its case, off the charger, "
                    "let it cool, and run the same command again; finished measurements are kept"
                )
            self.sleep(_COOLING_S)
            heat = read_heat(self.adb)

    def run(
        self, name: str, *, runs: int, warm_up: int, profiling: bool = False, more: Sequence[str] = ()
    ) -> BenchmarkLog:
        """Start the program once, with additional flags `more`.

        Raises:
            MnasError: if it fails, or does not use the delegate.
        """
        self._transfer()
        arguments = self.binary.arguments(
            f"{FOLDER}/{name}",
            runs=runs,
            warm_up=warm_up,
            threads=self.threads,
            delegate=self.delegate,
            profiling=profiling,
        )
        pinned = ["taskset", _mask(self._cpus)] if self._cpus else []
        log = parse_benchmark_log(self.adb.shell(shlex.join([*pinned, _PROGRAM, *arguments, *more]), limit_s=_LIMIT_S))
        self.binary.check_log(log, self.delegate)
        return log

    def infer(self, name: str, image: npt.NDArray[Any]) -> bytes:
        """Start the program once with an image, and return the output.

        Raises:
            MnasError: as `run`, or if this program cannot return outputs.
        """
        if self._folder is None:
            raise MnasError("networks can run on a phone only within measuring()")
        flags = self.binary.exchange(image.shape, f"{FOLDER}/image", f"{FOLDER}/output")
        (self._folder / "image").write_bytes(image.tobytes())
        self.adb.shell(f"rm -f {FOLDER}/output")
        self.adb.push([self._folder / "image"], f"{FOLDER}/")
        self.run(name, runs=1, warm_up=1, more=flags)
        return self.adb.pull(f"{FOLDER}/output", self._folder)

    def _transfer(self) -> None:
        if not self._waiting:
            return
        if self._closed:
            self.adb.shell(shlex.join(["rm", "-f", *(f"{FOLDER}/{name}" for name in self._closed)]))
            self._closed.clear()
        self.adb.push(self._waiting, f"{FOLDER}/")
        for path in self._waiting:
            path.unlink()
        self._waiting.clear()

    def forget(self, name: str) -> None:
        """Remove a network's file when the next files are copied."""
        self._closed.append(name)


class _PhoneModel(LoadedModel):
    """A file that is or will be on the phone."""

    def __init__(self, device: AndroidDevice, name: str) -> None:
        self._device, self._name = device, name

    def run_times_ms(self, num_runs: int) -> Array:
        """See `LoadedModel`: increasing times with the summary that the program reports."""
        return self.warm_run_times_ms(num_runs, warm_up=1)

    def warm_run_times_ms(self, num_runs: int, *, warm_up: int) -> Array:
        """See `LoadedModel`."""
        return self._device.run(self._name, runs=num_runs, warm_up=warm_up).inference.times_ms(num_runs)

    def infer(self, image: npt.NDArray[Any]) -> bytes:
        """See `LoadedModel`."""
        return self._device.infer(self._name, image)

    def details(self) -> Details:
        """See `LoadedModel`."""
        log = self._device.run(self._name, runs=_PROFILED_RUNS, warm_up=3, profiling=True)
        memory = log.memory_mb if log.peak_memory_mb is None else log.peak_memory_mb
        return Details(log.init_ms, log.first_ms, memory, log.operators)

    def close(self) -> None:
        """See `LoadedModel`."""
        self._device.forget(self._name)


def _lock_file(serial: str) -> Path:
    """A phone's lock for this user: two mnas processes would remove each other's files."""
    cache = Path(os.environ.get("MNAS_CACHE") or Path.home() / ".cache" / "mnas")
    return cache / "phones" / f"{re.sub(r'[^A-Za-z0-9_-]', '-', serial)}.lock"


def _mask(cpus: Sequence[Cpu]) -> str:
    """A hexadecimal mask, as toybox's and util-linux's taskset read it."""
    return f"{sum(1 << cpu.number for cpu in cpus):x}"
