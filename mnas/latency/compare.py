"""Comparing two tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mnas.latency.table import LatencyTable
from mnas.statistics import kendall_tau

_NUM_FURTHEST = 8


@dataclass(frozen=True)
class Comparison:
    """How two tables differ; ratios are the second over the first, for the blocks that both have.

    Attributes:
        different: header fields that differ, with both values.
        num_shared, only_first, only_second: numbers of blocks.
        ratio: of the sums.
        low_ratio, high_ratio: nine of ten blocks lie between.
        kendall_tau: rank correlation over blocks.
        furthest: key and both latencies in ms of the blocks that differ most, among those not below the median.
    """

    different: dict[str, tuple[Any, Any]]
    num_shared: int
    only_first: int
    only_second: int
    ratio: float = 1.0
    low_ratio: float = 1.0
    high_ratio: float = 1.0
    kendall_tau: float = 0.0
    furthest: tuple[tuple[str, float, float], ...] = ()


def compare_tables(first: LatencyTable, second: LatencyTable) -> Comparison:
    """Compare headers, and entries key by key."""
    headers: dict[str, tuple[Any, Any]] = {
        "space": (first.space, second.space),
        "resolution": (first.resolution, second.resolution),
        "resolutions": (first.input_sizes, second.input_sizes),
    }
    if not first.resolutions and not second.resolutions:
        del headers["resolutions"]
    different = {name: pair for name, pair in headers.items() if pair[0] != pair[1]}
    different |= first.configuration.differences(second.configuration)
    keys = sorted(first.entries.keys() & second.entries.keys())
    counts = (len(keys), len(first.entries) - len(keys), len(second.entries) - len(keys))
    if not keys:
        return Comparison(different, *counts)
    a = np.maximum([first.entries[key].latency_ms for key in keys], 1e-9)
    b = np.maximum([second.entries[key].latency_ms for key in keys], 1e-9)
    ratios = b / a
    low, high = np.quantile(ratios, [0.05, 0.95])
    apart = np.where(a >= np.median(a), np.abs(np.log(ratios)), -1.0)
    furthest = np.argsort(-apart)[:_NUM_FURTHEST]
    return Comparison(
        different,
        *counts,
        ratio=float(b.sum() / a.sum()),
        low_ratio=float(low),
        high_ratio=float(high),
        kendall_tau=kendall_tau(a, b),
        furthest=tuple((keys[i], float(a[i]), float(b[i])) for i in furthest),
    )
