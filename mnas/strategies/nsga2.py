"""NSGA-II (Deb et al. 2002): a population spread over the whole front of accuracy against latency.

Implemented here because pymoo and Optuna tie it to generations and to their own state, while a strategy is asked for
any number of candidates at any time and resumes by replay. `optuna:nsgaii` is Optuna's, for one reward.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.space.space import SearchSpace
from mnas.strategies.base import Feasible, Strategy, check_count, encode_successful
from mnas.trial import Measurement, Trial

Array = npt.NDArray[np.float64]
Indices = tuple[int, ...]
_TRIES = 20  # maximum number of children made to find one that was not seen before


class NSGA2(Strategy):
    """NSGA-II on accuracy and every latency (multiply-adds without a table); the reward is not used.

    Parents and children compete for the next population at every `tell`. For the single best network within a budget
    `evolution` is the better choice; this strategy is for the trade-off, which `mnas report` shows as the front.
    See `Strategy` for the other arguments.

    Args:
        population: number of survivors; this many first proposals are random.
        crossover: share of children that have two parents.
        mutations: mean number of a child's decisions that change.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        feasible: Feasible | None = None,
        population: int = 30,
        crossover: float = 0.9,
        mutations: float = 1.0,
    ) -> None:
        if population < 2:
            raise InputError(f"population is {population}: expected 2 or more")
        if not 0 <= crossover <= 1 or mutations <= 0:
            raise InputError(f"crossover is {crossover} and mutations {mutations}: expected 0 to 1, and above 0")
        super().__init__(space, seed=seed, feasible=feasible)
        self._rng = np.random.default_rng(seed)
        self._size, self._crossover, self._mutations = population, crossover, mutations
        self._members: dict[Indices, tuple[float, ...]] = {}
        self._seen: set[Indices] = set()
        self._ranks: npt.NDArray[np.intp] = np.zeros(0, np.intp)
        self._crowding: Array = np.zeros(0)

    def ask(self, count: int) -> list[Architecture]:
        """Random samples until the population is full, then children."""
        check_count(count)
        full = len(self._seen) >= self._size and len(self._members) >= 2
        draw = self._child if full else lambda: self.space.sample(self._rng)
        return [self.rejection_sample(draw) for _ in range(count)]

    def tell(self, trials: Sequence[Trial]) -> None:
        """Select the next population from the successful trials and the present population."""
        encode_successful(self.space, trials)
        for trial in trials:
            if trial.measurement is not None:
                self._members[self.space.encode(trial.architecture)] = objectives(trial.measurement)
        self._seen.update(self._members)
        if self._members:
            self._select()

    def _select(self) -> None:
        values = np.array(list(self._members.values()), dtype=np.float64)
        ranks = front_numbers(values)
        crowding = np.zeros(len(values))
        for rank in range(int(ranks.max()) + 1):
            crowding[ranks == rank] = crowding_distances(values[ranks == rank])
        kept = np.lexsort((-crowding, ranks))[: self._size]
        names = list(self._members)
        self._members = {names[i]: self._members[names[i]] for i in kept}
        self._ranks, self._crowding = ranks[kept], crowding[kept]

    def _child(self) -> Architecture:
        for _ in range(_TRIES):
            first, second = self._parent(), self._parent()
            mixed = self._rng.random() < self._crossover
            child = self.space.crossover(first, second, self._rng) if mixed else first
            child = self._mutated(child)
            if self.space.encode(child) not in self._seen:
                break
        return child

    def _parent(self) -> Architecture:
        """The better of two random members: by front, then by crowding distance."""
        names = list(self._members)
        a, b = (int(i) for i in self._rng.integers(len(names), size=2))
        better = (self._ranks[a], -self._crowding[a]) <= (self._ranks[b], -self._crowding[b])
        return self.space.decode(names[a if better else b])

    def _mutated(self, child: Architecture) -> Architecture:
        indices = list(self.space.encode(child))
        counts = [len(decision.choices) for decision in self.space.decisions]
        free = sum(count > 1 for count in counts)
        for place, count in enumerate(counts):
            if count > 1 and self._rng.random() < self._mutations / free:
                indices[place] = (indices[place] + 1 + int(self._rng.integers(count - 1))) % count
        return self.space.decode(indices)


def objectives(found: Measurement) -> tuple[float, ...]:
    """Return the values to minimise: the error, and every latency, or multiply-adds without a table."""
    return (1 - found.accuracy, *(found.latencies_ms or (float(found.madds),)))


def front_numbers(values: Array) -> npt.NDArray[np.intp]:
    """Number of the front that each row is on: 0 where no other row dominates it.

    Args:
        values: shape (count, objectives), all minimised.

    Returns:
        Shape (count,); front n is not dominated once the fronts before it are removed.
    """
    no_worse = (values[:, None, :] <= values[None, :, :]).all(axis=2)
    better = (values[:, None, :] < values[None, :, :]).any(axis=2)
    dominates: npt.NDArray[np.bool_] = np.logical_and(no_worse, better)
    ranks = np.full(len(values), -1, dtype=np.intp)
    left = np.arange(len(values))
    rank = 0
    while left.size:
        beaten = dominates[np.ix_(left, left)].any(axis=0)
        ranks[left[~beaten]] = rank
        left, rank = left[beaten], rank + 1
    return ranks


def crowding_distances(values: Array) -> Array:
    """Sum of the side lengths of the box that each row's neighbours span in one front (Deb et al. 2002).

    Args:
        values: shape (count, objectives).

    Returns:
        Shape (count,); infinite at the ends of an objective.
    """
    distances = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distances[order[[0, -1]]] = np.inf
        if span > 0 and len(order) > 2:
            distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distances
