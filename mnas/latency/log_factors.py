"""Log factors from a known device's table to a new one: hierarchical Gaussian regression.

Every part of an entry (see `mnas.latency.entry_groups`) has a log factor: a global one, effects of the nested groups
that it belongs to, and one of its entry alone. A network's latency is the sum of its parts, so the log of it is nearly
linear in the log factors; the most probable factors are found by Gauss-Newton steps. Their posterior is Gaussian with a
common unknown scale (Rasmussen and Williams 2006, chapter 2; with an inverse gamma prior on the scale, predictions have
a Student distribution).

How large the effects are is not known, so fits with several strengths are averaged, each weighted by its marginal
likelihood.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from mnas.arch.complexity import block_complexity
from mnas.arch.spec import Architecture
from mnas.arch.walk import unroll
from mnas.errors import InputError
from mnas.latency.entry_groups import group_effects, split_entries
from mnas.latency.estimator import Z90, LatencyEstimator, params_factor
from mnas.latency.table import LatencyTable
from mnas.statistics import Array

_BLOCKS, _OPERATORS = (0.0, 0.1, 0.3, 0.8), (0.0, 0.15, 0.4, 1.0)  # deviations of log factors by each family of groups
_NOISE = (0.015, 0.06)  # of a network's log latency
_OWN_BLOCK, _OWN_OPERATOR = 0.3, 0.09  # deviation of an entry by itself, over those of its groups
_OVERHEAD = 0.3  # deviation of the log factor of the overhead
_DIRECTION = 0.5  # deviation of the effect of each difference between known tables
_SCALE_COUNT = 3.0  # the prior of the scale counts as this many networks
_STEPS, _LARGEST, _SMALL = 5, 3.0, 1e-3  # Gauss-Newton steps, largest log factor, and change that ends them
_SINGLE = 0.2  # prior probability that one factor is all there is
_LEAST_WEIGHT = 1e-3  # of a fit in the average


@dataclass(frozen=True)
class DesignMatrix:
    """Networks as sums of the parts of one table.

    Attributes:
        parts_ms: shape (networks, groups + 1), the last is the overhead.
        shares: of the entries in each network, shape (networks, entries).
    """

    parts_ms: Array
    shares: Array

    def take(self, rows: Sequence[int]) -> DesignMatrix:
        """Return some of the networks."""
        return DesignMatrix(self.parts_ms[list(rows)], self.shares[list(rows)])


class SplitTable:
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

    def design(self, networks: Sequence[Architecture]) -> DesignMatrix:
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
        return DesignMatrix(parts, counts * self.latency_ms * factors / total[:, None])


def _with_overhead(effects: Array) -> Array:
    """Append the overhead, which no group has an effect on."""
    return np.vstack([effects, np.zeros((1, effects.shape[1]))])


@dataclass(frozen=True)
class Strength:
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


class Fit:
    """The most probable log factors for one strength.

    Attributes:
        log_factors: of the groups and the overhead, without the global one.
        level: the global log factor.
        evidence: log marginal likelihood, up to a constant.
        scale2: estimate of the common scale of all variances.
        degrees: of freedom of the Student distributions.
    """

    def __init__(self, source: SplitTable, design: DesignMatrix, log_ms: Array, strength: Strength) -> None:
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

    def _state(self, design: DesignMatrix) -> tuple[Array, Array]:
        """Return the networks' sums without the global factor, and the shares of their parts."""
        parts = design.parts_ms * np.exp(np.clip(self.log_factors, -_LARGEST, _LARGEST))
        total = np.maximum(parts.sum(axis=1), 1e-3 * design.parts_ms.sum(axis=1))
        return total, parts / total[:, None]

    def _covariance(self, other: DesignMatrix, shares: Array, seen: Array) -> Array:
        """Return the covariance of networks with the measured ones, without noise and scale."""
        return np.asarray(
            seen @ self._seen.T
            + self.strength.own**2 * other.shares @ self._design.shares.T
            + self._overhead**2 * np.outer(shares[:, -1], self._shares[:, -1])
        )

    def log_ms(self, design: DesignMatrix) -> Array:
        """Return networks' log latencies, without what entries differ by themselves."""
        return np.asarray(np.log(self._state(design)[0]) + self.level)

    def covariance(self, design: DesignMatrix) -> Array:
        """Return the covariance of networks' log latencies given the measured ones, without noise."""
        _, shares = self._state(design)
        seen = shares @ self._effects
        known = self._covariance(design, shares, seen)
        prior = seen @ seen.T + self.strength.own**2 * design.shares @ design.shares.T
        prior += self._overhead**2 * np.outer(shares[:, -1], shares[:, -1])
        level = 1 - known @ self._ones
        given = prior - known @ self._inverse @ known.T + np.outer(level, level) / self._ones.sum()
        return np.asarray(self.scale2 * given)

    def variances(self, design: DesignMatrix) -> Array:
        """Return the variances of networks' log latencies, noise included."""
        return np.asarray(np.maximum(np.diag(self.covariance(design)), 0.0) + self.scale2 * self.strength.noise**2)

    def left_out(self) -> tuple[Array, Array]:
        """Return each measured log latency minus its prediction by the others, and the variance of that."""
        hat = self._inverse - np.outer(self._ones, self._ones) / self._ones.sum()
        diagonal = np.maximum(np.diag(hat), 1e-12)
        return np.asarray(hat @ self._residual / diagonal), np.asarray(self.scale2 / diagonal)

    def entries_ms(self, source: SplitTable) -> tuple[Array, float]:
        """Return the entries' new latencies and the overhead in ms."""
        factors = np.exp(np.clip(self.log_factors, -_LARGEST, _LARGEST) + self.level)
        own = np.exp(self.strength.own**2 * (self._design.shares.T @ self._alpha))
        return source.split_ms @ factors[:-1] * own, float(source.table.overhead_ms * factors[-1])


class AveragedFits:
    """Fits of one source with all strengths, weighted by their marginal likelihood."""

    def __init__(self, source: SplitTable, design: DesignMatrix, log_ms: Array, strengths: Sequence[Strength]) -> None:
        self.source, self.design = source, design
        fits = [Fit(source, design, log_ms, strength) for strength in strengths]
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

    def variances(self, design: DesignMatrix) -> Array:
        """Return the variances of networks' log latencies; differences between the fits count too."""
        logs = [fit.log_ms(design) for fit, _ in self.fits]
        middle = self._mean(logs)
        spread = self._mean([(own - middle) ** 2 for own in logs])
        return self.inflation * (self._mean([fit.variances(design) for fit, _ in self.fits]) + spread)


def _prior_weights(strengths: Sequence[Strength]) -> Array:
    single = np.array([strength.single for strength in strengths])
    return np.asarray(np.where(single, _SINGLE / max(single.sum(), 1), (1 - _SINGLE) / max((~single).sum(), 1)))


STRENGTHS = tuple(Strength(*values) for values in product(_BLOCKS, _OPERATORS, _NOISE))


def prior_covariance(source: SplitTable, design: DesignMatrix, strength: Strength) -> Array:
    """Return the covariance of networks' log latencies before any is measured; the global factor is free."""
    blocks, operators = source.effects
    shares = design.parts_ms / design.parts_ms.sum(axis=1)[:, None]
    effects = np.hstack([strength.blocks * blocks, strength.operators * operators, _DIRECTION * source.directions])
    seen = shares @ effects
    return np.asarray(seen @ seen.T + strength.own**2 * design.shares @ design.shares.T + 1.0)
