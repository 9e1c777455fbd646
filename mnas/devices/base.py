"""What every device is: it loads a `.tflite` file and says how long it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import numpy.typing as npt

from mnas.latency.table import Configuration

Array = npt.NDArray[np.float64]


class LoadedModel(ABC):
    """A network that stands ready on a device."""

    @abstractmethod
    def run_times_ms(self, num_runs: int) -> Array:
        """Wall time of each of `num_runs` inferences, one after the other, in ms; shape (num_runs,).

        Raises:
            MnasError: if the device fails or goes away.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what the network holds on the device."""


class Device(ABC):
    """Somewhere networks run."""

    @abstractmethod
    def configuration(self, dtype: str) -> Configuration:
        """What a table must say about where and how it was measured."""

    def measuring(self) -> AbstractContextManager[object]:
        """Whatever must hold while networks are loaded and run, such as being pinned to a CPU; undone afterwards."""
        return nullcontext()

    @abstractmethod
    def load(self, data: bytes) -> LoadedModel:
        """Make a `.tflite` file ready to run.

        Raises:
            MnasError: if the runtime refuses it.
        """
