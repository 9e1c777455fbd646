"""An Android phone over adb, measured with a `benchmark_model` that the user provides.

Every burst is one start of that program, because it only reports a summary of its runs. A start takes about as long as
the runs of a small network, so bursts are longer than on this machine.
"""

from __future__ import annotations

import logging
import re
import shlex
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy.typing as npt

from mnas.checks import check_integer
from mnas.devices.adb import Adb, SlowAnswerError
from mnas.devices.base import SLOWER, Array, Details, Device, LoadedModel, MeasurementSettings, affinity
from mnas.devices.benchmark_binary import MAX_SECONDS, NOT_WHOLE, BenchmarkBinary, not_whole
from mnas.devices.benchmark_log import BenchmarkLog, parse_benchmark_log, printable
from mnas.devices.board_agent import choose_cores, core_speeds
from mnas.devices.delegate_library import DelegateLibrary
from mnas.devices.phone import Cpu, Thermals, read_heat, read_phone
from mnas.devices.phone_folder import PhoneFolder
from mnas.errors import InputError, MnasError
from mnas.latency.table import Configuration
from mnas.system.cache import cache_folder
from mnas.system.lock import hold

_PROGRAM = "benchmark_model"  # its name on the phone
_LIMIT_S = 2 * MAX_SECONDS + 20
_WARM, HOT = 38.0, 41.0  # degrees of the battery: cool enough to continue; too warm to measure
THROTTLING = 2  # thermal status from which Android slows the CPU down
_COOLING_S, COOLING_LIMIT_S = 10.0, 600.0
_PROFILED_RUNS = 20
_TIMED_STARTS = 3
_OWN_START_MS = 60.0  # of the program, beside its shell

_log = logging.getLogger(__name__)


class AndroidDevice(Device):
    """A phone.

    Args:
        adb: connection to the phone.
        binary: the program to measure with.
        threads: of the runtime.
        delegate: xnnpack, none, gpu, nnapi, hexagon or external, with options as in `Delegate`. An external delegate's
            library that is a file on this computer is copied to the phone.
        cores: big, little, a number of cores or a list; empty for the fastest, one for each thread.

    Raises:
        InputError: if there are no such cores, programs cannot be pinned to them, the program does not run on the
            phone, or has no such delegate.
        MnasError: if the phone goes away.
    """

    pace = MeasurementSettings(
        burst_ms=60.0, most_runs=60, start_ms=120.0, reference_runs=30, first_looks=10, wave_networks=10
    )
    runs_any_file = False
    sleep = staticmethod(time.sleep)

    def __init__(
        self, adb: Adb, binary: BenchmarkBinary, *, threads: int = 1, delegate: str = "xnnpack", cores: str = ""
    ) -> None:
        check_integer("--threads", threads, 1, 64)
        binary.check_delegate(delegate)
        self._library = DelegateLibrary(adb, delegate)
        delegate = self._library.delegate
        self.adb, self.binary, self.threads, self.delegate, self.cores = adb, binary, threads, delegate, cores
        self.phone = read_phone(adb)
        self._check_threads(threads)
        binary.check_abis(self.phone.abis)
        self._cpus = self._wanted() if cores else self._pinnable(self.phone.fastest(threads))
        self._folder: Path | None = None
        self._there: PhoneFolder | None = None
        self._warned_partly = False
        self._number = 0
        self._waiting: list[Path] = []
        self._closed: list[str] = []

    def _check_threads(self, threads: int) -> None:
        """Raise InputError for more threads than cores that are switched on; warn of the others."""
        off = [str(cpu.number) for cpu in self.phone.cpus if not cpu.online]
        few = f"core {off[0]} is" if len(off) == 1 else f"cores {', '.join(off)} are"
        why = "a warm or saving phone does that by itself"
        if self.phone.cpus and threads > len(self.phone.cpus) - len(off):
            switched_off = f", of which {few} switched off: {why}" if off else ""
            raise InputError(f"--threads is {threads}: this phone has {len(self.phone.cpus)} cores{switched_off}")
        if off:
            _log.warning("%s switched off on this phone: programs run on the others; %s", few, why)

    def _wanted(self) -> tuple[Cpu, ...]:
        """The cores that `--cores` asks for."""
        online = {cpu.number: cpu for cpu in self.phone.cpus if cpu.online}
        try:
            chosen = choose_cores(self.cores, core_speeds([asdict(cpu) for cpu in online.values()]), self.threads)
        except ValueError as error:
            raise InputError(str(error)) from None
        cpus = tuple(online[number] for number in chosen)
        if not self._runs(f"taskset {_mask(cpus)} true"):
            raise InputError(f"--cores is {self.cores!r}: this phone does not let programs be pinned to cores")
        return cpus

    def _pinnable(self, cpus: Sequence[Cpu]) -> tuple[Cpu, ...]:
        """The cores, if programs can be pinned to them."""
        if not cpus:
            why = "this phone does not say which of its cores are fast"
        elif self._runs(f"taskset {_mask(cpus)} true"):
            return tuple(cpus)
        else:
            why = "this phone does not let programs be pinned to cores"
        _log.warning("%s: programs are not pinned, and times will vary more", why)
        return ()

    def _runs(self, command: str) -> bool:
        try:
            return "yes" in self.adb.shell(f"{command} && echo yes", check=False)
        except SlowAnswerError:
            return False

    @property
    def waited_s(self) -> float:  # type: ignore[override]
        """See `Device`."""
        return self.adb.waited_s

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
            affinity=affinity(self.cores, (cpu.number for cpu in self._cpus)),
            governor=",".join(dict.fromkeys(cpu.governor for cpu in self._cpus)),
            binary_sha256=self.binary.sha256,
        )

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """See `Device`. Files on the phone are removed afterwards, and before that those of an interrupted run.

        Raises:
            MnasError: if another mnas measures on the phone, from here or another computer, or the phone goes away.
        """
        serial = self.adb.serial
        there = PhoneFolder(self.adb, cache_folder("phones"))
        with (
            hold(_lock_file(serial), f"the phone {printable(serial)}", remove=True),
            tempfile.TemporaryDirectory(prefix="mnas-") as folder,
        ):
            try:
                there.open()
                self._folder, self._there = Path(folder), there
                self.adb.patience = True
                program = self._folder / _PROGRAM
                program.write_bytes(self.binary.path.read_bytes())
                there.push([program])
                there.shell(f"chmod 755 {there.path}/{_PROGRAM}")
                self.pace = _timed(type(self).pace, there)
                self._library.copy(there)
                self.cool_down()
                yield
            finally:
                self.adb.patience = False
                self._folder = self._there = None
                self._waiting.clear()
                self._closed.clear()
                there.close()

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
        heat = self._heat()
        if (heat.celsius or 0.0) < HOT and heat.status < THROTTLING:
            return
        if not self.waits_to_cool:
            _log.warning("the phone is too warm to measure (%s): times are longer than on a cool one", heat)
            return
        _log.warning("the phone is too warm to measure (%s): waiting for it to cool down", heat)
        give_up = time.monotonic() + COOLING_LIMIT_S
        while (heat.celsius or 0.0) > _WARM or heat.status >= THROTTLING:
            if time.monotonic() > give_up:
                raise MnasError(
                    f"the phone throttles and does not cool down ({heat}): take it out of its case, off the charger, "
                    "let it cool, and run the same command again; finished measurements are kept"
                )
            self.sleep(_COOLING_S)
            if self._there is not None:
                self._there.shell("true")  # a long wait is no reason to take the phone over
            heat = self._heat()

    def celsius(self) -> float | None:
        """See `Device`."""
        return self._heat().celsius

    def _heat(self) -> Thermals:
        """The temperature; unknown if the phone takes too long to tell."""
        try:
            return read_heat(self.adb)
        except SlowAnswerError as error:
            _log.warning("%s; the phone's temperature stays unknown", error)
            return Thermals(None, 0)

    def run(
        self, name: str, *, runs: int, warm_up: int, profiling: bool = False, more: Sequence[str] = ()
    ) -> BenchmarkLog:
        """Start the program once, with additional flags `more`.

        Raises:
            MnasError: if it fails, or does not use the delegate.
        """
        there = self._transfer()
        graph = f"{there.path}/{name}"
        arguments = self.binary.arguments(
            graph,
            runs=runs,
            warm_up=warm_up,
            threads=self.threads,
            delegate=self._library.there(there),
            profiling=profiling,
        )
        pinned = ["taskset", _mask(self._cpus)] if self._cpus else []
        try:
            said = there.shell(shlex.join([*pinned, f"{there.path}/{_PROGRAM}", *arguments, *more]), limit_s=_LIMIT_S)
        except MnasError as error:
            if NOT_WHOLE in str(error):
                raise not_whole(self.delegate) from None
            raise
        log = parse_benchmark_log(said)
        self.binary.check_log(log, self._library.there(there), graph=graph, runs=runs, threads=self.threads)
        self._tell_partly(log)
        return log

    def _tell_partly(self, log: BenchmarkLog) -> None:
        """Warn once if XNNPACK leaves operators to TFLite's own kernels: an app's CPU does the same."""
        if self.delegate == "xnnpack" and "XNNPACK" in log.claims.partly and not self._warned_partly:
            self._warned_partly = True
            share = log.claims.share("XNNPACK")
            _log.warning("XNNPACK runs %s of a network; TFLite's own kernels run the rest, as they do in an app", share)

    def infer(self, name: str, image: npt.NDArray[Any]) -> bytes:
        """Start the program once with an image, and return the output.

        Raises:
            MnasError: as `run`, or if this program cannot return outputs.
        """
        if self._folder is None or self._there is None:
            raise MnasError("networks can run on a phone only within measuring()")
        there = self._there
        flags = self.binary.exchange(image.shape, f"{there.path}/image", f"{there.path}/output")
        (self._folder / "image").write_bytes(image.tobytes())
        there.shell(f"rm -f {there.path}/output")
        there.push([self._folder / "image"])
        self.run(name, runs=1, warm_up=1, more=flags)
        return self.adb.pull(f"{there.path}/output", self._folder)

    def _transfer(self) -> PhoneFolder:
        """Copy the networks that wait for it; returns where they are."""
        if self._there is None:
            raise MnasError("networks can run on a phone only within measuring()")
        there = self._there
        if not self._waiting:
            return there
        if self._closed:
            there.shell(shlex.join(["rm", "-f", *(f"{there.path}/{name}" for name in self._closed)]))
            self._closed.clear()
        there.push(self._waiting)
        for path in self._waiting:
            path.unlink()
        self._waiting.clear()
        return there

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


def _timed(pace: MeasurementSettings, there: PhoneFolder) -> MeasurementSettings:
    """The pace with what a start costs on this phone: over some connections a shell takes longer than the program."""
    if not pace.starts_apart:
        return pace
    seconds = []
    for _ in range(_TIMED_STARTS):
        began = time.monotonic()
        there.shell("true")
        seconds.append(time.monotonic() - began)
    return replace(pace, start_ms=max(pace.start_ms, _OWN_START_MS + 1e3 * median(seconds)))


def _lock_file(serial: str) -> Path:
    """A phone's lock for this user: two mnas processes would remove each other's files."""
    return cache_folder("phones") / f"{re.sub(r'[^A-Za-z0-9_-]', '-', serial)}.lock"


def _mask(cpus: Sequence[Cpu]) -> str:
    """A hexadecimal mask, as toybox's and util-linux's taskset read it."""
    return f"{sum(1 << cpu.number for cpu in cpus):x}"
