"""A new device's table from a few measured networks and tables of other devices: hierarchical Gaussian regression.

Every part of an entry (see `mnas.latency.entry_groups`) has a log factor from a known device's table to the new one: a
global one, effects of the nested groups that it belongs to, and one of its entry alone. A network's latency is the sum
of its parts, so the log of it is nearly linear in the log factors; the most probable factors are found by Gauss-Newton
steps. Their posterior is Gaussian with a common unknown scale (Rasmussen and Williams 2006, chapter 2; with an inverse
gamma prior on the scale, predictions have a Student distribution).

How large the effects are is not known, so fits with several strengths are averaged, each weighted by its marginal
likelihood. Where one global factor predicts left-out networks better, it is taken instead. With several tables, the
one of the largest marginal likelihood is the start; its differences from the others are directions in which devices
differ, and have an effect each.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from mnas.arch.complexity import block_complexity
from mnas.arch.spec import Architecture
from mnas.arch.walk import unroll
from mnas.errors import InputError
from mnas.latency.entry_groups import group_effects, split_entries
from mnas.latency.estimator import Z90, LatencyEstimator, params_factor
from mnas.latency.table import TRANSFERRED, Configuration, Entry, LatencyTable, Source
from mnas.statistics import Array

LEAST_NETWORKS = 3
_BLOCKS, _OPERATORS = (0.0, 0.1, 0.3, 0.8), (0.0, 0.15, 0.4, 1.0)  # deviations of log factors by each family of groups
_NOISE = (0.015, 0.06)  # of a network's log latency
_OWN_BLOCK, _OWN_OPERATOR = 0.3, 0.09  # deviation of an entry by itself, over those of its groups
_OVERHEAD = 0.3  # deviation of the log factor of the overhead
_DIRECTION = 0.5  # deviation of the effect of each difference between known tables
_SCALE_COUNT = 3.0  # the prior of the scale counts as this many networks
_STEPS, _LARGEST, _SMALL = 5, 3.0, 1e-3  # Gauss-Newton steps, largest log factor, and change that ends them
_SINGLE = 0.2  # prior probability that one factor is all there is
_LEAST_WEIGHT = 1e-3  # of a fit in the average
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


@dataclass(frozen=True)
class _Design:
    """Networks as sums of one source's parts.

    Attributes:
        parts_ms: shape (networks, groups + 1), the last is the overhead.
        shares: of the entries in each network, shape (networks, entries).
    """

    parts_ms: Array
    shares: Array

    def take(self, rows: Sequence[int]) -> _Design:
        return _Design(self.parts_ms[list(rows)], self.shares[list(rows)])


class _Source:
    """A known device's table, split into groups.

    Args:
        table: the table.
        others: tables of other devices, whose differences from it are directions.
        networks: that will be priced, for entries that the table interpolates.
    """

    def __init__(self, table: LatencyTable, others: Sequence[LatencyTable], networks: Sequence[Architecture]) -> None:
        self.table = table
        estimator = LatencyEstimator(table)
        entries = dict(table.entries)
        for network in networks:
            for placed in unroll(network):
                if placed.key not in entries:
                    entries[placed.key] = estimator.entry(placed)
        self.index = {key: number for number, key in enumerate(entries)}
        self.latency_ms = np.array([entry.latency_ms for entry in entries.values()])
        groups, self.split_ms = split_entries({key: entry.latency_ms for key, entry in entries.items()})
        blocks, operators = group_effects(groups)
        self.effects = (*map(_with_overhead, (blocks, operators)),)
        self.directions = _with_overhead(self._directions(others))

    def _directions(self, others: Sequence[LatencyTable]) -> Array:
        """Return the groups' mean log ratios to other tables, each around its mean, shape (groups, tables)."""
        weight = self.split_ms.sum(axis=0)
        columns: list[Array] = []
        for other in others:
            known = [key for key, at in self.index.items() if key in other.entries and self.latency_ms[at] > 0]
            rows = [self.index[key] for key in known if other.entries[key].latency_ms > 0]
            times = np.array([other.entries[key].latency_ms for key in known if other.entries[key].latency_ms > 0])
            if not rows:
                continue
            ratios = np.log(times / self.latency_ms[rows])
            mean = float(np.average(ratios, weights=self.latency_ms[rows]))
            here = self.split_ms[rows]
            columns.append((ratios - mean) @ here / np.maximum(weight, 1e-12))
        return np.column_stack(columns) if columns else np.zeros((len(weight), 0))

    def design(self, networks: Sequence[Architecture]) -> _Design:
        """Take networks apart.

        Raises:
            InputError: if the table predicts no time for one of them.
        """
        counts = np.zeros((len(networks), len(self.index)))
        params = np.zeros(len(networks))
        for row, network in enumerate(networks):
            for placed, times in Counter(unroll(network)).items():
                counts[row, self.index[placed.key]] += times
                params[row] += times * block_complexity(placed).params
        factors = params_factor(self.table, params)[:, None]
        parts = np.column_stack([counts @ self.split_ms, np.full(len(networks), self.table.overhead_ms)]) * factors
        total = parts.sum(axis=1)
        if (total <= 0).any():
            raise InputError("the table predicts no time at all for one of the measured networks: it cannot be scaled")
        return _Design(parts, counts * self.latency_ms * factors / total[:, None])


def _with_overhead(effects: Array) -> Array:
    """Append the overhead, which no group has an effect on."""
    return np.vstack([effects, np.zeros((1, effects.shape[1]))])


@dataclass(frozen=True)
class _Strength:
    """Deviations of the log factors by blocks' groups and operators' groups, and of the measurements."""

    blocks: float
    operators: float
    noise: float

    @property
    def single(self) -> bool:
        """Whether there is one factor only."""
        return not self.blocks and not self.operators

    @property
    def own(self) -> float:
        """Deviation of an entry by itself."""
        return max(_OWN_BLOCK * self.blocks, _OWN_OPERATOR * self.operators)


class _Fit:
    """The most probable log factors for one strength.

    Attributes:
        log_factors: of the groups and the overhead, without the global one.
        level: the global log factor.
        evidence: log marginal likelihood, up to a constant.
        scale2: estimate of the common scale of all variances.
        degrees: of freedom of the Student distributions.
    """

    def __init__(self, source: _Source, design: _Design, log_ms: Array, strength: _Strength) -> None:
        self.strength, self._design = strength, design
        if strength.single:
            self._effects = np.zeros((design.parts_ms.shape[1], 0))
        else:
            blocks, operators = source.effects
            weighted = [strength.blocks * blocks, strength.operators * operators, _DIRECTION * source.directions]
            self._effects = np.hstack(weighted)
        self._overhead = 0.0 if strength.single else _OVERHEAD
        self.log_factors = np.zeros(design.parts_ms.shape[1])
        for step in range(_STEPS):
            before = self.log_factors
            self._solve(log_ms)
            change = float(np.abs(self.log_factors - before).max())
            if change < _SMALL:
                break
            if step > 1:  # Gauss-Newton steps that go back and forth
                self.log_factors = (self.log_factors + before) / 2
        count = len(log_ms)
        square = float((self._residual - self.level) @ self._alpha)
        self.degrees = _SCALE_COUNT + count - 1
        self.scale2 = (_SCALE_COUNT + square) / self.degrees
        _, log_determinant = np.linalg.slogdet(self._inverse)
        self.evidence = 0.5 * (
            log_determinant - math.log(self._ones.sum()) - self.degrees * math.log1p(square / _SCALE_COUNT)
        )

    def _solve(self, log_ms: Array) -> None:
        total, shares = self._state(self._design)
        self._shares, self._seen = shares, shares @ self._effects
        self._residual = log_ms - np.log(total) + shares @ self.log_factors
        self._inverse = np.linalg.inv(
            self._covariance(self._design, shares, self._seen) + self.strength.noise**2 * np.eye(len(log_ms))
        )
        self._ones = self._inverse.sum(axis=1)
        self.level = float(self._ones @ self._residual / self._ones.sum())
        self._alpha = self._inverse @ (self._residual - self.level)
        self.log_factors = self._effects @ (self._seen.T @ self._alpha)
        self.log_factors[-1] += self._overhead**2 * float(shares[:, -1] @ self._alpha)

    def _state(self, design: _Design) -> tuple[Array, Array]:
        """Return the networks' sums without the global factor, and the shares of their parts."""
        parts = design.parts_ms * np.exp(np.clip(self.log_factors, -_LARGEST, _LARGEST))
        total = np.maximum(parts.sum(axis=1), 1e-3 * design.parts_ms.sum(axis=1))
        return total, parts / total[:, None]

    def _covariance(self, other: _Design, shares: Array, seen: Array) -> Array:
        """Return the covariance of networks with the measured ones, without noise and scale."""
        return np.asarray(
            seen @ self._seen.T
            + self.strength.own**2 * other.shares @ self._design.shares.T
            + self._overhead**2 * np.outer(shares[:, -1], self._shares[:, -1])
        )

    def log_ms(self, design: _Design) -> Array:
        """Return networks' log latencies, without what entries differ by themselves."""
        return np.asarray(np.log(self._state(design)[0]) + self.level)

    def covariance(self, design: _Design) -> Array:
        """Return the covariance of networks' log latencies given the measured ones, without noise."""
        _, shares = self._state(design)
        seen = shares @ self._effects
        known = self._covariance(design, shares, seen)
        prior = seen @ seen.T + self.strength.own**2 * design.shares @ design.shares.T
        prior += self._overhead**2 * np.outer(shares[:, -1], shares[:, -1])
        level = 1 - known @ self._ones
        given = prior - known @ self._inverse @ known.T + np.outer(level, level) / self._ones.sum()
        return np.asarray(self.scale2 * given)

    def variances(self, design: _Design) -> Array:
        """Return the variances of networks' log latencies, noise included."""
        return np.asarray(np.maximum(np.diag(self.covariance(design)), 0.0) + self.scale2 * self.strength.noise**2)

    def left_out(self) -> tuple[Array, Array]:
        """Return each measured log latency minus its prediction by the others, and the variance of that."""
        hat = self._inverse - np.outer(self._ones, self._ones) / self._ones.sum()
        diagonal = np.maximum(np.diag(hat), 1e-12)
        return np.asarray(hat @ self._residual / diagonal), np.asarray(self.scale2 / diagonal)

    def entries_ms(self, source: _Source) -> tuple[Array, float]:
        """Return the entries' new latencies and the overhead in ms."""
        factors = np.exp(np.clip(self.log_factors, -_LARGEST, _LARGEST) + self.level)
        own = np.exp(self.strength.own**2 * (self._design.shares.T @ self._alpha))
        return source.split_ms @ factors[:-1] * own, float(source.table.overhead_ms * factors[-1])


class _Average:
    """Fits of one source with all strengths, weighted by their marginal likelihood."""

    def __init__(self, source: _Source, design: _Design, log_ms: Array, strengths: Sequence[_Strength]) -> None:
        self.source, self.design = source, design
        fits = [_Fit(source, design, log_ms, strength) for strength in strengths]
        evidence = np.array([fit.evidence for fit in fits])
        evidence += np.log(_prior_weights(strengths))
        weights = np.exp(evidence - evidence.max())
        self.evidence = float(evidence.max() + math.log(weights.sum()))
        weights /= weights.sum()
        kept = [(fit, float(weight)) for fit, weight in zip(fits, weights, strict=True) if weight > _LEAST_WEIGHT]
        whole = sum(weight for _, weight in kept)
        self.fits = [(fit, weight / whole) for fit, weight in kept]
        self.likeliest = max(self.fits, key=lambda pair: pair[1])[0]
        differences, variances = zip(*(fit.left_out() for fit, _ in self.fits), strict=True)
        self.left_out = self._mean(differences)
        spread = self._mean([(difference - self.left_out) ** 2 for difference in differences])
        variance = self._mean(variances) + spread
        # The posterior of a wrong model is too narrow; left-out networks show by how much (a jackknife correction).
        self.inflation = max(1.0, float((self.left_out**2 / variance).mean()))
        self.left_out_variance = self.inflation * variance

    def _mean(self, values: Sequence[Array]) -> Array:
        return np.asarray(sum(weight * value for (_, weight), value in zip(self.fits, values, strict=True)))

    def student(self, degrees: float = 0.0) -> float:
        """Return how much wider a 90 % interval is than that of a normal distribution."""
        from scipy.stats import t

        return float(t.ppf(0.95, self.likeliest.degrees + degrees)) / Z90

    def entries_ms(self) -> tuple[Array, float]:
        """Return the entries' new latencies and the overhead in ms."""
        found = [fit.entries_ms(self.source) for fit, _ in self.fits]
        overhead = sum(weight * own for (_, weight), (_, own) in zip(self.fits, found, strict=True))
        return self._mean([entries for entries, _ in found]), float(overhead)

    def own_deviation(self) -> float:
        """Return the standard deviation of an entry's log factor by itself."""
        own = sum(weight * fit.scale2 * fit.strength.own**2 for fit, weight in self.fits)
        return math.sqrt(self.inflation * own)

    def variances(self, design: _Design) -> Array:
        """Return the variances of networks' log latencies; differences between the fits count too."""
        logs = [fit.log_ms(design) for fit, _ in self.fits]
        middle = self._mean(logs)
        spread = self._mean([(own - middle) ** 2 for own in logs])
        return self.inflation * (self._mean([fit.variances(design) for fit, _ in self.fits]) + spread)


def _prior_weights(strengths: Sequence[_Strength]) -> Array:
    single = np.array([strength.single for strength in strengths])
    return np.asarray(np.where(single, _SINGLE / max(single.sum(), 1), (1 - _SINGLE) / max((~single).sum(), 1)))


_STRENGTHS = tuple(_Strength(*values) for values in product(_BLOCKS, _OPERATORS, _NOISE))


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
            self._sources.append(_Source(table, [*sources[:place], *sources[place + 1 :]], self.networks))
        self._designs = [source.design(self.networks) for source in self._sources]

    def choose(self, count: int) -> list[Architecture]:
        """Choose the networks whose latencies tell most about those of all, the most telling first.

        It is a greedy A-optimal design on the log factors of the groups of the first table.
        """
        source, design = self._sources[0], self._designs[0]
        prior = _prior_covariance(source, design, _Strength(*_PLANNED))
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
            _Average(source, design.take(rows), log_ms, _STRENGTHS)
            for source, design in zip(self._sources, self._designs, strict=True)
        ]
        start = int(np.argmax([average.evidence for average in averages]))
        grouped = averages[start]
        single = _Average(grouped.source, grouped.design, log_ms, [s for s in _STRENGTHS if s.single])
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
    average: _Average,
    place: int,
    log_ms: Array,
    errors: Sequence[float],
    grouped: bool,
    design: _Design,
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


def _margin_at_twice(average: _Average, design: _Design) -> float:
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


def _prior_covariance(source: _Source, design: _Design, strength: _Strength) -> Array:
    """Return the covariance of networks' log latencies before any is measured; the global factor is free."""
    blocks, operators = source.effects
    shares = design.parts_ms / design.parts_ms.sum(axis=1)[:, None]
    effects = np.hstack([strength.blocks * blocks, strength.operators * operators, _DIRECTION * source.directions])
    seen = shares @ effects
    return np.asarray(seen @ seen.T + strength.own**2 * design.shares @ design.shares.T + 1.0)


def average_by_network(measurements: Sequence[tuple[Architecture, float]]) -> dict[Architecture, float]:
    """Average the measurements of each network."""
    times: dict[Architecture, list[float]] = defaultdict(list)
    for network, latency_ms in measurements:
        times[network].append(latency_ms)
    return {network: math.fsum(all_ms) / len(all_ms) for network, all_ms in times.items()}
