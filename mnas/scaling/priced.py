"""Latency tables that predict scaled networks. Each is read once, and extrapolated to blocks that it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.latency.extrapolation import ExtendedEstimator
from mnas.latency.limits import load_table
from mnas.scaling.compound import Coefficients
from mnas.scaling.family import Member
from mnas.scaling.to_latency import Fit, LatencyGoal, Scaled, scale_to_latency


class Devices:
    """Latency estimators by the short names of their tables.

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
            self.estimators[name] = ExtendedEstimator(load_table(path))

    def member(self, name: str, architecture: Architecture, accuracy: float | None = None) -> Member:
        """Return a network with its predicted latencies.

        Raises:
            InputError: if a table has no operator of a kind that the network needs.
        """
        estimates = {device: estimator.predict(architecture) for device, estimator in self.estimators.items()}
        return Member(
            name,
            architecture,
            {device: estimate.latency_ms for device, estimate in estimates.items()},
            {device: (estimate.low_ms, estimate.high_ms) for device, estimate in estimates.items()},
            accuracy,
        )


def scale_to_latencies(
    base: Architecture,
    devices: Devices,
    wanted_ms: Sequence[float],
    coefficients: Coefficients,
    *,
    lite: bool = False,
    fit: Fit = lambda scaled: scaled,
) -> list[tuple[str, Scaled]]:
    """Return one network that meets a latency for each table, or with one table a network for each latency, named.

    Options are those of `scale_to_latency`.

    Raises:
        InputError: if the numbers of tables and latencies do not match, or a latency is out of reach.
        MnasError: if no network lands within the tolerance.
    """
    estimators = list(devices.estimators.values())
    groups = [[wanted] for wanted in wanted_ms] if len(estimators) == 1 else [list(wanted_ms)]
    if not wanted_ms or len(groups[0]) != len(estimators):
        raise InputError(
            f"{len(wanted_ms)} --to-ms and {len(estimators)} --table: expected one --to-ms for each --table, "
            "or several --to-ms for one --table"
        )
    if len(estimators) == 1 and len(set(wanted_ms)) != len(wanted_ms):
        raise InputError(f"--to-ms is {', '.join(f'{w:g}' for w in wanted_ms)}: expected different latencies")
    found = []
    for group in groups:
        goals = [LatencyGoal(each.latency_ms, wanted) for each, wanted in zip(estimators, group, strict=True)]
        name = "_".join(f"{wanted:g}ms" for wanted in group)
        found.append((name, scale_to_latency(base, goals, coefficients, lite=lite, fit=fit)))
    return found
