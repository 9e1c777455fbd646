"""Costs that are sums over blocks, for batches of architectures.

A stage's cost depends only on its own decisions and on the filters of the previous stage. So a space has a few thousand
different stages; the cost of each is computed once, and an architecture's cost is the sum of a few table look-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.arch.walk import PlacedBlock
from mnas.errors import InputError
from mnas.space.space import SearchSpace

Array = npt.NDArray[np.float64]


class SpaceCosts:
    """Costs of a space's architectures by index.

    Args:
        space: the space.
        price: returns a placed block's cost. Its errors (a missing latency key) are raised here.
        overhead: added once per network.

    Attributes:
        scaling: factor of the sum over blocks, if any: other costs, such as parameters, and a curve of points
            (amount of these, factor), linear in between and constant outside.
    """

    scaling: tuple[SpaceCosts, Sequence[tuple[float, float]]] | None = None

    def __init__(self, space: SearchSpace, price: Callable[[PlacedBlock], float], *, overhead: float = 0.0) -> None:
        self.space = space
        price = cache(price)
        self._sums = [_Sums(space.at(size), price, overhead) for size in space.input_sizes]

    def __call__(self, indices: npt.ArrayLike) -> Array:
        """Costs of a batch.

        Args:
            indices: shape (count, number of decisions), as `SearchSpace.encode` returns them.

        Returns:
            Shape (count,).
        """
        grid = np.asarray(indices, dtype=np.intp).reshape(-1, len(self.space.decisions))
        if not self.space.resolutions:
            return self._sums[0](grid)
        total = np.empty(len(grid), dtype=np.float64)
        for index, sums in enumerate(self._sums):
            chosen = grid[:, -1] == index
            total[chosen] = sums(grid[chosen, :-1])
        return total

    def factors(self, resolution_index: int = 0) -> tuple[float, list[Array], Array]:
        """The terms of the sum over blocks at one resolution, for expectations; without `scaling`.

        Args:
            resolution_index: into the space's resolutions, the largest first; 0 if there is one only.

        Returns:
            The stem's cost with the overhead; for every stage an array (filters before, choices of its first decision,
            of its second, ...); the head's costs, by the filters of the last stage.
        """
        return self._sums[resolution_index].factors()

    def additive(self, resolution_index: int = 0) -> tuple[float, list[Array]]:
        """The costs at one resolution as a constant plus one number per decision.

        `scaling`, the factor on a network's sum by its parameters, is not in them.

        Args:
            resolution_index: into the space's resolutions, the largest first; 0 if there is one only.

        Returns:
            The constant: stem, head and overhead. For every stage the costs of its choices, shape (choices,).

        Raises:
            InputError: if a stage has several decisions, or filters to choose, on which the next stage's costs depend.
        """
        for number, stage in enumerate(self.space.stages, 1):
            if len(stage.decisions) > 1:
                raise InputError(
                    f"stage {number} of {self.space.name} has {len(stage.decisions)} decisions: costs that are a sum "
                    "over decisions need stages with a list of blocks, as mnas space around makes them"
                )
            if len(stage.filters) > 1:
                raise InputError(
                    f"the blocks of stage {number} of {self.space.name} end with {list(stage.filters)} filters: costs "
                    "that are a sum over decisions need the same number in all of them"
                )
        constant, stages, head = self.factors(resolution_index)
        return constant + float(head[0]), [stage[0] for stage in stages]

    def extreme(self, *, largest: bool = False) -> tuple[Architecture, float]:
        """Return the architecture of lowest (or highest) cost and its cost, by dynamic programming over filters."""
        found = [sums.extreme(largest=largest) for sums in self._sums]
        costs = [cost for _, cost in found]
        index = int(np.argmax(costs) if largest else np.argmin(costs))
        trail = (*found[index][0], index) if self.space.resolutions else found[index][0]
        return self.space.decode(trail), costs[index]


class _Sums:
    """The costs at a single resolution: one table per stage."""

    def __init__(self, space: SearchSpace, price: Callable[[PlacedBlock], float], overhead: float) -> None:
        self._tables: list[Array] = []  # one per stage: (filters before, combinations of its decisions)
        self._filters_of: list[npt.NDArray[np.intp]] = []  # one per stage: (combinations,), index of its output filters
        before: tuple[int | None, ...] = (None,)
        for position, choices in enumerate(space.stages):
            stages = [choices.stage(values) for values in choices.combinations()]
            rows = [
                [sum(map(price, space.stage_walk(position, filters, stage))) for stage in stages] for filters in before
            ]
            self._tables.append(np.asarray(rows, dtype=np.float64))
            ends = [choices.filters.index(stage.block.filters) for stage in stages]
            self._filters_of.append(np.array(ends, dtype=np.intp))
            before = choices.filters
        stem, heads = space.ends()
        self._stem = price(stem) + overhead
        self._head = np.array([sum(map(price, head)) for head in heads], dtype=np.float64)
        self._radices = [[len(decision.choices) for decision in choices.decisions] for choices in space.stages]

    def __call__(self, grid: npt.NDArray[np.intp]) -> Array:
        total = np.full(len(grid), self._stem, dtype=np.float64)
        before = np.zeros(len(grid), dtype=np.intp)
        start = 0
        for table, radices, filters_of in zip(self._tables, self._radices, self._filters_of, strict=True):
            own = np.ravel_multi_index(tuple(grid[:, start : start + len(radices)].T), tuple(radices))
            total += table[before, own]
            before = filters_of[own]
            start += len(radices)
        result: Array = total + self._head[before]
        return result

    def factors(self) -> tuple[float, list[Array], Array]:
        """See `SpaceCosts.factors`."""
        shapes = [(len(table), *radices) for table, radices in zip(self._tables, self._radices, strict=True)]
        stages = [table.reshape(shape) for table, shape in zip(self._tables, shapes, strict=True)]
        return self._stem, stages, self._head

    def extreme(self, *, largest: bool) -> tuple[tuple[int, ...], float]:
        """Return the indices of the stages' decisions, and their cost."""
        sign = -1.0 if largest else 1.0
        costs = np.array([sign * self._stem])
        trails: list[tuple[int, ...]] = [()]
        for table, radices, filters_of in zip(self._tables, self._radices, self._filters_of, strict=True):
            reached = costs[:, None] + sign * table
            new_costs, new_trails = [], []
            for choice in range(int(filters_of.max()) + 1):
                masked = np.where(filters_of == choice, reached, np.inf)
                row, column = np.unravel_index(int(np.argmin(masked)), masked.shape)
                new_costs.append(masked[row, column])
                own = np.unravel_index(int(column), radices)
                new_trails.append(trails[int(row)] + tuple(int(i) for i in own))
            costs, trails = np.array(new_costs), new_trails
        costs = costs + sign * self._head
        best = int(np.argmin(costs))
        return trails[best], float(sign * costs[best])
