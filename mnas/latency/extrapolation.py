"""Predictions beyond a latency table: other filters, depths and resolutions of known operators.

A table has an entry for every block of its space, at its space's resolution. A scaled network has other blocks, made
of the same kinds of operators. The entries are sums over operators, so a line for each kind in multiply-adds, elements
and weights can be fitted to them, as profiling fits lines to whole networks (`mnas.latency.operator_regression`).
Blocks of the table keep their entries; the others are on the lines.

The error of the lines is measured: lines fitted to the table's faster blocks are compared with its slowest fifth. The
interval of a prediction widens by that error, and again by it for every doubling beyond the largest operator of the
kind. Kinds that the table does not have (another activation, another kernel size) are an error.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt

from mnas.arch.codec import parse_key
from mnas.arch.complexity import block_complexity, layer_complexity
from mnas.arch.spec import Architecture
from mnas.arch.walk import Layer, PlacedBlock, layers, unroll
from mnas.errors import InputError
from mnas.latency.estimator import LatencyEstimate, LatencyEstimator, params_factor
from mnas.latency.least_squares import non_negative_least_squares
from mnas.latency.operator_regression import canonical, line_features, operator_group
from mnas.latency.table import Entry, LatencyTable

Array = npt.NDArray[np.float64]
_LEAST_ENTRIES = 20
_SLOWEST = 0.2  # share of the blocks that the lines are evaluated on
_QUICK = 0.2  # quantile of the latencies, below which errors count in ms instead of percent
_LEAST_ERROR = 0.02
_features = cache(line_features)


class ExtendedEstimator:
    """An estimator that also prices blocks that the table lacks.

    Args:
        table: the table.

    Raises:
        InputError: if the table has too few entries to fit lines to.
    """

    def __init__(self, table: LatencyTable) -> None:
        self.table = table
        blocks, latencies = _readable(table)
        if len(blocks) < _LEAST_ENTRIES:
            raise InputError(
                f"the latency table for {table.space} has {len(blocks)} blocks that can be read, too few to price "
                f"other networks from (at least {_LEAST_ENTRIES}): measure the device with mnas profile"
            )
        self._lines = _Lines(blocks, latencies)
        self.line_error = max(_LEAST_ERROR, _error_beyond(blocks, latencies))
        self._known: dict[PlacedBlock, Entry] = {}
        self._sums: dict[PlacedBlock, tuple[float, int]] = {}

    def predict(self, architecture: Architecture) -> LatencyEstimate:
        """Predict a network's latency with its 90 % interval; by the table alone if it has all blocks.

        Raises:
            InputError: if a block has an operator of a kind that the table does not have.
        """
        blocks = unroll(architecture)
        missing = [placed for placed in dict.fromkeys(blocks) if placed.key not in self.table.entries]
        if not missing:
            return LatencyEstimator(self.table).predict_blocks(blocks)
        entries = {placed.key: self._entry(placed) for placed in missing}
        # Blocks on the same line have errors in the same direction, so this error is the network's, not each block's.
        share = self.line_error * (1 + max(self._lines.doublings(placed) for placed in missing))
        table = replace(
            self.table,
            entries={**{p.key: self.table.entries[p.key] for p in blocks if p.key in self.table.entries}, **entries},
            relative_error=min(10.0, math.hypot(self.table.relative_error, share)),
        )
        return LatencyEstimator(table).predict_blocks(blocks)

    def latency_ms(self, architecture: Architecture) -> float:
        """Predict the same latency without its interval, much faster: for searches over sizes.

        Raises:
            InputError: as `predict`.
        """
        sums = [self._sum(placed) for placed in unroll(architecture)]
        factor = float(params_factor(self.table, np.array([sum(params for _, params in sums)]))[0])
        return max(0.0, factor * (math.fsum(latency for latency, _ in sums) + self.table.overhead_ms))

    def _sum(self, placed: PlacedBlock) -> tuple[float, int]:
        if placed not in self._sums:
            entry = self.table.entries.get(placed.key) or self._entry(placed)
            self._sums[placed] = entry.latency_ms, block_complexity(placed).params
        return self._sums[placed]

    def _entry(self, placed: PlacedBlock) -> Entry:
        if placed not in self._known:
            self._known[placed] = Entry(self._lines.price(placed), 0.0, 0, "fitted")
        return self._known[placed]


class _Lines:
    """A line for every kind of operator, fitted to blocks."""

    def __init__(self, blocks: Sequence[PlacedBlock], latencies: Array) -> None:
        counts = [_operators(placed) for placed in blocks]
        kinds = dict.fromkeys(operator_group(layer) for own in counts for layer in own)
        self._where = {kind: number for number, kind in enumerate(kinds)}
        self._largest: dict[tuple[object, ...], float] = {}
        for own in counts:
            for layer in own:
                kind = operator_group(layer)
                self._largest[kind] = max(self._largest.get(kind, 0.0), _work(layer))
        design = np.array([self._row(own) for own in counts])
        scale = np.maximum(design.max(axis=0), 1e-12)
        weight = np.maximum(latencies, np.quantile(latencies, _QUICK))[:, None]
        self._solution = non_negative_least_squares(design / scale / weight, latencies / weight[:, 0]) / scale

    def _row(self, counts: Counter[Layer]) -> Array:
        width = len(_features(next(iter(counts))))
        row = np.zeros(width * len(self._where))
        for layer, times in counts.items():
            start = width * self._where[operator_group(layer)]
            row[start : start + width] += times * _features(layer)
        return row

    def price(self, placed: PlacedBlock) -> float:
        """Return a block's latency in ms.

        Raises:
            InputError: if it has an operator of a kind without a line.
        """
        counts = _operators(placed)
        for layer in counts:
            if operator_group(layer) not in self._where:
                stride = f", stride {layer.stride}" if layer.stride > 1 else ""
                raise InputError(
                    f"the latency table cannot price {placed.key!r}: none of its blocks has an operator of the kind "
                    f"{layer.role} {layer.kernel_size}x{layer.kernel_size}{stride} with {layer.activation} activation\n"
                    "  Measure it with: mnas profile --space SPACE, where SPACE is a space that contains this block"
                )
        return float(self._row(counts) @ self._solution)

    def doublings(self, placed: PlacedBlock) -> float:
        """Return by how many doublings the block's operators exceed the largest known of their kinds; 0 within."""
        ratios = [_work(layer) / self._largest[operator_group(layer)] for layer in _operators(placed)]
        return max(0.0, math.log2(max(ratios)))


def _work(layer: Layer) -> float:
    return float(max(layer_complexity(layer).madds, layer.out_size**2 * layer.filters, 1))


def _operators(placed: PlacedBlock) -> Counter[Layer]:
    return Counter(canonical(layer) for layer in layers(placed))


def _readable(table: LatencyTable) -> tuple[list[PlacedBlock], Array]:
    """Return the entries whose keys mnas can parse; an imported table may have others."""
    found = {}
    for key, entry in table.entries.items():
        try:
            found[parse_key(key)] = entry.latency_ms
        except InputError:
            continue
    return list(found), np.array(list(found.values()), dtype=np.float64)


def _error_beyond(blocks: Sequence[PlacedBlock], latencies: Array) -> float:
    """Fit lines to the other blocks, and return their mean absolute error on the slowest ones, over their mean.

    Blocks with a kind of operator that only the slowest have are left out.
    """
    order = np.argsort(latencies, kind="stable")
    cut = int(len(order) * (1 - _SLOWEST))
    lines = _Lines([blocks[i] for i in order[:cut]], latencies[order[:cut]])
    predicted, measured = [], []
    for index in order[cut:]:
        try:
            predicted.append(lines.price(blocks[index]))
        except InputError:
            continue
        measured.append(latencies[index])
    if not measured:
        return 1.0  # there is nothing to compare with
    return float(np.abs(np.array(predicted) - np.array(measured)).sum() / np.sum(measured))
