"""Comparing predictions with measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mnas.errors import InputError
from mnas.latency.estimator import Z90, LatencyEstimate
from mnas.latency.table import ReportCard
from mnas.statistics import kendall_tau


def make_report_card(
    estimates: Sequence[LatencyEstimate],
    quiet_ms: Sequence[float],
    median_ms: Sequence[float],
    halves_ms: Sequence[tuple[float, float]],
) -> ReportCard:
    """Compare predictions with measurements of networks that a table has not seen.

    Raises:
        InputError: for lists of different lengths, or empty ones.
    """
    if not estimates or len({len(estimates), len(quiet_ms), len(median_ms), len(halves_ms)}) != 1:
        raise InputError("a report card needs equally many predictions and measurements, and at least one of each")
    predicted, quiet = np.array([e.latency_ms for e in estimates]), np.asarray(quiet_ms)
    errors = np.abs(predicted / quiet - 1)
    inside = [e.low_ms <= latency <= e.high_ms for e, latency in zip(estimates, quiet_ms, strict=True)]
    return ReportCard(
        num_networks=len(estimates),
        mape=float(errors.mean()),
        within_5_percent=float((errors <= 0.05).mean()),
        within_10_percent=float((errors <= 0.10).mean()),
        within_interval=float(np.mean(inside)),
        kendall_tau=kendall_tau(predicted, quiet),
        repeatability=float(np.mean([abs(first / second - 1) for first, second in halves_ms])),
        median_mape=float(np.abs(predicted / np.asarray(median_ms) - 1).mean()),
        pairs_ms=tuple(zip(predicted.tolist(), quiet.tolist(), strict=True)),
        margin=float(np.mean([(e.high_ms - e.latency_ms) / e.latency_ms for e in estimates])),
    )


def conformal_relative_error(estimates: Sequence[LatencyEstimate], quiet_ms: Sequence[float]) -> float:
    """Return the relative error with which nine of ten networks are inside their 90 % interval.

    Args:
        estimates: made with a relative error of 0, so that their margin is that of the entries only.
        quiet_ms: the measurements.

    Returns:
        A standard deviation as a fraction of the latency. It is the conformal quantile (Vovk et al. 2005), so it also
        holds for the next network.
    """
    needed = []
    for estimate, latency in zip(estimates, quiet_ms, strict=True):
        margin = estimate.high_ms - estimate.latency_ms
        excess = max(0.0, (latency - estimate.latency_ms) ** 2 - margin**2)
        needed.append(math.sqrt(excess) / Z90 / estimate.latency_ms)
    rank = math.ceil(0.9 * (len(needed) + 1))
    return sorted(needed)[min(rank, len(needed)) - 1]
