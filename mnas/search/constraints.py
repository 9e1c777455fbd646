"""Constraints on a network: latency by a table, file size, memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mnas.arch.memory import footprint
from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.space.costs import SpaceCosts
from mnas.space.space import SearchSpace

_MB = 1e6
_SAMPLES = 200
_ROUNDING = 1e-9
Measure = Callable[[Architecture], float]


@dataclass(frozen=True)
class Constraint:
    """An upper limit on a figure of a network.

    Attributes:
        name: for messages, such as `latency` or `file size (float32)`.
        measure: returns an architecture's figure, in `unit`.
        limit: the largest feasible figure, in `unit`.
        unit: `ms`, `MB` (1,000,000 bytes), or `multiply-adds` if they replace latency.
        costs: the same figure for batches of a space, if it is a sum over blocks; otherwise None.
    """

    name: str
    measure: Measure
    limit: float
    unit: str
    costs: SpaceCosts | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.limit) and self.limit > 0):
            raise InputError(
                f"the limit on {self.name} is {self.limit} {self.unit}: expected a positive number of {self.unit}"
            )

    def __str__(self) -> str:
        return f"the limit on {self.name} of {self.limit:g} {self.unit}"

    def is_met(self, architecture: Architecture) -> bool:
        """Whether a network's figure is at most the limit."""
        return self.measure(architecture) <= self.limit

    def check(self, space: SearchSpace) -> None:
        """Check that some architecture of the space meets the limit.

        Raises:
            InputError: if there is none, with the figures of the space's architectures.
        """
        smallest = self.smallest(space)
        if smallest <= self.limit:
            return
        least, most = ("fastest", "slowest") if self.unit == "ms" else ("smallest", "largest")
        if self.costs is None:
            rng = np.random.default_rng(0)
            median = np.median([self.measure(space.sample(rng)) for _ in range(_SAMPLES)])
            others = f"half of {_SAMPLES} random ones take more than {median:.3g} {self.unit}"
        else:
            others = f"the {most} {self.costs.extreme(largest=True)[1]:.4g} {self.unit}"
        raise InputError(
            f"no architecture of {space.name} meets {self}: the {least} takes {smallest:.4g} {self.unit}, {others}. "
            "Raise the limit, or search a space of smaller networks"
        )

    def smallest(self, space: SearchSpace) -> float:
        """Return the smallest figure in the space: exact with `costs`, else by coordinate descent over decisions."""
        if self.costs is not None:
            return float(self.costs.extreme()[1])
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


def priced(budgets: Sequence[Constraint]) -> list[tuple[SpaceCosts, float]]:
    """Return costs and limit of the constraints that are sums over blocks."""
    return [(budget.costs, budget.limit) for budget in budgets if budget.costs is not None]


@dataclass(frozen=True)
class Feasibility:
    """Whether an architecture meets every constraint: call it."""

    constraints: Sequence[Constraint]

    def __call__(self, architecture: Architecture) -> bool:
        """Whether an architecture meets every constraint."""
        return all(constraint.is_met(architecture) for constraint in self.constraints)

    def preselect(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Return which architectures may meet every constraint, without making them: a thousand times as fast.

        Args:
            rows: indices of a space's decisions, shape (count, decisions).

        Returns:
            Shape (count,): False where a constraint that is a sum over blocks is not met.
        """
        found = np.ones(len(rows), dtype=bool)
        for constraint in self.constraints:
            if constraint.costs is not None:
                found &= constraint.costs(rows) <= constraint.limit * (1 + _ROUNDING)
        return found


def latency_budget(measure: Measure, budget_ms: float, costs: SpaceCosts | None = None) -> Constraint:
    """Make a constraint on latency, in ms.

    Args:
        measure: returns an architecture's latency, such as a latency table's estimate.
        budget_ms: the largest latency of a winner.
        costs: the same latency for batches of a space.
    """
    return Constraint("latency", measure, budget_ms, "ms", costs)


def size_limit(maximum: float, *, dtype: str) -> Constraint:
    """Make a constraint on the `.tflite` file, in MB."""
    return Constraint(
        f"file size ({dtype})", lambda network: footprint(network, dtype=dtype).file_bytes / _MB, maximum, "MB"
    )


def memory_limit(maximum: float, *, dtype: str, delegate: str) -> Constraint:
    """Make a constraint on the memory at run time, in MB; see `mnas.arch.memory`."""
    return Constraint(
        f"memory ({dtype}, {delegate})",
        lambda network: footprint(network, dtype=dtype, delegate=delegate).memory_bytes / _MB,
        maximum,
        "MB",
    )
