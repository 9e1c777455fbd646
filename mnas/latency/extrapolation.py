"""Predictions beyond a latency table: other filters, depths and resolutions of known operators.

A table has an entry for every block of its space, at its space's resolution. A scaled network has other blocks, made
of the same kinds of operators. The entries are sums over operators, so a line for each kind in multiply-adds, elements
and weights can be fitted to them, as profiling fits lines to whole networks (`mnas.latency.operator_regression`).
Blocks of the table keep their entries; the others are on the lines.

The error of the lines is measured: lines fitted to the table's faster blocks are compared with its slowest fifth. The
interval of a prediction widens by that error for the part of the latency that is on the lines, and again by it for
every doubling beyond the largest or the smallest operator of the kind. Kinds that the table does not have (another
activation, another kernel size) are an error.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, cached_property

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


_MOST_KEYS = 3  # in a message


def describe_extrapolated(keys: Sequence[str]) -> str:
    """Return a sentence that names blocks which the table lacks; empty without any."""
    if not keys:
        return ""
    named = ", ".join(keys[:_MOST_KEYS]) + (f" and {len(keys) - _MOST_KEYS} more" if len(keys) > _MOST_KEYS else "")
    them = "1 of its blocks is" if len(keys) == 1 else f"{len(keys)} of its different blocks are"
    return f"{them} not in the table and extrapolated, which widens the interval: {named}."


class UnpricedError(InputError):
    """A block has an operator of a kind that the table does not have."""


class ExtendedEstimator:
    """An estimator that also prices blocks that the table lacks.

    Args:
        table: the table. If it has all blocks of a network, the prediction is that of `LatencyEstimator`.
    """

    def __init__(self, table: LatencyTable) -> None:
        self.table = table
        self._own = LatencyEstimator(table)
        self._known: dict[PlacedBlock, Entry] = {}
        self._sums: dict[PlacedBlock, tuple[float, int]] = {}

    @cached_property
    def _lines(self) -> _Lines:
        return _Lines(*self._readable)

    @cached_property
    def line_error(self) -> float:
        """The error of the lines beyond the table, as a share of a latency.

        Raises:
            InputError: if the table has too few entries to fit lines to.
        """
        return max(_LEAST_ERROR, _error_beyond(*self._readable))

    @cached_property
    def _readable(self) -> tuple[list[PlacedBlock], Array]:
        blocks, latencies = _readable(self.table)
        if len(blocks) < _LEAST_ENTRIES:
            raise InputError(
                f"the latency table for {self.table.space} has {len(blocks)} blocks that can be read, too few to price "
                f"other networks from (at least {_LEAST_ENTRIES}): measure the device with mnas profile"
            )
        return blocks, latencies

    def predict(self, architecture: Architecture) -> LatencyEstimate:
        """Predict a network's latency with its 90 % interval; by the table alone if it has all blocks.

        Raises:
            UnpricedError: if a block has an operator of a kind that the table does not have.
            InputError: if the table has too few entries to price further blocks from.
        """
        blocks = unroll(architecture)
        missing = [placed for placed in dict.fromkeys(blocks) if self._own.find(placed) is None]
        if not missing:
            return self._own.predict_blocks(blocks)
        entries = {placed.key: self._entry(placed) for placed in blocks}
        # Blocks on the same line have errors in the same direction: they add up over the network.
        error_ms = {p: self.line_error * (1 + self._lines.doublings(p)) * self._entry(p).latency_ms for p in missing}
        error = math.fsum(error_ms.get(placed, 0.0) for placed in blocks)
        total_ms = math.fsum(entries[placed.key].latency_ms for placed in blocks) + self.table.overhead_ms
        share = error / total_ms if total_ms > 0 else math.inf
        table = replace(
            self.table, entries=entries, relative_error=min(10.0, math.hypot(self.table.relative_error, share))
        )
        estimate = LatencyEstimator(table).predict_blocks(blocks)
        return replace(estimate, extrapolated=tuple(placed.key for placed in missing))

    def latency_ms(self, architecture: Architecture) -> float:
        """Predict the same latency without its interval, much faster: for searches over sizes.

        Raises:
            UnpricedError, InputError: as `predict`.
        """
        sums = [self._sum(placed) for placed in unroll(architecture)]
        factor = float(params_factor(self.table, np.array([sum(params for _, params in sums)]))[0])
        return max(0.0, factor * (math.fsum(latency for latency, _ in sums) + self.table.overhead_ms))

    def is_priced(self, architecture: Architecture) -> bool:
        """Whether `predict` knows all kinds of its operators.

        Raises:
            InputError: if the table has too few entries to extrapolate from.
        """
        try:
            self.latency_ms(architecture)
        except UnpricedError:
            return False
        return True

    def _sum(self, placed: PlacedBlock) -> tuple[float, int]:
        if placed not in self._sums:
            self._sums[placed] = self._entry(placed).latency_ms, block_complexity(placed).params
        return self._sums[placed]

    def _entry(self, placed: PlacedBlock) -> Entry:
        """A block's entry, or what the lines give."""
        if placed not in self._known:
            found = self._own.find(placed)
            self._known[placed] = found or Entry(self._price(placed), 0.0, 0, "fitted")
        return self._known[placed]

    def _price(self, placed: PlacedBlock) -> float:
        kind = self._lines.unknown_kind(placed)
        if kind is not None:
            raise UnpricedError(f"{self._own.missing(placed)}\n  None of its blocks has an operator of the kind {kind}")
        return self._lines.price(placed)


class _Lines:
    """A line for every kind of operator, fitted to blocks."""

    def __init__(self, blocks: Sequence[PlacedBlock], latencies: Array) -> None:
        counts = [_operators(placed) for placed in blocks]
        kinds = dict.fromkeys(operator_group(layer) for own in counts for layer in own)
        self._where = {kind: number for number, kind in enumerate(kinds)}
        self._largest: dict[tuple[object, ...], float] = {}
        self._smallest: dict[tuple[object, ...], float] = {}
        for own in counts:
            for layer in own:
                kind, work = operator_group(layer), _work(layer)
                self._largest[kind] = max(self._largest.get(kind, 0.0), work)
                self._smallest[kind] = min(self._smallest.get(kind, math.inf), work)
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

    def unknown_kind(self, placed: PlacedBlock) -> str | None:
        """Return the first kind of operator in a block that has no line, in words; None if all have one."""
        layer = next((layer for layer in _operators(placed) if operator_group(layer) not in self._where), None)
        if layer is None:
            return None
        stride = f", stride {layer.stride}" if layer.stride > 1 else ""
        return f"{layer.role} {layer.kernel_size}x{layer.kernel_size}{stride} with {layer.activation} activation"

    def price(self, placed: PlacedBlock) -> float:
        """Return the latency in ms of a block whose kinds all have a line."""
        return float(self._row(_operators(placed)) @ self._solution)

    def doublings(self, placed: PlacedBlock) -> float:
        """Return by how many doublings an operator is beyond the largest or smallest known of its kind; 0 within."""
        beyond = 1.0
        for layer in _operators(placed):
            kind, work = operator_group(layer), _work(layer)
            beyond = max(beyond, work / self._largest[kind], self._smallest[kind] / work)
        return math.log2(beyond)


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
        if lines.unknown_kind(blocks[index]) is None:
            predicted.append(lines.price(blocks[index]))
            measured.append(latencies[index])
    if not measured:
        return 1.0  # there is nothing to compare with
    return float(np.abs(np.array(predicted) - np.array(measured)).sum() / np.sum(measured))
