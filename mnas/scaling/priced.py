"""What `mnas scale` needs from the rungs below: tables that price scaled networks, and members with all that is known.

Tables are read once, and extended to blocks that they lack (`mnas.latency.extrapolation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.latency.estimator import LatencyEstimate
from mnas.latency.extrapolation import ExtendedEstimator
from mnas.latency.table import LatencyTable
from mnas.scaling.compound import Coefficients, scale_by_formula
from mnas.scaling.family import Member
from mnas.scaling.to_latency import LatencyGoal, Scaled, scale_to_latency


class Devices:
    """Latency tables by a short name, ready to price scaled networks.

    Args:
        paths: of the tables.

    Raises:
        InputError: for an unreadable table, one that is too small, or two of the same name.
    """

    def __init__(self, paths: Sequence[Path | str]) -> None:
        self.estimators: dict[str, ExtendedEstimator] = {}
        for path in paths:
            name = Path(path).stem
            if name in self.estimators:
                raise InputError(f"two latency tables are called {name}: rename one")
            self.estimators[name] = ExtendedEstimator(LatencyTable.load(path))

    def predict(self, architecture: Architecture) -> dict[str, LatencyEstimate]:
        """Every device's estimate.

        Raises:
            InputError: if a table has no operator of a kind that the network needs.
        """
        return {name: estimator.predict(architecture) for name, estimator in self.estimators.items()}

    def goals(self, wanted_ms: Sequence[float]) -> list[LatencyGoal]:
        """One goal a table.

        Raises:
            InputError: if their numbers differ.
        """
        if len(wanted_ms) != len(self.estimators) or not wanted_ms:
            raise InputError(
                f"{len(wanted_ms)} --to-ms and {len(self.estimators)} --table: expected one --to-ms for each --table, "
                "or several --to-ms for one --table"
            )
        return [
            LatencyGoal(estimator.latency_ms, wanted)
            for estimator, wanted in zip(self.estimators.values(), wanted_ms, strict=True)
        ]

    def member(self, name: str, architecture: Architecture, accuracy: float | None = None) -> Member:
        """A network with its latencies."""
        estimates = self.predict(architecture)
        return Member(
            name,
            architecture,
            {device: estimate.latency_ms for device, estimate in estimates.items()},
            {device: (estimate.low_ms, estimate.high_ms) for device, estimate in estimates.items()},
            accuracy,
        )


def scale_to_latencies(
    base: Architecture, devices: Devices, wanted_ms: Sequence[float], coefficients: Coefficients, *, lite: bool = False
) -> list[tuple[str, Scaled]]:
    """One network that meets a latency a table, or with one table a network for each latency; with their names.

    Raises:
        InputError: if the numbers of tables and latencies do not fit, or a latency is out of reach.
        MnasError: if no network lands within the tolerance.
    """
    if len(devices.estimators) == 1 and len(wanted_ms) > 1:
        if len(set(wanted_ms)) != len(wanted_ms):
            raise InputError(f"--to-ms is {', '.join(f'{w:g}' for w in wanted_ms)}: expected different latencies")
        return [
            (f"{wanted:g}ms", scale_to_latency(base, devices.goals([wanted]), coefficients, lite=lite))
            for wanted in wanted_ms
        ]
    name = "_".join(f"{wanted:g}ms" for wanted in wanted_ms)
    return [(name, scale_to_latency(base, devices.goals(wanted_ms), coefficients, lite=lite))]


def formula_members(
    base: Architecture, phis: Sequence[int], coefficients: Coefficients, *, lite: bool = False
) -> list[tuple[str, Architecture]]:
    """The members of a family by the formula, with their names.

    Raises:
        InputError: for a phi out of range, or a network beyond memory.
    """
    return [(f"phi{phi}", scale_by_formula(base, phi, coefficients, lite=lite)) for phi in phis]
