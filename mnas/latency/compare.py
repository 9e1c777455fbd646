"""Comparing two tables: where they differ, and what of it is noise."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnas.latency.estimator import Z90
from mnas.latency.table import LatencyTable
from mnas.statistics import Array, kendall_tau

_NUM_FURTHEST = 8
_MEAN_DEVIATION = math.sqrt(2 / math.pi)  # mean absolute value of a standard normal variable


@dataclass(frozen=True)
class GroupRatio:
    """The blocks of one kind in two tables.

    Attributes:
        group: such as `ir k5 se`.
        num_blocks: in both tables.
        ratio: of the sums, the second over the first.
        margin: half width of the ratio's 90 % interval, if both tables were right; the errors of similar blocks are
            taken to be alike.
    """

    group: str
    num_blocks: int
    ratio: float
    margin: float

    @property
    def is_noise(self) -> bool:
        """Whether the sums differ by no more than the intervals allow."""
        return abs(self.ratio - 1) <= self.margin


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
        margin: half width of the 90 % interval of a network's ratio, if both tables were right: 0.05 is 5 %.
        num_beyond: number of blocks that differ by more than their 90 % intervals allow; one in ten does by chance.
        groups: the blocks by kind.
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
    margin: float = 0.0
    num_beyond: int = 0
    groups: tuple[GroupRatio, ...] = ()

    @property
    def is_noise(self) -> bool:
        """Whether the sums differ by no more than the tables' intervals allow."""
        return abs(self.ratio - 1) <= self.margin


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
    errors = np.array([[table.entries[key].error_ms for key in keys] for table in (first, second)], dtype=np.float64)
    allowed = Z90 * np.hypot(*errors)
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
        margin=math.hypot(_network_margin(first), _network_margin(second)),
        num_beyond=int((np.abs(b - a) > allowed).sum()),
        groups=_groups(keys, a, b, errors),
    )


def block_group(key: str) -> str:
    """Return the kind of a block by its key: prefix of its op, kernel size, and whether it has squeeze-and-excitation.

    `56x56x24 ir_k5_s2_e3_c40_se0.25 relu` is `ir k5 se`.
    """
    place, _, block = key.partition(" ")
    op, *parts = (block or place).split(" ")[0].split("_")
    kernels = [part for part in parts if part[:1] in ("a", "k") and part[1:].isdecimal()]
    return " ".join([op, *kernels, *(["se"] if any(part.startswith("se") for part in parts) else [])])


def _network_margin(table: LatencyTable) -> float:
    """Half the width of a network's 90 % interval over its latency, by the report card if there is one."""
    card = table.report_card
    if card is None:
        return Z90 * table.relative_error
    return float(Z90 * card.mape / _MEAN_DEVIATION if card.margin is None else card.margin)


def _groups(keys: Sequence[str], first: Array, second: Array, errors: Array) -> tuple[GroupRatio, ...]:
    """Compare sums by kind of block; `errors` are both tables' standard deviations, shape (2, number of keys)."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[block_group(key)].append(place)
    found = []
    for group, chosen in sorted(places.items()):
        total = float(first[chosen].sum())
        margin = Z90 * math.hypot(*errors[:, chosen].sum(axis=1)) / total
        found.append(GroupRatio(group, len(chosen), float(second[chosen].sum()) / total, margin))
    return tuple(found)
