"""Predicting a network's latency from a table: the sum over its blocks, with an interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.arch.complexity import block_complexity
from mnas.arch.spec import Architecture, ClassifierSpec
from mnas.arch.walk import PlacedBlock, unroll
from mnas.errors import InputError
from mnas.latency.limits import load_table
from mnas.latency.table import Entry, LatencyTable
from mnas.space.costs import SpaceCosts
from mnas.space.files import SPACES
from mnas.space.space import SearchSpace

Z90 = 1.6448536269514722  # 90 % of a normal distribution is within this many standard deviations


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """A network's predicted latency on the quiet device.

    Attributes:
        latency_ms: blocks and overhead together.
        low_ms, high_ms: the 90 % interval.
        blocks_ms: by block, in the order of `unroll`, without the overhead but with the network's factor.
        num_fitted: number of blocks whose entry is fitted, not measured.
        extrapolated: keys of the blocks that the table has no entry for, by `mnas.latency.extrapolation`.
    """

    latency_ms: float
    low_ms: float
    high_ms: float
    blocks_ms: tuple[float, ...]
    num_fitted: int
    extrapolated: tuple[str, ...] = ()


class LatencyEstimator:
    """Predicts latencies as sums over a table's entries.

    Args:
        table: the table.
    """

    def __init__(self, table: LatencyTable) -> None:
        self.table = table
        self._classifiers: dict[str, Entry] = {}

    def entry(self, placed: PlacedBlock) -> Entry:
        """Return a block's entry; a classifier's for a number of classes that was not measured is interpolated.

        Raises:
            InputError: if there is none; the message names the key and how to measure it.
        """
        found = self.find(placed)
        if found is None:
            raise InputError(self.missing(placed))
        return found

    def find(self, placed: PlacedBlock) -> Entry | None:
        """Return what `entry` does, or None if there is none."""
        found = self.table.entries.get(placed.key)
        if found is None and isinstance(placed.block, ClassifierSpec):
            found = self._classifier(placed)
        return found

    def block_ms(self, placed: PlacedBlock) -> float:
        """Return a block's latency in ms, without the factor of its network.

        Raises:
            InputError: as `entry`.
        """
        return self.entry(placed).latency_ms

    def predict(self, architecture: Architecture) -> LatencyEstimate:
        """Predict a network's latency with its 90 % interval.

        Raises:
            InputError: if a block is not in the table.
        """
        try:
            return self.predict_blocks(unroll(architecture))
        except InputError as error:
            if architecture.resolution in self.table.input_sizes:
                raise
            raise InputError(
                f"the latency table is for {self.table.input_text} ({self.table.space}); this network is for "
                f"{architecture.resolution} px.\n  {error}"
            ) from None

    def predict_blocks(self, blocks: Sequence[PlacedBlock]) -> LatencyEstimate:
        """Predict the latency of a network given as its placed blocks, which need not form an `Architecture`.

        The errors of different blocks are independent; a block that occurs twice has the same error twice. The table's
        relative error covers what a sum over blocks cannot model.

        Raises:
            InputError: if a block is not in the table.
        """
        counts = Counter(blocks)
        entries = {placed: self.entry(placed) for placed in counts}
        params = sum(count * block_complexity(placed).params for placed, count in counts.items())
        factor = float(params_factor(self.table, np.array([params]))[0])
        blocks_ms = tuple(factor * entries[placed].latency_ms for placed in blocks)
        latency_ms = max(0.0, math.fsum(blocks_ms) + factor * self.table.overhead_ms)
        variance = sum((factor * count * entries[placed].error_ms) ** 2 for placed, count in counts.items())
        margin = Z90 * math.sqrt(variance + (self.table.relative_error * latency_ms) ** 2)
        num_fitted = sum(count for placed, count in counts.items() if entries[placed].source == "fitted")
        return LatencyEstimate(latency_ms, max(0.0, latency_ms - margin), latency_ms + margin, blocks_ms, num_fitted)

    def costs(self, space: SearchSpace) -> LatencyCosts:
        """Return an object that prices batches of the space's architectures in ms.

        Raises:
            InputError: if a block of the space is not in the table.
        """
        return LatencyCosts(space, self)

    def _classifier(self, placed: PlacedBlock) -> Entry | None:
        """Interpolate between the two measured numbers of classes that are nearest by ratio."""
        if placed.key in self._classifiers:
            return self._classifiers[placed.key]
        wanted = placed.out_filters
        start, end = placed.key.split(f"_n{wanted}")  # a convolution after the pooling is in both parts
        counts = ((key, key.removeprefix(f"{start}_n").removesuffix(end)) for key in self.table.entries)
        known = {int(n): self.table.entries[key] for key, n in counts if n.isdecimal() and key == f"{start}_n{n}{end}"}
        nearest = sorted(known, key=lambda count: abs(math.log(count / wanted)))[:2]
        if len(nearest) < 2:
            return None
        (low, high) = sorted(nearest)
        slope = (known[high].latency_ms - known[low].latency_ms) / (high - low)
        latency_ms = known[low].latency_ms + slope * (wanted - low)
        if latency_ms <= 0:
            return None
        error_ms = max(entry.error_ms for entry in known.values()) + 0.1 * abs(
            latency_ms - known[nearest[0]].latency_ms
        )
        entry = replace(known[low], latency_ms=latency_ms, error_ms=error_ms, source="fitted")
        self._classifiers[placed.key] = entry
        return entry

    def missing(self, placed: PlacedBlock) -> str:
        """Return the message that a block has no entry: its key, and how to measure it."""
        table, where = self.table, self.table.configuration
        if any(entry.source == "imported" for entry in table.entries.values()):
            return (
                f"the imported latency table for {table.space} has no entry {placed.key!r}\n"
                "  It is for the networks of that space only. For others, measure the device: mnas profile --help"
            )
        how = (
            f"--device {where.device} --runtime {where.runtime} --dtype {where.dtype} --threads {where.threads} "
            f"--delegate {where.delegate}"
        )
        return (
            f"the latency table for {table.space} ({where.runtime} {where.dtype}, {where.cpu or where.device}) has no "
            f"entry {placed.key!r}\n  Measure it with: mnas profile --space SPACE --out TABLE.json {how}\n"
            "  where SPACE is a space (a name or a TOML file) that contains this block"
        )


def params_factor(table: LatencyTable, params: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the factors on the sums of networks with these numbers of parameters; same shape."""
    if not table.params_curve:
        return np.ones(len(params))
    knots, factors = zip(*table.params_curve, strict=True)
    return np.asarray(np.interp(params, knots, factors), dtype=np.float64)


class LatencyCosts(SpaceCosts):
    """A space's latencies in ms by index: sums over blocks times the factor for the network's parameters."""

    def __init__(self, space: SearchSpace, estimator: LatencyEstimator) -> None:
        super().__init__(space, estimator.block_ms, overhead=estimator.table.overhead_ms)
        self._table = estimator.table
        self._params = SpaceCosts(space, lambda placed: block_complexity(placed).params)
        if self._table.params_curve:
            self.scaling = (self._params, self._table.params_curve)

    def __call__(self, indices: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """See `SpaceCosts`."""
        return super().__call__(indices) * params_factor(self._table, self._params(indices))

    def extreme(self, *, largest: bool = False) -> tuple[Architecture, float]:
        """See `SpaceCosts`. Exact without a curve; with one, a local optimum: no single decision improves it."""
        start, _ = super().extreme(largest=largest)
        best = np.array(self.space.encode(start))
        cost = float(self(best)[0])
        while True:
            around = np.array(
                [
                    np.where(np.arange(len(best)) == position, choice, best)
                    for position, decision in enumerate(self.space.decisions)
                    for choice in range(len(decision.choices))
                ]
            )
            costs = self(around)
            at = int(np.argmax(costs) if largest else np.argmin(costs))
            if (costs[at] <= cost) if largest else (costs[at] >= cost):
                return self.space.decode([int(index) for index in best]), cost
            best, cost = around[at], float(costs[at])


def table_costs(path: str, space: SearchSpace) -> tuple[LatencyCosts, LatencyEstimator]:
    """Price a space by a table, for batches and for single networks. A bad report card is warned of.

    Raises:
        InputError: if the table is not for all resolutions of the space, or lacks a block of it.
    """
    table = load_table(path)
    lacking = [size for size in space.input_sizes if size not in table.input_sizes]
    if lacking:
        sizes = ",".join(map(str, space.input_sizes))
        how = f" --resolutions {sizes}" if space.resolutions else ""
        file = space.name if space.name in SPACES else "SPACE.toml"
        where = "" if space.name in SPACES else "; a block library has its space in the file space.toml"
        raise InputError(
            f"{path} is for networks of {table.input_text} ({table.space}) and {space.name} has "
            f"{lacking[0]} px: make a table with mnas profile --space {file}{how}{where}"
        )
    estimator = LatencyEstimator(table)
    return estimator.costs(space), estimator
