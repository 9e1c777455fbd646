"""Limits beside latency: the size of the file and the memory that it takes to run, both by arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mnas.arch.footprint import footprint
from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.space.space import SearchSpace

_MB = 1e6
_SAMPLES = 200


@dataclass(frozen=True)
class Limit:
    """The most of something that a network may take. A candidate over it is refused before it costs anything.

    Attributes:
        name: in words, such as `file size`.
        maximum: in MB, of 1,000,000 bytes.
        measure: an architecture's own figure, in MB.
    """

    name: str
    maximum: float
    measure: Callable[[Architecture], float]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.maximum) and self.maximum > 0):
            raise InputError(f"the limit on {self.name} is {self.maximum} MB: expected a positive number of MB")

    def fits(self, architecture: Architecture) -> bool:
        """Whether a network keeps to it."""
        return self.measure(architecture) <= self.maximum

    def check(self, space: SearchSpace) -> None:
        """Refuse a limit that nothing in the space seems to keep.

        The smallest is found by bettering one decision after the other until none helps.

        Raises:
            InputError: it says what the smallest and the largest network seen take.
        """
        rng = np.random.default_rng(0)
        smallest = self._descend(space)
        if smallest > self.maximum:
            seen = [self.measure(space.sample(rng)) for _ in range(_SAMPLES)]
            raise InputError(
                f"no architecture of {space.name} keeps the limit on {self.name} of {self.maximum:g} MB: the smallest "
                f"takes {smallest:.3g} MB, of {_SAMPLES} random ones half take more than {np.median(seen):.3g} MB"
            )

    def _descend(self, space: SearchSpace) -> float:
        """The least that one decision after the other can bring it to."""
        best = [0] * len(space.decisions)
        least = self.measure(space.decode(best))
        better = True
        while better:
            better = False
            for place, decision in enumerate(space.decisions):
                for choice in range(len(decision.choices)):
                    tried = [*best[:place], choice, *best[place + 1 :]]
                    found = self.measure(space.decode(tried))
                    if found < least:
                        best, least, better = tried, found, True
        return least


def size_limit(maximum: float, *, dtype: str) -> Limit:
    """On the `.tflite` file, in MB."""
    return Limit(f"file size ({dtype})", maximum, lambda network: footprint(network, dtype=dtype).file_bytes / _MB)


def memory_limit(maximum: float, *, dtype: str, delegate: str) -> Limit:
    """On the memory while it runs, in MB; see `mnas.arch.footprint`."""
    return Limit(
        f"memory ({dtype}, {delegate})",
        maximum,
        lambda network: footprint(network, dtype=dtype, delegate=delegate).memory_bytes / _MB,
    )
