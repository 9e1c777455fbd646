"""Does a table still hold? Fresh networks say so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mnas.arch.spec import Architecture
from mnas.devices.base import Device
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.report_card import make_report_card
from mnas.latency.table import Configuration, LatencyTable, ReportCard
from mnas.profiling.bench import open_reference
from mnas.profiling.measure import NetworkTime, measure_networks
from mnas.random_streams import Stream, generator
from mnas.space.space import SearchSpace
from mnas.tflite.random_model import write_random_model

_QUIET_BURSTS = 24
_LEAST_INSIDE = 0.7  # of fresh networks inside their 90 % intervals
_MOST_BIAS = 0.05
_MOST_SLOWDOWN = 1.15  # beyond it the device is busy, or not what it was


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Fresh measurements against a table; shares and errors are fractions.

    Attributes:
        num_networks: measured.
        mape: mean absolute error.
        bias: median of measured over predicted.
        within_interval: share inside their own 90 % interval.
        repeatability: the noise floor of these measurements.
        slowdown: how many times slower than when the table was made the device was meanwhile; 1 is quiet.
        holds: the device is about as fast as then, and most networks are inside their interval, or the bias is small
            and the error no worse than half as much again as the report card says.
    """

    num_networks: int
    mape: float
    bias: float
    within_interval: float
    repeatability: float
    slowdown: float
    holds: bool


def check_table(
    table: LatencyTable,
    space: SearchSpace,
    device: Device,
    *,
    count: int,
    seconds: float,
    seed: int,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> CheckResult:
    """Measure fresh random networks of a space and compare them with a table.

    Raises:
        InputError: if the table does not price the space.
        MnasError: if the device fails.
    """
    rng = generator(seed, Stream.CHECK_NETWORKS)
    networks = [space.sample(rng) for _ in range(count)]
    estimator = LatencyEstimator(table)
    estimates = [estimator.predict(network) for network in networks]
    times = _measure(table, device, networks, seconds, seed, progress)
    quiet = [measured.quiet_ms for measured in times]
    slowdown = float(np.median([measured.slowdown for measured in times]))
    card = make_report_card(estimates, quiet, [t.median_ms for t in times], [t.halves_ms for t in times])
    bias = float(np.median(np.array(quiet) / np.array([estimate.latency_ms for estimate in estimates])))
    known = table.report_card.mape if table.report_card else 0.0
    holds = slowdown <= _MOST_SLOWDOWN and _predicts(card, bias, known)
    return CheckResult(count, card.mape, bias, card.within_interval, card.repeatability, slowdown, holds)


def _predicts(card: ReportCard, bias: float, known_mape: float) -> bool:
    near = abs(bias - 1) <= _MOST_BIAS and card.mape <= 1.5 * known_mape
    return card.within_interval >= _LEAST_INSIDE or near


def _measure(
    table: LatencyTable,
    device: Device,
    networks: Sequence[Architecture],
    seconds: float,
    seed: int,
    progress: Callable[[float, str], None],
) -> list[NetworkTime]:
    done = [0]

    def report() -> None:
        done[0] += 1
        progress(min(0.99, done[0] / (len(networks) * _QUIET_BURSTS)), f"measuring {len(networks)} networks")

    with device.measuring():
        reference = open_reference(device, known_ms=table.reference_ms)
        models = [device.load(write_random_model(network, dtype=table.configuration.dtype)) for network in networks]
        wanted = [_QUIET_BURSTS] * len(models)
        try:
            return measure_networks(models, reference, seconds=seconds, quiet_bursts=wanted, seed=seed, progress=report)
        finally:
            reference.close()
            for model in models:
                model.close()


def changed(before: Configuration, now: Configuration) -> dict[str, tuple[Any, Any]]:
    """What differs between the table's configuration and the device's now: field, then both values."""
    old, new = asdict(before), asdict(now)
    return {name: (old[name], new[name]) for name in old if old[name] != new[name]}
