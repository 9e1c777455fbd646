"""The interface of devices: loading a `.tflite` file and measuring its latency."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.devices.operator_table import OperatorRow
from mnas.errors import MnasError
from mnas.latency.table import Configuration

Array = npt.NDArray[np.float64]
SLOWER = 1.15  # slowdown above which a device throttles, or is used by other programs


class LostDeviceError(MnasError):
    """The connection to a device broke, or it does not answer."""


@contextmanager
def naming(network: str) -> Iterator[None]:
    """Name the network in errors of running it, other than those of the connection: most devices run others.

    Args:
        network: a name that begins the message, such as `the file net.tflite`.
    """
    try:
        yield
    except LostDeviceError:
        raise
    except MnasError as error:
        raise type(error)(f"{network}: {error}") from None


@dataclass(frozen=True, slots=True)
class MeasurementSettings:
    """How to measure on a device: where starting a burst is slow, bursts are long and reference measurements few.

    Attributes:
        burst_ms: total time of the runs of a burst.
        most_runs: the maximum number of runs of a burst.
        start_ms: time of a burst in addition to its runs.
        reference_runs: runs of one measurement of the reference network.
        first_looks: measurements of the reference network before all others.
        wave_networks: number of networks loaded at a time; an interruption loses the unfinished ones.
    """

    burst_ms: float = 6.0
    most_runs: int = 16
    start_ms: float = 0.0
    reference_runs: int = 4
    first_looks: int = 50
    wave_networks: int = 60

    @property
    def starts_apart(self) -> bool:
        """Whether every burst is the start of another program: a slow one says nothing of the next."""
        return self.start_ms > 0


@dataclass(frozen=True, slots=True)
class Details:
    """Further measurements of a network; None where the device cannot make them.

    Attributes:
        init_ms: time to load and prepare it.
        first_ms: time of the first inference.
        peak_memory_mb: the largest footprint of the program that ran it, in MB.
        operators: single operators, in order of execution.
    """

    init_ms: float | None = None
    first_ms: float | None = None
    peak_memory_mb: float | None = None
    operators: tuple[OperatorRow, ...] = ()


def affinity(cores: str, cpus: Iterable[int]) -> str:
    """The text of `Configuration.affinity`.

    Args:
        cores: what `--cores` asked for; empty for the default.
        cpus: the CPUs that are used.
    """
    listed = ",".join(map(str, cpus))
    return f"{cores}: {listed}" if cores else listed


class LoadedModel(ABC):
    """A network that is loaded on a device."""

    @abstractmethod
    def run_times_ms(self, num_runs: int) -> Array:
        """Wall time of each of `num_runs` successive inferences in ms; shape (num_runs,).

        Raises:
            MnasError: if the device fails or goes away.
        """

    def warm_run_times_ms(self, num_runs: int, *, warm_up: int) -> Array:
        """The same after `warm_up` runs that are not counted."""
        return self.run_times_ms(warm_up + num_runs)[warm_up:]

    def infer(self, image: npt.NDArray[Any]) -> bytes:
        """Run the network on one image.

        Args:
            image: of the shape and type of the file's input, with a batch of 1.

        Returns:
            The bytes of its first output, in the file's type.

        Raises:
            MnasError: if the device fails or goes away, or cannot return outputs.
        """
        raise MnasError("this device measures networks but cannot return their outputs")

    def details(self) -> Details:
        """Further measurements; needs additional runs.

        Raises:
            MnasError: if the device fails or goes away.
        """
        return Details()

    @abstractmethod
    def close(self) -> None:
        """Release the network's resources on the device."""


class Device(ABC):
    """A device that runs networks.

    Attributes:
        pace: how to measure on it.
        waits_to_cool: whether `cool_down` waits; if not, a warm device is measured as it is.
    """

    pace: MeasurementSettings = MeasurementSettings()
    waits_to_cool: bool = True
    runs_any_file: bool = True  # of any dtype and with any operators, as a CPU does; an accelerator may not
    waited_s: float = 0.0  # for a device that was gone, in all

    def clock(self) -> float:
        """Seconds as `time.monotonic` counts them, without those of waiting for a device that was gone."""
        return time.monotonic() - self.waited_s

    @abstractmethod
    def configuration(self, dtype: str) -> Configuration:
        """The record of a table about where and how it was measured."""

    def measuring(self) -> AbstractContextManager[object]:
        """Context in which networks are loaded and run, such as pinned to a CPU; undone afterwards."""
        return nullcontext()

    def celsius(self) -> float | None:
        """The temperature in degrees: of a phone's battery, of the warmest sensor of others; None if unknown."""
        return None

    def cool_down(self, slowdown: float = 1.0) -> None:  # noqa: B027  most devices are always ready
        """Wait until the device is ready to measure; called between waves of networks.

        Args:
            slowdown: time in the last wave relative to the idle device.

        Raises:
            MnasError: if it does not become ready in time.
        """

    @abstractmethod
    def load(self, data: bytes) -> LoadedModel:
        """Load a `.tflite` file.

        Raises:
            MnasError: if the runtime cannot load it.
        """
