"""Latency tables that predict scaled networks. Each is read once, and extrapolated to blocks that it lacks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.latency.estimator import LatencyEstimate
from mnas.latency.extrapolation import ExtendedEstimator, UnpricedError
from mnas.latency.limits import load_table
from mnas.scaling.compound import Coefficients
from mnas.scaling.family import Member
from mnas.scaling.to_latency import Fit, LatencyGoal, Scaled, scale_to_latency

_LOGGER = logging.getLogger(__name__)


class Devices:
    """Latency estimators by the short names of their tables.

    Args:
        paths: of the tables.

    Raises:
        InputError: for an unreadable table, or two of the same name.
    """

    def __init__(self, paths: Sequence[Path | str]) -> None:
        self.estimators: dict[str, ExtendedEstimator] = {}
        for path in paths:
            name = Path(path).stem
            if name in self.estimators:
                raise InputError(f"two latency tables are called {name}: rename one")
            self.estimators[name] = ExtendedEstimator(load_table(path))

    def check(self, networks: Sequence[Architecture]) -> None:
        """Check that every table can price at least one of some networks.

        Raises:
            UnpricedError: if one cannot; it is the reason for the first network.
        """
        for estimator in self.estimators.values():
            if not any(estimator.is_priced(network) for network in networks):
                estimator.latency_ms(networks[0])

    def member(
        self, name: str, architecture: Architecture, accuracy: float | None = None, *, unpriced: bool = False
    ) -> Member:
        """Return a network with its predicted latencies.

        Args:
            name: of the network.
            architecture: the network.
            accuracy: of it, or None.
            unpriced: whether a table that cannot price the network is warned of, and gives no latency.

        Raises:
            UnpricedError: if a table has no operator of a kind that the network needs.
            InputError: if a table is too small to extrapolate from.
        """
        estimates: dict[str, LatencyEstimate | None] = {}
        for device, estimator in self.estimators.items():
            try:
                estimates[device] = estimator.predict(architecture)
            except UnpricedError as error:
                if not unpriced:
                    raise
                _LOGGER.warning("%s has no latency by %s: %s", name, device, error)
                estimates[device] = None
        return Member(
            name,
            architecture,
            {device: None if found is None else found.latency_ms for device, found in estimates.items()},
            {device: None if found is None else (found.low_ms, found.high_ms) for device, found in estimates.items()},
            accuracy,
            {device: found.extrapolated for device, found in estimates.items() if found},
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
