"""A new device's table from a few measured networks and tables of other devices.

The log factors from a known device's table to the new one are fitted as `mnas.latency.log_factors` describes. Where one
global factor predicts left-out networks better, it is taken instead. With several tables, the one of the largest
marginal likelihood is the start; its differences from the others are directions in which devices differ, and have an
effect each.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.latency.estimator import Z90
from mnas.latency.log_factors import STRENGTHS, AveragedFits, DesignMatrix, SplitTable, Strength, prior_covariance
from mnas.latency.table import TRANSFERRED, Configuration, Entry, LatencyTable, Source
from mnas.statistics import Array

LEAST_NETWORKS = 3
_TYPICAL = 100  # networks that the intervals are set for, at most
_PLANNED = (0.3, 0.3, 0.02)  # strengths with which networks are chosen before any is measured


@dataclass(frozen=True)
class Transfer:
    """The result of a transfer. Errors and margins are fractions.

    Attributes:
        num_networks: number of different measured networks.
        grouped: whether groups have their own factors; otherwise all entries have the same.
        source: place of the table that the new one starts from, among those given.
        factor: of a mean measured network, the new table over that one.
        error_before: mean absolute error of the source with the best single factor, each network predicted by the
            others.
        error_after: mean absolute error of the new table, in the same way.
        margin: of the 90 % intervals over the prediction, on average.
        margin_at_twice: expected margin after as many further networks.
        left_out: prediction of every measured network by the others, in ms, with the standard deviation of its log.
    """

    num_networks: int
    grouped: bool
    source: int
    factor: float
    error_before: float
    error_after: float
    margin: float
    margin_at_twice: float
    left_out: tuple[tuple[float, float], ...]


class TransferModel:
    """Tables of known devices, from which that of a new device follows with a few measured networks.

    Args:
        sources: tables of other devices.
        networks: candidates to measure, at least all that will be measured; the intervals of the new table are set for
            networks like them.

    Raises:
        InputError: without tables or networks, or if a table lacks a block of the networks; the message names its
            device.
    """

    def __init__(self, sources: Sequence[LatencyTable], networks: Sequence[Architecture]) -> None:
        if not sources or not networks:
            raise InputError("a transfer needs at least one table to start from, and one network to measure")
        self.networks = list(dict.fromkeys(networks))
        self._places = {network: place for place, network in enumerate(self.networks)}
        self._sources = []
        for place, table in enumerate(sources):
            self._sources.append(SplitTable(table, [*sources[:place], *sources[place + 1 :]], self.networks))
        self._designs = [source.design(self.networks) for source in self._sources]

    def choose(self, count: int) -> list[Architecture]:
        """Choose the networks whose latencies tell most about those of all, the most telling first.

        It is a greedy A-optimal design on the log factors of the groups of the first table.
        """
        source, design = self._sources[0], self._designs[0]
        prior = prior_covariance(source, design, Strength(*_PLANNED))
        return [self.networks[place] for place in _condition(prior, _PLANNED[-1] ** 2, count)[0]]

    def fit(
        self, measurements: Sequence[tuple[Architecture, float]], configuration: Configuration | None = None
    ) -> tuple[LatencyTable, Transfer]:
        """Make the new device's table.

        Args:
            measurements: networks among those of the model, and their latencies in ms.
            configuration: of the new table; by default that of the source.

        Returns:
            The table, without a report card, and the result. Its entries' own errors are those that differ from entry
            to entry; the error that they have in common is the table's relative error.

        Raises:
            InputError: for fewer than three different networks.
        """
        times = average_by_network(measurements)
        if len(times) < LEAST_NETWORKS:
            raise InputError(
                f"a transfer needs at least {LEAST_NETWORKS} different networks; got {len(times)}: measure more"
            )
        if min(times.values()) <= 0:
            raise InputError(f"a measured latency is {min(times.values())} ms: expected times above 0")
        rows, log_ms = [self._places[network] for network in times], np.log(list(times.values()))
        averages = [
            AveragedFits(source, design.take(rows), log_ms, STRENGTHS)
            for source, design in zip(self._sources, self._designs, strict=True)
        ]
        start = int(np.argmax([average.evidence for average in averages]))
        grouped = averages[start]
        single = AveragedFits(grouped.source, grouped.design, log_ms, [s for s in STRENGTHS if s.single])
        errors = [np.abs(np.expm1(-average.left_out)) for average in (grouped, single)]
        chosen = single if _clearly_above(*errors) else grouped
        typical = self._designs[start].take(range(min(_TYPICAL, len(self.networks))))
        means = [float(error.mean()) for error in errors]
        return _result(chosen, start, log_ms, means, chosen is grouped, typical, configuration)


def _clearly_above(first: Array, second: Array) -> bool:
    """Whether the first errors are larger by more than the standard error of the difference."""
    difference = first - second
    return bool(difference.mean() > difference.std(ddof=1) / math.sqrt(len(difference)))


def _result(
    average: AveragedFits,
    place: int,
    log_ms: Array,
    errors: Sequence[float],
    grouped: bool,
    design: DesignMatrix,
    configuration: Configuration | None,
) -> tuple[LatencyTable, Transfer]:
    source = average.source
    margin, own = Z90 * average.student() * np.sqrt(average.variances(design)), average.own_deviation()
    latency_ms, overhead_ms = average.entries_ms()
    common = np.maximum((margin / Z90) ** 2 - own**2 * (design.shares**2).sum(axis=1), 0.0)
    entries = {
        key: replace(entry, latency_ms=float(ms), error_ms=float(own * ms), num_networks=0, source=_origin(entry))
        for (key, entry), ms in zip(source.table.entries.items(), latency_ms, strict=False)
    }
    before = np.log(average.design.parts_ms.sum(axis=1))
    factor = float(np.exp((log_ms - before).mean()))
    left_out_ms = np.exp(log_ms - average.left_out)
    deviations = average.student() * np.sqrt(average.left_out_variance)
    found = Transfer(
        num_networks=len(log_ms),
        grouped=grouped,
        source=place,
        factor=factor,
        error_before=errors[1],
        error_after=errors[0] if grouped else errors[1],
        margin=float(margin.mean()),
        margin_at_twice=_margin_at_twice(average, design),
        left_out=tuple(zip(left_out_ms.tolist(), deviations.tolist(), strict=True)),
    )
    how = "factors of groups of entries" if grouped else "one factor for all entries"
    where = source.table.configuration
    table = replace(
        source.table,
        configuration=configuration or where,
        entries=entries,
        overhead_ms=overhead_ms,
        relative_error=min(10.0, float(np.sqrt(common.mean()))),
        method=(
            f"{TRANSFERRED} {where.model or where.cpu or where.soc} ({where.dtype}, {source.table.date}) "
            f"to {len(log_ms)} whole networks, by {how}; mean error {found.error_after:.1%}, each predicted by the "
            "others"
        ),
        reference_ms=0.0,
        report_card=None,
        report_cards={},
    )
    return table, found


def _origin(entry: Entry) -> Source:
    return "imported" if entry.source == "imported" else "fitted"


def _margin_at_twice(average: AveragedFits, design: DesignMatrix) -> float:
    """Return the expected margin after as many further networks, the most telling of the typical ones."""
    fit, count = average.likeliest, len(average.design.parts_ms)
    noise = fit.scale2 * fit.strength.noise**2
    covariance = _condition(fit.covariance(design), noise, count)[1]
    deviations = np.sqrt(average.inflation * (np.maximum(np.diag(covariance), 0.0) + noise))
    return float((Z90 * average.student(count) * deviations).mean())


def _condition(covariance: Array, noise: float, count: int) -> tuple[list[int], Array]:
    """Choose networks one by one, each the one that reduces the sum of all variances most.

    Returns:
        Their places, and the covariance given their measurements.
    """
    chosen: list[int] = []
    for _ in range(min(count, len(covariance))):
        gains = (covariance**2).sum(axis=0) / (np.diag(covariance) + noise)
        gains[chosen] = -1.0
        best = int(np.argmax(gains))
        column = covariance[:, best]
        covariance = covariance - np.outer(column, column) / (column[best] + noise)
        chosen.append(best)
    return chosen, covariance


def average_by_network(measurements: Sequence[tuple[Architecture, float]]) -> dict[Architecture, float]:
    """Average the measurements of each network."""
    times: dict[Architecture, list[float]] = defaultdict(list)
    for network, latency_ms in measurements:
        times[network].append(latency_ms)
    return {network: math.fsum(all_ms) / len(all_ms) for network, all_ms in times.items()}
