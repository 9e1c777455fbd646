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
        self._price = cache(price)
        self._tables: list[Array] = []  # one per stage: (filters before, combinations of its decisions)
        self._filters_of: list[npt.NDArray[np.intp]] = []  # one per stage: (combinations,), index of its output filters
        before: tuple[int | None, ...] = (None,)
        for position, choices in enumerate(space.stages):
            rows = [
                [self._stage_price(position, filters, values) for values in choices.combinations()]
                for filters in before
            ]
            self._tables.append(np.asarray(rows, dtype=np.float64))
            ends = [choices.stage(values).block.filters for values in choices.combinations()]
            self._filters_of.append(np.array([choices.filters.index(count) for count in ends], dtype=np.intp))
            before = choices.filters
        stem, heads = space.ends()
        self._stem = self._price(stem) + overhead
        self._head = np.array([sum(self._price(block) for block in head) for head in heads], dtype=np.float64)
        self._radices = [[len(decision.choices) for decision in choices.decisions] for choices in space.stages]

    def _stage_price(self, position: int, filters: int | None, values: tuple[object, ...]) -> float:
        stage = self.space.stages[position].stage(values)
        return sum(self._price(block) for block in self.space.stage_walk(position, filters, stage))

    def __call__(self, indices: npt.ArrayLike) -> Array:
        """Costs of a batch.

        Args:
            indices: shape (count, number of decisions), as `SearchSpace.encode` returns them.

        Returns:
            Shape (count,).
        """
        grid = np.asarray(indices, dtype=np.intp).reshape(-1, len(self.space.decisions))
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
        """The terms of the sum over blocks, for expectations; without `scaling`.

        Returns:
            The stem's cost with the overhead; for every stage an array (filters before, choices of its first decision,
            of its second, ...); the head's costs, by the filters of the last stage.
        """
        shapes = [(len(table), *radices) for table, radices in zip(self._tables, self._radices, strict=True)]
        stages = [table.reshape(shape) for table, shape in zip(self._tables, shapes, strict=True)]
        return self._stem, stages, self._head

    def extreme(self, *, largest: bool = False) -> tuple[Architecture, float]:
        """Return the architecture of lowest (or highest) cost and its cost, by dynamic programming over filters."""
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
        return self.space.decode(trails[best]), float(sign * costs[best])
