"""Checking a table against fresh measurements."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count as counter

import numpy as np

from mnas.devices.base import Device
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.limits import card_faults
from mnas.latency.table import LatencyTable
from mnas.profiling.bench import measure_files
from mnas.profiling.collect import OnProgress
from mnas.profiling.profile import report_card
from mnas.random_streams import Stream, generator
from mnas.space.space import SearchSpace
from mnas.tflite.random_model import write_random_model

_QUIET_BURSTS = 24
_LEAST_INSIDE = 0.7  # of fresh networks inside their 90 % intervals
_MOST_BIAS = 0.05
_MOST_SLOWDOWN = 1.15  # above it the device is busy, or has changed


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Fresh measurements against a table; shares and errors are fractions.

    Attributes:
        num_networks: number of networks.
        mape: mean absolute error.
        bias: median of measured over predicted.
        within_interval: share inside their own 90 % interval.
        repeatability: the noise floor of these measurements.
        slowdown: the device's slowdown compared with when the table was made; 1 is none.
        holds: whether the device is about as fast as then, no limit is failed, and either most networks are inside
            their interval, or the bias is small and the error is at most 1.5 times that of the report card.
        kendall_tau: rank correlation.
        margin: of the 90 % intervals over the prediction, on average.
        faults: the limits of `mnas.latency.limits` that these measurements fail, each with its value.
    """

    num_networks: int
    mape: float
    bias: float
    within_interval: float
    repeatability: float
    slowdown: float
    holds: bool
    kendall_tau: float
    margin: float
    faults: tuple[str, ...] = ()


def check_table(
    table: LatencyTable,
    space: SearchSpace,
    device: Device,
    *,
    count: int,
    seconds: float,
    seed: int,
    progress: OnProgress = lambda share, what: None,
) -> CheckResult:
    """Measure fresh random networks of a space and compare them with a table's predictions.

    Args:
        table: the table.
        space: where to sample the networks.
        device: where to measure them.
        count: number of networks.
        seconds: the maximum time, approximately.
        seed: of the choice of networks.
        progress: called with the share done and what is being done.

    Raises:
        InputError: if the table lacks a block of the networks.
        MnasError: if the device fails.
    """
    rng = generator(seed, Stream.CHECK_NETWORKS)
    networks = [space.sample(rng) for _ in range(count)]
    predicted_ms = np.array([LatencyEstimator(table).predict(network).latency_ms for network in networks])
    bursts = counter(1)
    times = measure_files(
        device,
        [write_random_model(network, dtype=table.configuration.dtype) for network in networks],
        seconds=seconds,
        quiet_bursts=[_QUIET_BURSTS] * count,
        reference_ms=table.reference_ms,
        reference=table.reference,
        seed=seed,
        progress=lambda: progress(min(0.99, next(bursts) / (count * _QUIET_BURSTS)), f"measuring {count} networks"),
    )
    slowdown = float(np.median([measured.slowdown for measured in times]))
    card = report_card(table, networks, times)
    bias = float(np.median(np.array([measured.quiet_ms for measured in times]) / predicted_ms))
    known_mape = table.report_card.mape if table.report_card else 0.0
    near = abs(bias - 1) <= _MOST_BIAS and card.mape <= 1.5 * known_mape
    faults = card_faults(card)
    holds = slowdown <= _MOST_SLOWDOWN and not faults and (card.within_interval >= _LEAST_INSIDE or near)
    return CheckResult(
        num_networks=count,
        mape=card.mape,
        bias=bias,
        within_interval=card.within_interval,
        repeatability=card.repeatability,
        slowdown=slowdown,
        holds=holds,
        kendall_tau=card.kendall_tau,
        margin=card.margin or 0.0,
        faults=faults,
    )
