"""Joining runs of one device into one latency table, and where they disagree beyond noise."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from mnas.arch.spec import Architecture
from mnas.arch.walk import unroll
from mnas.errors import InputError
from mnas.latency.compare import block_group
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.overwriting import check_overwriting
from mnas.latency.table import LatencyTable
from mnas.profiling.log import Change, changes
from mnas.profiling.measure import NetworkTime
from mnas.profiling.plan import PlannedNetwork
from mnas.profiling.profile import fit_table
from mnas.profiling.run_log import Run, open_run
from mnas.statistics import Array

FAR = 3.0  # standard deviations of the noise, beyond which runs disagree
_LEAST_NOISE = 0.003  # of a network, as a fraction: two halves of one measurement can agree by chance
_LIKELY = 0.1  # standard deviation of a group's difference before anything is known of it
_NORMAL_MEDIAN = 0.6745  # of the absolute value of a standard normal variable
_OWN_OPTIONS = {"options.seed", "options.minutes"}  # of a run

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NetworkDifference:
    """A network that two runs measured differently beyond noise; times in ms on the quiet device."""

    number: int
    first_ms: float
    second_ms: float


@dataclass(frozen=True)
class GroupDifference:
    """How much longer the blocks of a group took in the second of two runs: 0.02 is 2 %, with standard deviation."""

    group: str
    difference: float
    error: float

    @property
    def beyond_noise(self) -> bool:
        """Whether the difference is more than chance explains."""
        return abs(self.difference) > FAR * self.error


@dataclass(frozen=True)
class Disagreement:
    """Where two runs differ.

    Attributes:
        first, second: the files of their tables.
        num_common: number of networks that both measured.
        noise: standard deviation of the difference of a network's two measurements, as a fraction, as the repetitions
            within each run let one expect.
        networks: those in common that differ beyond noise, with their number in the second run's plan.
        groups: all groups of blocks, whether they differ or not.
    """

    first: str
    second: str
    num_common: int
    noise: float
    networks: tuple[NetworkDifference, ...]
    groups: tuple[GroupDifference, ...]


@dataclass(frozen=True)
class Merged:
    """A table of several runs, the number of its networks, and where each two of the runs disagree."""

    table: LatencyTable
    num_networks: int
    disagreements: tuple[Disagreement, ...]


def merge_tables(paths: Sequence[Path | str], out: Path, *, force: bool = False) -> Merged:
    """Fit one table to all measurements of several runs of one device, and write it.

    Measurements of one network are averaged, weighted by their quiet bursts. A network that one run held out is held
    out.

    Args:
        paths: of two or more tables with their logs, or of logs.
        out: the table's file.
        force: whether to replace a table that is there already.

    Raises:
        InputError: if a run cannot be read, or they are of different devices, spaces, dtypes, numbers of threads or
            otherwise not comparable; with both values. Or if there is a table already. What does not make another
            device, such as the governor, is only warned of.
        MnasError: if the table cannot be written.
    """
    if len(set(map(str, paths))) < max(2, len(paths)):
        raise InputError(f"a merge needs two or more different tables; got {', '.join(map(str, paths)) or 'none'}")
    check_overwriting(out, force)
    runs = [open_run(path) for path in paths]
    for run in runs[1:]:
        _check_same(runs[0], run)
    reference_ms = min(run.reference_ms for run in runs)
    measured = [_by_network(run, reference_ms) for run in runs]
    networks, times = _joined(measured)
    table = fit_table(runs[0].space, runs[0].configuration, networks, dict(enumerate(times)))
    table = replace(
        table,
        reference_ms=reference_ms,
        reference=runs[0].known.reference,
        date=max(run.known.date for run in runs),
        method=f"{table.method}; measured in {len(runs)} runs",
    )
    found = tuple(
        _disagreement(table, (runs[i], measured[i]), (runs[j], measured[j]))
        for i, j in combinations(range(len(runs)), 2)
    )
    table.save(out)
    return Merged(table, len(networks), found)


_Measured = dict[Architecture, tuple[int, PlannedNetwork, NetworkTime]]


def _by_network(run: Run, reference_ms: float) -> _Measured:
    return {
        planned.architecture: (number, planned, measured.at(reference_ms))
        for number, planned, measured in run.networks()
    }


def _check_same(first: Run, second: Run) -> None:
    found = changes(first.known.header, second.known.header)
    different, harmless = ([each for each in part if each.name not in _OWN_OPTIONS] for part in found)
    if first.known.reference != second.known.reference:
        different.append(Change("reference", first.known.reference, second.known.reference))
    if different:
        listed = ", ".join(change.text(f"in {first.path}", f"in {second.path}") for change in different)
        raise InputError(f"these are not runs of one device and space, measured in one way: {listed}")
    for change in harmless:
        _log.warning("merging runs that differ in %s", change.text(f"in {first.path}", f"in {second.path}"))


def _joined(runs: Sequence[_Measured]) -> tuple[list[PlannedNetwork], list[NetworkTime]]:
    """All networks, each once, with their mean measurements."""
    times: dict[Architecture, list[NetworkTime]] = defaultdict(list)
    held_out: dict[Architecture, bool] = defaultdict(bool)
    for run in runs:
        for architecture, (_, planned, measured) in run.items():
            times[architecture].append(measured)
            held_out[architecture] |= planned.held_out
    networks = [PlannedNetwork(architecture, held_out[architecture]) for architecture in times]
    return networks, [_mean(each) for each in times.values()]


def _mean(times: Sequence[NetworkTime]) -> NetworkTime:
    weights = [max(1, each.num_quiet) for each in times]

    def mean(values: Sequence[float]) -> float:
        return float(np.average(values, weights=weights))

    first, *_ = times
    if len(times) == 1:
        return first
    return NetworkTime(
        quiet_ms=mean([each.quiet_ms for each in times]),
        median_ms=mean([each.median_ms for each in times]),
        p90_ms=mean([each.p90_ms for each in times]),
        min_ms=min(each.min_ms for each in times),
        median_all_ms=mean([each.median_all_ms for each in times]),
        halves_ms=(mean([each.halves_ms[0] for each in times]), mean([each.halves_ms[1] for each in times])),
        num_runs=sum(each.num_runs for each in times),
        num_bursts=sum(each.num_bursts for each in times),
        num_quiet=sum(each.num_quiet for each in times),
        slowdown=mean([each.slowdown for each in times]),
        reference_ms=first.reference_ms,
    )


def _disagreement(table: LatencyTable, first: tuple[Run, _Measured], second: tuple[Run, _Measured]) -> Disagreement:
    (one, one_measured), (other, other_measured) = first, second
    noise = math.hypot(
        *(_noise([measured for *_, measured in each.values()]) for each in (one_measured, other_measured))
    )
    common = [architecture for architecture in one_measured if architecture in other_measured]
    far = []
    for architecture in common:
        number, _, measured = other_measured[architecture]
        first_ms, second_ms = one_measured[architecture][2].quiet_ms, measured.quiet_ms
        if abs(math.log(second_ms / first_ms)) > FAR * noise:
            far.append(NetworkDifference(number, first_ms, second_ms))
    far.sort(key=lambda each: -abs(math.log(each.second_ms / each.first_ms)))
    groups = _groups(table, one_measured, other_measured)
    return Disagreement(str(one.path), str(other.path), len(common), noise, tuple(far), groups)


def _noise(times: Sequence[NetworkTime]) -> float:
    """The standard deviation of a network's latency, as a fraction, from the halves of all measurements.

    The difference of two halves has four times the variance of their mean.
    """
    apart = np.abs([math.log(first / second) for first, second in (each.halves_ms for each in times)])
    return max(_LEAST_NOISE, float(np.median(apart)) / _NORMAL_MEDIAN / 2)


def _groups(table: LatencyTable, first: _Measured, second: _Measured) -> tuple[GroupDifference, ...]:
    """By groups of blocks, how the runs deviate from the common table: a regression on each group's share of the time.

    Both runs share one deviation for each group, as the table itself can be off; the second has one of its own beside.
    Deviations are likely small, so those that the networks say little of stay near 0, with their error.
    """
    estimator = LatencyEstimator(table)
    shares: list[dict[str, float]] = []
    off: list[float] = []
    for run in (first, second):
        for architecture, (_, _, measured) in run.items():
            estimate = estimator.predict(architecture)
            own: dict[str, float] = defaultdict(float)
            for placed, block_ms in zip(unroll(architecture), estimate.blocks_ms, strict=True):
                own[block_group(placed.key)] += block_ms / estimate.latency_ms
            shares.append(own)
            off.append(measured.quiet_ms / estimate.latency_ms - 1)
    names = sorted({name for own in shares for name in own})
    design = np.array([[own.get(name, 0.0) for name in names] for own in shares])
    is_second = np.repeat([0.0, 1.0], [len(first), len(second)])[:, None]
    mean, deviation = _regress(np.hstack([design, design * is_second]), np.array(off))
    own_part = slice(len(names), None)
    rows = zip(names, mean[own_part], deviation[own_part], strict=True)
    return tuple(GroupDifference(name, float(value), float(error)) for name, value, error in rows)


def _regress(design: Array, values: Array) -> tuple[Array, Array]:
    """Ridge regression as the mean and deviation of normal coefficients; the noise is that of least squares."""
    count, width = design.shape
    plain = np.linalg.lstsq(design, values, rcond=None)[0]
    residual = values - design @ plain
    variance = max(_LEAST_NOISE**2, float(residual @ residual) / max(1, count - width))
    covariance = np.linalg.inv(design.T @ design / variance + np.eye(width) / _LIKELY**2)
    return np.asarray(covariance @ design.T @ values / variance), np.sqrt(np.diag(covariance))
