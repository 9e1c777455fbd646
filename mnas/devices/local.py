"""This machine, through a TFLite interpreter: ai-edge-litert, or tflite-runtime."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.checks import check_choice, check_integer
from mnas.devices.base import Array, Device, LoadedModel, affinity
from mnas.devices.board_agent import (
    PACKAGES,
    check_delegate,
    choose_cores,
    read_governor,
    run_times_ns,
    set_random_inputs,
    usable_speeds,
    warmest_celsius,
)
from mnas.errors import InputError, MnasError
from mnas.latency.table import Configuration
from mnas.system.environment import cpu_model
from mnas.system.native_output import quiet

DELEGATES = ("xnnpack", "none")


class Runtime:
    """One interpreter library.

    Args:
        name: `litert` or `tflite-runtime`.
        threads: of the interpreter.
        delegate: `xnnpack` or `none` (TFLite's own kernels).

    Raises:
        InputError: for unknown names or a number of threads out of range.
        MnasError: if the library is not installed or does not load.
    """

    def __init__(self, name: str = "litert", *, threads: int = 1, delegate: str = "xnnpack") -> None:
        check_choice("--runtime", name, tuple(PACKAGES))
        check_choice("--delegate", delegate, DELEGATES)
        check_integer("--threads", threads, 1, 1024)
        self.name, self.threads, self.delegate = name, threads, delegate
        self.package, module = PACKAGES[name]
        self._module = _import(module, self.package)

    @property
    def version(self) -> str:
        """Version of the package."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return "unknown"

    def interpreter(self, data: bytes) -> Any:
        """Return an interpreter with its tensors allocated.

        Raises:
            MnasError: if the runtime refuses the file.
        """
        resolver = self._module.OpResolverType
        kind = resolver.AUTO if self.delegate == "xnnpack" else resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            with quiet():
                interpreter = self._module.Interpreter(
                    model_content=data, num_threads=self.threads, experimental_op_resolver_type=kind
                )
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise MnasError(f"{self.name} cannot load this file: {error}") from None
        return interpreter


def _import(module: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if package == "tflite-runtime":
            hint = "pip install 'mnas[tflite-runtime]' (it needs Python 3.11 or older and numpy below 2)"
        else:
            hint = f"pip install {package}"
        raise MnasError(f"{package} cannot be loaded: {error}\n  Install it with: {hint}") from None


class LocalDevice(Device):
    """This machine.

    Args:
        runtime: which interpreter.
        cores: big, little, a number of cores or a list, see `choose_cores`; empty for the last, one for each thread.

    Raises:
        InputError: if there are too few cores, or the system cannot pin to `cores`.

    While it measures, this process is pinned to one CPU per thread, if the system allows it.
    """

    def __init__(self, runtime: Runtime, *, cores: str = "") -> None:
        self.runtime, self.cores = runtime, cores
        self._cpus = _chosen(cores, runtime.threads) if cores else last_cpus(runtime.threads)

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """See `Device`."""
        if not self._cpus:
            yield
            return
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._cpus)
        try:
            yield
        finally:
            # Threads that libraries such as numpy started meanwhile are pinned too: unpin them all.
            tasks = os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else ["0"]
            for task in tasks:
                with suppress(OSError):
                    os.sched_setaffinity(int(task), allowed)

    def celsius(self) -> float | None:
        """See `Device`."""
        return warmest_celsius()

    def configuration(self, dtype: str) -> Configuration:
        """See `Device`."""
        return Configuration(
            device="local",
            soc=platform.machine(),
            cpu=cpu_model(),
            os=f"{platform.system()} {platform.release()}",
            runtime=self.runtime.name,
            runtime_version=self.runtime.version,
            delegate=self.runtime.delegate,
            dtype=dtype,
            threads=self.runtime.threads,
            affinity=affinity(self.cores, self._cpus),
            governor=read_governor(self._cpus),
        )

    def load(self, data: bytes) -> LoadedModel:
        """See `Device`."""
        interpreter = self.runtime.interpreter(data)
        try:
            check_delegate(interpreter, self.runtime.delegate)
        except RuntimeError as error:
            raise MnasError(f"{self.runtime.name}: {error}") from None
        return _InterpreterModel(interpreter)


class _InterpreterModel(LoadedModel):
    """An interpreter whose input is set once: latency does not depend on the image."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        set_random_inputs(interpreter)

    def infer(self, image: npt.NDArray[Any]) -> bytes:
        """See `LoadedModel`."""
        try:
            self._interpreter.set_tensor(self._interpreter.get_input_details()[0]["index"], image)
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise MnasError(f"the network does not run: {error}") from None
        output: npt.NDArray[Any] = self._interpreter.get_tensor(self._interpreter.get_output_details()[0]["index"])
        return output.tobytes()

    def run_times_ms(self, num_runs: int) -> Array:
        """See `LoadedModel`."""
        try:
            return np.array(run_times_ns(self._interpreter, num_runs)) / 1e6
        except (ValueError, RuntimeError) as error:
            raise MnasError(f"the network does not run: {error}") from None

    def close(self) -> None:
        """See `LoadedModel`."""
        self._interpreter = None


def _chosen(cores: str, threads: int) -> tuple[int, ...]:
    try:
        return tuple(choose_cores(cores, usable_speeds(), threads))
    except ValueError as error:
        raise InputError(str(error)) from None


def last_cpus(count: int) -> tuple[int, ...]:
    """Return the last `count` CPUs of this process (the first serve interrupts); () if the system cannot pin.

    Raises:
        InputError: if there are fewer.
    """
    if not hasattr(os, "sched_setaffinity"):
        return ()
    allowed = sorted(os.sched_getaffinity(0))
    if count > len(allowed):
        raise InputError(f"--threads is {count}: this process may use {len(allowed)} CPUs")
    return tuple(allowed[-count:])
