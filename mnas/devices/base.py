"""What every device is: it loads a `.tflite` file and says how long it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.devices.operator_table import OperatorRow
from mnas.errors import MnasError
from mnas.latency.table import Configuration

Array = npt.NDArray[np.float64]
SLOWER = 1.15  # slowdown of a device from which it throttles, or is used by something else


@dataclass(frozen=True, slots=True)
class MeasurementSettings:
    """How a device is best asked: where starting a burst is dear, bursts are long and looks at the reference few.

    Attributes:
        burst_ms: how long the runs of a burst take together.
        most_runs: of a burst.
        start_ms: what a burst costs beside its runs.
        reference_runs: of one look at the reference network.
        first_looks: at the reference network, before anything is measured.
        wave_networks: that stand ready at a time; those of them that lack bursts are lost on interruption.
    """

    burst_ms: float = 6.0
    most_runs: int = 16
    start_ms: float = 0.0
    reference_runs: int = 4
    first_looks: int = 50
    wave_networks: int = 60


@dataclass(frozen=True, slots=True)
class Details:
    """What else a device can tell of a network that it ran; None where it cannot.

    Attributes:
        init_ms: loading and preparing it.
        first_ms: its first inference.
        peak_memory_mb: the highest footprint of the program that ran it, in MB.
        operators: single operators, in order of running.
    """

    init_ms: float | None = None
    first_ms: float | None = None
    peak_memory_mb: float | None = None
    operators: tuple[OperatorRow, ...] = ()


class LoadedModel(ABC):
    """A network that stands ready on a device."""

    @abstractmethod
    def run_times_ms(self, num_runs: int) -> Array:
        """Wall time of each of `num_runs` inferences, one after the other, in ms; shape (num_runs,).

        Raises:
            MnasError: if the device fails or goes away.
        """

    def warm_run_times_ms(self, num_runs: int, *, warm_up: int) -> Array:
        """The same after `warm_up` runs that do not count."""
        return self.run_times_ms(warm_up + num_runs)[warm_up:]

    def infer(self, image: npt.NDArray[Any]) -> bytes:
        """What the network makes of one image.

        Args:
            image: of the shape and type that the file takes, batch of 1 included.

        Returns:
            The bytes of its first output, in the file's own type.

        Raises:
            MnasError: if the device fails or goes away, or cannot give outputs back.
        """
        raise MnasError("this device measures networks and cannot give back what they compute")

    def details(self) -> Details:
        """What else the device can tell; costs some runs of their own.

        Raises:
            MnasError: if the device fails or goes away.
        """
        return Details()

    @abstractmethod
    def close(self) -> None:
        """Give back what the network holds on the device."""


class Device(ABC):
    """Somewhere networks run."""

    pace: MeasurementSettings = MeasurementSettings()

    @abstractmethod
    def configuration(self, dtype: str) -> Configuration:
        """What a table must say about where and how it was measured."""

    def measuring(self) -> AbstractContextManager[object]:
        """Whatever must hold while networks are loaded and run, such as being pinned to a CPU; undone afterwards."""
        return nullcontext()

    def cool_down(self, slowdown: float = 1.0) -> None:  # noqa: B027  most devices are always fit
        """Wait until the device is fit to measure; called between waves of networks.

        Args:
            slowdown: how many times slower than when quiet it was in the last wave.

        Raises:
            MnasError: if it does not become so.
        """

    @abstractmethod
    def load(self, data: bytes) -> LoadedModel:
        """Make a `.tflite` file ready to run.

        Raises:
            MnasError: if the runtime refuses it.
        """
